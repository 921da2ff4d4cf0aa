"""`ami-bundler image` with input that it must refuse, before it has written anything."""

import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from tests.support.bundles import (
    ACCOUNT,
    EC2_CERT,
    EC2_KEY,
    USER_CERT,
    USER_KEY,
    bundle,
    bundle_arguments,
    load_key,
    unbundle,
)
from tests.support.images import Layout, random_bytes, write_image
from tests.support.tools import (
    Outcome,
    check_refused,
    cli_environment,
    listing,
    run_cli,
    run_program,
)

GIB = 1024**3
PASSPHRASE = b"correct horse"

USAGE, BAD_INPUT, NOT_VERIFIED, MISSING, HOST = 2, 3, 4, 5, 8
"""Exit codes."""


def write_ec_pair(directory: Path) -> None:
    key = generate_ec_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ec")])
    now = datetime(2024, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (directory / "ec.pem").write_bytes(pem)
    (directory / "ec-cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with good and bad input; tests only read it."""
    directory = tmp_path_factory.mktemp("inputs")
    (directory / "image").write_bytes(random_bytes(5000, seed=1))
    (directory / "qcow2").write_bytes(b"QFI\xfb" + bytes(508))
    (directory / "empty").touch()
    (directory / "directory").mkdir()
    (directory / "unreadable").write_bytes(b"secret")
    (directory / "unreadable").chmod(0)
    os.mkfifo(directory / "fifo")
    (directory / "loop").symlink_to("loop")
    (directory / "dangling").symlink_to("nothing")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(directory / "socket"))
    write_ec_pair(directory)
    encrypted = load_key(USER_KEY).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSPHRASE)
    )
    (directory / "encrypted.pem").write_bytes(encrypted)
    (directory / "right").write_bytes(PASSPHRASE + b"\n")
    (directory / "wrong").write_bytes(b"battery staple\n")
    (directory / "blank").write_bytes(b"\nsecond line\n")
    (directory / "garbage.pem").write_bytes(b"-----BEGIN PRIVATE KEY-----\nAAAA\n")
    (directory / "huge.pem").write_bytes(b"A" * 100_000)
    write_image(directory / "large", Layout(size=10 * GIB + 1, extents=()), b"")
    return directory


def attempt(inputs: Path, output: Path, **options: str | Path) -> Outcome:
    """Run `ami-bundler image` in `inputs`, with good options but for those given."""
    image = options.pop("image", "image")
    settled: dict[str, str | Path] = {
        "destination": output,
        "key": USER_KEY,
        "cert": USER_CERT,
        "ec2_cert": EC2_CERT,
        "account": ACCOUNT,
        **options,
    }
    words = [
        f"--{name.replace('_', '-')}={value}" if value else f"--{name.replace('_', '-')}"
        for name, value in settled.items()
    ]
    return run_cli("image", image, *words, directory=inputs)


