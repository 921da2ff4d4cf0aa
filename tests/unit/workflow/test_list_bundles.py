"""What a listing, and the manifests in it, are taken for."""

import pytest

from bundler.errors import AwsRefusedError, TransferError
from bundler.model.image import ImageLocation
from bundler.model.listed import BundleState, ListedBundle
from bundler.model.stored import StoredObject
from bundler.workflow.find_objects import MAX_ABSENT_COUNT
from bundler.workflow.list_bundles import (
    MAX_MISSING_NAMES,
    BundleListing,
    group_objects,
    list_bundles,
)
from tests.support.bundles import CountingProgress
from tests.support.registry import MemoryBundleStore
from tests.support.small_bundles import small_bundle, small_manifest, small_parts


def make_store(*bundles: dict[str, bytes], concurrency: int = 4) -> MemoryBundleStore:
    objects = {key: body for bundle in bundles for key, body in bundle.items()}
    location = ImageLocation(bucket="bucket", key="")
    return MemoryBundleStore(location=location, objects=objects, concurrency=concurrency)


def listing_of(
    store: MemoryBundleStore, prefix: str = "", *, only_broken: bool = False
) -> BundleListing:
    return list_bundles(store, prefix, only_broken=only_broken, progress=CountingProgress())


def only(store: MemoryBundleStore, prefix: str = "") -> ListedBundle:
    (bundle,) = listing_of(store, prefix).bundles
    return bundle


def keys_of(listing: BundleListing) -> list[str]:
    return [bundle.location.key for bundle in listing.bundles]


@pytest.mark.parametrize(
    ("key", "stem", "is_manifest"),
    [
        ("x.manifest.xml", "x", True),
        ("a/b/x.manifest.xml", "a/b/x", True),
        ("a/x.part.0.manifest.xml", "a/x.part.0", True),
        ("a/x.part.07", "a/x", False),
        ("/x.part.0", "/x", False),
        ("a/x.part.0.part.1", "a/x.part.0", False),
        ("a/.manifest.xml", "", False),
        (".manifest.xml", "", False),
        ("a/.part.0", "", False),
        ("a/x.part.", "", False),
        ("a/x.part.0/", "", False),
        ("a/x.part.0/y", "", False),
        ("a/x.MANIFEST.XML", "", False),
        ("a/x.manifest.xml.bak", "", False),
        ("x", "", False),
        ("", "", False),
    ],
)
def test_objects_are_grouped_by_folder_and_name(key: str, stem: str, is_manifest: bool) -> None:
    stored = StoredObject(name=key, size=1)
    listed = group_objects([stored])
    assert listed.manifests == ({stem: stored} if is_manifest else {})
    assert listed.parts == ({stem: {key: stored}} if stem and not is_manifest else {})
    assert listed.part(key) == (stored if stem and not is_manifest else None)


def test_the_same_name_in_two_folders_is_two_bundles() -> None:
    store = make_store(small_bundle("x", 2, folder="a/"), small_bundle("x", 3, folder="a/b/"))
    bundles = listing_of(store, "a/").bundles
    assert [bundle.location.url for bundle in bundles] == [
        "s3://bucket/a/b/x.manifest.xml",
        "s3://bucket/a/x.manifest.xml",
    ]
    assert [bundle.part_count for bundle in bundles] == [3, 2]
    assert {bundle.state for bundle in bundles} == {BundleState.COMPLETE}
    assert {bundle.name for bundle in bundles} == {"x"}


def test_a_complete_bundle_and_what_it_holds() -> None:
    objects = small_bundle("x", 12)
    store = make_store(objects, {"x.part.txt": b"not ours", "readme": b"neither"})
    bundle = only(store)
    assert bundle.state is BundleState.COMPLETE
    assert bundle.size == sum(map(len, objects.values()))
    assert (bundle.part_count, bundle.expected_part_count) == (12, 12)
    assert (bundle.missing, bundle.missing_count, bundle.stray_count) == ((), 0, 0)
    assert bundle.problem == ""
    # Everything was listed, so nothing was asked for.
    assert not [call for call in store.calls if call.startswith("head")]


def test_a_missing_part_is_asked_for_before_it_is_called_missing() -> None:
    objects = small_bundle("x")
    del objects["x.part.1"]
    store = make_store(objects)
    bundle = only(store)
    assert bundle.state is BundleState.INCOMPLETE
    assert (bundle.missing, bundle.missing_count) == (("x.part.1",), 1)
    assert (bundle.part_count, bundle.expected_part_count) == (2, 3)
    assert "head x.part.1" in store.calls


def test_a_late_listing_does_not_matter() -> None:
    store = make_store(small_bundle("x", MAX_ABSENT_COUNT + 50, folder="a/"))
    store.unlisted = {key for key in store.objects if not key.endswith("part.000")}
    assert only(store, "a/").state is BundleState.COMPLETE


def test_a_hostile_manifest_does_not_make_requests_without_end() -> None:
    parts = small_parts("x", 3 * MAX_ABSENT_COUNT)
    store = make_store({"x.manifest.xml": small_manifest("x", parts)})
    bundle = only(store)
    assert bundle.missing_count == len(parts)
    assert len(bundle.missing) == MAX_MISSING_NAMES
    assert len([call for call in store.calls if call.startswith("head")]) == MAX_ABSENT_COUNT


def test_sizes_must_add_up() -> None:
    store = make_store(small_bundle("x", 3))
    store.objects["x.part.2"] += b"!"
    bundle = only(store)
    assert bundle.state is BundleState.INCOMPLETE
    assert bundle.problem == "expected 30 bytes in all parts, got 31"
    assert bundle.missing == ()


