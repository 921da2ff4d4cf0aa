"""What publish remembers of a run, so that the next one makes, and sends, the same parts.

A private file of JSON lines: what the bundle is made from and its key, wrapped for the user;
then the digest of each part, written before the part is sent, and that of the manifest.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from bundler.codec.keywrap import unwrap_key, wrap_key
from bundler.errors import ManifestError, VerificationError
from bundler.host.state_file import StateFile, parse_records
from bundler.model.bundle import BundleKey, Extent, WrappedKey
from bundler.model.digest import Digest
from bundler.stages.deflate import describe_deflater
from bundler.workflow.bundle_image import BundleSpec
from bundler.workflow.bundle_source import BundleSource

STATE_VERSION = 1
"""Of the file's form; a file of another one is not used."""


class PartChangedError(Exception):
    """A part comes out different than before: the image has changed after all."""


def state_name(url: str, endpoint_url: str) -> str:
    """The name of the state file for a manifest's URL."""
    return sha256(f"{endpoint_url}\n{url}".encode()).hexdigest()[:40] + ".publish"


def describe_source(
    source: BundleSource, spec: BundleSpec, *, dig_holes: bool
) -> dict[str, object]:
    """All that decides the bytes of the parts, but the key and the image's content."""
    return {
        "name": spec.name,
        "size": source.size,
        **source.identity,
        "level": spec.level.value,
        "deflater": describe_deflater(spec.level),
        "part_size": spec.part_size,
        "dig_holes": dig_holes,
    }


def describe_manifest(source: BundleSource, spec: BundleSpec, ec2: RSAPublicKey) -> str:
    """A digest of all that decides a manifest besides the parts, to know it again by.

    Empty for devices: nothing but their bytes tells whether they have changed.
    """
    if not source.change_mark:
        return ""
    numbers = ec2.public_numbers()
    words = (source.change_mark, asdict(spec), numbers.n, numbers.e)
    return sha256(json.dumps(words).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierRun:
    """What an interrupted run has left."""

    secret: BundleKey
    extents: tuple[Extent, ...]
    """Where the image's data lay then; a file system may tell it otherwise now."""
    part_digests: Mapping[int, Digest]
    manifests: Mapping[bytes, str]
    """SHA-1s of manifests that were about to be sent; see describe_manifest()."""


class PublishState:
    """The state of one publishing, in a file or, without one, in memory only.

    Raises:
        HostError: the file cannot be read.
    """

    def __init__(self, file: StateFile | None, source: Mapping[str, object]) -> None:
        self._file = file
        self._source = source
        self._digests: dict[int, Digest] = {}
        self._lines = file.lines() if file else []
        self.has_earlier_run = bool(self._lines)
        """Whether a run that was interrupted may have put parts, whether it is continued or not."""

    def load(self, image_size: int, key: RSAPrivateKey) -> EarlierRun | str:
        """The interrupted run that this one continues; else why there is none, empty: no run."""
        records = parse_records(self._lines)
        if not records or records[0].get("version") != STATE_VERSION:
            return ""
        head = records[0]
        source = head.get("source")
        if not isinstance(source, dict):
            return ""
        for name in {**source, **self._source}:  # one of them may have what the other has not
            was, value = source.get(name), self._source.get(name)
            if was == value:
                continue
            words = _WORDS.get(name, name)
            if name in _NUMBERS:
                return f"{words} has changed since"
            return f"{words} has changed from {was} to {value}"
        try:
            wrapped = WrappedKey(key=bytes.fromhex(head["key"]), iv=bytes.fromhex(head["iv"]))
            run = EarlierRun(
                secret=unwrap_key(wrapped, key),
                extents=_extents(head["extents"], image_size),
                part_digests={
                    record["part"]: Digest(value=bytes.fromhex(record["sha1"]))
                    for record in records[1:]
                    if "part" in record
                },
                manifests={
                    bytes.fromhex(record["manifest"]): str(record.get("described", ""))
                    for record in records
                    if "manifest" in record
                },
            )
        except (VerificationError, ManifestError, KeyError, TypeError, ValueError):
            return "the bundle's key cannot be read with this private key"
        self._digests = dict(run.part_digests)
        if self._file:
            self._file.end_broken_line()
        return run

    def begin(self, extents: tuple[Extent, ...], secret: BundleKey, key: RSAPrivateKey) -> None:
        """Remember a new run, and forget the one before.

        Raises:
            HostError: the disk is full or refuses.
        """
        self._digests.clear()
        if self._file is None:
            return
        wrapped = wrap_key(secret, key.public_key())
        head = {
            "version": STATE_VERSION,
            "source": self._source,
            "key": wrapped.key.hex(),
            "iv": wrapped.iv.hex(),
            "extents": [(extent.offset, extent.size) for extent in extents],
        }
        self._file.begin(head)

    def keep_part(self, index: int, digest: Digest) -> None:
        """Remember a part before it is sent.

        Raises:
            PartChangedError: it was another one before.
            HostError: the disk is full or refuses.
        """
        before = self._digests.setdefault(index, digest)
        if before is digest:
            self._append({"part": index, "sha1": digest.hexdigest})
        elif before != digest:
            raise PartChangedError

    def keep_manifest(self, digest: Digest, described: str) -> None:
        """Remember the manifest before it is sent; `described` as by describe_manifest().

        Raises:
            HostError: the disk is full or refuses.
        """
        self._append({"manifest": digest.hexdigest, "described": described})

    def finish(self) -> None:
        """Forget the run: it is done.

        Raises:
            HostError: the directory refuses.
        """
        if self._file:
            self._file.remove()

    def _append(self, record: Mapping[str, object]) -> None:
        if self._file:
            self._file.append(record)


_WORDS = {
    "name": "the bundle's name",
    "size": "the image's size",
    "mtime_ns": "the image's time of change",
    "snapshot_id": "the snapshot",
    "level": "the level",
    "deflater": "the compressor",
    "part_size": "the part size",
    "dig_holes": "--dig-holes",
    "discard_free": "--discard-free, or what is free,",
}
_NUMBERS = frozenset(("mtime_ns", "snapshot_id", "discard_free"))
"""What tells nobody anything by its value."""


def _extents(pairs: list[tuple[int, int]], image_size: int) -> tuple[Extent, ...]:
    """Extents from the file; ValueError unless they lie in the image one after another."""
    extents = tuple(Extent(offset=offset, size=size) for offset, size in pairs)
    end = 0
    for extent in extents:
        if extent.offset < end or extent.size <= 0 or extent.end > image_size:
            raise ValueError("extents out of order")
        end = extent.end
    return extents
