"""Keys and certificates from files, checked before any work begins."""

import secrets
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from bundler.codec.ec2_keys import ec2_public_key
from bundler.codec.keys import (
    PassphraseNeededError,
    check_key_fits,
    make_key_pair,
    parse_certificate,
    parse_private_key,
)
from bundler.errors import InputError, UsageError
from bundler.host.files import (
    atomic_file,
    check_absent,
    check_directory,
    read_bounded,
    write_all,
)
from bundler.model.bundle import SECRET_SIZE, BundleKey
from bundler.workflow.bundle_image import BundleKeys

MAX_KEY_FILE_SIZE = 64 * 1024
"""Most bytes of a key or certificate file; our choice."""

Passphrase = Callable[[], bytes | None]
"""Gives the private key's passphrase when it is needed; None when there is none to give."""


def load_private_key(path: Path, passphrase: Passphrase) -> RSAPrivateKey:
    """Read the user's RSA private key.

    Raises:
        MissingError, HostError: the file cannot be read.
        InputError: no RSA key, or a passphrase is needed and `passphrase` gives none.
        VerificationError: the passphrase is wrong.
    """
    pem = read_bounded(path, MAX_KEY_FILE_SIZE, "read key")
    subject = f"read key {path}"
    try:
        return parse_private_key(pem, None, subject)
    except PassphraseNeededError as error:
        if (words := passphrase()) is None:
            raise InputError(f"{error}: no terminal to ask on; see --passphrase-file") from error
        return parse_private_key(pem, words, subject)


def load_certificate(path: Path) -> RSAPublicKey:
    """Read the RSA key in a certificate.

    Raises:
        MissingError, HostError: the file cannot be read.
        InputError: no certificate with an RSA key.
    """
    pem = read_bounded(path, MAX_KEY_FILE_SIZE, "read certificate")
    return parse_certificate(pem, f"read certificate {path}")


def load_bundle_keys(
    key: Path, certificate: Path, ec2_certificate: Path | None, partition: str, ask: Passphrase
) -> BundleKeys:
    """Read all keys that a bundle needs; EC2's own is built in unless a file is given.

    Raises:
        MissingError, HostError: a file cannot be read.
        InputError: not a key or certificate, or the two do not fit.
        VerificationError: the passphrase is wrong.
        UsageError: EC2's key for `partition` is not built in.
    """
    # EC2's side first: a passphrase should be asked for only when all else holds.
    ec2 = load_certificate(ec2_certificate) if ec2_certificate else ec2_public_key(partition)
    public = load_certificate(certificate)
    private = load_private_key(key, ask)
    check_key_fits(
        private, public, private_subject=f"read key {key}", public_subject=str(certificate)
    )
    return BundleKeys(user=private, ec2=ec2)


def new_bundle_key() -> BundleKey:
    """A fresh random AES key and IV: no two bundles share theirs."""
    return BundleKey(key=secrets.token_bytes(SECRET_SIZE), iv=secrets.token_bytes(SECRET_SIZE))


def write_key_pair(
    key: Path,
    certificate: Path,
    *,
    common_name: str,
    now: datetime,
    passphrase: bytes | None,
    force: bool,
) -> None:
    """Make a key pair: the private key readable by its owner only, and a certificate.

    Raises:
        UsageError: the two paths are one.
        ExistsError: a file exists and `force` is not given.
        MissingError, InputError, HostError: a directory cannot be used, or the disk is full.
    """
    if key.resolve() == certificate.resolve():
        raise UsageError(f"write key {key}: the certificate needs a file of its own")
    for path in (key, certificate):
        check_directory(path.parent)
        check_absent(path, force=force)
    pair = make_key_pair(common_name, now, passphrase)
    # Both are on the disk before either gets its name; the key, which cannot be made again,
    # replaces an old one last.
    with (
        atomic_file(key, mode=0o600, force=force) as key_file,
        atomic_file(certificate, force=force) as certificate_file,
    ):
        write_all(key_file, pair.private_key)
        write_all(certificate_file, pair.certificate)