BAD_OPTIONS: list[tuple[str, dict[str, str | Path], int, str]] = [
    ("no such image", {"image": "nothing"}, MISSING, "nothing: No such file"),
    ("dangling link", {"image": "dangling"}, MISSING, "dangling: No such file"),
    ("below a file", {"image": "image/x"}, MISSING, "Not a directory"),
    ("link to itself", {"image": "loop"}, HOST, "loop: Too many levels"),
    ("empty image", {"image": "empty"}, BAD_INPUT, "the image is empty"),
    ("image is a directory", {"image": "directory"}, BAD_INPUT, "got a directory"),
    ("image is a fifo", {"image": "fifo"}, BAD_INPUT, "a regular file or a block device"),
    ("image is a terminal's kind", {"image": "/dev/null"}, BAD_INPUT, "or a block device"),
    ("image is a socket", {"image": "socket"}, HOST, "socket: No such device"),
    ("image is a qcow2", {"image": "qcow2"}, BAD_INPUT, "expected a raw image, got qcow2 by its"),
    ("image over 10 GiB", {"image": "large"}, BAD_INPUT, r"at most 10737418240 bytes \(10 GiB\)"),
    ("no such key", {"key": "nothing"}, MISSING, "read key nothing: No such file"),
    ("key is a directory", {"key": "directory"}, BAD_INPUT, "expected a file, got a directory"),
    ("key is a certificate", {"key": USER_CERT}, BAD_INPUT, "a private key, got a certificate"),
    ("key of an elliptic curve", {"key": "ec.pem"}, BAD_INPUT, "RSA private key, got another kind"),
    ("key is damaged", {"key": "garbage.pem"}, BAD_INPUT, "not an RSA private key"),
    ("key is empty", {"key": "empty"}, BAD_INPUT, "not an RSA private key"),
    ("key is huge", {"key": "huge.pem"}, BAD_INPUT, "at most 65536 bytes, got more"),
    ("key does not fit", {"key": EC2_KEY}, BAD_INPUT, "does not fit the certificate"),
    (
        "key needs a passphrase",
        {"key": "encrypted.pem"},
        BAD_INPUT,
        "needs a passphrase: .*; see --passphrase-file",
    ),
    (
        "wrong passphrase",
        {"key": "encrypted.pem", "passphrase_file": "wrong"},
        NOT_VERIFIED,
        "wrong passphrase",
    ),
    (
        "no passphrase in the file",
        {"key": "encrypted.pem", "passphrase_file": "blank"},
        BAD_INPUT,
        "the first line is empty",
    ),
    (
        "no such passphrase file",
        {"key": "encrypted.pem", "passphrase_file": "nothing"},
        MISSING,
        "nothing: No such file",
    ),
    ("no such certificate", {"cert": "nothing"}, MISSING, "certificate nothing: No such file"),
    ("certificate is a key", {"cert": USER_KEY}, BAD_INPUT, "got private key"),
    ("certificate of an elliptic curve", {"cert": "ec-cert.pem"}, BAD_INPUT, "got another kind"),
    ("EC2's of an elliptic curve", {"ec2_cert": "ec-cert.pem"}, BAD_INPUT, "got another kind"),
    ("EC2's is an image", {"ec2_cert": "image"}, BAD_INPUT, "got something else"),
    ("account of 11 digits", {"account": "12345678901"}, USAGE, "expected 12 digits"),
    ("account of 13 digits", {"account": "1234567890123"}, USAGE, "expected 12 digits"),
    ("account of letters", {"account": "amazon"}, USAGE, "expected 12 digits"),
    ("account of other digits", {"account": "\uff11" * 12}, USAGE, "expected 12 digits"),
    ("unknown arch", {"arch": "sparc"}, USAGE, "'sparc': expected one of i386, x86_64, arm64"),
    ("unknown level", {"level": "9"}, USAGE, "'9': expected one of fast, balanced, small"),
    ("unknown type", {"type": "disk"}, USAGE, "'disk': expected one of machine"),
    ("part of no bytes", {"part_size": "0"}, USAGE, "part size 0: expected 1024 to"),
    ("part of 1 TiB", {"part_size": "1024G"}, USAGE, "part size 1099511627776: expected 1024 to"),
    ("part of -1", {"part_size": "-1"}, USAGE, "'-1': expected bytes"),
    ("part of ten", {"part_size": "ten"}, USAGE, "'ten': expected bytes"),
    ("name goes up", {"name": "../x"}, USAGE, "'../x' is not a plain file name"),
    ("name is absolute", {"name": "/x"}, USAGE, "is not a plain file name"),
    ("name is dots", {"name": ".."}, USAGE, "'..' is not a plain file name"),
    ("name has a line feed", {"name": "a\nb"}, USAGE, "is not a plain file name"),
    ("name of 100 bytes", {"name": "n" * 100}, USAGE, "expected at most 99 bytes"),
    ("name of 300 bytes", {"name": "n" * 300}, USAGE, "is not a plain file name"),
    ("name is not UTF-8", {"name": "\udcff"}, USAGE, "bundle name"),
    ("name that XML cannot hold", {"name": "\ufffe"}, USAGE, "bundle name"),
    ("name of blanks", {"name": "  "}, USAGE, "no blank at its ends"),
    ("kernel id with a blank", {"kernel": "aki-1 "}, USAGE, "'aki-1 ': expected one word"),
    ("product code with a line feed", {"product_code": "a\nb"}, USAGE, "expected one word"),
    ("mapping without a device", {"block_device_mapping": "root"}, USAGE, "VIRTUAL=DEVICE"),
    ("mapping given twice", {"block_device_mapping": "a=b,a=c"}, USAGE, "given twice"),
    ("no such destination", {"destination": "nothing"}, MISSING, "nothing: no such directory"),
    ("destination is a file", {"destination": "image"}, BAD_INPUT, "expected a directory"),
    ("option that is none", {"arc": "i386"}, USAGE, "unrecognized arguments: --arc=i386"),
]


