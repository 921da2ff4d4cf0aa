"""migrate as a process of its own: copies and streams, over S3 servers that share no code."""

import json
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bundler.workflow.migrate_manifest import IdFate
from tests.support.bundles import (
    EC2_KEY,
    USER_CERT,
    USER_KEY,
    VECTORS,
    ManifestText,
    bundle,
    describe_bundle,
    element_text,
    sha1_hex,
    store_parts,
    unbundle,
)
from tests.support.cloud import (
    S3_SERVERS,
    CloudServer,
    Fault,
    FaultKind,
    Request,
    client_of,
    cloud_server,
    make_bucket,
    s3_client,
)
from tests.support.images import MIB, random_bytes
from tests.support.in_process import run_here
from tests.support.migrate import (
    KEYS,
    SOURCE,
    TARGET,
    fetch,
    place,
    run_migrate,
    stored,
    transfers,
)
from tests.support.moto_server import moto_server
from tests.support.tools import Outcome, check_refused, cli_argv, cli_environment

USAGE, BAD_INPUT, NOT_VERIFIED, MISSING, REFUSED = 2, 3, 4, 5, 6
"""Exit codes."""

NAME = "root.img.manifest.xml"
MANIFEST = f"{SOURCE}/{NAME}"
PARTS = tuple(f"root.img.part.{index}" for index in range(5))
METHODS = ("copy", "stream")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "root.img"
    path.write_bytes(random_bytes(4 * MIB + 1000, seed=1))
    return path


@pytest.fixture(scope="module")
def files(image: Path) -> tuple[Path, ...]:
    """The manifest and the five parts of a bundle of the image."""
    manifest = bundle(image, image.parent / "bundle", "--part-size", "1M", "--level", "fast")
    paths = tuple(sorted(manifest.parent.iterdir()))
    assert [path.name for path in paths] == [NAME, *PARTS]
    return paths


@pytest.fixture(params=S3_SERVERS)
def server(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[CloudServer]:
    with cloud_server(monkeypatch, tmp_path, s3=request.param) as running:
        yield running


@pytest.fixture
def moto(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CloudServer]:
    with cloud_server(monkeypatch, tmp_path) as running:
        yield running


def migrate(
    server: CloudServer, *more: str | Path, method: str = "copy", source: str = MANIFEST
) -> Outcome:
    """Migrate the bundle; Swift refuses the ACL that EC2 needs."""
    stream = ["--stream"] if method == "stream" else []
    return run_migrate(server, source, TARGET, *KEYS, "--acl", "none", *stream, *more)


def facts_of(outcome: Outcome) -> dict[str, object]:
    assert outcome.code == 0, outcome.errors
    facts: dict[str, object] = json.loads(outcome.text)
    return facts


def reads_of(server: CloudServer) -> list[Request]:
    return [request for request in server.requests if request.method == "GET"]


def is_swift(server: CloudServer) -> bool:
    return server.credentials["AWS_ACCESS_KEY_ID"].startswith("test:")


@pytest.mark.parametrize("method", METHODS)
def test_a_migrated_bundle_opens_again(
    server: CloudServer, files: tuple[Path, ...], image: Path, tmp_path: Path, method: str
) -> None:
    place(server, SOURCE, files)
    before = stored(server, SOURCE)
    server.requests.clear()
    outcome = migrate(server, method=method)
    assert (outcome.code, outcome.text) == (0, f"{TARGET}/{NAME}\n"), outcome.errors
    reads = {request.path for request in reads_of(server) if ".part." in request.path}
    assert len(reads) == (5 if method == "stream" else 0)
    assert transfers(server)[-1] == NAME
    assert sorted(transfers(server)) == [NAME, *PARTS]
    assert stored(server, SOURCE) == before
    after = stored(server, TARGET)
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] != before[name]} == {NAME}
    manifest = fetch(server, TARGET, tmp_path / "target")
    assert unbundle(manifest, tmp_path / "user.img").code == 0
    assert (tmp_path / "user.img").read_bytes() == image.read_bytes()
    as_ec2 = unbundle(manifest, tmp_path / "ec2.img", "--key", EC2_KEY, "--as-ec2")
    assert as_ec2.code == 0, as_ec2.errors
    assert (tmp_path / "ec2.img").read_bytes() == image.read_bytes()


