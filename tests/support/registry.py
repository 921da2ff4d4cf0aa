"""Bundle store and image registry in memory."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha1
from typing import BinaryIO

from bundler.errors import (
    AwsRefusedError,
    BundlerError,
    ExistsError,
    InputError,
    VerificationError,
)
from bundler.model.image import Ami, ImageLocation, ImageState
from bundler.model.registration import Registration
from bundler.model.stored import StoredObject

CHUNK_SIZE = 1000
"""Bytes of a chunk that get() gives: few, so that many chunks are tried."""


@dataclass(slots=True)
class MemoryBundleStore:
    """A BundleStore that is a dict; `put_failures` and `get_failures` are by object name.

    A failure to put is raised by the next put() or flush(), as a real store does.
    """

    location: ImageLocation = field(
        default_factory=lambda: ImageLocation(bucket="bucket", key="prefix")
    )
    objects: dict[str, bytes] = field(default_factory=dict)
    put_failures: dict[str, BundlerError] = field(default_factory=dict)
    get_failures: dict[str, BundlerError] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    """Each call in order: "put NAME", "held NAME", "copy NAME", "grant NAME", "flush", "cancel",
    "get NAME", "head NAME", "list PREFIX", "delete NAME", "abort PREFIX"."""
    knows_sha1: bool = True
    """Whether head() tells a SHA-1, as S3 does, or none, as other servers."""
    unlisted: set[str] = field(default_factory=set)
    """Objects that a listing does not have yet."""
    copy_sources: dict[str, bytes] = field(default_factory=dict)
    """What copy() can copy, by its URL."""
    uploads: list[str] = field(default_factory=list)
    """Names of uploads in pieces, begun and never ended."""
    hides_uploads: bool = False
    concurrency: int = 1
    _failure: BundlerError | None = None
    _is_over: bool = False

    def put(
        self,
        name: str,
        body: BinaryIO,
        *,
        sha1: bytes,
        may_be_held: bool = False,
        only_new: bool = False,
    ) -> None:
        try:
            self._raise_failure()
            body.seek(0)
            content = body.read()
        finally:
            body.close()
        if may_be_held and self.objects.get(name) == content:
            self.calls.append(f"held {name}")
            return
        self.calls.append(f"put {name}")
        self._failure = self.put_failures.get(name)
        if only_new and name in self.objects:
            self._failure = ExistsError(f"put {name}: somebody else has put it there meanwhile")
        if self._failure is None:
            _check_sha1(name, content, sha1)
            self.objects[name] = content

    def copy(
        self,
        source: ImageLocation,
        name: str,
        *,
        sha1: bytes,
        stored: StoredObject,
        may_be_held: bool = False,
        only_new: bool = False,
    ) -> None:
        self._raise_failure()
        there = self._stored(name) if may_be_held and name in self.objects else None
        if there is not None and there.is_copy_of(stored, sha1=sha1):
            self.calls.append(f"held {name}")
            return
        self.calls.append(f"copy {name}")
        self._failure = self.put_failures.get(name)
        if only_new and name in self.objects:
            self._failure = ExistsError(f"copy {name}: somebody else has put it there meanwhile")
        if self._failure is None:
            content = self.copy_sources.get(source.url, b"")
            _check_sha1(name, content, sha1)
            self.objects[name] = content

    def grant(self, name: str) -> None:
        self._raise_failure()
        self.calls.append(f"grant {name}")

    def flush(self) -> None:
        self.calls.append("flush")
        self._raise_failure()

    def cancel(self) -> None:
        self.calls.append("cancel")
        self._is_over = True

    def fetch(
        self,
        name: str,
        file: BinaryIO,
        *,
        sha1: bytes,
        limit: int,
        advance: Callable[[int], object],
    ) -> int:
        url = self.location.join(name).url
        content = self._get(name)
        if len(content) > limit:
            raise VerificationError(
                f"get {url}: expected at most {limit} bytes, got {len(content)}"
            )
        got = hash_sha1(content)
        if got != sha1:
            raise VerificationError(f"get {url}: expected SHA1 {sha1.hex()}, got {got.hex()}")
        for start in range(0, len(content), CHUNK_SIZE):
            chunk = content[start : start + CHUNK_SIZE]
            file.write(chunk)
            advance(len(chunk))
        return len(content)

    def read(self, name: str, *, limit: int) -> bytes:
        content = self._get(name)
        if len(content) > limit:
            url = self.location.join(name).url
            raise InputError(f"get {url}: expected at most {limit} bytes, got {len(content)}")
        return content

    def head(self, name: str) -> StoredObject | None:
        self.calls.append(f"head {name}")
        return self._stored(name) if name in self.objects else None

    def list(self, prefix: str, *, is_deep: bool = True) -> Iterator[StoredObject]:
        self.calls.append(f"list {prefix}")
        for name in sorted(self.objects):
            is_meant = is_deep or "/" not in name.removeprefix(prefix)
            if name.startswith(prefix) and is_meant and name not in self.unlisted:
                yield replace(self._stored(name), sha1=b"")

    def delete(self, names: Sequence[str]) -> None:
        for name in names:
            self.calls.append(f"delete {name}")
            self.objects.pop(name, None)

    def abort_uploads(self, prefix: str, belongs: Callable[[str], bool]) -> int:
        self.calls.append(f"abort {prefix}")
        found = [name for name in self.list_uploads(prefix) or () if belongs(name)]
        self.uploads = [name for name in self.uploads if name not in found]
        return len(found)

    def list_uploads(self, prefix: str) -> tuple[str, ...] | None:
        if self.hides_uploads:
            return None
        return tuple(name for name in self.uploads if name.startswith(prefix))

    def _get(self, name: str) -> bytes:
        self.calls.append(f"get {name}")
        if name in self.get_failures:
            raise self.get_failures[name]
        if name not in self.objects:
            url = self.location.join(name).url
            raise AwsRefusedError(f"get {url}: no such key (NoSuchKey)", code="NoSuchKey")
        return self.objects[name]

    def _stored(self, name: str) -> StoredObject:
        content = self.objects[name]
        sha1 = hash_sha1(content) if self.knows_sha1 else b""
        return StoredObject(name=name, size=len(content), sha1=sha1)

    def _raise_failure(self) -> None:
        if self._is_over:
            raise RuntimeError("uploads were cancelled, or one has failed")
        if self._failure is not None:
            self._is_over = True
            raise self._failure


def hash_sha1(content: bytes) -> bytes:
    return sha1(content, usedforsecurity=False).digest()


def _check_sha1(name: str, content: bytes, expected: bytes) -> None:
    got = hash_sha1(content)
    assert got == expected, f"{name}: expected SHA-1 {expected.hex()}, got {got.hex()}"


@dataclass(slots=True)
class MemoryImageRegistry:
    """An ImageRegistry whose AMIs go through `states`, one a look; the last one stays.

    None is an AMI that EC2 does not know yet; an error is raised.
    """

    states: list[ImageState | BundlerError | None] = field(
        default_factory=lambda: [ImageState.AVAILABLE]
    )
    state_reason: str = ""
    register_failure: BundlerError | None = None
    registrations: list[Registration] = field(default_factory=list)

    def register(self, registration: Registration) -> str:
        if self.register_failure is not None:
            raise self.register_failure
        self.registrations.append(registration)
        return f"ami-{len(self.registrations):017x}"

    def find(self, name: str) -> Ami | None:
        for number, registration in enumerate(self.registrations, start=1):
            if registration.name == name:
                return self.describe(f"ami-{number:017x}")
        return None

    def list_own(self) -> Iterator[Ami]:
        for number in range(1, len(self.registrations) + 1):
            if (ami := self.describe(f"ami-{number:017x}")) is not None:
                yield ami

    def describe(self, image_id: str) -> Ami | None:
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if isinstance(state, BundlerError):
            raise state
        if state is None:
            return None
        registration = self.registrations[int(image_id.removeprefix("ami-"), 16) - 1]
        return Ami(
            image_id=image_id,
            name=registration.name,
            state=state,
            state_reason=self.state_reason,
            location=registration.location.path,
        )
