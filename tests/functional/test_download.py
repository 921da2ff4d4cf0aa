from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from bundler.errors import (
    AwsRefusedError,
    BundlerError,
    ExistsError,
    ManifestError,
    MissingError,
    TransferError,
    VerificationError,
)
from bundler.workflow.download import download_bundle
from bundler.workflow.manifest_file import MAX_MANIFEST_SIZE
from tests.support.bundles import ManifestText, describe_bundle, sha1_hex
from tests.support.images import random_bytes
from tests.support.registry import MemoryBundleStore

MANIFEST = "disk.manifest.xml"
PARTS = tuple(random_bytes(size, seed) for seed, size in enumerate((2048, 2048, 2048, 1)))
NAMES = tuple(f"disk.part.{index}" for index in range(len(PARTS)))
TEXT = describe_bundle("disk", PARTS, size=9999, tar_digest=sha1_hex(b""))


@dataclass(slots=True)
class Steps:
    """A Progress that keeps what it is told."""

    totals: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def task(self, label: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        assert label == "downloading disk"
        self.totals.append(total)
        return nullcontext(self.sizes.append)


def make_store(text: ManifestText = TEXT, **changes: bytes) -> MemoryBundleStore:
    """A bundle in a store; `changes` are by part0, part1, ..."""
    store = MemoryBundleStore()
    store.objects = dict(zip(NAMES, PARTS, strict=True))
    for part, data in changes.items():
        store.objects[NAMES[int(part.removeprefix("part"))]] = data
    store.objects[MANIFEST] = text.render()
    return store


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_every_object_arrives(tmp_path: Path) -> None:
    store, progress = make_store(), Steps()
    signed = download_bundle(store, "disk", tmp_path, progress=progress)
    assert files(tmp_path) == store.objects
    assert signed.manifest.bundled_size == sum(map(len, PARTS))
    assert progress.totals == [signed.manifest.bundled_size]
    assert sum(progress.sizes) == signed.manifest.bundled_size


def test_only_what_the_manifest_names_is_read(tmp_path: Path) -> None:
    store = make_store()
    store.objects["disk.part.4"] = b"of another bundle"
    download_bundle(store, "disk", tmp_path, progress=Steps())
    assert store.calls == [f"get {name}" for name in (MANIFEST, *NAMES)]


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes((data[-1] ^ 1,))


DAMAGED = {
    "part-flipped": (make_store(part1=flipped(PARTS[1])), "part.1: expected SHA1"),
    "part-short": (make_store(part2=PARTS[2][:-1]), "part.2: expected SHA1"),
    "part-empty": (make_store(part3=b""), "part.3: expected SHA1"),
    "part-of-another-index": (make_store(part0=PARTS[1]), "part.0: expected SHA1"),
    "part-long": (make_store(part3=bytes(9999)), "part.3: expected at most 1 bytes, got more"),
    "sum-of-sizes-too-big": (
        make_store(replace(TEXT, bundled_size="6146")),
        "expected 6146 bytes in all parts, got 6145",
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_found_and_nothing_is_left(tmp_path: Path, name: str) -> None:
    store, message = DAMAGED[name]
    with pytest.raises(VerificationError, match=message):
        download_bundle(store, "disk", tmp_path, progress=Steps())
    assert files(tmp_path) == {}


@pytest.mark.parametrize("name", [MANIFEST, *NAMES])
@pytest.mark.parametrize("failure", [TransferError("lost"), AwsRefusedError("no", code="Denied")])
def test_a_failure_leaves_nothing(tmp_path: Path, name: str, failure: BundlerError) -> None:
    store = make_store()
    store.get_failures[name] = failure
    with pytest.raises(type(failure), match=str(failure)):
        download_bundle(store, "disk", tmp_path, progress=Steps())
    assert files(tmp_path) == {}


@pytest.mark.parametrize("name", [MANIFEST, *NAMES])
def test_nothing_is_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"old")
    store = make_store()
    with pytest.raises(ExistsError, match=name):
        download_bundle(store, "disk", tmp_path, progress=Steps())
    assert files(tmp_path) == {name: b"old"}
    assert store.calls == [f"get {MANIFEST}"]


def test_a_part_with_the_manifests_name(tmp_path: Path) -> None:
    parts = (*TEXT.parts[:3], ("3", MANIFEST, TEXT.parts[3][2]))
    with pytest.raises(ManifestError, match="a part has the manifest's own name"):
        download_bundle(make_store(replace(TEXT, parts=parts)), "disk", tmp_path, progress=Steps())
    assert files(tmp_path) == {}


def test_a_manifest_without_end(tmp_path: Path) -> None:
    store = make_store()
    store.objects[MANIFEST] = bytes(MAX_MANIFEST_SIZE + 1)
    message = (
        f"read manifest s3://bucket/prefix/{MANIFEST}: expected at most {MAX_MANIFEST_SIZE} bytes"
    )
    with pytest.raises(ManifestError, match=message):
        download_bundle(store, "disk", tmp_path, progress=Steps())


def test_no_such_directory(tmp_path: Path) -> None:
    store = make_store()
    with pytest.raises(MissingError, match="write to"):
        download_bundle(store, "disk", tmp_path / "none", progress=Steps())
    assert store.calls == []
