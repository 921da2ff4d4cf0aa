"""Where instance metadata are asked for, and how patiently."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from bundler.errors import UsageError

IPV4_HOST = "169.254.169.254"
IPV6_HOST = "fd00:ec2::254"
"""Source: EC2 user guide, "Access instance metadata for an EC2 instance"."""

HTTP_PORT = 80

_ENDPOINT = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
_MODE = "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"
DISABLED = "AWS_EC2_METADATA_DISABLED"
"""Variables that AWS's own tools know.  Source: AWS SDKs and tools reference guide, IMDS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataEndpoint:
    """A server of instance metadata; always http, since no other is."""

    host: str = IPV4_HOST
    port: int = HTTP_PORT
    is_given: bool = False
    """Whether the environment names it, so that it is not only to be expected on EC2."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """The server that the environment names, else EC2's own.

        Raises:
            UsageError: the environment names one that cannot be.
        """
        if url := environment.get(_ENDPOINT, ""):
            return cls._parse(url)
        mode = environment.get(_MODE, "") or "ipv4"
        if mode.lower() not in ("ipv4", "ipv6"):
            raise UsageError(f"{_MODE}: expected IPv4 or IPv6, got {mode[:80]!r}")
        return cls(host=IPV6_HOST if mode.lower() == "ipv6" else IPV4_HOST)

    @classmethod
    def _parse(cls, url: str) -> Self:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError as error:
            raise UsageError(f"{_ENDPOINT} {url[:80]!r}: {error}") from error
        words_are_plain = host.isascii() and host.isprintable() and " " not in host
        has_more = parts.path not in ("", "/") or parts.query or parts.fragment or "@" in url
        if parts.scheme != "http" or not host or not words_are_plain or port == 0 or has_more:
            # Not shown: whoever writes a user there may have written a password as well.
            raise UsageError(f"{_ENDPOINT}: expected http://HOST[:PORT]")
        return cls(host=host, port=port or HTTP_PORT, is_given=True)

    @property
    def url(self) -> str:
        """The URL, without a path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}" if self.port == HTTP_PORT else f"http://{host}:{self.port}"


def is_disabled(environment: Mapping[str, str]) -> bool:
    """Whether the environment forbids to ask for instance metadata."""
    return environment.get(DISABLED, "").lower() == "true"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataPatience:
    """How long to wait for a server that is next door: seconds.

    Whoever runs elsewhere, or in a container that the answer does not reach, must not wait long.
    """

    connect_timeout: float = 1.0
    """For a connection."""
    timeout: float = 2.0
    """For a whole answer, however it drips."""
    max_attempts: int = 3
    """Times that a request is sent; EC2 throttles whoever asks much (429, 503)."""
    delay: float = 0.5
    """Before the second time; twice as long before each other one."""
    wait: Callable[[float], object] = time.sleep