def test_parts_alone_are_a_bundle_without_manifest() -> None:
    objects = small_bundle("x", 3, folder="a/")
    del objects["a/x.manifest.xml"]
    store = make_store(objects)
    bundle = only(store)
    assert bundle.state is BundleState.NO_MANIFEST
    assert bundle.location.key == "a/x.manifest.xml"
    assert (bundle.part_count, bundle.expected_part_count, bundle.size) == (3, 0, 30)
    assert "head a/x.manifest.xml" in store.calls


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<manifest/>",
        b"<html>" * 1000,
        b"\xff\xfe",
        b"<!DOCTYPE m [<!ENTITY a 'b'>]><m>&a;</m>",
        small_manifest("x", small_parts("x", 1), names=["../x.part.0"]),
        small_manifest("x", small_parts("x", 1), names=["x.manifest.xml"]),
        small_manifest("x", small_parts("x", 1), names=["&#27;[2J"]),
        small_manifest("x", small_parts("x", 2), names=["x.part.0", "x.part.0"]),
    ],
    ids=["empty", "nothing", "html", "binary", "dtd", "path", "itself", "escape", "twice"],
)
def test_a_malformed_manifest_is_the_problem_of_its_bundle_alone(document: bytes) -> None:
    bad = small_bundle("x", 2)
    bad["x.manifest.xml"] = document
    store = make_store(small_bundle("a"), bad, small_bundle("z"))
    states = [bundle.state for bundle in listing_of(store).bundles]
    assert states == [BundleState.COMPLETE, BundleState.UNREADABLE, BundleState.COMPLETE]
    bundle = only(store, "x")
    assert "read manifest s3://bucket/x.manifest.xml: " in bundle.problem
    assert (bundle.part_count, bundle.expected_part_count, bundle.stray_count) == (2, 0, 0)
    assert bundle.size == len(document) + 20


def test_a_manifest_that_may_not_be_read_is_its_own_problem() -> None:
    store = make_store(small_bundle("a"), small_bundle("b"))
    store.get_failures["a.manifest.xml"] = AwsRefusedError("get a: no", code="AccessDenied")
    bundles = listing_of(store).bundles
    assert [bundle.problem for bundle in bundles] == ["get a: no", ""]
    assert bundles[0].state is BundleState.UNREADABLE


def test_a_network_that_fails_ends_the_listing() -> None:
    store = make_store(small_bundle("a"))
    store.get_failures["a.manifest.xml"] = TransferError("get a: reset")
    with pytest.raises(TransferError, match="reset"):
        listing_of(store)
    assert "cancel" in store.calls


def test_parts_with_names_that_no_key_can_have_are_missing() -> None:
    folder = "f" * 900 + "/"
    document = small_manifest("x", small_parts("x", 1), names=["x" * 240])
    bundle = only(make_store({f"{folder}x.manifest.xml": document}))
    assert bundle.missing_count == 1


def test_several_manifests_may_name_the_same_parts() -> None:
    objects = small_bundle("x", 2)
    objects["eu.manifest.xml"] = objects.pop("x.manifest.xml")
    objects["us.manifest.xml"] = objects["eu.manifest.xml"]
    listing = listing_of(make_store(objects))
    assert keys_of(listing) == ["eu.manifest.xml", "us.manifest.xml"]
    assert {bundle.state for bundle in listing.bundles} == {BundleState.COMPLETE}
    assert listing.size == sum(map(len, objects.values()))
    assert sum(bundle.size for bundle in listing.bundles) == listing.size + 20


def test_parts_that_the_manifest_does_not_name_are_strays() -> None:
    store = make_store(small_bundle("x", 3), {"x.part.17": b"0123456789"})
    bundle = only(store)
    assert bundle.state is BundleState.COMPLETE
    assert (bundle.part_count, bundle.stray_count) == (3, 1)
    assert bundle.size == sum(map(len, store.objects.values()))


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("", ["other/x.manifest.xml", "web-1.manifest.xml", "web/x.manifest.xml"]),
        ("web", ["web-1.manifest.xml", "web/x.manifest.xml"]),
        ("web/", ["web/x.manifest.xml"]),
        ("web-1.manifest.xml", ["web-1.manifest.xml"]),
        ("web-1.man", ["web-1.manifest.xml"]),
        ("web-1.part.0", ["web-1.manifest.xml"]),
        ("web/x", ["web/x.manifest.xml"]),
        ("webs", []),
    ],
)
def test_a_prefix_is_a_key_prefix_and_never_halves_a_bundle(
    prefix: str, expected: list[str]
) -> None:
    store = make_store(
        small_bundle("x", folder="web/"),
        small_bundle("web-1", 12),
        small_bundle("x", folder="other/"),
    )
    listing = listing_of(store, prefix)
    assert keys_of(listing) == expected
    assert {bundle.state for bundle in listing.bundles} <= {BundleState.COMPLETE}
    assert [bundle.missing_count for bundle in listing.bundles] == [0] * len(expected)


def test_only_what_is_broken() -> None:
    broken = small_bundle("b")
    del broken["b.part.0"]
    alone = {"c.part.0": b"12345"}
    listing = listing_of(make_store(small_bundle("a"), broken, alone), only_broken=True)
    assert keys_of(listing) == ["b.manifest.xml", "c.manifest.xml"]
    assert listing.size == sum(map(len, broken.values())) + 5


def test_unfinished_uploads_are_counted_or_not_known() -> None:
    store = make_store(small_bundle("a"))
    store.uploads = ["a.part.1", "b.part.1"]
    assert listing_of(store).upload_count == 2
    assert listing_of(store, "b").upload_count == 1
    store.hides_uploads = True
    assert listing_of(store).upload_count is None


def test_nothing_there() -> None:
    listing = listing_of(make_store())
    assert (listing.bundles, listing.size, listing.upload_count) == ((), 0, 0)
