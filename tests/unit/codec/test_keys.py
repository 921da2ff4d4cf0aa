import re
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec_key
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    RSAPublicNumbers,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from bundler.codec.keys import (
    PassphraseNeededError,
    check_key_fits,
    make_key_pair,
    parse_certificate,
    parse_private_key,
)
from bundler.errors import InputError, UsageError, VerificationError
from tests.unit.codec.vectors import private_key, public_key, read_vector

NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)

V1_CERTIFICATE = b"""\
Certificate of X.509 version 1, 1024 bit, valid for one day; the text before is ignored.
-----BEGIN CERTIFICATE-----
MIIBvDCCASUCFAimfp6Bm6sfAIAH0jhyjEnc5jL5MA0GCSqGSIb3DQEBBQUAMB0x
GzAZBgNVBAMMEm9sZCB2MSBjZXJ0aWZpY2F0ZTAeFw0yNjExMjMxNzQxMjhaFw0y
NjExMjQxNzQxMjhaMB0xGzAZBgNVBAMMEm9sZCB2MSBjZXJ0aWZpY2F0ZTCBnzAN
BgkqhkiG9w0BAQEFAAOBjQAwgYkCgYEAvIoIQ68IE43gYaBfNCmxXGXlFQUDyYCJ
grl4JDWZZO+CwqOOA/Tc9c10wH3LX4iQcSB2lpD6b5XG6P0pT0KDOFgpA5UFQjyr
kjZ3ahUcajrKOel00ifCTXDgwN0vvsLdX2OBGZHMFHlq24gyab/R5pEeMAVEoj2X
DVDVmmxtfhcCAwEAATANBgkqhkiG9w0BAQUFAAOBgQCQfsiNk7dvaj9LG5V/gPjr
HXTJTRYoZ+zYMmQ415O1NPXLCLk0qtyn0p9fxPoCBoHcVCntnhvCqNu+d46OqXhM
HsamDMRIan9vctuVi0jhMH89ZEwMV4cjX0zPEYJSz7i3H28jG9Ee97sQa/PZ0U5h
sRn9KNp8aDYisCkGaKTW4A==
-----END CERTIFICATE-----
"""

SMALL_KEY = b"""\
-----BEGIN RSA PRIVATE KEY-----
MIIBOgIBAAJBAOI5siRlunHg0/GEWKAhrJQE3AUjetWrvW36vM2sFsslh6+zCy4d
t/M1SQZ/o6bsmri4jYsZCqZ/aeKzwR4bmAsCAwEAAQJAefjPoq4ym0m0HEjWG+hs
CxafpimeBexl4xFIkL/TPk2HAzfpupinG/LlK4LLo0Hq1msHYdvRTI2Mdo4Gsa9C
AQIhAP126RKbXNoLkXdiZVzvshAd4PX8wFBZ3dUtmq56d/8LAiEA5H0HkzoyGaKR
DbwgisKE/ztCt5gPhDaSSWU/dkJeawECIDLfhRRo/o/9NmtB4ppuucymUprM6kS2
ZOH+z0cp6Z/VAiAlkABszcZqvHUIQwM+jJf8tatUL2VtoOMPudti/6oyAQIhAMVS
K2eLojxsWNX5Ck0onbYwqgDpnnfYF5dNoc1QOhWO
-----END RSA PRIVATE KEY-----
"""


def dump(
    key: RSAPrivateKey,
    form: PrivateFormat = PrivateFormat.PKCS8,
    encryption: KeySerializationEncryption | None = None,
    encoding: Encoding = Encoding.PEM,
) -> bytes:
    return key.private_bytes(encoding, form, encryption or NoEncryption())


FORMATS = {"PKCS#8": PrivateFormat.PKCS8, "PKCS#1": PrivateFormat.TraditionalOpenSSL}


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS.keys())
@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
@pytest.mark.parametrize("passphrase", [None, b"", b"not needed"])
def test_plain_private_keys(
    form: PrivateFormat, encoding: Encoding, passphrase: bytes | None
) -> None:
    data = dump(private_key(), form, encoding=encoding)
    key = parse_private_key(data, passphrase, "key")
    assert key.private_numbers() == private_key().private_numbers()


ENCRYPTED = {
    "PKCS#8": dump(private_key(), PrivateFormat.PKCS8, BestAvailableEncryption(b"open sesame")),
    "PKCS#8 DER": dump(
        private_key(), PrivateFormat.PKCS8, BestAvailableEncryption(b"open sesame"), Encoding.DER
    ),
    "PKCS#1": dump(
        private_key(), PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"open sesame")
    ),
}


@pytest.mark.parametrize("data", ENCRYPTED.values(), ids=ENCRYPTED.keys())
def test_encrypted_private_keys(data: bytes) -> None:
    key = parse_private_key(data, b"open sesame", "key")
    assert key.private_numbers() == private_key().private_numbers()
    for passphrase in (None, b""):
        with pytest.raises(PassphraseNeededError, match=r"^my\.pem: .*needs a passphrase$"):
            parse_private_key(data, passphrase, "my.pem")
    with pytest.raises(VerificationError, match=r"^my\.pem: wrong passphrase") as caught:
        parse_private_key(data, b"sesame", "my.pem")
    assert "sesame" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(("exponent", "bits"), [(65537, 1024), (3, 1024), (65537, 1032)])
