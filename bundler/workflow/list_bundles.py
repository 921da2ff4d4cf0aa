"""What bundles there are in S3, by their manifests and by what else lies beside them."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from bundler.errors import AwsRefusedError, InputError, VerificationError
from bundler.model.file_name import MANIFEST_SUFFIX, manifest_name, parse_part_name
from bundler.model.image import MAX_KEY_SIZE
from bundler.model.listed import BundleState, ListedBundle
from bundler.model.manifest import Manifest
from bundler.model.stored import StoredObject
from bundler.workflow.find_objects import FoundObjects, find_objects
from bundler.workflow.manifest_file import MAX_MANIFEST_SIZE, parse_document
from bundler.workflow.ports import Advance, BundleReader, Progress

MAX_MISSING_NAMES = 100
"""Most missing parts of a bundle that are told by name; our choice."""

_NOTHING = FoundObjects(found={}, absent=(), unlisted=())


@dataclass(frozen=True, slots=True)
class ListedObjects:
    """The objects of a listing that are of bundles, by *stem*: folder and name of the bundle.

    Other objects are not kept: memory follows the bundles, not the bucket.
    """

    manifests: dict[str, StoredObject] = field(default_factory=dict)
    parts: dict[str, dict[str, StoredObject]] = field(default_factory=dict)
    """For each stem the parts by their keys."""

    @property
    def stems(self) -> list[str]:
        """All stems in order."""
        return sorted(self.manifests.keys() | self.parts.keys())

    def part(self, key: str) -> StoredObject | None:
        """The part of that key, if it is listed."""
        return self.parts.get(_stem_of(key)[0], {}).get(key)


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleListing:
    """Bundles below a prefix, in the order of their keys."""

    bundles: tuple[ListedBundle, ...]
    size: int
    """Bytes of all of them; what several manifests name is counted once."""
    storage_classes: frozenset[str]
    upload_count: int | None
    """Uploads in pieces, begun and never ended; None when S3 does not tell them."""


def group_objects(objects: Iterable[StoredObject]) -> ListedObjects:
    """Sort out manifests and parts, by whole keys."""
    listed = ListedObjects()
    for stored in objects:
        stem, is_manifest = _stem_of(stored.name)
        if len(manifest_name(stem).encode()) > MAX_KEY_SIZE:
            continue  # no bundle: its manifest could have no key
        if is_manifest:
            listed.manifests[stem] = stored
        elif stem:
            listed.parts.setdefault(stem, {})[stored.name] = stored
    return listed


def _stem_of(key: str) -> tuple[str, bool]:
    """Folder and name of the bundle, and whether it is the manifest; empty: of no bundle."""
    folder, slash, file_name = key.rpartition("/")
    if file_name.endswith(MANIFEST_SUFFIX) and file_name != MANIFEST_SUFFIX:
        return key.removesuffix(MANIFEST_SUFFIX), True
    parsed = parse_part_name(file_name)
    return (f"{folder}{slash}{parsed[0]}" if parsed else "", False)


def list_bundles(
    store: BundleReader, prefix: str, *, only_broken: bool = False, progress: Progress
) -> BundleListing:
    """The bundles whose keys begin with `prefix`, at any depth; `store` is a whole bucket.

    Every manifest is read, and nothing of it is verified: whoever wrote it may lie.  A bundle
    that cannot be read is told as such and ends nothing.  With `only_broken` complete ones
    are left out.

    Raises:
        AwsRefusedError: S3 refuses to list.
        TransferError: S3 cannot be reached.
    """
    listed = group_objects(store.list(prefix))
    total = sum(manifest.size for manifest in listed.manifests.values())
    with progress.task("reading manifests", total) as advance:
        examined = _examine_all(store, listed, prefix, advance)
    claimed = {key for one in examined for key in one.named.found}
    bundles: list[ListedBundle] = []
    held: dict[str, StoredObject] = {}
    for one in examined:
        bundle, objects = _describe(store, one, claimed)
        is_complete = bundle.state is BundleState.COMPLETE
        if objects and not (only_broken and is_complete):
            bundles.append(bundle)
            held |= objects
    uploads = store.list_uploads(prefix)
    return BundleListing(
        bundles=tuple(bundles),
        size=sum(stored.size for stored in held.values()),
        storage_classes=_classes(held),
        upload_count=None if uploads is None else len(uploads),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Examined:
    """What was found out about one stem."""

    stem: str
    manifest: StoredObject | None
    own: Mapping[str, StoredObject]
    """Parts of its name, by their keys."""
    named: FoundObjects = _NOTHING
    """What the manifest names, by keys."""
    bundled_size: int = 0
    problem: str = ""
    """Why the manifest cannot be read."""


def _examine_all(
    store: BundleReader, listed: ListedObjects, prefix: str, advance: Advance
) -> list[_Examined]:
    # Documents are read side by side, but one at a time becomes a tree: trees are large.
    parsing = threading.Lock()

    def parse(document: bytes, key: str) -> Manifest:
        file_name = key.rpartition("/")[2]
        with parsing:
            return parse_document(document, file_name, store.location.join(key).url).manifest

    def examine(stem: str) -> _Examined:
        examined = _examine(store, listed, stem, prefix, parse)
        advance(listed.manifests[stem].size if stem in listed.manifests else 0)
        return examined

    pool = ThreadPoolExecutor(store.concurrency, thread_name_prefix="examine")
    try:
        return list(pool.map(examine, listed.stems))
    except BaseException:
        store.cancel()
        raise
    finally:
        # Not waited for: a connection may hang.
        pool.shutdown(wait=False, cancel_futures=True)


def _examine(
    store: BundleReader,
    listed: ListedObjects,
    stem: str,
    prefix: str,
    parse: Callable[[bytes, str], Manifest],
) -> _Examined:
    """Read a manifest and look for what it names; in a thread of the pool."""
    own = _own_parts(store, listed, stem, prefix)
    key = manifest_name(stem)
    manifest = listed.manifests.get(stem)
    try:
        # A listing may be late.
        manifest = manifest or store.head(key)
        if manifest is None:
            return _Examined(stem=stem, manifest=None, own=own)
        told = parse(store.read(key, limit=MAX_MANIFEST_SIZE), key)
        folder = key[: key.rfind("/") + 1]
        names = [folder + part.filename for part in told.parts]
        # Several manifests may name the same parts: one for each region, say.
        known = {name: stored for name in names if (stored := own.get(name) or listed.part(name))}
        named = find_objects(store, names, known)
    except (InputError, VerificationError, AwsRefusedError) as error:
        return _Examined(stem=stem, manifest=manifest, own=own, problem=str(error))
    return _Examined(
        stem=stem, manifest=manifest, own=own, named=named, bundled_size=told.bundled_size
    )


def _own_parts(
    store: BundleReader, listed: ListedObjects, stem: str, prefix: str
) -> dict[str, StoredObject]:
    """The parts of a bundle's name, listed anew where `prefix` left some of them out."""
    start = f"{stem}.part."
    if start.startswith(prefix):
        return listed.parts.get(stem, {})
    return group_objects(store.list(start)).parts.get(stem, {})


