"""The order of the stages, written once, both ways.

image -> tar -> (SHA-1) -> gzip -> AES-128-CBC -> parts
"""

from collections.abc import Generator, Iterable, Iterator

from bundler.model.bundle import BundleKey, Chunk, CompressionLevel
from bundler.stages.aes import decrypt, encrypt
from bundler.stages.gzip import compress, decompress
from bundler.stages.read_ahead import read_ahead
from bundler.stages.tap import Tap


def seal(
    tar: Iterable[bytes],
    secret: BundleKey,
    digest: Tap,
    *,
    level: CompressionLevel,
    workers: int,
) -> Generator[bytes, None, None]:
    """Tar stream to bundled stream: digest, gzip, AES.  The digest covers the tar stream.

    Threads: one reads and hashes, `workers` deflate, the caller's encrypts.
    Closing the generator stops the threads.
    """
    return encrypt(compress(read_ahead(digest(tar)), level, workers=workers), secret)


def unseal(
    bundled: Iterable[bytes], secret: BundleKey, digest: Tap, *, workers: int
) -> Iterator[Chunk]:
    """Undo seal().

    Raises:
        VerificationError: wrong key, damaged or cut short.
    """
    return digest(decompress(decrypt(bundled, secret), workers=workers))
