"""Signatures of manifests: RSASSA-PKCS1-v1_5 with SHA-1, as every reader expects.

SHA-1 no longer resists chosen collisions, but the format knows nothing else.  It still
resists forging a text for somebody else's signature, which is what counts here.
"""

from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1

from bundler.errors import MissingError, VerificationError
from bundler.model.manifest import SignedManifest, VerifiedManifest

_NO_SHA1 = (
    "manifest signature: this machine's OpenSSL policy forbids SHA-1 signatures, which the "
    "format needs; the cryptography package from PyPI brings an OpenSSL that allows them"
)


def sign(data: bytes, private_key: RSAPrivateKey) -> bytes:
    """Sign bytes; the signature has as many bytes as the key's modulus.

    Raises:
        MissingError: OpenSSL's policy on this machine forbids SHA-1.
    """
    try:
        return private_key.sign(data, PKCS1v15(), SHA1())  # noqa: S303 - the format's digest
    except (UnsupportedAlgorithm, InternalError) as error:
        raise MissingError(_NO_SHA1) from error


def verify_manifest(signed: SignedManifest, public_key: RSAPublicKey) -> VerifiedManifest:
    """The manifest, trusted, if its signature is of the owner of `public_key`.

    Not covered by any signature of this format, and so not to be believed: `version`,
    `bundler`, and unknown elements whose parent is "manifest" or "manifest/bundler".

    Raises:
        VerificationError: there is no signature, or it does not hold.
        MissingError: OpenSSL's policy on this machine forbids SHA-1.
    """
    if not signed.signature:
        raise VerificationError(f"manifest of {signed.manifest.name!r}: is not signed")
    if not any(_is_signed(text, signed.signature, public_key) for text in signed.signed_texts):
        raise VerificationError(
            f"manifest of {signed.manifest.name!r}: the signature does not hold; the manifest "
            "was changed, or signed with another key than the certificate's"
        )
    return VerifiedManifest(signed.manifest)


def _is_signed(text: bytes, signature: bytes, public_key: RSAPublicKey) -> bool:
    try:
        public_key.verify(signature, text, PKCS1v15(), SHA1())  # noqa: S303 - the format's digest
    except InvalidSignature:
        return False
    except (UnsupportedAlgorithm, InternalError) as error:
        raise MissingError(_NO_SHA1) from error
    return True