def _describe(
    store: BundleReader, examined: _Examined, claimed: set[str]
) -> tuple[ListedBundle, dict[str, StoredObject]]:
    """A bundle, and all objects of it: none when its parts are all another manifest's."""
    named = examined.named
    strays = {key: stored for key, stored in examined.own.items() if key not in claimed}
    held = {**named.found, **strays}
    missing = (*named.absent, *named.unlisted)
    is_read = examined.manifest is not None and not examined.problem
    if examined.manifest is not None:
        held[examined.manifest.name] = examined.manifest
    state, problem = _judge(examined)
    bundle = ListedBundle(
        location=store.location.join(manifest_name(examined.stem)),
        state=state,
        size=sum(stored.size for stored in held.values()),
        part_count=len(named.found) if is_read else len(strays),
        expected_part_count=len(named.found) + len(missing),
        missing=tuple(_file_names(missing[:MAX_MISSING_NAMES])),
        missing_count=len(missing),
        stray_count=len(strays) if is_read else 0,
        storage_classes=_classes(held),
        problem=problem,
    )
    return bundle, held


def _judge(examined: _Examined) -> tuple[BundleState, str]:
    """The state, and what is wrong but for missing parts."""
    named = examined.named
    if examined.problem:
        return BundleState.UNREADABLE, examined.problem
    if examined.manifest is None:
        return BundleState.NO_MANIFEST, ""
    if named.absent or named.unlisted:
        return BundleState.INCOMPLETE, ""
    if named.size != examined.bundled_size:
        return (
            BundleState.INCOMPLETE,
            f"expected {examined.bundled_size} bytes in all parts, got {named.size}",
        )
    return BundleState.COMPLETE, ""


def _file_names(keys: Iterable[str]) -> Iterator[str]:
    return (key.rpartition("/")[2] for key in keys)


def _classes(objects: Mapping[str, StoredObject]) -> frozenset[str]:
    return frozenset(stored.storage_class for stored in objects.values())