@pytest.mark.parametrize("method", METHODS)
def test_facts_for_programs(server: CloudServer, files: tuple[Path, ...], method: str) -> None:
    place(server, SOURCE, files)
    absent = {"old": "", "new": "", "decision": IdFate.ABSENT}
    outcome = migrate(server, "--json", method=method)
    is_unproven = is_swift(server) and method == "copy"
    assert facts_of(outcome) == {
        "manifest": f"{TARGET}/{NAME}",
        "from": MANIFEST,
        "to": TARGET,
        "region": "eu-west-1",
        "partition": "aws",
        "kernel": absent,
        "ramdisk": absent,
        "part_count": 5,
        "bundled_size": sum(path.stat().st_size for path in files[1:]),
        "method": method,
        "was_migrated": False,
        "transferred_count": 6,
        "held_count": 0,
        "retry_count": 0,
        "unproven_count": 5 if is_unproven else 0,
    }
    assert ("verify --deep s3://goal/new/root.img.manifest.xml" in outcome.errors) is is_unproven


@pytest.mark.parametrize("method", METHODS)
def test_a_bundle_that_is_migrated_already_is_a_success(
    server: CloudServer, files: tuple[Path, ...], method: str
) -> None:
    place(server, SOURCE, files)
    assert migrate(server).code == 0
    before = stored(server, TARGET)
    server.requests.clear()
    outcome = migrate(server, "--json", method=method)
    facts = facts_of(outcome)
    assert "an earlier run has migrated the bundle to there already" in outcome.errors
    assert (facts["was_migrated"], facts["transferred_count"], facts["held_count"]) == (True, 0, 6)
    assert transfers(server) == []
    assert stored(server, TARGET) == before


@pytest.mark.parametrize("method", METHODS)
def test_a_part_that_has_vanished_since_is_brought_again(
    server: CloudServer, files: tuple[Path, ...], method: str
) -> None:
    place(server, SOURCE, files)
    assert migrate(server, method=method).code == 0
    before = stored(server, TARGET)
    client_of(server.url, server.credentials).delete_object(
        Bucket="goal", Key="new/root.img.part.2"
    )
    server.requests.clear()
    facts = facts_of(migrate(server, "--json", method=method))
    assert (facts["transferred_count"], facts["held_count"]) == (1, 5)
    assert transfers(server) == ["root.img.part.2"]
    assert stored(server, TARGET) == before


@pytest.mark.parametrize("method", METHODS)
def test_an_interrupted_run_is_resumed(
    server: CloudServer, files: tuple[Path, ...], image: Path, tmp_path: Path, method: str
) -> None:
    place(server, SOURCE, files)
    server.faults.add(
        Fault(
            kind=FaultKind.STATUS,
            method="PUT",
            path="/goal/new/root.img.part.4",
            status=403,
            code="AccessDenied",
            times=9,
        )
    )
    refused = migrate(server, "--max-concurrency", "1", method=method)
    check_refused(refused, REFUSED, r"(put|copy) s3://.*root.img.part.4.*AccessDenied")
    assert set(stored(server, TARGET)) == set(PARTS[:4])
    server.faults.clear()
    server.requests.clear()
    facts = facts_of(migrate(server, "--json", method=method))
    assert (facts["transferred_count"], facts["held_count"]) == (2, 4)
    assert transfers(server) == ["root.img.part.4", NAME]
    read_parts = [request.path for request in reads_of(server) if ".part." in request.path]
    if method == "stream":
        # Swift tells no SHA-1, so that only reading the source shows what the target has.
        names = PARTS if is_swift(server) else PARTS[4:]
        assert sorted(read_parts) == [f"/from/old/{name}" for name in names]
    manifest = fetch(server, TARGET, tmp_path / "target")
    assert unbundle(manifest, tmp_path / "out.img").code == 0
    assert (tmp_path / "out.img").read_bytes() == image.read_bytes()


