"""Bringing parts to another place: the verb over stores in memory."""

from dataclasses import dataclass, field

import pytest

from bundler.codec.manifest import parse_manifest
from bundler.errors import BundlerError, TransferError, VerificationError
from bundler.model.image import ImageLocation
from bundler.workflow.bundle_image import BundleKeys
from bundler.workflow.migrate import (
    MovedBundle,
    StoredPart,
    find_migrated,
    find_parts,
    migrate_bundle,
)
from bundler.workflow.migrate_manifest import Migration, plan_migration
from bundler.workflow.upload import find_bundle
from tests.support.bundles import (
    EC2_CERT,
    USER_CERT,
    USER_KEY,
    CountingProgress,
    describe_bundle,
    load_certificate,
    load_key,
    sha1_hex,
)
from tests.support.registry import MemoryBundleStore

CONTENTS = tuple(bytes([index]) * 3000 for index in range(5))
NAMES = tuple(f"image.part.{index}" for index in range(5))
MANIFEST = "image.manifest.xml"
KEYS = BundleKeys(user=load_key(USER_KEY), ec2=load_certificate(EC2_CERT))
BOTH = pytest.mark.parametrize("is_streaming", [False, True], ids=["copy", "stream"])


@dataclass(slots=True)
class Clouds:
    """A bundle in one store, and another store that takes it."""

    source: MemoryBundleStore = field(
        default_factory=lambda: MemoryBundleStore(ImageLocation(bucket="from", key="old"))
    )
    target: MemoryBundleStore = field(
        default_factory=lambda: MemoryBundleStore(ImageLocation(bucket="goal", key="new"))
    )
    advanced: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        text = describe_bundle("image", CONTENTS, size=8192, tar_digest=sha1_hex(b"tar"))
        self.source.objects = dict(zip(NAMES, CONTENTS, strict=True))
        self.source.objects[MANIFEST] = text.render()

    def plan(self) -> Migration:
        signed = parse_manifest(self.source.objects[MANIFEST])
        return plan_migration(signed, KEYS, kernel="", ramdisk="", is_same_region=True)

    def parts(self, migration: Migration) -> tuple[StoredPart, ...]:
        return find_parts(self.source, migration.source, progress=CountingProgress())

    def move(self, *, is_streaming: bool, resume: bool = True, force: bool = False) -> MovedBundle:
        migration = self.plan()
        parts = self.parts(migration)
        self.target.copy_sources = {
            self.source.location.join(name).url: content
            for name, content in self.source.objects.items()
        }
        return migrate_bundle(
            self.source,
            self.target,
            parts,
            migration.source,
            migration.document,
            found=find_bundle(self.target, "image", force=force),
            is_streaming=is_streaming,
            resume=resume,
            advance=self.advanced.append,
        )

    def changes(self) -> list[str]:
        """What was done to the target, in order."""
        verbs = ("put ", "held ", "copy ", "delete ")
        return [call for call in self.target.calls if call.startswith(verbs)]


@BOTH
def test_the_manifest_comes_last(*, is_streaming: bool) -> None:
    clouds = Clouds()
    moved = clouds.move(is_streaming=is_streaming)
    verb = "put" if is_streaming else "copy"
    assert clouds.changes() == [*(f"{verb} {name}" for name in NAMES), f"put {MANIFEST}"]
    assert clouds.target.calls.index("flush") < clouds.target.calls.index(f"put {MANIFEST}")
    assert moved == MovedBundle(
        manifest=ImageLocation(bucket="goal", key="new/image.manifest.xml"), unread_count=0
    )
    for name, content in zip(NAMES, CONTENTS, strict=True):
        assert clouds.target.objects[name] == content


@BOTH
def test_a_failure_leaves_no_manifest(*, is_streaming: bool) -> None:
    clouds = Clouds()
    clouds.target.put_failures["image.part.3"] = TransferError("gone")
    with pytest.raises(TransferError, match="gone"):
        clouds.move(is_streaming=is_streaming)
    assert MANIFEST not in clouds.target.objects
    assert clouds.target.calls[-1] == "cancel"


def test_a_part_that_cannot_be_read_leaves_no_manifest() -> None:
    clouds = Clouds()
    clouds.source.get_failures["image.part.3"] = VerificationError("damaged")
    with pytest.raises(VerificationError, match="damaged"):
        clouds.move(is_streaming=True)
    assert MANIFEST not in clouds.target.objects
    assert clouds.target.calls[-1] == "cancel"
    assert "cancel" in clouds.source.calls


