"""Nothing that a command says holds a secret."""

from pathlib import Path

import pytest

from bundler.model.bundle import BundleKey
from bundler.workflow.bundle_image import BundleKeys
from tests.support.bundles import (
    EC2_CERT,
    EC2_KEY,
    USER_CERT,
    USER_KEY,
    bundle_arguments,
    load_certificate,
    load_key,
    unwrap_with_openssl,
)
from tests.support.images import random_bytes
from tests.support.tools import Outcome, run_cli

WORDS = "correct horse battery staple"


def check_silent(outcome: Outcome, *secrets: str) -> None:
    """Assert that no secret, in any usual spelling, is in what a command said."""
    said = outcome.output.decode() + outcome.errors
    assert "PRIVATE KEY" not in said
    for line in USER_KEY.read_text().splitlines() + EC2_KEY.read_text().splitlines():
        assert line not in said
    numbers = load_key(USER_KEY).private_numbers()
    for number in (numbers.d, numbers.p, numbers.q):
        assert str(number) not in said
        assert f"{number:x}" not in said.lower()
    for secret in secrets:
        assert secret not in said.lower()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    path.write_bytes(random_bytes(100_000, seed=7))
    return path


@pytest.mark.parametrize("more", [("-vv",), ("-vv", "--json"), ("-v",), ()])
def test_commands_never_show_a_secret(image: Path, tmp_path: Path, more: tuple[str, ...]) -> None:
    bundled = run_cli(*bundle_arguments(image, tmp_path, *more))
    manifest = tmp_path / "image.manifest.xml"
    key, iv = unwrap_with_openssl(manifest, "user", USER_KEY)
    assert len(bytes.fromhex(key)) == len(bytes.fromhex(iv)) == 16
    keys = ("--key", USER_KEY, "--cert", USER_CERT)
    outcomes = [
        bundled,
        run_cli("unbundle", manifest, "-o", tmp_path / "back", *keys, *more),
        run_cli("verify", manifest, "--deep", *keys, *more),
        run_cli("inspect", manifest, *more),
    ]
    assert [outcome.code for outcome in outcomes] == [0, 0, 0, 0]
    for outcome in outcomes:
        check_silent(outcome, key, iv)


def test_failures_never_show_a_secret(image: Path, tmp_path: Path) -> None:
    run_cli(*bundle_arguments(image, tmp_path))
    manifest = tmp_path / "image.manifest.xml"
    key, iv = unwrap_with_openssl(manifest, "user", USER_KEY)
    (tmp_path / "image.part.0").write_bytes(b"damaged")
    (tmp_path / "passphrase").write_text(WORDS)
    (tmp_path / "mixed.pem").write_bytes(USER_KEY.read_bytes().replace(b"M", b"*", 3))
    unbundle = ("unbundle", manifest, "-o", tmp_path / "back", "-vv")
    failures = [
        (*unbundle, "--key", USER_KEY),
        (*unbundle, "--key", EC2_KEY),
        (*unbundle, "--key", tmp_path / "mixed.pem"),
        (*unbundle, "--key", tmp_path / "mixed.pem", "--passphrase-file", tmp_path / "passphrase"),
        bundle_arguments(image, tmp_path, "-vv", "--key", tmp_path / "passphrase"),
        bundle_arguments(image, tmp_path, "-vv", "--cert", USER_KEY),
        bundle_arguments(image, tmp_path, "-vv"),
    ]
    for arguments in failures:
        outcome = run_cli(*arguments)
        assert outcome.code > 1
        assert outcome.output == b""
        check_silent(outcome, key, iv, WORDS)


def test_a_new_key_is_not_shown_and_not_readable_by_others(tmp_path: Path) -> None:
    outcome = run_cli("keygen", "-vv", "--common-name", "test", directory=tmp_path)
    assert outcome.code == 0
    assert outcome.output == b""
    pem = (tmp_path / "pk.pem").read_text()
    assert all(line not in outcome.errors for line in pem.splitlines())
    assert (tmp_path / "pk.pem").stat().st_mode & 0o777 == 0o600
    arguments = ("-k", "pk.pem", "-c", "cert.pem", "-d", ".", "-u", "123456789012")
    (tmp_path / "image").write_bytes(b"image")
    assert run_cli("image", "image", *arguments, directory=tmp_path).code == 0


def test_a_new_key_replaces_no_other(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("old")
    outcome = run_cli("keygen", "--common-name", "test", directory=tmp_path)
    assert outcome.code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["cert.pem"]
    outcome = run_cli("keygen", "--common-name", "n" * 65, "--force", directory=tmp_path)
    assert outcome.code == 2
    assert (tmp_path / "cert.pem").read_text() == "old"


def test_repr_hides_keys() -> None:
    secret = BundleKey(key=bytes(range(16)), iv=bytes(range(16, 32)))
    assert repr(secret) == "BundleKey()"
    assert str(secret) == "BundleKey()"
    keys = BundleKeys(user=load_key(USER_KEY), ec2=load_certificate(EC2_CERT))
    assert "user" not in repr(keys)
    assert "Private" not in repr(keys)


@pytest.mark.parametrize(("key", "iv"), [(15, 16), (16, 15), (0, 0), (32, 16), (17, 16)])
def test_a_bundle_key_of_another_size_is_refused_without_showing_it(key: int, iv: int) -> None:
    with pytest.raises(ValueError, match=r"have 16 bytes each$"):
        BundleKey(key=bytes(key), iv=bytes(iv))