@pytest.mark.parametrize("method", METHODS)
def test_no_resume_brings_every_part_again(
    server: CloudServer, files: tuple[Path, ...], method: str
) -> None:
    place(server, SOURCE, files)
    place(server, TARGET, files[1:])
    assert migrate(server, "--no-resume", method=method).code == 0
    assert sorted(transfers(server)) == [NAME, *PARTS]


@pytest.mark.parametrize(
    ("method", "kind", "further"),
    [
        ("copy", FaultKind.STATUS, {}),
        ("copy", FaultKind.DROP_RESPONSE, {}),
        ("copy", FaultKind.ERROR_IN_200, {"code": "InternalError"}),
        ("stream", FaultKind.DROP_RESPONSE, {}),
    ],
)
def test_what_passes_is_tried_again(
    server: CloudServer,
    files: tuple[Path, ...],
    method: str,
    kind: FaultKind,
    further: dict[str, str],
) -> None:
    place(server, SOURCE, files)
    server.faults.add(
        Fault(kind=kind, method="PUT", path="/goal/new/root.img.part.1", **further)  # type: ignore[arg-type]  # a text
    )
    facts = facts_of(migrate(server, "--json", method=method))
    assert facts["retry_count"] == 1
    assert stored(server, TARGET).keys() == stored(server, SOURCE).keys()


@pytest.mark.parametrize("kind", [FaultKind.CORRUPT_RESPONSE, FaultKind.CLOSE_RESPONSE])
def test_a_part_damaged_on_the_way_is_read_again(
    server: CloudServer, files: tuple[Path, ...], kind: FaultKind
) -> None:
    place(server, SOURCE, files)
    server.faults.add(Fault(kind=kind, method="GET", path="root.img.part.1", at=5000))
    facts = facts_of(migrate(server, "--json", method="stream"))
    assert facts["retry_count"] == 1
    parts = stored(server, TARGET)
    assert parts["root.img.part.1"] == files[2].read_bytes()


def damage(server: CloudServer, *, checksum: str) -> None:
    """Flip a bit of a part of the source, behind the back of all."""
    client = client_of(server.url, server.credentials)
    where = {"Bucket": "from", "Key": "old/root.img.part.2"}
    body = bytearray(client.get_object(**where)["Body"].read())  # type: ignore[arg-type]  # both are texts
    body[777] ^= 1
    further = {"ChecksumAlgorithm": checksum} if checksum else {}
    client.put_object(Body=bytes(body), **where, **further)  # type: ignore[arg-type]  # all are texts


def test_a_damaged_part_is_not_streamed(server: CloudServer, files: tuple[Path, ...]) -> None:
    place(server, SOURCE, files)
    damage(server, checksum="CRC32")
    refused = migrate(server, method="stream")
    check_refused(refused, NOT_VERIFIED, r"get s3://from/old/root.img.part.2: expected SHA1")
    assert NAME not in stored(server, TARGET)


def test_a_part_that_s3_makes_something_else_of_is_refused(
    moto: CloudServer, files: tuple[Path, ...]
) -> None:
    place(moto, SOURCE, files)
    damage(moto, checksum="CRC32")
    refused = migrate(moto)
    pattern = r"copy s3://from/old/root.img.part.2 to s3://goal/new/root.img.part.2: expected SHA1"
    check_refused(refused, NOT_VERIFIED, pattern)
    assert NAME not in stored(moto, TARGET)


@pytest.mark.parametrize("method", METHODS)
def test_a_part_that_s3_knows_to_be_damaged_is_refused_before_anything_is_sent(
    moto: CloudServer, files: tuple[Path, ...], method: str
) -> None:
    place(moto, SOURCE, files)
    damage(moto, checksum="SHA1")
    moto.requests.clear()
    refused = migrate(moto, method=method)
    check_refused(refused, NOT_VERIFIED, r"look at s3://from/old/root.img.part.2: expected SHA1")
    assert [request for request in moto.requests if request.method == "PUT"] == []


@pytest.mark.parametrize("method", METHODS)
def test_a_missing_part_is_refused_before_anything_is_sent(
    server: CloudServer, files: tuple[Path, ...], method: str
) -> None:
    place(server, SOURCE, files[:-1])
    refused = migrate(server, method=method)
    check_refused(refused, NOT_VERIFIED, r"s3://from/old/root.img.part.4: there is no such part")
    assert [request for request in server.requests if request.method == "PUT"] == []


