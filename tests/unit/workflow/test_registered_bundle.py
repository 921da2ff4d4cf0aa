"""What can be said of the bundle behind an AMI."""

import re
from itertools import pairwise

import pytest

from bundler.errors import AwsRefusedError, BundlerError, TransferError
from bundler.model.image import ImageLocation
from bundler.model.object_access import ObjectAccess
from bundler.workflow.registered_bundle import (
    MAX_ACL_COUNT,
    RegisteredBundle,
    RegisteredState,
    look_at_bundle,
)
from tests.support.bundles import CountingProgress
from tests.support.registry import MemoryBundleStore
from tests.support.small_bundles import small_bundle

NAME = "web.manifest.xml"

LETTERS = {
    "a": ObjectAccess.EVERYBODY,
    "e": ObjectAccess.EC2,
    "h": ObjectAccess.HIDDEN,
    "o": ObjectAccess.OTHERS,
    "x": ObjectAccess.OWNER,
}
"""Who may read an object, in short."""


def look(store: MemoryBundleStore, readers: str = "eeee") -> RegisteredBundle:
    """Look at the bundle; `readers` answers for the manifest and each part."""
    names = (NAME, "web.part.0", "web.part.1", "web.part.2")
    answers = dict(zip((store.location.join(name) for name in names), readers, strict=True))

    def find_access(location: ImageLocation) -> ObjectAccess:
        return LETTERS[answers[location]]

    return look_at_bundle(store, NAME, find_access=find_access, progress=CountingProgress())


def test_a_whole_bundle() -> None:
    store = MemoryBundleStore(objects=small_bundle("web"))
    assert look(store) == RegisteredBundle(
        location=store.location.join(NAME),
        state=RegisteredState.COMPLETE,
        size=sum(map(len, store.objects.values())),
        part_count=3,
        proven_count=3,
        storage_classes=frozenset(("STANDARD",)),
        access=ObjectAccess.EC2,
        acl_count=4,
    )
    store.knows_sha1 = False
    assert look(store).proven_count == 0


@pytest.mark.parametrize(
    ("readers", "access", "is_shared"),
    [
        ("aaaa", ObjectAccess.EVERYBODY, True),
        ("aaoa", ObjectAccess.OTHERS, True),
        ("aeoa", ObjectAccess.EC2, True),
        ("ehee", ObjectAccess.HIDDEN, None),
        ("heex", ObjectAccess.OWNER, False),
        ("aaxa", ObjectAccess.OWNER, False),
    ],
)
def test_one_object_that_ec2_cannot_read_is_enough(
    readers: str, access: ObjectAccess, *, is_shared: bool | None
) -> None:
    found = look(MemoryBundleStore(objects=small_bundle("web")), readers)
    assert (found.access, found.is_shared) == (access, is_shared)


def test_acls_of_many_parts_are_looked_at_here_and_there() -> None:
    store = MemoryBundleStore(objects=small_bundle("web", 200))
    looked: list[str] = []

    def find_access(location: ImageLocation) -> ObjectAccess:
        looked.append(location.key.rpartition(".")[2])
        return ObjectAccess.EC2

    found = look_at_bundle(store, NAME, find_access=find_access, progress=CountingProgress())
    assert (found.acl_count, found.object_count, len(looked)) == (MAX_ACL_COUNT, 201, MAX_ACL_COUNT)
    numbers = [int(number) for number in looked[1:]]
    assert (looked[0], numbers[0], numbers[-1]) == ("xml", 0, 199)
    assert {after - before for before, after in pairwise(numbers)} == {3, 4}


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
