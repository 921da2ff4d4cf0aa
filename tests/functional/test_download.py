from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from bundler.errors import (
    AwsRefusedError,
    BundlerError,
    ExistsError,
    InputError,
    ManifestError,
    MissingError,
    TransferError,
    VerificationError,
)
from bundler.model.manifest import SignedManifest
from bundler.workflow.download import download_bundle
from bundler.workflow.manifest_file import MAX_MANIFEST_SIZE
from tests.support.bundles import ManifestText, describe_bundle, sha1_hex
from tests.support.images import random_bytes
from tests.support.registry import MemoryBundleStore
from tests.support.tools import listing

MANIFEST = "disk.manifest.xml"
PARTS = tuple(random_bytes(size, seed) for seed, size in enumerate((2048, 2048, 2048, 1)))
NAMES = tuple(f"disk.part.{index}" for index in range(len(PARTS)))
TEXT = describe_bundle("disk", PARTS, size=9999, tar_digest=sha1_hex(b""))


@dataclass(slots=True)
class Steps:
    """A Progress that keeps what it is told."""

    totals: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def task(
        self, label: str, total: int, *, unit: str = "B"
    ) -> AbstractContextManager[Callable[[int], object]]:
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
    downloaded = download_bundle(store, "disk", tmp_path, progress=progress)
    assert files(tmp_path) == store.objects
    manifest = downloaded.signed.manifest
    assert manifest.bundled_size == sum(map(len, PARTS))
    assert downloaded.path == tmp_path / MANIFEST
    assert (downloaded.fetched_count, downloaded.held_count) == (len(PARTS), 0)
    assert progress.totals == [manifest.bundled_size]
    assert sum(progress.sizes) == manifest.bundled_size


def test_only_what_the_manifest_names_is_read(tmp_path: Path) -> None:
    store = make_store()
    store.objects["disk.part.4"] = b"of another bundle"
    download_bundle(store, "disk", tmp_path, progress=Steps())
    assert sorted(store.calls) == sorted(f"get {name}" for name in (MANIFEST, *NAMES))


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes((data[-1] ^ 1,))