@pytest.mark.parametrize(
    ("options", "code", "pattern"),
    [case[1:] for case in BAD_OPTIONS],
    ids=[case[0] for case in BAD_OPTIONS],
)
def test_bad_input_is_refused_and_nothing_is_written(
    inputs: Path, tmp_path: Path, options: dict[str, str | Path], code: int, pattern: str
) -> None:
    before = listing(inputs)
    check_refused(attempt(inputs, tmp_path, **options), code, pattern)
    assert listing(tmp_path) == {}
    assert listing(inputs) == before


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        ([], "arguments are required: COMMAND"),
        (["frobnicate"], "invalid choice: 'frobnicate'"),
        (["image"], "arguments are required: SOURCE"),
        (["image", "x"], "arguments are required: --destination"),
        (["image", "x", "-d", "."], "x: No such file"),
        (["image", "x", "y", "-d", "."], "unrecognized arguments: y"),
        (["image", "--level"], "expected one argument"),
        (["unbundle", "x"], "required: --output"),
    ],
)
def test_a_command_line_that_is_none(tmp_path: Path, arguments: list[str], pattern: str) -> None:
    outcome = run_cli(*arguments, directory=tmp_path)
    check_refused(outcome, MISSING if "No such" in pattern else USAGE, pattern)
    assert listing(tmp_path) == {}


def test_no_key_is_given(inputs: Path, tmp_path: Path) -> None:
    outcome = run_cli("image", "image", "-d", tmp_path, "-u", ACCOUNT, directory=inputs)
    check_refused(outcome, USAGE, "image: expected --key or EC2_PRIVATE_KEY, got neither")
    assert listing(tmp_path) == {}


def without_privileges() -> list[str]:
    """A wrapper whose program is refused what the mode of a file forbids."""
    if os.geteuid() != 0:
        return []
    wrapper = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    if run_program(*wrapper, "true").code:
        pytest.skip("runs as root, and may not drop root's capabilities")
    return wrapper


def test_image_may_not_be_read(inputs: Path, tmp_path: Path) -> None:
    arguments = bundle_arguments(inputs / "unreadable", tmp_path)
    outcome = run_cli(*arguments, wrapper=without_privileges())
    check_refused(outcome, HOST, "read image .*unreadable: Permission denied")
    assert listing(tmp_path) == {}


def test_key_may_not_be_read(inputs: Path, tmp_path: Path) -> None:
    arguments = bundle_arguments(inputs / "image", tmp_path, "--key", inputs / "unreadable")
    outcome = run_cli(*arguments, wrapper=without_privileges())
    check_refused(outcome, HOST, "read key .*unreadable: Permission denied")
    assert listing(tmp_path) == {}