@pytest.mark.parametrize(
    ("failure", "expected"),
    [(None, f"delete {MANIFEST}"), (VerificationError("damaged"), None)],
    ids=["readable", "damaged"],
)
def test_the_old_bundle_stays_until_the_new_one_can_be_read(
    failure: BundlerError | None, expected: str | None
) -> None:
    clouds = Clouds()
    clouds.target.objects[MANIFEST] = b"an old one"
    if failure is None:
        clouds.move(is_streaming=True, force=True)
        assert clouds.changes()[0] == expected
        return
    clouds.source.get_failures["image.part.0"] = failure
    with pytest.raises(VerificationError, match="damaged"):
        clouds.move(is_streaming=True, force=True)
    assert clouds.target.objects == {MANIFEST: b"an old one"}


def test_parts_that_are_there_are_neither_read_nor_sent() -> None:
    clouds = Clouds()
    clouds.target.objects = dict(zip(NAMES[:3], CONTENTS[:3], strict=True))
    moved = clouds.move(is_streaming=True)
    assert moved.unread_count == 3
    assert clouds.advanced == [9000]
    assert [call for call in clouds.source.calls if call.startswith("get")] == [
        "get image.part.3",
        "get image.part.4",
    ]
    assert clouds.changes() == ["put image.part.3", "put image.part.4", f"put {MANIFEST}"]


def test_parts_that_no_sha1_proves_are_read_and_not_sent() -> None:
    clouds = Clouds()
    clouds.target.objects = dict(zip(NAMES, CONTENTS, strict=True))
    clouds.target.knows_sha1 = False
    assert clouds.move(is_streaming=True).unread_count == 0
    assert clouds.changes() == [*(f"held {name}" for name in NAMES), f"put {MANIFEST}"]


@BOTH
def test_all_parts_there_and_an_old_manifest(*, is_streaming: bool) -> None:
    clouds = Clouds()
    clouds.target.objects = dict(zip(NAMES, CONTENTS, strict=True))
    clouds.target.objects[MANIFEST] = b"an old one"
    clouds.move(is_streaming=is_streaming, force=True)
    assert clouds.changes()[0] == f"delete {MANIFEST}"
    assert clouds.changes()[-1] == f"put {MANIFEST}"
    assert clouds.target.objects[MANIFEST].startswith(b"<?xml")


@BOTH
def test_a_part_of_the_same_size_and_other_content_is_replaced(*, is_streaming: bool) -> None:
    clouds = Clouds()
    clouds.target.objects = {"image.part.2": bytes(3000)}
    clouds.move(is_streaming=is_streaming)
    assert clouds.target.objects["image.part.2"] == CONTENTS[2]


@BOTH
def test_without_resuming_all_parts_are_brought(*, is_streaming: bool) -> None:
    clouds = Clouds()
    clouds.target.objects = dict(zip(NAMES, CONTENTS, strict=True))
    clouds.move(is_streaming=is_streaming, resume=False)
    assert len(clouds.changes()) == 6
    assert not any(call.startswith("held") for call in clouds.changes())


@BOTH
def test_parts_of_a_longer_bundle_go_when_the_new_one_is_whole(*, is_streaming: bool) -> None:
    clouds = Clouds()
    clouds.target.objects = {"image.part.05": b"x", "image.part.06": b"x", "other.part.05": b"x"}
    clouds.move(is_streaming=is_streaming)
    assert clouds.changes()[-2:] == ["delete image.part.05", "delete image.part.06"]
    assert "other.part.05" in clouds.target.objects


def test_source_parts_are_looked_at_first() -> None:
    clouds = Clouds()
    del clouds.source.objects["image.part.4"]
    with pytest.raises(VerificationError, match=r"image.part.4: there is no such part"):
        clouds.parts(clouds.plan())


def find(clouds: Clouds, migration: Migration) -> bytes | None:
    return find_migrated(clouds.target, "image", migration, load_certificate(USER_CERT))


def test_an_earlier_migration_is_found() -> None:
    clouds = Clouds()
    assert find(clouds, clouds.plan()) is None
    clouds.target.objects[MANIFEST] = clouds.plan().document
    assert find(clouds, clouds.plan()) == clouds.target.objects[MANIFEST]


def test_what_is_no_earlier_migration() -> None:
    clouds = Clouds()
    document = clouds.plan().document
    unsigned = document[: document.index(b"<signature>")] + b"<signature/></manifest>"
    edited = document.replace(b"<user>1", b"<user>2")
    for other in (clouds.source.objects[MANIFEST], unsigned, edited, b"<html/>", b""):
        clouds.target.objects[MANIFEST] = other
        assert find(clouds, clouds.plan()) is None
