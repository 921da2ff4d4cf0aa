"""Who is calling AWS."""

from typing import TYPE_CHECKING

from bundler.aws.transport import Transport

if TYPE_CHECKING:
    from mypy_boto3_sts import STSClient


def account_id(client: "STSClient", transport: Transport) -> str:
    """The 12 digits of the caller's account (GetCallerIdentity).

    Raises:
        AwsRefusedError: the credentials do not hold.
        TransferError: STS cannot be reached.
    """
    return transport.call(
        "look up the AWS account of the credentials",
        lambda: client.get_caller_identity()["Account"],
    )
