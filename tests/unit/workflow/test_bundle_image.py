"""Bundling through the Python interface: what changes a bundle, and what must not."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bundler.codec.manifest import parse_manifest
from bundler.codec.signature import verify_manifest
from bundler.errors import BundlerError, HostError, InputError, UsageError
from bundler.host.image_file import ImageSource
from bundler.model.bundle import BundleKey, CompressionLevel
from bundler.model.digest import Digest
from bundler.model.image import Architecture, ImageType
from bundler.model.mapping import BlockDeviceMapping
from bundler.workflow.bundle_image import (
    Bundle,
    BundleKeys,
    BundleSpec,
    bundle_image,
    plan_bundle,
)
from bundler.workflow.unbundle import check_image, unbundle
from tests.support.bundles import (
    ACCOUNT,
    EC2_CERT,
    SECRET_IV,
    SECRET_KEY,
    USER_CERT,
    USER_KEY,
    CountingProgress,
    MemorySink,
    load_certificate,
    load_key,
    sha1_digest,
)
from tests.support.images import (
    MIB,
    chunked,
    dense,
    find_extents,
    image_bytes,
    layout_data,
    random_bytes,
    striped,
    text_bytes,
    write_image,
)

SECRET = BundleKey(key=SECRET_KEY, iv=SECRET_IV)
KEYS = BundleKeys(user=load_key(USER_KEY), ec2=load_certificate(EC2_CERT))
SPEC = BundleSpec(
    name="image", account=ACCOUNT, architecture=Architecture.X86_64, part_size=100_000
)


def make_bundle(
    image: Path,
    sink: MemorySink,
    spec: BundleSpec = SPEC,
    *,
    secret: BundleKey = SECRET,
    workers: int = 2,
    dig_holes: bool = False,
    progress: CountingProgress | None = None,
) -> Bundle:
    with ImageSource.open(image) as source:
        plan = plan_bundle(source, dig_holes=dig_holes, allow_large=False)
        return bundle_image(
            plan,
            spec,
            KEYS,
            sink,
            secret=secret,
            workers=workers,
            progress=progress or CountingProgress(),
        )


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Text, noise and zeros without a hole."""
    data = text_bytes(3 * MIB, seed=1) + random_bytes(MIB, seed=1) + bytes(2 * MIB + 5)
    return write_image(tmp_path_factory.mktemp("image") / "image", dense(len(data)), data)


@pytest.mark.parametrize("level", CompressionLevel)
def test_the_same_image_level_and_secret_give_the_same_parts(
    image: Path, level: CompressionLevel
) -> None:
    spec = replace(SPEC, level=level)
    sinks = [MemorySink() for _ in range(4)]
    for workers, sink in enumerate(sinks, 1):
        make_bundle(image, sink, spec, workers=workers)
    assert len(sinks[0].parts) > 5
    assert all(sink.parts == sinks[0].parts for sink in sinks)


@pytest.mark.parametrize("change", ["key", "iv", "level", "part size"])
def test_what_changes_the_parts(image: Path, change: str) -> None:
    secrets = {
        "key": BundleKey(key=bytes(16), iv=SECRET_IV),
        "iv": BundleKey(key=SECRET_KEY, iv=bytes(16)),
    }
    specs = {
        "level": replace(SPEC, level=CompressionLevel.FAST),
        "part size": replace(SPEC, part_size=99_999),
    }
    sink, other = MemorySink(), MemorySink()
    make_bundle(image, sink)
    make_bundle(image, other, specs.get(change, SPEC), secret=secrets.get(change, SECRET))
    assert other.parts[0] != sink.parts[0]
    assert (b"".join(other.parts) == b"".join(sink.parts)) == (change == "part size")


@pytest.mark.parametrize("changes", [{"account": "0" * 12}, {"architecture": Architecture.ARM64}])
def test_what_leaves_the_parts_as_they_are(image: Path, changes: dict[str, str]) -> None:
    sink, other = MemorySink(), MemorySink()
    make_bundle(image, sink)
    make_bundle(image, other, replace(SPEC, **changes))  # type: ignore[arg-type]  # of either field
    assert other.parts == sink.parts
    assert other.document != sink.document


