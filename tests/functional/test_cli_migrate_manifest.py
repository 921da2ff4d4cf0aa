"""migrate --manifest-only: a manifest from a file or from S3, to a file."""

import json
from collections.abc import Iterator
from pathlib import Path
from shutil import copy

import pytest

from tests.support.bundles import (
    EC2_CERT,
    EC2_KEY,
    USER_CERT,
    USER_KEY,
    VECTORS,
    element_text,
    unbundle,
    unwrap_with_openssl,
)
from tests.support.cloud import CloudServer, cloud_server
from tests.support.in_process import run_here
from tests.support.migrate import SOURCE, place, run_migrate
from tests.support.tools import Outcome, check_refused, listing, run_cli, use_tool

USAGE, BAD_INPUT, NOT_VERIFIED, MISSING = 2, 3, 4, 5
"""Exit codes."""

PLAIN = VECTORS / "plain" / "tiny.img.manifest.xml"
FULL = VECTORS / "full" / "full.manifest.xml"
OLD = tuple(VECTORS / "old" / name for name in ("v3.manifest.xml", "v20070829.manifest.xml"))
EXPECTED = json.loads((VECTORS / "expected.json").read_bytes())
KEYS: tuple[str | Path, ...] = ("--key", USER_KEY, "--cert", USER_CERT)
TO_EC2: tuple[str | Path, ...] = ("--ec2-cert", EC2_CERT)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CloudServer]:
    with cloud_server(monkeypatch, tmp_path) as running:
        yield running


def migrate(source: Path, output: Path, *more: str | Path) -> Outcome:
    return run_here("migrate", "--manifest-only", source, output, *KEYS, *more)


def check_signature(manifest: Path) -> None:
    """Assert that openssl accepts the signature over the raw bytes between the tags."""
    document = manifest.read_bytes()
    start, middle = document.index(b"<machine_configuration>"), document.index(b"<image>")
    assert document[:middle].endswith(b"</machine_configuration>")
    signed = document[start : document.index(b"</image>") + len(b"</image>")]
    signature = manifest.with_name("signature")
    signature.write_bytes(bytes.fromhex(element_text(document, "signature")))
    public = manifest.with_name("public.pem")
    public.write_bytes(use_tool("openssl", "x509", "-in", USER_CERT, "-pubkey", "-noout"))
    verify = ("openssl", "dgst", "-sha1", "-verify", public, "-signature", signature)
    assert use_tool(*verify, data=signed) == b"Verified OK\n"


