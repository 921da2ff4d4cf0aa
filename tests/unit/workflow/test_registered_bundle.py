"""What can be said of the bundle behind an AMI."""

import re
from collections.abc import Sequence

import pytest

from bundler.errors import AwsRefusedError, BundlerError, TransferError
from bundler.model.image import ImageLocation
from bundler.workflow.registered_bundle import RegisteredBundle, RegisteredState, look_at_bundle
from tests.support.bundles import CountingProgress
from tests.support.registry import MemoryBundleStore
from tests.support.small_bundles import small_bundle

NAME = "web.manifest.xml"


def look(store: MemoryBundleStore, shared: Sequence[bool | None] = (True,) * 3) -> RegisteredBundle:
    """Look at the bundle; `shared` answers for the manifest, the first and the last part."""
    names = (NAME, "web.part.0", "web.part.2")
    answers = dict(zip((store.location.join(name) for name in names), shared, strict=True))

    def is_shared(location: ImageLocation) -> bool | None:
        return answers[location]

    return look_at_bundle(store, NAME, is_shared=is_shared, progress=CountingProgress())


def test_a_whole_bundle() -> None:
    store = MemoryBundleStore(objects=small_bundle("web"))
    assert look(store) == RegisteredBundle(
        location=store.location.join(NAME),
        state=RegisteredState.COMPLETE,
        size=sum(map(len, store.objects.values())),
        part_count=3,
        proven_count=3,
        storage_classes=frozenset(("STANDARD",)),
        is_shared=True,
    )
    store.knows_sha1 = False
    assert look(store).proven_count == 0


@pytest.mark.parametrize(
    ("shared", "expected"),
    [
        ((True, True, True), True),
        ((True, None, True), None),
        ((None, True, False), False),
        ((False, True, True), False),
    ],
)
def test_one_object_that_ec2_cannot_read_is_enough(
    shared: Sequence[bool | None], *, expected: bool | None
) -> None:
    assert look(MemoryBundleStore(objects=small_bundle("web")), shared).is_shared is expected


@pytest.mark.parametrize(
    ("name", "change", "state", "problem"),
    [
        ("web.part.1", None, RegisteredState.INCOMPLETE, "web.part.1: there is no such part"),
        ("web.part.1", b"web 1.....", RegisteredState.COMPLETE, "^$"),
        ("web.part.1", b"web 1....,", RegisteredState.INCOMPLETE, "expected SHA1 "),
        (NAME, None, RegisteredState.MISSING, "no such key"),
        (NAME, b"<html>", RegisteredState.UNREADABLE, "read manifest s3://bucket/prefix/web"),
    ],
)
def test_what_is_broken_is_told(
    name: str, change: bytes | None, state: RegisteredState, problem: str
) -> None:
    objects = small_bundle("web")
    if change is None:
        del objects[name]
    else:
        objects[name] = change
    found = look(MemoryBundleStore(objects=objects))
    assert found.state is state
    assert re.search(problem, found.problem), found.problem


@pytest.mark.parametrize(
    ("failure", "state"),
    [
        (AwsRefusedError("get x: Access Denied", code="AccessDenied"), RegisteredState.UNKNOWN),
        (TransferError("get x: no network", code="NoSuchKey"), RegisteredState.UNKNOWN),
        (AwsRefusedError("get x: gone", code="NoSuchBucket"), RegisteredState.MISSING),
    ],
)
def test_absent_and_unreachable_differ(failure: BundlerError, state: RegisteredState) -> None:
    store = MemoryBundleStore(objects=small_bundle("web"), get_failures={NAME: failure})
    found = look(store)
    assert (found.state, found.problem, found.size) == (state, str(failure), 0)
