"""ami-bundler convert: bundles and S3-backed AMIs to EBS-backed ones, and what is refused."""

import json
import re
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest

from bundler.codec.disk import file_system_offsets
from bundler.embedded.ebs import BLOCK_SIZE, EbsSnapshot
from bundler.model.bundle import Extent
from tests.support.bundles import USER_CERT, USER_KEY, bundle_arguments
from tests.support.cloud import REGION, CloudServer, Fault, FaultKind, cloud_server, make_bucket
from tests.support.ebs import ebs_error, only_snapshot, volume_start, written_blocks
from tests.support.faults import Reply, Request
from tests.support.images import MIB, Layout, layout_data, random_bytes, write_image
from tests.support.in_process import run_here
from tests.support.tools import (
    Outcome,
    check_refused,
    cli_argv,
    cli_environment,
    run_program,
    use_tool,
)

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

GIB = 1024 * MIB
MEASURE = Path(__file__).parents[2] / "scripts/benchmark/measure.py"
EC2_REFUSAL = (
    b"<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>It is so.</Message>"
    b"</Error></Errors><RequestID>1</RequestID></Response>"
)
MANIFEST = "s3://images/old/disk.img.manifest.xml"


@pytest.fixture(scope="module")
def layout() -> Layout:
    """8 GiB with data in four places, one of them across a block's end."""
    offsets = (0, GIB - 8192, 3 * GIB, 8 * GIB - MIB)
    return Layout(
        size=8 * GIB, extents=tuple(Extent(offset=offset, size=MIB) for offset in offsets)
    )


def partitioned(data: bytes) -> bytes:
    """The same, but it begins with an MBR that has one Linux partition."""
    entry = struct.pack("<B3sB3sII", 0x80, bytes(3), 0x83, bytes(3), 2048, 4096)
    return data[:446] + entry + bytes(48) + b"\x55\xaa" + data[512:]


