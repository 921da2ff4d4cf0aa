"""Bundles small enough to have many: validly signed manifests over parts of any bytes."""

from collections.abc import Sequence

from bundler.model.file_name import manifest_name, part_names
from tests.support.bundles import describe_bundle, sha1_hex

TAR_DIGEST = sha1_hex(b"tar")


def small_parts(name: str, count: int, size: int = 10) -> list[bytes]:
    """Parts of `size` bytes, each another."""
    return [f"{name} {index}".encode().ljust(size, b".")[:size] for index in range(count)]


def small_manifest(
    name: str, parts: Sequence[bytes], *, names: Sequence[str] = (), bundled_size: int = 0
) -> bytes:
    """A manifest of these parts, which may be told to have other names, or another size."""
    text = describe_bundle(name, parts, size=4096, tar_digest=TAR_DIGEST)
    told = names or part_names(name, len(parts))
    document = text.render()
    for true, other in zip(part_names(name, len(parts)), told, strict=True):
        document = document.replace(f">{true}<".encode(), f">{other}<".encode())
    if bundled_size:
        size = f"<bundled_size>{sum(map(len, parts))}<"
        document = document.replace(size.encode(), f"<bundled_size>{bundled_size}<".encode())
    return document


def small_bundle(
    name: str, count: int = 3, *, folder: str = "", size: int = 10
) -> dict[str, bytes]:
    """The objects of a whole bundle by their keys; `folder` ends in a slash."""
    parts = small_parts(name, count, size)
    files = dict(zip(part_names(name, count), parts, strict=True))
    files[manifest_name(name)] = small_manifest(name, parts)
    return {folder + file_name: body for file_name, body in files.items()}
