import traceback

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from bundler.codec.keywrap import unwrap_key, wrap_key
from bundler.codec.manifest import parse_manifest
from bundler.errors import VerificationError
from bundler.model.bundle import BundleKey, WrappedKey
from tests.unit.codec.vectors import FULL, PLAIN, expected, private_key, public_key, read_vector

SECRET = BundleKey(key=bytes(range(16)), iv=bytes(range(240, 256)))


@pytest.mark.parametrize("name", [PLAIN, FULL])
@pytest.mark.parametrize("owner", ["user", "ec2"])
def test_keys_of_ami_tools_unwrap(name: str, owner: str) -> None:
    manifest = parse_manifest(read_vector(name)).manifest
    wrapped = manifest.user_key if owner == "user" else manifest.ec2_key
    assert wrapped is not None
    secret = unwrap_key(wrapped, private_key(owner))
    facts = expected(name)
    assert (secret.key.hex(), secret.iv.hex()) == (facts["key_hex"], facts["iv_hex"])


@pytest.mark.parametrize("bits", [1024, 1032, 2048])
def test_round_trip(bits: int) -> None:
    key = generate_private_key(65537, bits)
    wrapped = wrap_key(SECRET, key.public_key())
    assert len(wrapped.key) == bits // 8
    assert unwrap_key(wrapped, key) == SECRET


def test_plain_text_is_the_hexadecimal_text() -> None:
    wrapped = wrap_key(SECRET, public_key())
    assert private_key().decrypt(wrapped.key, PKCS1v15()) == SECRET.key.hex().encode()
    assert private_key().decrypt(wrapped.iv, PKCS1v15()) == SECRET.iv.hex().encode()


def encrypt(text: bytes) -> bytes:
    return public_key().encrypt(text, PKCS1v15())


GOOD = b"00112233445566778899aabbccddeeff"
BAD_PLAIN_TEXTS = {
    "16 raw bytes": bytes(range(16)),
    "empty": b"",
    "upper case": GOOD.upper(),
    "31 characters": GOOD[:-1],
    "33 characters": GOOD + b"0",
    "line feed": GOOD + b"\n",
    "blank": b" " + GOOD[1:],
    "not hexadecimal": b"g" + GOOD[1:],
    "not ASCII": b"\xff" * 32,
}


@pytest.mark.parametrize("text", BAD_PLAIN_TEXTS.values(), ids=BAD_PLAIN_TEXTS.keys())
@pytest.mark.parametrize("what", ["key", "IV"])
def test_other_plain_texts_are_taken_for_a_wrong_key(text: bytes, what: str) -> None:
    good, bad = encrypt(GOOD), encrypt(text)
    wrapped = WrappedKey(key=bad, iv=good) if what == "key" else WrappedKey(key=good, iv=bad)
    with pytest.raises(VerificationError, match=f"bundle {what}: wrong private key") as caught:
        unwrap_key(wrapped, private_key())
    assert caught.value.__cause__ is None
    shown = "".join(traceback.format_exception(caught.value))
    assert repr(GOOD)[2:-1] not in shown
    assert GOOD.upper().decode() not in shown


def test_key_of_another_owner_is_refused() -> None:
    # OpenSSL answers with random bytes here ("implicit rejection"), each time the same.
    with pytest.raises(VerificationError, match="wrong private key"):
        unwrap_key(wrap_key(SECRET, public_key("ec2")), private_key())


@pytest.mark.parametrize("size", [0, 1, 255, 257, 512])
def test_ciphertext_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(VerificationError, match="wrong private key"):
        unwrap_key(WrappedKey(key=b"\1" * size, iv=b"\1" * size), private_key())


def test_ciphertext_beyond_the_modulus_is_refused() -> None:
    with pytest.raises(VerificationError, match="wrong private key"):
        unwrap_key(WrappedKey(key=b"\xff" * 256, iv=b"\xff" * 256), private_key())
