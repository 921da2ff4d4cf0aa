"""Clients from region, profile and endpoint; the only boto3 import."""

import os
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import UnknownRegionError
from botocore.loaders import Loader, create_loader

from bundler import __version__
from bundler.aws.errors import translated
from bundler.aws.transport import Transport, TransportSettings
from bundler.errors import UsageError

if TYPE_CHECKING:
    from mypy_boto3_autoscaling import AutoScalingClient
    from mypy_boto3_ebs import EBSClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sts import STSClient

CONNECT_TIMEOUT = 10
"""Seconds to wait for a connection."""

NO_REGION = (
    "AWS configuration: no region; give one with --region, AWS_REGION, or `region` in the profile"
)

NO_CREDENTIALS = (
    "AWS configuration: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a "
    "profile with --profile or AWS_PROFILE, or run on an instance with a role"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialSource:
    """Where credentials come from, and how long they hold; nothing of them."""

    method: str
    """botocore's word, such as "env", "shared-credentials-file", "iam-role", "sso"."""
    expires: datetime | None
    """None when they do not, or when nobody tells."""

    @property
    def is_renewed(self) -> bool:
        """Whether botocore gets new ones when these expire."""
        return self.method != "env"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """One account of AWS in one region; open() makes it, nothing is sent yet."""

    region: str
    endpoint_url: str
    """Where all services are, instead of AWS's own addresses; empty for AWS itself."""
    transport: Transport
    """Retries, pace and counts that all clients share."""
    _session: boto3.session.Session = field(repr=False)

    @classmethod
    def open(
        cls,
        *,
        region: str = "",
        profile: str = "",
        endpoint_url: str = "",
        settings: TransportSettings | None = None,
    ) -> Self:
        """Find region and credentials as the AWS CLI does; empty texts are not given.

        Raises:
            UsageError: no such profile, no region, no credentials, or not an endpoint's URL.
        """
        if endpoint_url:
            _check_endpoint(endpoint_url)
        try:
            with translated("AWS configuration"):
                session = _open_session(profile)
                region = region or _configured_region(session)
                credentials = session.get_credentials()
        except ValueError as error:  # AWS_CREDENTIAL_EXPIRATION is no time
            raise UsageError(f"AWS configuration: {error}") from error
        if not region:
            raise UsageError(NO_REGION)
        if credentials is None:
            raise UsageError(NO_CREDENTIALS)
        return cls(
            region=region,
            endpoint_url=endpoint_url,
            transport=Transport(settings),
            _session=session,
        )

    def credential_source(self) -> CredentialSource:
        """Where the credentials come from; those that must be fetched first are fetched.

        Raises:
            UsageError: there are none any more.
            AwsRefusedError: they cannot be had.
        """
        with translated("AWS configuration"):
            credentials = self._session.get_credentials()
            if credentials is None:
                raise UsageError(NO_CREDENTIALS)
            # botocore tells the time to nobody, only whether a given moment is past it.
            expires = getattr(credentials, "_expiry_time", None)
            if expires is None:
                credentials.get_frozen_credentials()
                expires = getattr(credentials, "_expiry_time", None)
        return CredentialSource(method=credentials.method or "unknown", expires=expires)

    def s3(self) -> "S3Client":
        """A client of S3.

        Raises:
            UsageError: the region's name cannot be one.
        """
        with translated("AWS configuration"):
            client = self._session.client(
                "s3", self.region, endpoint_url=self.endpoint_url or None, config=self._config()
            )
        client.meta.events.register("before-call.s3", _stay)
        if self.transport.settings.is_requester_paying:
            client.meta.events.register("before-call.s3", _pay)
        return client

    def ec2(self) -> "EC2Client":
        """A client of EC2.

        Raises:
            UsageError: the region's name cannot be one.
        """
        with translated("AWS configuration"):
            return self._session.client(
                "ec2", self.region, endpoint_url=self.endpoint_url or None, config=self._config()
            )

    def ebs(self) -> "EBSClient":
        """A client of the EBS direct APIs.

        Raises:
            UsageError: the region's name cannot be one.
        """
        with translated("AWS configuration"):
            return self._session.client(
                "ebs", self.region, endpoint_url=self.endpoint_url or None, config=self._config()
            )

    def autoscaling(self) -> "AutoScalingClient":
        """A client of Auto Scaling.

        Raises:
            UsageError: the region's name cannot be one.
        """
        with translated("AWS configuration"):
            return self._session.client(
                "autoscaling",
                self.region,
                endpoint_url=self.endpoint_url or None,
                config=self._config(),
            )

    def sts(self) -> "STSClient":
        """A client of STS.

        Raises:
            UsageError: the region's name cannot be one.
        """
        with translated("AWS configuration"):
            return self._session.client(
                "sts", self.region, endpoint_url=self.endpoint_url or None, config=self._config()
            )

    def _config(self) -> Config:
        endpoint_names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
        settings = self.transport.settings
        is_elsewhere = self.endpoint_url or any(os.environ.get(name) for name in endpoint_names)
        return Config(
            # What is tried again, and when, is decided in aws/retry.py alone.
            retries={"mode": "standard", "total_max_attempts": 1},
            connect_timeout=min(CONNECT_TIMEOUT, settings.timeout),
            read_timeout=settings.timeout,
            max_pool_connections=settings.max_concurrency + 2,
            # Parts are checked by their SHA-1; whoever reads more asks for a checksum.
            response_checksum_validation="when_required",
            user_agent_extra=f"ami-bundler/{__version__}",
            # Servers that are not AWS seldom have a host name for each bucket.
            s3={"addressing_style": "path"} if is_elsewhere else None,
        )


def _stay(params: dict[str, Any], **_: object) -> None:
    """Let botocore follow no redirect to another region: EC2 would be asked in the wrong one."""
    params.setdefault("context", {}).setdefault("s3_redirect", {})["redirected"] = True


def _pay(params: dict[str, Any], **_: object) -> None:
    """Accept to pay for a request to a bucket whose owner does not (RequestPayer)."""
    params["headers"]["x-amz-request-payer"] = "requester"


def _open_session(profile: str) -> boto3.session.Session:
    session = botocore.session.Session(profile=profile or None)
    session.register_component("data_loader", _loader())
    return boto3.session.Session(botocore_session=session)


@cache
def _loader() -> Loader:
    """What all sessions of this process know of AWS's services: EC2's part is megabytes."""
    return create_loader()


def configured_region(profile: str) -> str:
    """The region that environment and configuration name; empty when they name none.

    Raises:
        UsageError: no such profile.
    """
    with translated("AWS configuration"):
        return _configured_region(_open_session(profile))


def _configured_region(session: boto3.session.Session) -> str:
    return os.environ.get("AWS_REGION", "") or session.region_name or ""


def _check_endpoint(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise UsageError(f"endpoint URL {url!r}: {error}") from error
    if not is_url or parts.username is not None:
        # Not shown: whoever writes a user there may have written a password as well.
        raise UsageError("endpoint URL: expected http://HOST[:PORT] or https://HOST[:PORT]")


@cache
def partition(region: str) -> str:
    """The partition of a region: aws, aws-cn, aws-us-gov, ...; new regions go by their pattern.

    Raises:
        UsageError: the region is of no partition that botocore knows.
    """
    try:
        return str(botocore.session.Session().get_partition_for_region(region))
    except UnknownRegionError as error:
        raise UsageError(
            f"region {region!r}: of no AWS partition that is known; check its spelling"
        ) from error


@cache
def is_listed_region(region: str) -> bool:
    """Whether botocore's list has the region; newer ones are missing there."""
    session = botocore.session.Session()
    names = session.get_available_regions("ec2", partition_name=partition(region))
    return region in names