def test_dug_holes_are_holes_however_the_image_was_stored(tmp_path: Path) -> None:
    layout = striped(7)
    data = layout_data(layout, seed=2)
    sparse = write_image(tmp_path / "sparse", layout, data)
    full = write_image(tmp_path / "full", dense(layout.size), image_bytes(layout, data))
    from_sparse, from_full, dug = MemorySink(), MemorySink(), MemorySink()
    make_bundle(sparse, from_sparse)
    make_bundle(full, from_full)
    make_bundle(full, dug, dig_holes=True)
    assert dug.parts == from_sparse.parts != from_full.parts
    make_bundle(sparse, again := MemorySink(), dig_holes=True)
    assert again.parts == dug.parts


def test_a_bundle_says_what_it_is(image: Path) -> None:
    sink, progress = MemorySink(), CountingProgress()
    spec = replace(
        SPEC,
        architecture=Architecture.ARM64,
        block_device_mappings=(
            BlockDeviceMapping(virtual="root", device="/dev/sda1"),
            BlockDeviceMapping(virtual="ami", device="sda1"),
        ),
        kernel_id="aki-1",
        ramdisk_id="ari-1",
        product_codes=("CODE",),
        ancestor_ami_ids=("ami-1", "ami-2"),
    )
    bundle = make_bundle(image, sink, spec, progress=progress)
    signed = parse_manifest(sink.document)
    assert verify_manifest(signed, load_certificate(USER_CERT)) == bundle.manifest
    assert bundle.document == sink.document
    manifest = bundle.manifest
    assert (manifest.name, manifest.user, manifest.architecture) == ("image", ACCOUNT, "arm64")
    assert [mapping.virtual for mapping in manifest.block_device_mappings] == ["ami", "root"]
    assert (manifest.kernel_id, manifest.ramdisk_id) == ("aki-1", "ari-1")
    assert (manifest.product_codes, manifest.ancestor_ami_ids) == (("CODE",), ("ami-1", "ami-2"))
    assert manifest.size == bundle.data_size == image.stat().st_size
    assert manifest.bundled_size == sum(map(len, sink.parts))
    assert [part.digest for part in manifest.parts] == [sha1_digest(part) for part in sink.parts]
    assert progress.totals == [bundle.data_size]
    assert progress.done == bundle.data_size


def test_a_kernel_has_its_name_in_the_manifest(image: Path) -> None:
    sink = MemorySink(name="vmlinuz")
    make_bundle(image, sink, replace(SPEC, name="vmlinuz", image_type=ImageType.KERNEL))
    assert b"<type>kernel</type><kernel_name>vmlinuz</kernel_name>" in sink.document


@pytest.mark.parametrize("fails_at", [0, 1, 7])
def test_a_part_that_cannot_be_stored_ends_it(image: Path, fails_at: int) -> None:
    sink = MemorySink(fails_at=fails_at)
    with pytest.raises(HostError, match="no room"):
        make_bundle(image, sink)
    assert len(sink.parts) == fails_at
    assert sink.document == b""


@dataclass(slots=True, kw_only=True)
class ChangingSink(MemorySink):
    """Changes the image when the first part arrives: its time, or also its size."""

    image: Path
    size: int | None

    def put_part(self, index: int, data: bytes, digest: Digest) -> None:
        if index == 0 and self.size is None:
            os.utime(self.image, ns=(1, 1))
        elif index == 0 and self.size is not None:
            os.truncate(self.image, self.size)
        MemorySink.put_part(self, index, data, digest)


@pytest.mark.parametrize("size", [None, 100, 40 * MIB - 1, 40 * MIB + 1])
def test_the_image_changes_while_it_is_read(tmp_path: Path, size: int | None) -> None:
    data = random_bytes(4 * MIB, seed=3) * 10
    image = write_image(tmp_path / "image", dense(len(data)), data)
    sink = ChangingSink(image=image, size=size)
    with pytest.raises(InputError, match=r"changed while it was read|bytes, got"):
        make_bundle(image, sink)
    assert sink.document == b""


