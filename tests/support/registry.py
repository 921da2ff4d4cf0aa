"""Bundle store and image registry in memory."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha1
from typing import BinaryIO

from bundler.errors import AwsRefusedError, BundlerError
from bundler.model.image import Ami, ImageLocation, ImageState
from bundler.model.registration import Registration

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
    """Each call in order: "prepare", "put NAME", "flush", "cancel", "get NAME", "delete NAME"."""
    _failure: BundlerError | None = None
    _is_over: bool = False

    def prepare(self) -> None:
        self.calls.append("prepare")

    def put(self, name: str, body: BinaryIO, *, sha1: bytes) -> None:
        self.calls.append(f"put {name}")
        try:
            self._raise_failure()
            body.seek(0)
            content = body.read()
        finally:
            body.close()
        self._failure = self.put_failures.get(name)
        if self._failure is None:
            _check_sha1(name, content, sha1)
            self.objects[name] = content

    def flush(self) -> None:
        self.calls.append("flush")
        self._raise_failure()

    def cancel(self) -> None:
        self.calls.append("cancel")
        self._is_over = True

    def get(self, name: str) -> Iterator[bytes]:
        self.calls.append(f"get {name}")
        if name in self.get_failures:
            raise self.get_failures[name]
        if name not in self.objects:
            url = self.location.join(name).url
            raise AwsRefusedError(f"get {url}: no such key (NoSuchKey)", code="NoSuchKey")
        content = self.objects[name]
        for start in range(0, len(content), CHUNK_SIZE):
            yield content[start : start + CHUNK_SIZE]

    def list(self, prefix: str) -> Iterator[str]:
        self.calls.append(f"list {prefix}")
        yield from sorted(name for name in self.objects if name.startswith(prefix))

    def delete(self, name: str) -> None:
        self.calls.append(f"delete {name}")
        self.objects.pop(name, None)

    def _raise_failure(self) -> None:
        if self._is_over:
            raise RuntimeError("uploads were cancelled, or one has failed")
        if self._failure is not None:
            self._is_over = True
            raise self._failure


def _check_sha1(name: str, content: bytes, expected: bytes) -> None:
    got = sha1(content, usedforsecurity=False).digest()
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
