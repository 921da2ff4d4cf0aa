import hashlib

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bundler.codec.ec2_keys import ec2_public_key
from bundler.codec.keywrap import wrap_key
from bundler.errors import UsageError
from bundler.model.bundle import BundleKey


@pytest.mark.parametrize(
    ("partition", "bits", "spki_sha256"),
    [
        ("aws", 1024, "0522abd3c9496f96757dda137452fa67043135c383092af18e99d8049823def3"),
        ("aws-us-gov", 1024, "d55c5f07be82afbb670ee1117df638a1033cb4320647397cfe9d6dcb510cae8c"),
        ("aws-cn", 2048, "c31b05cbeb98310529f0aa0cf087d14430a8342033e31efdba07f467ad0823d6"),
    ],
)
def test_keys_are_those_of_ec2(partition: str, bits: int, spki_sha256: str) -> None:
    key = ec2_public_key(partition)
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert hashlib.sha256(spki).hexdigest() == spki_sha256
    assert key.key_size == bits
    wrapped = wrap_key(BundleKey(key=bytes(16), iv=bytes(16)), key)
    assert (len(wrapped.key), len(wrapped.iv)) == (bits // 8, bits // 8)


@pytest.mark.parametrize("partition", ["", "aws-iso", "AWS", "eu-west-1"])
def test_other_partitions_have_no_known_key(partition: str) -> None:
    with pytest.raises(UsageError, match=f"none is known for partition '{partition}'"):
        ec2_public_key(partition)
