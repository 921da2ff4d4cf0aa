"""The golden bundles of AMI Tools 1.5.3, and keys to go with them."""

import json
from functools import cache
from pathlib import Path
from typing import cast

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from bundler.codec.keys import parse_certificate, parse_private_key

VECTORS = Path(__file__).parents[2] / "vectors" / "ec2-ami-tools-1.5.3"

PLAIN = "plain/tiny.img.manifest.xml"
FULL = "full/full.manifest.xml"
V3 = "old/v3.manifest.xml"
V20070829 = "old/v20070829.manifest.xml"
MANIFESTS = (PLAIN, FULL, V3, V20070829)

EXPECTED_NAMES = {PLAIN: "plain/tiny.img", FULL: "full/full"}
"""Names in expected.json."""


@cache
def read_vector(name: str) -> bytes:
    return (VECTORS / name).read_bytes()


def expected(name: str) -> dict[str, str | int]:
    facts = json.loads(read_vector("expected.json"))[EXPECTED_NAMES[name]]
    return cast("dict[str, str | int]", facts)


@cache
def private_key(owner: str = "user") -> RSAPrivateKey:
    return parse_private_key(read_vector(f"{owner}-pk.pem"), None, f"{owner}-pk.pem")


@cache
def public_key(owner: str = "user") -> RSAPublicKey:
    return parse_certificate(read_vector(f"{owner}-cert.pem"), f"{owner}-cert.pem")


def edited(name: str, old: str, new: str, *, count: int = 1) -> bytes:
    """A vector with a replaced text that it must have `count` times."""
    document = read_vector(name)
    assert document.count(old.encode()) == count
    return document.replace(old.encode(), new.encode())