@pytest.fixture(scope="module")
def image(layout: Layout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "disk.img"
    return write_image(path, layout, partitioned(layout_data(layout, 1)))


@pytest.fixture(scope="module")
def manifest(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of it on the disk, in many parts."""
    directory = tmp_path_factory.mktemp("bundle")
    more = ("--part-size", "300K", "--level", "fast", "--arch", "x86_64")
    outcome = run_here(*bundle_arguments(image, directory, *more, "-B", "ephemeral0=sdb"))
    assert outcome.code == 0, outcome.errors
    return Path(outcome.text.strip())


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CloudServer]:
    with cloud_server(monkeypatch, tmp_path) as running:
        make_bucket(running, "images")
        yield running


def run(server: CloudServer, *words: str | Path) -> Outcome:
    options = ("--endpoint-url", server.url, "--region", REGION)
    return run_here(*words, *options, environment=cli_environment(**server.credentials))


def convert(server: CloudServer, source: str | Path, state: Path, *more: str | Path) -> Outcome:
    words: list[str | Path] = ["convert", source, "--key", USER_KEY, "--cert", USER_CERT]
    return run(server, *words, "--state-dir", state / "state", "--retry-delay", "0.01", *more)


def upload(server: CloudServer, manifest: Path) -> None:
    outcome = run(server, "upload", manifest, "s3://images/old", "--acl", "none")
    assert outcome.code == 0, outcome.errors


def ec2_of(server: CloudServer) -> "EC2Client":
    return boto3.client("ec2", region_name=REGION, endpoint_url=server.url)


def check_same(snapshot: EbsSnapshot, image: Path, layout: Layout) -> None:
    """A completed snapshot of just this image, without a block of zeros."""
    assert snapshot.state == "completed"
    assert snapshot.volume_size == 8
    assert all(any(block) for block in snapshot.blocks.values())
    found = {index for extent in layout.extents for index in blocks_of(extent)}
    assert snapshot.blocks.keys() == found
    with image.open("rb") as file:
        for index, block in snapshot.blocks.items():
            file.seek(index * BLOCK_SIZE)
            assert file.read(BLOCK_SIZE) == block


def blocks_of(extent: Extent) -> range:
    return range(extent.offset // BLOCK_SIZE, -(-extent.end // BLOCK_SIZE))


def test_an_ami_keeps_what_it_was(
    server: CloudServer, image: Path, manifest: Path, layout: Layout, tmp_path: Path
) -> None:
    upload(server, manifest)
    words = ("register", MANIFEST, "--name", "old 1", "--description", "the old one")
    old = run(server, *words).text.strip()
    ec2 = ec2_of(server)
    ec2.create_tags(Resources=[old], Tags=[{"Key": "team", "Value": "a"}])
    ec2.modify_image_attribute(ImageId=old, LaunchPermission={"Add": [{"UserId": "210987654321"}]})
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    plan = convert(server, old, tmp_path, "--name", "new 1", "--dry-run", "--json")
    assert plan.code == 0, plan.errors
    start, register = json.loads(plan.text)["calls"]
    assert (start["operation"], start["parameters"]["VolumeSize"]) == ("StartSnapshot", 8)
    assert (register["operation"], register["asked"]) == ("RegisterImage", False)
    assert register["parameters"]["Description"] == "the old one"
    assert server.ebs.snapshots == {}
    more = ("--name", "new 1", "--copy-permissions", "--tag", "by=us", "--json")
    outcome = convert(server, old, tmp_path, *more)
    assert outcome.code == 0, outcome.errors
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before
    facts = json.loads(outcome.text)
    made = only_snapshot(server.ebs)
    check_same(made, image, layout)
    assert server.registrations[-1] == {
        "Name": "new 1",
        "Description": "the old one",
        "Architecture": "x86_64",
        "VirtualizationType": "hvm",
        "RootDeviceName": "/dev/sda1",
        "BlockDeviceMappings": [
            {
                "DeviceName": "/dev/sda1",
                "Ebs": {
                    "SnapshotId": made.snapshot_id,
                    "DeleteOnTermination": True,
                    "VolumeType": "gp3",
                },
            }
        ],
        "TagSpecifications": [
            {
                "ResourceType": "image",
                "Tags": [{"Key": "team", "Value": "a"}, {"Key": "by", "Value": "us"}],
            }
        ],
    }
    new = facts["image_id"]
    permissions = ec2.describe_image_attribute(ImageId=new, Attribute="launchPermission")
    assert permissions["LaunchPermissions"] == [{"UserId": "210987654321"}]
    assert facts["permission_count"] == 1
    assert facts["signature_checked"] is True
    assert facts["source"] == MANIFEST
    again = convert(server, new, tmp_path, "--name", "new 2")
    check_refused(again, 2, r"convert ami-\w+: expected an S3-backed AMI, got an EBS-backed")


@pytest.mark.parametrize("options", [(), ("--imds-support", "v2.0")])
def test_tokens_for_metadata_are_needed_as_before(
    server: CloudServer, manifest: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    upload(server, manifest)
    old = run(server, "ami", "register", MANIFEST, "--name", "old 1", *options).text.strip()
    plan = convert(server, old, tmp_path, "--name", "new 1", "--dry-run", "--json")
    assert plan.code == 0, plan.errors
    _, register = json.loads(plan.text)["calls"]
    assert register["parameters"].get("ImdsSupport") == (options[1] if options else None)


def test_a_manifest_on_the_disk_through_faults(
    server: CloudServer, image: Path, manifest: Path, layout: Layout, tmp_path: Path
) -> None:
    server.faults.add(
        Fault(kind=FaultKind.CORRUPT_REQUEST, method="PUT", at=200_000, after=1),
        Fault(kind=FaultKind.RESET_REQUEST, method="PUT", at=200_000, after=2),
        Fault(kind=FaultKind.DROP_RESPONSE, method="POST", path="/", after=2, times=2),
    )
    outcome = convert(server, manifest, tmp_path, "--name", "new 1", "--root-device-name", "xvda")
    assert outcome.code == 0, outcome.errors
    check_same(only_snapshot(server.ebs), image, layout)
    (*_, arguments) = server.registrations
    root, ephemeral = arguments["BlockDeviceMappings"]
    assert root["DeviceName"] == "/dev/xvda"
    assert ephemeral == {"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"}
    (ami,) = ec2_of(server).describe_images(Owners=["self"])["Images"]
    assert outcome.text == f"{ami['ImageId']}\n"


FSTAB = "LABEL=/ / ext4 defaults 0 1\n/dev/sdb  /mnt auto defaults 0 2\nproc /proc proc\n"
FSTAB_LEFT = ("LABEL=/ / ext4 defaults 0 1\nproc /proc proc\n").ljust(len(FSTAB), "\n")
EPHEMERAL_LINE = "/dev/sdb /mnt auto defaults 0 2"


def make_file_system(directory: Path, fstab: str = FSTAB) -> Path:
    root = directory / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/fstab").write_text(fstab)
    image = directory / "fs.img"
    use_tool("mke2fs", "-q", "-t", "ext4", "-d", root, image, "8M")
    return image


def check_fstab(disk: bytes, offset: int, image: Path, directory: Path) -> None:
    """A file system at that offset of a disk is the image but for its fstab's ephemeral line."""
    copy = directory / "copy.img"
    copy.write_bytes(disk[offset : offset + image.stat().st_size])
    use_tool("e2fsck", "-f", "-n", copy)
    assert use_tool("debugfs", "-R", "cat /etc/fstab", copy) == FSTAB_LEFT.encode()
    assert image.read_bytes() == copy.read_bytes().replace(FSTAB_LEFT.encode(), FSTAB.encode())


def test_a_bare_file_system_is_wrapped_on_request(
    server: CloudServer, manifest: Path, tmp_path: Path
) -> None:
    """Lines of its fstab are told, read from the snapshot, in which it is a partition."""
    image = make_file_system(tmp_path)
    source = run_here(*bundle_arguments(image, tmp_path)).text.strip()
    options = ("--name", "new 1", "--partition", "gpt", "--json")
    outcome = convert(server, source, tmp_path, *options)
    assert outcome.code == 0, outcome.errors
    assert "no boot loader" in outcome.errors
    made = only_snapshot(server.ebs)
    disk = volume_start(made, MIB + image.stat().st_size)
    assert disk[MIB:] == image.read_bytes()
    assert list(file_system_offsets(lambda at, count: disk[at : at + count]))[:2] == [0, MIB]
    assert made.volume_size == 1
    assert 2047 in made.blocks  # the table's copy at the disk's end
    assert json.loads(outcome.text)["fstab_lines"] == [EPHEMERAL_LINE]
    assert json.loads(outcome.text)["fstab_lines_removed"] is False
    assert "/etc/fstab mounts an instance store volume" in outcome.errors
    read = [request for request in server.ebs.requests if request.operation == "GetSnapshotBlock"]
    assert 1 <= len(read) <= 8
    again = convert(server, manifest, tmp_path, "--name", "new 2", "--partition", "gpt")
    check_refused(again, 3, r"partitioned already \(MBR\)")


REMOVE = "--remove-ephemeral-mounts"


@pytest.mark.parametrize("interrupted_at", ["", "put", "register", "registered"])
def test_ephemeral_mounts_are_removed_on_request(
    server: CloudServer, tmp_path: Path, interrupted_at: str
) -> None:
    """By a second snapshot, of one block, in the first one's place; whatever is refused when."""
    image = make_file_system(tmp_path)
    source = run_here(*bundle_arguments(image, tmp_path)).text.strip()
    options = ("--name", "new 1", "--partition", "mbr", REMOVE, "--json")
    if interrupted_at:
        server.intercept = refuse_edit_at(server, interrupted_at)
        assert convert(server, source, tmp_path, *options).code == 6
        server.intercept = lambda request: None
    outcome = convert(server, source, tmp_path, *options)
    assert outcome.code == 0, outcome.errors
    facts = json.loads(outcome.text)
    made = only_snapshot(server.ebs)
    assert made.state == "completed"
    assert len(made.written_blocks) == 1
    check_fstab(volume_start(made, 10 * MIB), MIB, image, tmp_path)
    assert facts["snapshot_id"] == made.snapshot_id
    (ami,) = ec2_of(server).describe_images(Owners=["self"])["Images"]
    assert ami["ImageId"] == facts["image_id"]
    assert ami["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"] == made.snapshot_id
    if interrupted_at != "registered":
        assert facts["fstab_lines"] == [EPHEMERAL_LINE]
        assert facts["fstab_lines_removed"] is True
        assert f"taken out of /etc/fstab: {EPHEMERAL_LINE}" in outcome.errors
    sent = written_blocks(server.ebs)
    blocks = list(made.parent_blocks) + list(made.written_blocks)
    assert sorted(sent) == sorted(blocks)
    assert list((tmp_path / "state").iterdir()) == []


def refuse_edit_at(server: CloudServer, stage: str) -> Callable[[Request], Reply | None]:
    """Refuse the second snapshot's block, or the registration, before or after it is done."""

    def intercept(request: Request) -> Reply | None:
        edited = [made for made in server.ebs.snapshots.values() if made.parent_blocks]
        is_post = request.method == "POST" and request.path == "/"
        if stage == "put" and request.method == "PUT" and edited:
            return ebs_error("403 Forbidden", "AccessDeniedException")
        is_completed = bool(edited) and edited[0].state == "completed"
        if stage == "register" and is_post and is_completed and is_after_description(server):
            return Reply(status="403 Forbidden", body=EC2_REFUSAL)
        if stage == "registered" and is_post and server.registrations:
            return Reply(status="403 Forbidden", body=EC2_REFUSAL)
        return None

    return intercept


def test_an_ami_that_an_earlier_run_has_made_with_the_mounts(
    server: CloudServer, tmp_path: Path
) -> None:
    """It is not what --remove-ephemeral-mounts asks for."""
    image = make_file_system(tmp_path)
    source = run_here(*bundle_arguments(image, tmp_path)).text.strip()
    options = ("--name", "new 1", "--partition", "mbr", "--json")
    server.intercept = refuse_edit_at(server, "registered")
    assert convert(server, source, tmp_path, *options).code == 6
    server.intercept = lambda request: None
    outcome = convert(server, source, tmp_path, *options, REMOVE)
    assert (outcome.code, outcome.text) == (6, "")
    assert re.search(
        r"convert: ami-\w+ is what .*mounts instance store.*deregister it", outcome.errors
    )
    again = convert(server, source, tmp_path, *options)
    assert again.code == 0, again.errors
    facts = json.loads(again.text)
    assert facts["snapshot_id"] == only_snapshot(server.ebs).snapshot_id
    assert facts["fstab_lines"] == [EPHEMERAL_LINE]


def test_what_has_no_ephemeral_mounts_stays(server: CloudServer, tmp_path: Path) -> None:
    image = make_file_system(tmp_path, "LABEL=/ / ext4\n")
    source = run_here(*bundle_arguments(image, tmp_path)).text.strip()
    outcome = convert(server, source, tmp_path, "--name", "new 1", "--partition", "mbr", REMOVE)
    assert outcome.code == 0, outcome.errors
    disk = volume_start(only_snapshot(server.ebs), MIB + image.stat().st_size)
    assert disk[MIB:] == image.read_bytes()


def test_no_fstab_to_remove_mounts_from(
    server: CloudServer, manifest: Path, tmp_path: Path
) -> None:
    outcome = convert(server, manifest, tmp_path, "--name", "new 1", REMOVE)
    assert outcome.code == 3
    assert "remove mounts from /etc/fstab: found none that can be read" in outcome.errors
    assert server.registrations == []
    again = convert(server, manifest, tmp_path, "--name", "new 1")
    assert again.code == 0, again.errors
    assert sorted(written_blocks(server.ebs)) == sorted(only_snapshot(server.ebs).blocks)
    output = tmp_path / "out.img"
    check_refused(convert(server, manifest, tmp_path, "--to", "raw", output, REMOVE), 3, "fstab")
    assert not output.exists()


@pytest.mark.parametrize("disk_format", ["raw", "qcow2", "vmdk", "vhd"])
def test_disk_images_of_hypervisors(server: CloudServer, tmp_path: Path, disk_format: str) -> None:
    """The format's own program reads them, and finds the image and nothing else."""
    image = make_file_system(tmp_path)
    source = run_here(*bundle_arguments(image, tmp_path)).text.strip()
    directory = tmp_path / "out"
    directory.mkdir()
    output, plain = directory / "disk", tmp_path / "plain.img"
    options = ("--to", disk_format, output, "--partition", "gpt", REMOVE, "--json")
    outcome = convert(server, source, tmp_path, *options)
    assert outcome.code == 0, outcome.errors
    assert list(directory.iterdir()) == [output]
    assert output.stat().st_mode & 0o777 == 0o600
    facts = json.loads(outcome.text)
    name = "vpc" if disk_format == "vhd" else disk_format
    use_tool("qemu-img", "convert", "-f", name, "-O", "raw", output, plain)
    assert facts["format"] == disk_format
    assert facts["size"] == plain.stat().st_size
    assert facts["fstab_lines_removed"] is True
    disk = plain.read_bytes()
    assert list(file_system_offsets(lambda at, count: disk[at : at + count]))[:2] == [0, MIB]
    check_fstab(disk, MIB, image, tmp_path)
    assert server.ebs.requests == []


def test_a_partition_table_that_points_beyond_all_files(
    server: CloudServer, tmp_path: Path
) -> None:
    gpt = struct.pack("<8s64xQII", b"EFI PART", 2**63, 4, 128).ljust(512, b"\0")
    protective = (bytes(450) + b"\xee").ljust(510, b"\0") + b"\x55\xaa"
    image, output = tmp_path / "disk.img", tmp_path / "out.img"
    image.write_bytes((protective + gpt).ljust(MIB, b"\0"))
    source = run_here(*bundle_arguments(image, tmp_path, "--arch", "x86_64")).text.strip()
    outcome = convert(server, source, tmp_path, "--to", "raw", output, "--json")
    assert outcome.code == 0, outcome.errors
    assert json.loads(outcome.text)["fstab_lines"] == []
    assert output.read_bytes() == image.read_bytes()


@pytest.mark.slow
def test_300_mb_of_data_in_little_memory(server: CloudServer, tmp_path: Path) -> None:
    extents = tuple(Extent(offset=index * 20 * MIB, size=MIB) for index in range(300))
    layout = Layout(size=8 * GIB, extents=extents)
    data = b"".join(random_bytes(MIB, seed) for seed in range(300))
    image = write_image(tmp_path / "disk.img", layout, data)
    made = run_here(*bundle_arguments(image, tmp_path, "--level", "fast"))
    result = tmp_path / "result.json"
    options = ("--endpoint-url", server.url, "--region", REGION, "--state-dir", tmp_path / "state")
    keys = ("--key", USER_KEY, "--cert", USER_CERT, "--name", "new 1", "--force")
    outcome = run_program(
        sys.executable,
        MEASURE,
        result,
        *cli_argv("convert", made.text.strip(), *keys, *options),
        environment=cli_environment(**server.credentials),
    )
    assert outcome.code == 0, outcome.errors
    check_same(only_snapshot(server.ebs), image, layout)
    assert json.loads(result.read_text())["peak"] < 220 * MIB  # less than the data


@pytest.mark.parametrize("stage", ["put", "register"])
def test_an_interrupted_run_goes_on(
    server: CloudServer, image: Path, manifest: Path, layout: Layout, tmp_path: Path, stage: str
) -> None:
    """Refused at a late moment, it ends; run again, it sends no block twice."""
    upload(server, manifest)
    server.intercept = refuse_at(server, stage)
    assert convert(server, MANIFEST, tmp_path, "--name", "new 1").code == 6
    server.intercept = lambda request: None
    outcome = convert(server, MANIFEST, tmp_path, "--name", "new 1")
    assert outcome.code == 0, outcome.errors
    check_same(only_snapshot(server.ebs), image, layout)
    written = written_blocks(server.ebs)
    assert sorted(written) == sorted(only_snapshot(server.ebs).blocks)
    (ami,) = ec2_of(server).describe_images(Owners=["self"])["Images"]
    assert outcome.text == f"{ami['ImageId']}\n"
    assert list((tmp_path / "state").iterdir()) == []


def refuse_at(server: CloudServer, stage: str) -> Callable[[Request], Reply | None]:
    """Refuse the third block and those behind it, or the registration."""
    lock = threading.Lock()
    puts: list[str] = []

    def intercept(request: Request) -> Reply | None:
        with lock:
            if request.method == "PUT":
                puts.append(request.path)
            is_third = request.method == "PUT" and len(puts) >= 3
        if stage == "put" and is_third:
            return ebs_error("403 Forbidden", "AccessDeniedException")
        if stage == "register" and is_after_description(server):
            return Reply(status="403 Forbidden", body=EC2_REFUSAL)
        return None

    return intercept


def is_after_description(server: CloudServer) -> bool:
    """Whether the snapshot was sealed and looked at: RegisterImage is what comes next."""
    is_sealed = any(made.state == "completed" for made in server.ebs.snapshots.values())
    paths = [request.path for request in server.requests]
    return is_sealed and paths[-2:] == ["/", "/"]


def test_a_damaged_part_completes_no_snapshot(
    server: CloudServer, manifest: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for path in manifest.parent.iterdir():
        body = bytearray(path.read_bytes())
        if path.name.endswith(".part.05"):
            body[1000] ^= 1
        (damaged / path.name).write_bytes(body)
    outcome = convert(server, damaged / manifest.name, tmp_path, "--name", "new 1")
    check_refused(outcome, 4, r"disk\.img\.part\.05")
    assert all(made.state == "pending" for made in server.ebs.snapshots.values())
    assert server.registrations == []


def test_a_bare_file_system_is_for_paravirtual_amis(server: CloudServer, tmp_path: Path) -> None:
    image = tmp_path / "fs.img"
    image.write_bytes(bytes(1080) + b"\x53\xef" + bytes(BLOCK_SIZE) + b"data")
    made = run_here(*bundle_arguments(image, tmp_path, "--kernel", "aki-12345678"))
    assert made.code == 0, made.errors
    source = made.text.strip()
    refused = convert(server, source, tmp_path, "--name", "new 1")
    check_refused(refused, 3, "bare file system, without a partition table.*--virtualization-type")
    assert server.ebs.snapshots == {}
    old = convert(
        server, source, tmp_path, "--name", "new 2", "--virtualization-type", "paravirtual"
    )
    assert old.code == 0, old.errors
    assert server.registrations[-1]["KernelId"] == "aki-12345678"
    assert server.registrations[-1]["VirtualizationType"] == "paravirtual"
    assert volume_start(only_snapshot(server.ebs), image.stat().st_size) == image.read_bytes()


def test_to_a_raw_image(
    server: CloudServer, image: Path, manifest: Path, layout: Layout, tmp_path: Path
) -> None:
    upload(server, manifest)
    output = tmp_path / "out.img"
    outcome = convert(server, MANIFEST, tmp_path, "--to", "raw", output)
    assert outcome.code == 0, outcome.errors
    assert outcome.text == f"{output}\n"
    assert output.stat().st_size == layout.size
    for extent in layout.extents:
        with output.open("rb") as made, image.open("rb") as whole:
            made.seek(extent.offset)
            whole.seek(extent.offset)
            assert made.read(extent.size) == whole.read(extent.size)
    assert server.ebs.snapshots == {}
    check_refused(convert(server, MANIFEST, tmp_path, "--to", "raw", output), 2, "exists")


def test_a_local_bundle_to_a_file_needs_no_cloud(
    manifest: Path, layout: Layout, tmp_path: Path
) -> None:
    output = tmp_path / "out.img"
    words = ("convert", manifest, "--key", USER_KEY, "--cert", USER_CERT, "--to", "raw", output)
    outcome = run_here(*words, environment=cli_environment())
    assert outcome.code == 0, outcome.errors
    assert output.stat().st_size == layout.size
    environment = cli_environment(EC2_PRIVATE_KEY=str(output))
    check_refused(run_here(*words, "--key", "", environment=environment), 2, "expected a path")


@pytest.mark.parametrize(
    ("options", "exit_code", "pattern"),
    [
        ((), 2, "expected --name NAME"),
        (("--name", "x"), 2, "AMI name 'x'"),
        (("--name", "new", "--arch", "vax"), 2, "--arch 'vax': expected one of"),
        (("--name", "new", "--kernel", "aki-1"), 2, "kernel or ramdisk is for paravirtual"),
        (("--name", "new", "--copy-permissions"), 2, "needs the old AMI's id"),
        (("--name", "new", "--as-ec2"), 4, "open "),
        (("--to", "raw", "x", "--tag", "a=b"), 2, "not with --to"),
        (("--to", "iso", "x"), 2, "--to 'iso': expected one of raw, qcow2, vmdk, vhd"),
        (("--name", "new", "--partition", "bsd"), 2, "--partition 'bsd': expected one of gpt, mbr"),
        (("--name", "taken"), 6, r"expected a free name, got one that ami-\w+ has"),
        (("--name", "taken", "-n"), 6, r"expected a free name, got one that ami-\w+ has"),
        (("--to", "raw", "x", "-n"), 2, "--dry-run: for an AMI, not with --to"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_done(
    server: CloudServer,
    manifest: Path,
    tmp_path: Path,
    options: tuple[str, ...],
    exit_code: int,
    pattern: str,
) -> None:
    if "taken" in options:
        upload(server, manifest)
        assert run(server, "register", MANIFEST, "--name", "taken").code == 0
    check_refused(convert(server, manifest, tmp_path, *options), exit_code, pattern)
    assert server.ebs.requests == []


@pytest.mark.parametrize(
    ("source", "exit_code", "pattern"),
    [
        ("ami-12345678", 6, "InvalidAMIID.NotFound"),
        ("s3://images/old/none.manifest.xml", 6, "NoSuchKey"),
        ("s3://images/old", 2, "expected s3://BUCKET"),
        ("none.manifest.xml", 5, "read manifest none.manifest.xml"),
    ],
)
def test_sources_that_are_not_there(
    server: CloudServer, tmp_path: Path, source: str, exit_code: int, pattern: str
) -> None:
    outcome = convert(server, source, tmp_path, "--name", "new 1")
    check_refused(outcome, exit_code, pattern)


def test_a_raw_image_is_told_apart(server: CloudServer, tmp_path: Path) -> None:
    path = tmp_path / "root.img"
    path.write_bytes(bytes(4096))
    outcome = convert(server, path, tmp_path, "--name", "new 1")
    check_refused(outcome, 3, r"root\.img: not XML.*of a raw image, ami-bundler snapshot makes")