DAMAGED = {
    "part-flipped": ({"part1": flipped(PARTS[1])}, "part.1: expected SHA1"),
    "part-short": ({"part2": PARTS[2][:-1]}, "part.2: expected SHA1"),
    "part-empty": ({"part3": b""}, "part.3: expected SHA1"),
    "part-of-another-index": ({"part0": PARTS[1]}, "part.0: expected SHA1"),
    "part-long": ({"part3": bytes(9999)}, "part.3: expected at most 6145 bytes, got 9999"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_found_and_no_wrong_part_is_left(tmp_path: Path, name: str) -> None:
    changes, message = DAMAGED[name]
    store = make_store(TEXT, **changes)
    with pytest.raises(VerificationError, match=message):
        download_bundle(store, "disk", tmp_path, progress=Steps())
    check_only_whole_parts(tmp_path)


def check_only_whole_parts(directory: Path) -> None:
    """No manifest, and no part that is not whole."""
    left = files(directory)
    assert MANIFEST not in left
    assert left.items() <= dict(zip(NAMES, PARTS, strict=True)).items()


def test_a_sum_of_sizes_that_does_not_hold(tmp_path: Path) -> None:
    store = make_store(replace(TEXT, bundled_size="6146"))
    with pytest.raises(VerificationError, match="expected 6146 bytes in all parts, got 6145"):
        download_bundle(store, "disk", tmp_path, progress=Steps())
    check_only_whole_parts(tmp_path)


@pytest.mark.parametrize("name", [MANIFEST, *NAMES])
@pytest.mark.parametrize("failure", [TransferError("lost"), AwsRefusedError("no", code="Denied")])
def test_after_a_failure_the_rest_is_got(tmp_path: Path, name: str, failure: BundlerError) -> None:
    store = make_store()
    store.get_failures[name] = failure
    with pytest.raises(type(failure), match=str(failure)):
        download_bundle(store, "disk", tmp_path, progress=Steps())
    check_only_whole_parts(tmp_path)
    held = set(files(tmp_path))
    store.get_failures.clear()
    store.calls.clear()
    downloaded = download_bundle(store, "disk", tmp_path, progress=Steps())
    assert files(tmp_path) == store.objects
    assert downloaded.held_count == len(held)
    assert not held & {call.removeprefix("get ") for call in store.calls}


def test_a_whole_bundle_is_not_got_again(tmp_path: Path) -> None:
    store = make_store()
    download_bundle(store, "disk", tmp_path, progress=Steps())
    before = listing(tmp_path)
    store.calls.clear()
    downloaded = download_bundle(store, "disk", tmp_path, progress=Steps())
    assert store.calls == [f"get {MANIFEST}"]
    assert downloaded.held_count == len(PARTS)
    assert listing(tmp_path) == before


def test_without_resuming_nothing_on_the_disk_is_believed(tmp_path: Path) -> None:
    (tmp_path / NAMES[0]).write_bytes(PARTS[0])
    with pytest.raises(ExistsError, match=NAMES[0]):
        download_bundle(make_store(), "disk", tmp_path, resume=False, progress=Steps())
    store = make_store()
    downloaded = download_bundle(
        store, "disk", tmp_path, resume=False, force=True, progress=Steps()
    )
    assert downloaded.held_count == 0
    assert files(tmp_path) == store.objects


@pytest.mark.parametrize("name", [MANIFEST, *NAMES])
def test_what_is_something_else_is_not_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"old")
    store = make_store()
    with pytest.raises(ExistsError, match=name):
        download_bundle(store, "disk", tmp_path, progress=Steps())
    assert files(tmp_path) == {name: b"old"}
    assert store.calls == [f"get {MANIFEST}"]


def test_force_replaces_another_bundle_and_its_further_parts(tmp_path: Path) -> None:
    for name in (MANIFEST, *NAMES, "disk.part.4", "other.part.0"):
        (tmp_path / name).write_bytes(b"old")
    store = make_store()
    download_bundle(store, "disk", tmp_path, force=True, progress=Steps())
    assert files(tmp_path) == {**store.objects, "other.part.0": b"old"}


def test_force_takes_the_old_manifest_away_first(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_bytes(b"old")
    store = make_store()
    store.get_failures[NAMES[2]] = TransferError("lost")
    with pytest.raises(TransferError, match="lost"):
        download_bundle(store, "disk", tmp_path, force=True, progress=Steps())
    check_only_whole_parts(tmp_path)


def test_a_manifest_that_is_refused_ends_it(tmp_path: Path) -> None:
    def refuse(signed: SignedManifest) -> None:
        raise VerificationError(f"{signed.manifest.name} is not signed")

    store = make_store()
    with pytest.raises(VerificationError, match="disk is not signed"):
        download_bundle(store, "disk", tmp_path, check=refuse, progress=Steps())
    assert files(tmp_path) == {}
    assert store.calls == [f"get {MANIFEST}"]


@pytest.mark.parametrize("kind", ["directory", "link"])
def test_what_is_no_file_is_not_replaced(tmp_path: Path, kind: str) -> None:
    target = tmp_path / NAMES[1]
    if kind == "directory":
        target.mkdir()
    else:
        (tmp_path / "victim").write_bytes(b"precious")
        target.symlink_to("victim")
    with pytest.raises(InputError, match="expected no file or a regular one"):
        download_bundle(make_store(), "disk", tmp_path, force=True, progress=Steps())
    if kind == "link":
        assert (tmp_path / "victim").read_bytes() == b"precious"


def test_a_part_with_the_manifests_name(tmp_path: Path) -> None:
    parts = (*TEXT.parts[:3], ("3", MANIFEST, TEXT.parts[3][2]))
    with pytest.raises(ManifestError, match="a part has the manifest's own name"):
        download_bundle(make_store(replace(TEXT, parts=parts)), "disk", tmp_path, progress=Steps())
    assert files(tmp_path) == {}


def test_a_manifest_without_end(tmp_path: Path) -> None:
    store = make_store()
    store.objects[MANIFEST] = bytes(MAX_MANIFEST_SIZE + 1)
    message = f"s3://bucket/prefix/{MANIFEST}: expected at most {MAX_MANIFEST_SIZE} bytes"
    with pytest.raises(InputError, match=message):
        download_bundle(store, "disk", tmp_path, progress=Steps())


def test_no_such_directory(tmp_path: Path) -> None:
    store = make_store()
    with pytest.raises(MissingError, match="write to"):
        download_bundle(store, "disk", tmp_path / "none", progress=Steps())
    assert store.calls == []