def test_a_copy_that_is_denied_tells_of_streaming(
    server: CloudServer, files: tuple[Path, ...]
) -> None:
    place(server, SOURCE, files)
    server.faults.add(
        Fault(
            kind=FaultKind.STATUS,
            method="PUT",
            path="/goal/new/",
            status=403,
            code="AccessDenied",
            times=99,
        )
    )
    check_refused(migrate(server), REFUSED, r"copy s3://.*AccessDenied.*--stream reads with")


@pytest.mark.parametrize("method", METHODS)
def test_another_bundle_at_the_destination_needs_force(
    server: CloudServer, files: tuple[Path, ...], image: Path, tmp_path: Path, method: str
) -> None:
    other = bundle(image, tmp_path / "other", "--part-size", "300000")
    place(server, SOURCE, files)
    place(server, TARGET, other.parent.iterdir())
    before = stored(server, TARGET)
    pattern = r"s3://goal/new/root.img.manifest.xml exists; --force replaces it"
    check_refused(migrate(server, method=method), USAGE, pattern)
    assert stored(server, TARGET) == before
    assert migrate(server, "--force", method=method).code == 0
    assert set(stored(server, TARGET)) == {NAME, *PARTS}


def test_a_mere_copy_of_the_manifest_is_no_migrated_bundle(
    moto: CloudServer, files: tuple[Path, ...]
) -> None:
    place(moto, SOURCE, files)
    place(moto, TARGET, files)
    check_refused(migrate(moto), USAGE, r"exists; --force replaces it")


@pytest.mark.parametrize(
    "document", [b"<html/>", b"", b"\x00" * 100], ids=["html", "empty", "zeros"]
)
def test_something_else_under_the_manifests_name_needs_force(
    moto: CloudServer, files: tuple[Path, ...], tmp_path: Path, document: bytes
) -> None:
    (tmp_path / NAME).write_bytes(document)
    place(moto, SOURCE, files)
    place(moto, TARGET, [tmp_path / NAME])
    check_refused(migrate(moto), USAGE, r"exists; --force replaces it")
    assert migrate(moto, "--force").code == 0


def test_force_wraps_the_key_anew(moto: CloudServer, files: tuple[Path, ...]) -> None:
    place(moto, SOURCE, files)
    assert migrate(moto).code == 0
    before = stored(moto, TARGET)
    moto.requests.clear()
    assert migrate(moto, "--force").code == 0
    after = stored(moto, TARGET)
    assert {name for name in after if after[name] != before[name]} == {NAME}
    assert transfers(moto) == [NAME]


def test_a_bundle_may_be_streamed_from_one_service_to_another(
    moto: CloudServer, files: tuple[Path, ...]
) -> None:
    """The same server by another name is another service."""
    place(moto, SOURCE, files)
    other = moto.url.replace("127.0.0.1", "localhost")
    facts = facts_of(migrate(moto, "--json", "--to-endpoint-url", other))
    assert facts["method"] == "stream"
    assert facts["transferred_count"] == 6
    hosts = {
        request.headers["host"] for request in moto.requests if request.path.startswith("/goal")
    }
    assert hosts == {other.removeprefix("http://")}


@pytest.mark.parametrize("is_back", [False, True], ids=["moto to Swift", "Swift to moto"])
def test_two_services_that_share_no_code(
    monkeypatch: pytest.MonkeyPatch,
    files: tuple[Path, ...],
    image: Path,
    tmp_path: Path,
    *,
    is_back: bool,
) -> None:
    with cloud_server(monkeypatch, tmp_path, s3="swift") as swift, moto_server() as moto_url:
        moto = replace(swift, url=moto_url, requests=[])
        source, target = (swift, moto) if is_back else (moto, swift)
        place(source, SOURCE, files)
        to = ("--to-endpoint-url", target.url)
        facts = facts_of(migrate(source, *to, "--json"))
        assert (facts["method"], facts["transferred_count"]) == ("stream", 6)
        facts = facts_of(migrate(source, *to, "--json"))
        assert (facts["was_migrated"], facts["held_count"]) == (True, 6)
        manifest = fetch(target, TARGET, tmp_path / "target")
        assert stored(source, TARGET) == {}
    assert unbundle(manifest, tmp_path / "out.img").code == 0
    assert (tmp_path / "out.img").read_bytes() == image.read_bytes()


