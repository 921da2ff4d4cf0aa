"""Who is calling AWS."""

from typing import TYPE_CHECKING

from bundler.aws.errors import translated

if TYPE_CHECKING:
    from mypy_boto3_sts import STSClient


def account_id(client: "STSClient") -> str:
    """The 12 digits of the caller's account (GetCallerIdentity).

    Raises:
        AwsRefusedError: the credentials do not hold.
        TransferError: STS cannot be reached.
    """
    with translated("look up the AWS account of the credentials"):
        return client.get_caller_identity()["Account"]