def test_destination_may_not_be_written(inputs: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    outcome = run_cli(*bundle_arguments(inputs / "image", tmp_path), wrapper=without_privileges())
    check_refused(outcome, HOST, "permission denied")
    assert listing(tmp_path) == {}


@pytest.mark.parametrize("name", ["x.manifest.xml", "x.part.0", "x.part.000", "x.part.17"])
def test_a_file_of_a_bundle_of_that_name_is_there(inputs: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"old")
    before = listing(tmp_path)
    check_refused(
        attempt(inputs, tmp_path, name="x"), USAGE, f"{name} exists; --force replaces the bundle"
    )
    assert listing(tmp_path) == before


def test_files_of_other_bundles_are_no_hindrance(inputs: Path, tmp_path: Path) -> None:
    others = ["y.part.0", "x.part.a", "x.part.0.part.0", "xx.part.0", "x.manifest", "x.part.0.old"]
    for name in others:
        (tmp_path / name).write_bytes(b"other")
    before = listing(tmp_path)
    for extra in ([], ["--force"]):
        manifest = bundle(inputs / "image", tmp_path, "--name", "x", *extra)
    after = listing(tmp_path)
    assert before.items() <= after.items()
    assert sorted(after.keys() - before) == ["x.manifest.xml", "x.part.0"]
    assert manifest == tmp_path / "x.manifest.xml"


def test_the_hidden_directory_cannot_be_made(inputs: Path, tmp_path: Path) -> None:
    (tmp_path / ".image.partial").symlink_to("/tmp")  # noqa: S108 - what an attacker may do
    check_refused(attempt(inputs, tmp_path), BAD_INPUT, "image.partial is in the way")
    assert [path.name for path in tmp_path.iterdir()] == [".image.partial"]


def test_allow_large_takes_more_than_10_gib(inputs: Path, tmp_path: Path) -> None:
    manifest = bundle(inputs / "large", tmp_path, "--allow-large")
    assert f"<size>{10 * GIB + 1}</size>".encode() in manifest.read_bytes()
    output = tmp_path / "back"
    assert unbundle(manifest, output).code == 0
    assert output.stat().st_size == 10 * GIB + 1
    assert output.stat().st_blocks == 0


def test_exactly_10_gib_are_taken(tmp_path: Path) -> None:
    image = write_image(tmp_path / "image", Layout(size=10 * GIB, extents=()), b"")
    assert bundle(image, tmp_path / "bundle").is_file()


def test_an_encrypted_key_opens_with_its_passphrase(inputs: Path, tmp_path: Path) -> None:
    passphrase = ("--passphrase-file", inputs / "right")
    manifest = bundle(inputs / "image", tmp_path, "--key", inputs / "encrypted.pem", *passphrase)
    assert manifest.is_file()


def test_keys_from_the_environment(inputs: Path, tmp_path: Path) -> None:
    environment = cli_environment(EC2_PRIVATE_KEY=str(USER_KEY), EC2_CERT=str(USER_CERT))
    outcome = run_cli(
        *("image", inputs / "image", "-d", tmp_path, "-u", "1234-5678-9012"),
        environment=environment,
    )
    assert outcome.code == 0
    assert outcome.text == f"{tmp_path}/image.manifest.xml\n"
    assert b"<user>123456789012</user>" in (tmp_path / "image.manifest.xml").read_bytes()


def test_an_unneeded_line_on_stderr_is_the_documented_warning(inputs: Path, tmp_path: Path) -> None:
    outcome = attempt(inputs, tmp_path, product_code="ABC")
    assert outcome.code == 0
    warning = "EC2 was reported to refuse manifests with product codes"
    assert outcome.errors == f"ami-bundler: warning: {warning}\n"


def test_a_path_with_a_line_feed_still_gives_one_line(tmp_path: Path) -> None:
    check_refused(run_cli(*bundle_arguments(tmp_path / "a\nb", tmp_path)), MISSING, "No such file")


def test_a_path_that_is_not_utf_8(inputs: Path, tmp_path: Path) -> None:
    directory = tmp_path / "\udcff"
    directory.mkdir()
    outcome = run_cli(
        *bundle_arguments(inputs / "image", directory, "--quiet"),
        environment=cli_environment(PYTHONIOENCODING="utf-8:strict"),
    )
    assert (outcome.code, outcome.errors) == (0, "")
    assert outcome.output == bytes(directory) + b"/image.manifest.xml\n"