def test_another_profile_is_streamed_to(
    moto: CloudServer, files: tuple[Path, ...], tmp_path: Path
) -> None:
    place(moto, SOURCE, files)
    config = tmp_path / "credentials"
    config.write_text("[other]\naws_access_key_id = AKIAOTHER\naws_secret_access_key = other\n")
    outcome = run_migrate(
        moto,
        MANIFEST,
        TARGET,
        *KEYS,
        "--to-profile",
        "other",
        "--json",
        AWS_SHARED_CREDENTIALS_FILE=str(config),
    )
    assert facts_of(outcome)["method"] == "stream"
    for request in moto.requests:
        is_other = "AKIAOTHER" in request.headers["authorization"]
        assert is_other == request.path.startswith("/goal"), request.path


def test_another_region_of_the_partition_is_copied_to(
    moto: CloudServer, files: tuple[Path, ...]
) -> None:
    place(moto, SOURCE, files)
    facts = facts_of(migrate(moto, "--to-region", "us-west-2", "--json"))
    assert (facts["method"], facts["region"], facts["partition"]) == ("copy", "us-west-2", "aws")
    client = client_of(moto.url, moto.credentials)
    assert client.get_bucket_location(Bucket="goal")["LocationConstraint"] == "us-west-2"


def test_another_partition_is_streamed_to_and_its_ec2_gets_a_key(
    moto: CloudServer, files: tuple[Path, ...]
) -> None:
    place(moto, SOURCE, files)
    keys = ("--key", USER_KEY, "--cert", USER_CERT)
    options = ("--to-region", "cn-north-1", "--json", "--bucket-tag", "team=web")
    outcome = run_migrate(moto, MANIFEST, TARGET, *keys, *options)
    facts = facts_of(outcome)
    assert (facts["method"], facts["partition"]) == ("stream", "aws-cn")
    assert "no --ec2-cert: only AWS's own EC2 opens the bundle" in outcome.errors
    client = s3_client(moto, region="cn-north-1")
    manifest = client.get_object(Bucket="goal", Key=f"new/{NAME}")["Body"].read()
    assert len(element_text(manifest, "ec2_encrypted_key")) == 512
    puts = [r for r in moto.requests if r.method == "PUT" and r.path.startswith("/goal/new/")]
    assert {request.headers["x-amz-acl"] for request in puts} == {"aws-exec-read"}
    tags = client.get_bucket_tagging(Bucket="goal")["TagSet"]
    assert {"Key": "team", "Value": "web"} in tags


FULL = "s3://from/old/full.manifest.xml"
FULL_FILES = (VECTORS / "full" / "full.manifest.xml", VECTORS / "full" / "full.part.0")
KEPT = {"old": "aki-00806369", "new": "aki-00806369", "decision": "kept"}


def test_kernels_of_another_region_must_be_spoken_of(moto: CloudServer) -> None:
    place(moto, SOURCE, FULL_FILES)
    region = ("--to-region", "us-west-2")
    refused = migrate(moto, *region, source=FULL)
    check_refused(refused, USAGE, r"kernel aki-00806369.*--kernel ID, --kernel keep or --kernel dr")
    refused = migrate(moto, *region, "--kernel", "drop", source=FULL)
    check_refused(refused, USAGE, r"ramdisk ari-00806369.*--ramdisk ID")
    assert [request for request in moto.requests if request.method == "PUT"] == []
    more = ("--kernel", "drop", "--ramdisk", "ari-1", "--json")
    outcome = migrate(moto, *region, *more, source=FULL)
    facts = facts_of(outcome)
    assert "refuse manifests with product codes" in outcome.errors
    assert facts["kernel"] == {"old": "aki-00806369", "new": "", "decision": "dropped"}
    assert facts["ramdisk"] == {"old": "ari-00806369", "new": "ari-1", "decision": "set"}
    manifest = stored(moto, TARGET)["full.manifest.xml"]
    assert b"kernel_id" not in manifest
    assert element_text(manifest, "ramdisk_id") == "ari-1"