@pytest.mark.parametrize("source", [PLAIN, FULL, *OLD], ids=lambda path: path.name)
def test_other_programs_open_the_migrated_bundle(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "new.manifest.xml"
    outcome = migrate(source, output, *TO_EC2, "--kernel", "keep", "--ramdisk", "keep")
    assert (outcome.code, outcome.text) == (0, f"{output}\n"), outcome.errors
    facts = EXPECTED["full/full" if source == FULL else "plain/tiny.img"]
    secret = (facts["key_hex"], facts["iv_hex"])
    assert unwrap_with_openssl(output, "user", USER_KEY) == secret
    assert unwrap_with_openssl(output, "ec2", EC2_KEY) == secret
    check_signature(output)
    directory = FULL.parent if source == FULL else PLAIN.parent
    image = tmp_path / "image"
    done = unbundle(output, image, "--parts", directory)
    assert done.code == 0, done.errors
    assert image.read_bytes() == (VECTORS / "tiny.img").read_bytes()
    as_ec2 = unbundle(output, image, "--parts", directory, "--key", EC2_KEY, "--as-ec2", "--force")
    assert as_ec2.code == 0, as_ec2.errors
    assert image.read_bytes() == (VECTORS / "tiny.img").read_bytes()


def test_facts_for_programs(tmp_path: Path) -> None:
    output = tmp_path / "new.manifest.xml"
    outcome = migrate(PLAIN, output, "--to-region", "cn-north-1", "--json")
    assert outcome.code == 0, outcome.errors
    absent = {"old": "", "new": "", "decision": "absent"}
    assert json.loads(outcome.text) == {
        "manifest": str(output),
        "from": str(PLAIN),
        "to": str(output),
        "region": "cn-north-1",
        "partition": "aws-cn",
        "kernel": absent,
        "ramdisk": absent,
        "method": "manifest",
        "transferred_count": 0,
        "held_count": 0,
        "retry_count": 0,
    }
    assert len(element_text(output.read_bytes(), "ec2_encrypted_key")) == 512


def test_a_certificate_alone_will_do_and_its_region_is_not_known(tmp_path: Path) -> None:
    outcome = migrate(PLAIN, tmp_path / "new", *TO_EC2, "--json")
    facts = json.loads(outcome.text)
    assert (facts["region"], facts["partition"]) == ("", "")
    more = ("--to-region", "RegionOne", "--json")
    outcome = migrate(PLAIN, tmp_path / "newer", *TO_EC2, *more)
    facts = json.loads(outcome.text)
    assert (facts["region"], facts["partition"]) == ("RegionOne", "")


@pytest.mark.parametrize(
    "options",
    [
        TO_EC2,
        (*TO_EC2, "--region", "eu-west-1"),
        ("--to-region", "eu-west-1"),
        ("--to-region", "eu-west-1", "--region", "us-east-1"),
    ],
    ids=["no region", "no target", "no source", "two"],
)
def test_kernels_are_kept_only_where_the_region_is_known_to_be_the_same(
    tmp_path: Path, options: tuple[str | Path, ...]
) -> None:
    output = tmp_path / "new"
    check_refused(migrate(FULL, output, *options), USAGE, r"has kernel aki-00806369")
    assert not output.exists()
    same = ("--to-region", "eu-west-1", "--region", "eu-west-1")
    assert migrate(FULL, output, *same).code == 0
    assert element_text(output.read_bytes(), "kernel_id") == "aki-00806369"


def test_a_manifest_in_s3(server: CloudServer, tmp_path: Path) -> None:
    place(server, SOURCE, [FULL])
    output = tmp_path / "new.manifest.xml"
    words = ("--manifest-only", f"{SOURCE}/full.manifest.xml", output, *KEYS, *TO_EC2)
    refused = run_migrate(server, *words, "--to-region", "us-west-2")
    check_refused(refused, USAGE, r"has kernel aki-00806369")
    outcome = run_migrate(server, *words, "--to-region", "eu-west-1", "--json")
    assert outcome.code == 0, outcome.errors
    facts = json.loads(outcome.text)
    assert (facts["from"], facts["to"]) == (f"{SOURCE}/full.manifest.xml", str(output))
    assert facts["kernel"]["decision"] == "kept"
    assert {request.method for request in server.requests} == {"GET"}


def test_a_file_that_is_there_needs_force(tmp_path: Path) -> None:
    output = tmp_path / "new.manifest.xml"
    output.write_bytes(b"old")
    check_refused(migrate(PLAIN, output, *TO_EC2), USAGE, r"the file exists; --force replaces it")
    assert output.read_bytes() == b"old"
    assert migrate(PLAIN, output, *TO_EC2, "--force").code == 0
    assert output.read_bytes().startswith(b"<?xml")


def test_no_input_is_ever_replaced(tmp_path: Path) -> None:
    source, key, cert, ec2_cert = (
        Path(copy(path, tmp_path)) for path in (PLAIN, USER_KEY, USER_CERT, EC2_CERT)
    )
    link = tmp_path / "link"
    link.symlink_to(source)
    before = listing(tmp_path)
    keys = ("--key", key, "--cert", cert, "--ec2-cert", ec2_cert, "--force")
    for output in (source, link, key, cert, ec2_cert):
        check_refused(migrate(source, output, *keys), USAGE, r"this is one of the inputs")
    assert listing(tmp_path) == before


@pytest.mark.parametrize(
    ("words", "code", "pattern"),
    [
        ((), USAGE, r"expected --to-region or --ec2-cert, got neither"),
        ((*TO_EC2, "--stream"), USAGE, r"--stream is for bundles that are sent"),
        ((*TO_EC2, "--to-profile", "x"), USAGE, r"--to-profile is for bundles that are sent"),
        ((*TO_EC2, "--to-endpoint-url", ""), USAGE, r"--to-endpoint-url is for bundles"),
        ((*TO_EC2, "--bucket-tag", "a=b"), USAGE, r"--bucket-tag is for bundles"),
        ((*TO_EC2, "--enable-acls"), USAGE, r"--enable-acls is for bundles"),
        (("--to-region", "mars"), USAGE, r"region 'mars': of no AWS partition"),
        (("--to-region", "us-iso-east-1"), USAGE, r"none is known for partition 'aws-iso'"),
        (("--ec2-cert", "/nowhere/x.pem"), MISSING, r"/nowhere/x.pem: No such file"),
        ((*TO_EC2, "--key", EC2_KEY), BAD_INPUT, r"does not fit the certificate"),
        ((*TO_EC2, "--key", EC2_KEY, "--cert", EC2_CERT), NOT_VERIFIED, r"does not hold"),
    ],
)
def test_what_is_refused(
    tmp_path: Path, words: tuple[str | Path, ...], code: int, pattern: str
) -> None:
    check_refused(migrate(PLAIN, tmp_path / "new", *words), code, pattern)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("source", "output", "code", "pattern"),
    [
        (PLAIN, "s3://goal/new.manifest.xml", USAGE, r"expected a file to write"),
        (PLAIN, "/nowhere/new", MISSING, r"write to /nowhere: no such directory"),
        (Path("/nowhere/x"), "new", MISSING, r"read manifest /nowhere/x: No such file"),
        (VECTORS / "tiny.img", "new", BAD_INPUT, r"tiny.img: not XML"),
    ],
)
def test_files_that_will_not_do(
    tmp_path: Path, source: Path, output: str, code: int, pattern: str
) -> None:
    words = ("migrate", "--manifest-only", source, output, *KEYS, *TO_EC2)
    check_refused(run_cli(*words, directory=tmp_path), code, pattern)
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_no_file_can_replace(tmp_path: Path) -> None:
    check_refused(migrate(PLAIN, tmp_path, *TO_EC2, "--force"), BAD_INPUT, r"got something else")