BAD_SPECS: list[tuple[dict[str, object], str]] = [
    ({"account": "12345678901"}, "expected 12 digits"),
    ({"account": "\u0661" * 12}, "expected 12 digits"),
    ({"account": ""}, "expected 12 digits"),
    ({"name": ""}, "not a plain file name"),
    ({"name": "a/b"}, "not a plain file name"),
    ({"name": "a\0b"}, "not a plain file name"),
    ({"name": "a\x7fb"}, "not a plain file name"),
    ({"name": "a\u0085b"}, "not a plain file name"),
    ({"name": "a\u202eb"}, "expected printable characters"),
    ({"name": "\udc80"}, "expected printable characters"),
    ({"name": "\uffff"}, "expected printable characters"),
    ({"name": " a"}, "no blank at its ends"),
    ({"name": "\u00e4" * 50}, "expected at most 99 bytes"),
    ({"kernel_id": "a b"}, "expected one word"),
    ({"ramdisk_id": "\n"}, "expected one word"),
    ({"product_codes": ("",)}, "expected one word"),
    ({"product_codes": ("a", "\udc80")}, "expected one word"),
    ({"ancestor_ami_ids": ("ami-1", "")}, "expected one word"),
    ({"part_size": 1023}, "part size 1023: expected 1024 to 67108864 bytes"),
    ({"part_size": 64 * MIB + 1}, "expected 1024 to 67108864 bytes"),
    ({"part_size": -1}, "part size -1"),
]


@pytest.mark.parametrize(("changes", "message"), BAD_SPECS)
def test_a_bundle_that_cannot_be(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(SPEC, **changes)  # type: ignore[arg-type]  # of any field


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "\u00e4\u6f22 & <'\">"},
        {"name": "n" * 99},
        {"name": "-rf"},
        {"name": ".hidden"},
        {"name": "name.part.0"},
        {"product_codes": ("A", "A")},
        {"kernel_id": "<aki>"},
        {"part_size": 1024},
        {"part_size": 64 * MIB},
    ],
)
def test_an_odd_bundle_that_can_be(tmp_path: Path, changes: dict[str, object]) -> None:
    spec = replace(SPEC, **changes)  # type: ignore[arg-type]  # of any field
    image = tmp_path / "image"
    image.write_bytes(b"image")
    sink = MemorySink(name=spec.name)
    bundle = make_bundle(image, sink, spec)
    verified = verify_manifest(parse_manifest(sink.document), load_certificate(USER_CERT))
    assert verified == bundle.manifest
    progress = CountingProgress()
    check_image(bundle.manifest, sink.parts, SECRET, workers=1, progress=progress)
    assert progress.done == bundle.manifest.bundled_size


@pytest.mark.parametrize("seed", range(4))
def test_parts_come_back_as_the_image_in_any_chunks(tmp_path: Path, seed: int) -> None:
    layout = striped(seed * 9)
    data = layout_data(layout, seed)
    image = write_image(tmp_path / "image", layout, data)
    sink = MemorySink()
    manifest = make_bundle(image, sink).manifest
    chunks = chunked(b"".join(sink.parts), seed)
    output = tmp_path / "back"
    progress = CountingProgress()
    unbundle(manifest, chunks, SECRET, output, force=False, workers=2, progress=progress)
    assert output.read_bytes() == image_bytes(layout, data)
    assert find_extents(output) == layout.extents
    assert (progress.totals, progress.done) == ([manifest.bundled_size], manifest.bundled_size)


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_stream_never_becomes_an_image(tmp_path: Path, seed: int) -> None:
    data = text_bytes(200_000, seed)
    image = write_image(tmp_path / "image", dense(len(data)), data)
    sink = MemorySink()
    manifest = make_bundle(image, sink).manifest
    damaged = bytearray(b"".join(sink.parts))
    position = seed * len(damaged) // 12
    damaged[position] ^= 1 << seed % 8
    output = tmp_path / "back"
    with pytest.raises(BundlerError):
        unbundle(
            manifest,
            [bytes(damaged)],
            SECRET,
            output,
            force=False,
            workers=2,
            progress=CountingProgress(),
        )
    assert [path.name for path in tmp_path.iterdir()] == ["image"]
