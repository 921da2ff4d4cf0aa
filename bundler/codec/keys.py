"""RSA keys and certificates: PEM or DER bytes to keys, and new pairs."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    RSAPublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from bundler.errors import InputError, UsageError, VerificationError

MIN_KEY_SIZE = 1024
"""Least bits of an RSA modulus; EC2's own keys have that many."""

NEW_KEY_SIZE = 2048
"""Bits of the keys that make_key_pair() makes."""

VALIDITY = timedelta(days=3653)
"""How long a new certificate is valid: ten years; no reader of bundles looks at it."""


class PassphraseNeededError(InputError):
    """The private key is encrypted and no passphrase was given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """A new private key and its certificate, both as PEM."""

    private_key: bytes = field(repr=False)
    certificate: bytes


def parse_private_key(pem: bytes, passphrase: bytes | None, subject: str) -> RSAPrivateKey:
    """Read an RSA private key: PKCS#1 or PKCS#8, PEM or DER, encrypted or not.

    A passphrase that is not needed is not looked at.  `subject` names the key in messages.

    Raises:
        PassphraseNeededError: the key is encrypted and there is no passphrase.
        VerificationError: the passphrase is wrong.
        InputError: not an RSA private key, or one of less than 1024 bits.
    """
    load = (
        serialization.load_pem_private_key
        if b"-----BEGIN" in pem
        else serialization.load_der_private_key
    )
    # Nothing of the libraries' errors is passed on: they may show what was in the key.
    try:
        key = load(pem, None)
    except TypeError:  # so cryptography says that a passphrase is needed
        if not passphrase:
            raise PassphraseNeededError(f"{subject}: the private key needs a passphrase") from None
        try:
            key = load(pem, passphrase)
        except ValueError:
            raise VerificationError(f"{subject}: wrong passphrase, or damaged") from None
        except UnsupportedAlgorithm:
            raise InputError(f"{subject}: its encryption is not supported") from None
    except (ValueError, UnsupportedAlgorithm):
        raise InputError(_not_a_private_key(pem, subject)) from None
    if not isinstance(key, RSAPrivateKey):
        raise InputError(f"{subject}: expected an RSA private key, got another kind of key")
    _check_size(key.key_size, subject)
    return key


def _not_a_private_key(pem: bytes, subject: str) -> str:
    if b"-----BEGIN CERTIFICATE" in pem and b"PRIVATE KEY-----" not in pem:
        return f"{subject}: expected a private key, got a certificate"
    return f"{subject}: not an RSA private key of at least {MIN_KEY_SIZE} bits in PEM or DER"


def parse_certificate(pem: bytes, subject: str) -> RSAPublicKey:
    """The RSA key in an X.509 certificate or bare public key, PEM or DER.

    Neither validity nor issuer is checked: no reader of bundles does, and EC2's own
    certificates have expired.

    Raises:
        InputError: no such thing, not RSA, or of less than 1024 bits.
    """
    try:
        key = _load_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        kind = "private key" if b"PRIVATE KEY-----" in pem else "something else"
        raise InputError(
            f"{subject}: expected a certificate with an RSA key in PEM or DER, got {kind}"
        ) from error
    if not isinstance(key, RSAPublicKey):
        raise InputError(f"{subject}: expected a certificate with an RSA key, got another kind")
    _check_size(key.key_size, subject)
    return key


def _load_public_key(pem: bytes) -> object:
    if b"-----BEGIN CERTIFICATE" in pem:
        return x509.load_pem_x509_certificate(pem).public_key()
    if b"-----BEGIN" in pem:
        return serialization.load_pem_public_key(pem)
    try:
        return x509.load_der_x509_certificate(pem).public_key()
    except ValueError:
        return serialization.load_der_public_key(pem)


def _check_size(key_size: int, subject: str) -> None:
    if key_size < MIN_KEY_SIZE:
        raise InputError(
            f"{subject}: expected an RSA key of at least {MIN_KEY_SIZE} bits, got {key_size}"
        )


def check_key_fits(
    private_key: RSAPrivateKey,
    public_key: RSAPublicKey,
    *,
    private_subject: str,
    public_subject: str,
) -> None:
    """Check that the two are halves of one pair; the subjects name them in the message.

    Raises:
        InputError: they are not.
    """
    if private_key.public_key().public_numbers() != public_key.public_numbers():
        raise InputError(
            f"{private_subject}: the private key does not fit the certificate {public_subject}"
        )


def make_key_pair(
    common_name: str, valid_from: datetime, passphrase: bytes | None = None
) -> KeyPair:
    """Make a 2048-bit RSA key and a certificate for it, signed by itself.

    The key is PKCS#8, encrypted if there is a passphrase.  `valid_from` has a time zone.

    Raises:
        UsageError: the common name has not 1 to 64 characters.
    """
    try:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    except ValueError as error:
        raise UsageError(
            f"certificate name {common_name[:80]!r}: expected 1 to 64 characters"
        ) from error
    key = generate_private_key(public_exponent=65537, key_size=NEW_KEY_SIZE)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(valid_from)
        .not_valid_after(valid_from + VALIDITY)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    encryption = (
        serialization.BestAvailableEncryption(passphrase)
        if passphrase
        else serialization.NoEncryption()
    )
    return KeyPair(
        private_key=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
        ),
        certificate=certificate.public_bytes(serialization.Encoding.PEM),
    )