def test_legacy_private_keys(exponent: int, bits: int) -> None:
    key = generate_private_key(exponent, bits)
    assert parse_private_key(dump(key), None, "key").key_size == bits


def public_pem(modulus: int) -> bytes:
    key = RSAPublicNumbers(65537, modulus).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


EC_KEY = generate_ec_key(SECP256R1())
EC_PEM = EC_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
EC_PUBLIC = EC_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
KEY_PEM = read_vector("user-pk.pem")
CERTIFICATE = read_vector("user-cert.pem")

BAD_PRIVATE_KEYS = {
    "empty": (b"", "not an RSA private key"),
    "text": (b"hello", "not an RSA private key"),
    "zeros": (bytes(1000), "not an RSA private key"),
    "certificate": (CERTIFICATE, "expected a private key, got a certificate"),
    "public key": (public_pem(2**1024 - 1), "not an RSA private key"),
    "elliptic curve": (EC_PEM, "got another kind of key"),
    "512 bits": (SMALL_KEY, "at least 1024 bits"),
    "cut short": (KEY_PEM[:900], "not an RSA private key"),
    "no end line": (KEY_PEM[:-30], "not an RSA private key"),
    "damaged": (KEY_PEM[:100] + b"AAAA" + KEY_PEM[104:], "not an RSA private key"),
    "PEM of nothing": (b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n", "not an RSA"),
}


@pytest.mark.parametrize(
    ("data", "message"), BAD_PRIVATE_KEYS.values(), ids=BAD_PRIVATE_KEYS.keys()
)
@pytest.mark.parametrize("passphrase", [None, b"secret"])
def test_bad_private_keys(data: bytes, message: str, passphrase: bytes | None) -> None:
    with pytest.raises(InputError, match=rf"^k\.pem: .*{message}") as caught:
        parse_private_key(data, passphrase, "k.pem")
    assert "\n" not in str(caught.value)
    assert not isinstance(caught.value, PassphraseNeededError)


def test_certificates_and_public_keys() -> None:
    certificate = x509.load_pem_x509_certificate(CERTIFICATE)
    key = certificate.public_key()
    forms = [
        CERTIFICATE,
        KEY_PEM + CERTIFICATE,
        certificate.public_bytes(Encoding.DER),
        key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1),
    ]
    for form in forms:
        assert parse_certificate(form, "cert").public_numbers() == public_key().public_numbers()


def test_expired_certificate_of_x509_version_1() -> None:
    assert x509.load_pem_x509_certificate(V1_CERTIFICATE).version is x509.Version.v1
    assert parse_certificate(V1_CERTIFICATE, "cert").key_size == 1024


BAD_CERTIFICATES = {
    "empty": (b"", "got something else"),
    "text": (b"hello", "got something else"),
    "zeros": (bytes(1000), "got something else"),
    "private key": (KEY_PEM, "got private key"),
    "elliptic curve": (EC_PUBLIC, "got another kind"),
    "512 bits": (public_pem(2**512 - 1), "at least 1024 bits, got 512"),
    "1023 bits": (public_pem(2**1023 - 1), "at least 1024 bits, got 1023"),
    "cut short": (CERTIFICATE[:600], "got something else"),
    "damaged": (CERTIFICATE[:28] + b"AAAA" + CERTIFICATE[32:], "got something else"),
}


@pytest.mark.parametrize(
    ("data", "message"), BAD_CERTIFICATES.values(), ids=BAD_CERTIFICATES.keys()
)
def test_bad_certificates(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=rf"^c\.pem: .*{message}") as caught:
        parse_certificate(data, "c.pem")
    assert "\n" not in str(caught.value)


def test_key_fits_its_own_certificate_only() -> None:
    check_key_fits(private_key(), public_key(), private_subject="k", public_subject="c")
    with pytest.raises(InputError, match=r"^k: the private key does not fit the certificate c$"):
        check_key_fits(private_key(), public_key("ec2"), private_subject="k", public_subject="c")


@pytest.mark.parametrize("passphrase", [None, b"open sesame"])
def test_new_pair_is_one(passphrase: bytes | None) -> None:
    pair = make_key_pair("tester \N{SNOWMAN}", NOON, passphrase)
    head = (
        b"-----BEGIN ENCRYPTED PRIVATE KEY-----" if passphrase else b"-----BEGIN PRIVATE KEY-----"
    )
    assert pair.private_key.startswith(head)
    key = parse_private_key(pair.private_key, passphrase, "key")
    assert key.key_size == 2048
    public = parse_certificate(pair.certificate, "cert")
    check_key_fits(key, public, private_subject="k", public_subject="c")
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    certificate.verify_directly_issued_by(certificate)
    assert certificate.subject.rfc4514_string() == "CN=tester \N{SNOWMAN}"
    assert certificate.not_valid_before_utc == NOON
    assert certificate.not_valid_after_utc.year == 2034
    assert "PRIVATE" not in repr(pair)


@pytest.mark.parametrize("name", ["", "x" * 65])
def test_names_that_no_certificate_can_have(name: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"{name!r}: expected 1 to 64 characters")):
        make_key_pair(name, NOON)
