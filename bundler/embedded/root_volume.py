"""Bundle to root volume, as an instance's host does it; by code that our pipeline does not use.

EC2 opened bundles by openssl, gunzip and tar.  So does this, with other people's decryption,
inflation and tar, so that a fault that packing and unpacking share would show.
"""

import hashlib
import io
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7
from isal import isal_zlib

from bundler.errors import VerificationError
from bundler.model.bundle import MIB, BundleKey
from bundler.model.manifest import Manifest

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer

CHUNK_SIZE = MIB
"""Most bytes in flight between two steps, beside one part."""

_GZIP = 31
"""Window bits of a stream with a gzip header and trailer."""

_InflateError: type[Exception] = isal_zlib.error  # type: ignore[assignment]  # stub says value


@dataclass(frozen=True, slots=True, kw_only=True)
class RootVolume:
    """What an instance would boot from."""

    size: int
    """Bytes, holes included."""
    sha256: str
    """Hexadecimal; empty when EC2 had no key to open the bundle with."""


def rebuild_root_volume(
    manifest: Manifest, parts: Iterable[bytes], secret: BundleKey
) -> RootVolume:
    """Decrypt, inflate and untar a bundle; `parts` are verified bytes, one part after another.

    Raises:
        VerificationError: damaged, another key, not one file, or the manifest's digest or size
            does not hold.
    """
    subject = f"rebuild the root volume of {manifest.name}"
    stream = _HashedStream(_inflated(_decrypted(parts, secret)))
    volume_hash = hashlib.sha256()
    size = 0
    try:
        with tarfile.open(fileobj=stream, mode="r|", bufsize=CHUNK_SIZE) as archive:
            member = archive.next()
            file = archive.extractfile(member) if member else None
            if file is None:
                raise VerificationError(f"{subject}: expected a file in the archive, got none")
            while chunk := file.read(CHUNK_SIZE):
                volume_hash.update(chunk)
                size += len(chunk)
            if archive.next() is not None:
                raise VerificationError(f"{subject}: expected one file, got more behind it")
        while stream.read(CHUNK_SIZE):
            pass
    except (_InflateError, tarfile.TarError, ValueError) as error:
        raise VerificationError(f"{subject}: damaged, or another key: {error}") from error
    if size != manifest.size:
        raise VerificationError(f"{subject}: expected {manifest.size} bytes, got {size}")
    if stream.sha1 != manifest.digest.value:
        raise VerificationError(f"{subject}: the digest of the tar stream does not hold")
    return RootVolume(size=size, sha256=volume_hash.hexdigest())


def _decrypted(parts: Iterable[bytes], secret: BundleKey) -> Iterator[bytes]:
    decryptor = Cipher(AES128(secret.key), CBC(secret.iv)).decryptor()
    unpadder = PKCS7(AES128.block_size).unpadder()
    for part in parts:
        yield unpadder.update(decryptor.update(part))
    yield unpadder.update(decryptor.finalize()) + unpadder.finalize()


def _inflated(chunks: Iterable[bytes]) -> Iterator[bytes]:
    inflater = isal_zlib.decompressobj(wbits=_GZIP)
    for chunk in chunks:
        waiting = chunk
        while waiting and not inflater.eof:
            yield inflater.decompress(waiting, CHUNK_SIZE)
            waiting = inflater.unconsumed_tail
        if inflater.unused_data or (waiting and inflater.eof):
            raise ValueError("gunzip: more bytes behind the end of the stream")
    yield inflater.flush()
    if not inflater.eof:
        raise ValueError("gunzip: the stream is cut short")


class _HashedStream(io.RawIOBase):
    """Chunks as a file that is read once; what has been read is hashed (SHA-1)."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._held = memoryview(b"")
        self._sha1 = hashlib.sha1(usedforsecurity=False)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "Buffer", /) -> int:
        target = memoryview(buffer).cast("B")
        while not self._held:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._sha1.update(chunk)
            self._held = memoryview(chunk)
        size = min(len(target), len(self._held))
        target[:size] = self._held[:size]
        self._held = self._held[size:]
        return size

    @property
    def sha1(self) -> bytes:
        """Of all chunks taken so far."""
        return self._sha1.digest()
