"""Who is calling AWS."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bundler.aws.transport import Transport

if TYPE_CHECKING:
    from mypy_boto3_sts import STSClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whose the credentials are (GetCallerIdentity)."""

    account: str
    """12 digits."""
    arn: str


def find_caller(client: "STSClient", transport: Transport) -> Caller:
    """The account and user or role of the credentials (GetCallerIdentity).

    Raises:
        AwsRefusedError: the credentials do not hold.
        TransferError: STS cannot be reached.
    """

    def ask() -> Caller:
        reply = client.get_caller_identity()
        return Caller(account=reply["Account"], arn=reply.get("Arn", "an unnamed caller"))

    return transport.call("look up the AWS account of the credentials", ask)


def account_id(client: "STSClient", transport: Transport) -> str:
    """The 12 digits of the caller's account; as find_caller()."""
    return find_caller(client, transport).account
