"""The bundle key, RSA-encrypted for one reader, and back."""

import re

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from bundler.errors import VerificationError
from bundler.model.bundle import BundleKey, WrappedKey


def wrap_key(secret: BundleKey, public_key: RSAPublicKey) -> WrappedKey:
    """Encrypt a bundle key for the owner of `public_key` (PKCS#1 v1.5).

    What is encrypted is the hexadecimal text of key and IV, 32 characters each, and not
    their 16 bytes: that is what every reader expects.
    """
    return WrappedKey(
        key=public_key.encrypt(secret.key.hex().encode(), PKCS1v15()),
        iv=public_key.encrypt(secret.iv.hex().encode(), PKCS1v15()),
    )


def unwrap_key(wrapped: WrappedKey, private_key: RSAPrivateKey) -> BundleKey:
    """Decrypt a bundle key.

    Raises:
        VerificationError: it was not encrypted for `private_key`, or is damaged.
    """
    return BundleKey(
        key=_decrypt_hex(wrapped.key, private_key, "key"),
        iv=_decrypt_hex(wrapped.iv, private_key, "IV"),
    )


def _decrypt_hex(ciphertext: bytes, private_key: RSAPrivateKey, what: str) -> bytes:
    message = f"bundle {what}: wrong private key; the bundle was made for another one"
    try:
        text = private_key.decrypt(ciphertext, PKCS1v15())
    except ValueError:
        raise VerificationError(message) from None
    # With a wrong key OpenSSL 3.2 and later return random bytes and no error ("implicit
    # rejection"), so that the form of the text is the only check.
    if not re.fullmatch(rb"[0-9a-f]{32}", text):
        raise VerificationError(message)
    return bytes.fromhex(text.decode())