def test_kernels_stay_within_a_region(moto: CloudServer) -> None:
    place(moto, SOURCE, FULL_FILES)
    assert facts_of(migrate(moto, "--json", source=FULL))["kernel"] == KEPT


def test_kernels_may_be_kept_across_regions(moto: CloudServer) -> None:
    place(moto, SOURCE, FULL_FILES)
    more = ("--to-region", "us-west-2", "--kernel", "keep", "--ramdisk", "keep", "--json")
    assert facts_of(migrate(moto, *more, source=FULL))["kernel"] == KEPT


def test_a_manifest_with_other_ids_is_another_one(moto: CloudServer) -> None:
    place(moto, SOURCE, FULL_FILES)
    assert migrate(moto, source=FULL).code == 0
    refused = migrate(moto, "--kernel", "drop", source=FULL)
    check_refused(refused, USAGE, r"exists; --force replaces it")


HOSTILE = {
    "climbs": "../root.img.part.1",
    "absolute": "/etc/passwd",
    "dot": "..",
    "control character": "a\tb",
    "the manifest's own": NAME,
}


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_part_names(moto: CloudServer, tmp_path: Path, name: str) -> None:
    parts = (b"one" * 100, b"two" * 100)
    text = describe_bundle("root.img", parts, size=8192, tar_digest=sha1_hex(b"tar"))
    first, second = text.parts
    manifest = tmp_path / NAME
    manifest.write_bytes(with_parts(text, (first, (second[0], name, second[2]))))
    store_parts(tmp_path, "root.img", parts)
    place(moto, SOURCE, [manifest, *tmp_path.glob("*.part.*")])
    refused = migrate(moto)
    check_refused(refused, BAD_INPUT, r"is not a plain file name|has the manifest's own name")
    assert [request for request in moto.requests if request.method == "PUT"] == []


def with_parts(text: ManifestText, parts: tuple[tuple[str, str, str], ...]) -> bytes:
    return replace(text, parts=parts).render()


def test_an_unsigned_manifest(moto: CloudServer, files: tuple[Path, ...], tmp_path: Path) -> None:
    document = files[0].read_bytes()
    signature = element_text(document, "signature")
    (tmp_path / NAME).write_bytes(document.replace(signature.encode(), b""))
    place(moto, SOURCE, [tmp_path / NAME, *files[1:]])
    check_refused(migrate(moto), NOT_VERIFIED, r"'root.img': is not signed")


def test_a_manifest_that_was_changed(
    moto: CloudServer, files: tuple[Path, ...], tmp_path: Path
) -> None:
    document = files[0].read_bytes()
    (tmp_path / NAME).write_bytes(document.replace(b"x86_64", b"arm64"))
    place(moto, SOURCE, [tmp_path / NAME, *files[1:]])
    check_refused(migrate(moto), NOT_VERIFIED, r"the signature does not hold")


def test_somebody_elses_bundle(moto: CloudServer, files: tuple[Path, ...], tmp_path: Path) -> None:
    key, cert = tmp_path / "pk.pem", tmp_path / "cert.pem"
    assert run_here("keygen", "--key", key, "--cert", cert).code == 0
    place(moto, SOURCE, files)
    refused = migrate(moto, "--key", key, "--cert", cert)
    check_refused(refused, NOT_VERIFIED, r"the signature does not hold")
    refused = migrate(moto, "--key", key)
    check_refused(refused, BAD_INPUT, r"pk.pem: the private key does not fit the certificate")
    assert [request for request in moto.requests if request.method == "PUT"] == []


def test_keys_may_come_from_the_environment(moto: CloudServer, files: tuple[Path, ...]) -> None:
    place(moto, SOURCE, files)
    keys = {"EC2_PRIVATE_KEY": str(USER_KEY), "EC2_CERT": str(USER_CERT)}
    assert run_migrate(moto, MANIFEST, TARGET, **keys).code == 0
    refused = run_migrate(moto, MANIFEST, TARGET, EC2_PRIVATE_KEY=str(USER_KEY))
    check_refused(refused, USAGE, r"expected --cert or EC2_CERT, got neither")


