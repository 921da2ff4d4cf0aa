"""What goes when a bundle is deleted, in which order, and what never does."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from bundler.errors import (
    AwsRefusedError,
    BundlerError,
    ManifestError,
    TransferError,
    UsageError,
    VerificationError,
)
from bundler.model.manifest import SignedManifest
from bundler.workflow.delete_bundle import Deletion, delete_bundle, plan_deletion
from tests.support.registry import MemoryBundleStore
from tests.support.small_bundles import small_bundle, small_manifest, small_parts

MANIFEST = "x.manifest.xml"
OTHERS = {
    "y.manifest.xml": b"another's",
    "y.part.0": b"another's",
    "x.part.0.part.0": b"another's",
    "x.part.txt": b"of no bundle",
    "x": b"of no bundle",
}
"""What lies beside a bundle x and is none of its business."""


@dataclass(slots=True)
class FaultyStore(MemoryBundleStore):
    """A store whose deletes fail, or are not done, by the first name of each."""

    delete_failures: dict[str, BundlerError] = field(default_factory=dict)
    undeletable: frozenset[str] = frozenset()

    def delete(self, names: Sequence[str]) -> None:
        if names[0] in self.delete_failures:
            raise self.delete_failures[names[0]]
        # No super() without arguments in a class with slots.
        MemoryBundleStore.delete(self, [name for name in names if name not in self.undeletable])


@pytest.fixture
def store() -> FaultyStore:
    return FaultyStore(objects={**small_bundle("x", 3), **OTHERS})


def deleted(store: MemoryBundleStore) -> list[str]:
    return [call.removeprefix("delete ") for call in store.calls if call.startswith("delete ")]


def delete(store: MemoryBundleStore, *, force: bool = False, leftovers: bool = False) -> Deletion:
    deletion = plan_deletion(store, "x", force=force, leftovers=leftovers)
    assert deleted(store) == []
    delete_bundle(store, deletion)
    return deletion


def test_the_manifest_goes_first_and_nothing_but_what_it_names(store: FaultyStore) -> None:
    size = sum(len(body) for name, body in store.objects.items() if name not in OTHERS)
    deletion = delete(store)
    assert deleted(store) == [MANIFEST, "x.part.0", "x.part.1", "x.part.2"]
    assert store.objects == OTHERS
    assert (deletion.size, deletion.names) == (size, tuple(deleted(store)))
    assert (deletion.stray_count, deletion.foreign_count) == (0, 0)
    # Between the manifest and the parts it is seen to be gone.
    calls = [call for call in store.calls if call.startswith(("delete", "head"))]
    assert calls[-5:-3] == [f"delete {MANIFEST}", f"head {MANIFEST}"]


def test_a_late_listing_does_not_matter(store: FaultyStore) -> None:
    store.unlisted = {"x.part.0", "x.part.2"}
    assert delete(store).part_size == 30
    assert store.objects == OTHERS


def test_parts_that_are_not_there_are_not_deleted(store: FaultyStore) -> None:
    del store.objects["x.part.1"]
    assert delete(store).parts == ("x.part.0", "x.part.2")


def test_strays_stay_unless_they_are_meant(store: FaultyStore) -> None:
    store.objects["x.part.7"] = b"of an upload before"
    deletion = delete(store)
    assert (deletion.stray_count, store.objects["x.part.7"]) == (1, b"of an upload before")
    store.calls.clear()
    assert delete(store, leftovers=True).names == ("x.part.7",)
    assert store.objects == OTHERS


def test_leftovers_beside_a_manifest_go_with_it(store: FaultyStore) -> None:
    store.objects["x.part.7"] = b"12345"
    deletion = delete(store, leftovers=True)
    assert (deletion.part_size, deletion.stray_count) == (35, 0)
    assert store.objects == OTHERS


def test_without_a_manifest_nothing_goes_by_its_name_alone(store: FaultyStore) -> None:
    del store.objects[MANIFEST]
    with pytest.raises(AwsRefusedError, match=r"but 3 parts .*\(30 bytes\).*--leftovers") as caught:
        delete(store)
    assert caught.value.code == "NoSuchKey"
    assert delete(store, leftovers=True).manifest is None
    assert store.objects == OTHERS
    assert delete_nothing(store).names == ()


def delete_nothing(store: MemoryBundleStore) -> Deletion:
    store.calls.clear()
    return delete(store, leftovers=True)


def test_no_bundle_at_all() -> None:
    with pytest.raises(AwsRefusedError, match="there is no such manifest; check the name"):
        delete(MemoryBundleStore(objects=dict(OTHERS)))


@pytest.mark.parametrize(
    "name",
    ["y.part.0", "x.part.0.part.0", "x.part.txt", "x", "X.part.0", "x.part.-1", "x.part.", "é"],
)
def test_a_part_of_another_name_needs_force(store: FaultyStore, name: str) -> None:
    parts = small_parts("x", 2)
    store.objects[MANIFEST] = small_manifest("x", parts, names=["x.part.0", name])
    store.objects[name] = b"precious"
    with pytest.raises(ManifestError, match=r"part 1 is named .*, not x\.part\.N: .*--force"):
        delete(store)
    with pytest.raises(ManifestError, match="not x"):
        delete(store, leftovers=True)
    assert delete(store, force=True).foreign_count == 1
    assert name not in store.objects


@pytest.mark.parametrize("name", ["y.manifest.xml", ".manifest.xml", "x.part.0.manifest.xml"])
def test_no_manifest_is_ever_deleted_as_a_part(store: FaultyStore, name: str) -> None:
    store.objects[MANIFEST] = small_manifest("x", small_parts("x", 2), names=["x.part.0", name])
    for force in (False, True):
        with pytest.raises(ManifestError, match="a manifest is never deleted as a part"):
            delete(store, force=force, leftovers=force)
    assert deleted(store) == []


@pytest.mark.parametrize("name", ["../y.part.0", "/x.part.0", "", ".."])
def test_a_path_is_refused_whatever_is_said(store: FaultyStore, name: str) -> None:
    store.objects[MANIFEST] = small_manifest("x", small_parts("x", 1), names=[name])
    with pytest.raises(ManifestError):
        delete(store, force=True)


def test_a_malformed_manifest_goes_only_when_all_is_said(store: FaultyStore) -> None:
    store.objects[MANIFEST] = b"<html>"
    for force, leftovers in ((False, False), (True, False), (False, True)):
        with pytest.raises(ManifestError, match="--leftovers --force deletes it and what is named"):
            delete(store, force=force, leftovers=leftovers)
    assert delete(store, force=True, leftovers=True).names[0] == MANIFEST
    assert store.objects == OTHERS


@pytest.mark.parametrize("document", [b"<html>", None], ids=["malformed", "gone"])
def test_a_manifest_that_cannot_be_checked_is_told_to_the_check(
    store: FaultyStore, document: bytes | None
) -> None:
    def check(signed: SignedManifest | None) -> None:
        assert signed is None
        raise VerificationError("no signature")

    store.objects.pop(MANIFEST)
    if document is not None:
        store.objects[MANIFEST] = document
    with pytest.raises(VerificationError, match="no signature"):
        plan_deletion(store, "x", check=check, force=True, leftovers=True)


def test_a_check_may_refuse(store: FaultyStore) -> None:
    def check(signed: SignedManifest | None) -> None:
        assert signed is not None
        raise VerificationError(f"not {signed.manifest.name}")

    with pytest.raises(VerificationError, match="not x"):
        plan_deletion(store, "x", check=check, force=True)


def test_a_bundle_that_was_replaced_meanwhile_stays(store: FaultyStore) -> None:
    deletion = plan_deletion(store, "x")
    store.objects |= small_bundle("x", 4)
    with pytest.raises(UsageError, match="it was changed meanwhile; call again"):
        delete_bundle(store, deletion)
    assert deleted(store) == []


def test_a_bundle_that_came_back_meanwhile_stays(store: FaultyStore) -> None:
    manifest = store.objects.pop(MANIFEST)
    deletion = plan_deletion(store, "x", leftovers=True)
    store.objects[MANIFEST] = manifest
    with pytest.raises(UsageError, match="it was changed meanwhile"):
        delete_bundle(store, deletion)
    assert deleted(store) == []


def test_a_manifest_that_went_meanwhile_is_no_error(store: FaultyStore) -> None:
    deletion = plan_deletion(store, "x")
    del store.objects[MANIFEST]
    delete_bundle(store, deletion)
    assert store.objects == OTHERS


def test_parts_stay_while_the_manifest_does_not_go(store: FaultyStore) -> None:
    store.undeletable = frozenset((MANIFEST,))
    with pytest.raises(TransferError, match="still has it; nothing else is deleted"):
        delete(store)
    assert {"x.part.0", "x.part.1", "x.part.2"} < store.objects.keys()


@pytest.mark.parametrize("kind", [AwsRefusedError, TransferError])
def test_a_failure_behind_the_manifest_tells_how_to_go_on(
    store: FaultyStore, kind: type[AwsRefusedError | TransferError]
) -> None:
    store.delete_failures["x.part.0"] = kind("delete x.part.0: no", code="Why")
    with pytest.raises(kind, match=r"no; the manifest is gone already: .* --leftovers") as caught:
        delete(store)
    assert isinstance(caught.value, kind)
    assert caught.value.code == "Why"
    store.delete_failures.clear()
    store.calls.clear()
    delete(store, leftovers=True)
    assert store.objects == OTHERS


def test_unfinished_uploads_of_just_these_objects_are_ended(store: FaultyStore) -> None:
    store.uploads = [MANIFEST, "x.part.1", "x.part.9", "y.part.0"]
    deletion = delete(store)
    assert deletion.upload_names == {MANIFEST, "x.part.1"}
    assert store.uploads == ["x.part.9", "y.part.0"]
    store.calls.clear()
    assert delete(store, leftovers=True).upload_names == {"x.part.9"}
    assert store.uploads == ["y.part.0"]


def test_uploads_of_parts_with_other_names_are_ended_too(store: FaultyStore) -> None:
    store.objects[MANIFEST] = small_manifest("x", small_parts("x", 1), names=["y.part.0"])
    store.uploads = ["y.part.0", "y.part.1"]
    delete(store, force=True)
    assert store.uploads == ["y.part.1"]