REFUSED_WORDS = {
    "the very place": ((MANIFEST, SOURCE), USAGE, r"the bundle is there.*--manifest-only"),
    "the very place, with a slash": ((MANIFEST, f"{SOURCE}/"), USAGE, r"the bundle is there"),
    "no manifest": ((f"{SOURCE}/root.img", TARGET), USAGE, r"expected s3://BUCKET/\[PREFIX/\]NAME"),
    "a manifest's name": ((MANIFEST, f"{TARGET}/{NAME}"), USAGE, r"expected s3://BUCKET/\[PREFIX"),
    "a directory": ((MANIFEST, "bundles"), USAGE, r"migrate to bundles: expected s3://"),
    "a kernel of two words": ((MANIFEST, TARGET, "--kernel", "a b"), USAGE, r"'a b': expected one"),
    "an unknown region": ((MANIFEST, TARGET, "--to-region", "mars"), USAGE, r"mars"),
    "a profile that is not there": ((MANIFEST, TARGET, "--to-profile", "x"), USAGE, r"profile"),
    "no URL": ((MANIFEST, TARGET, "--to-endpoint-url", "x"), USAGE, r"endpoint URL: expected"),
    "no such bundle": (
        ("s3://from/x.manifest.xml", TARGET),
        REFUSED,
        r"get s3://from/x.*NoSuchKey",
    ),
    "no such bucket": (("s3://gone/x.manifest.xml", TARGET), REFUSED, r"NoSuchBucket"),
    "no such certificate": ((MANIFEST, TARGET, "--cert", "x.pem"), MISSING, r"x.pem: No such file"),
}


@pytest.mark.parametrize(
    ("words", "code", "pattern"), REFUSED_WORDS.values(), ids=REFUSED_WORDS.keys()
)
def test_what_cannot_be_migrated(
    moto: CloudServer,
    files: tuple[Path, ...],
    words: tuple[str, ...],
    code: int,
    pattern: str,
) -> None:
    place(moto, SOURCE, files)
    keys = ("--key", USER_KEY, "--cert", USER_CERT)
    check_refused(run_migrate(moto, words[0], words[1], *keys, *words[2:]), code, pattern)
    assert [request for request in moto.requests if request.method == "PUT"] == []


def test_the_same_place_by_way_of_another_region_is_the_same(
    moto: CloudServer, files: tuple[Path, ...]
) -> None:
    place(moto, SOURCE, files)
    refused = run_migrate(moto, MANIFEST, SOURCE, *KEYS, "--to-region", "us-west-2")
    check_refused(refused, USAGE, r"the bundle is there")


def test_a_destination_in_another_region_is_refused(
    moto: CloudServer, files: tuple[Path, ...]
) -> None:
    place(moto, SOURCE, files)
    make_bucket(moto, "goal", region="us-west-2")
    check_refused(migrate(moto), REFUSED, r"s3://goal: expected it in eu-west-1, got us-west-2")


def test_killed_between_two_parts_leaves_no_manifest(
    server: CloudServer, files: tuple[Path, ...]
) -> None:
    """Killed while part 3 is asked for; then the next run ends it."""
    place(server, SOURCE, files)
    seen = threading.Event()
    gone = threading.Event()

    def hold(request: Request) -> None:
        if request.method == "PUT" and request.path.endswith("part.3"):
            seen.set()
            gone.wait(60)

    server.intercept = hold
    options = ("--endpoint-url", server.url, "--region", "eu-west-1", "--acl", "none")
    process = subprocess.Popen(  # noqa: S603 - a test's own words, and no shell
        cli_argv("migrate", MANIFEST, TARGET, *KEYS, *options, "--max-concurrency", "1"),
        env=cli_environment(**server.credentials),
        stderr=subprocess.DEVNULL,
    )
    assert seen.wait(60)
    process.kill()
    process.wait()
    server.intercept = lambda request: None
    gone.set()
    assert NAME not in stored(server, TARGET)
    facts = facts_of(migrate(server, "--json"))
    assert facts["held_count"] in (3, 4)
    assert set(stored(server, TARGET)) == {NAME, *PARTS}
