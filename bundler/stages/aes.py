"""AES-128-CBC with PKCS#7 padding, no salt header: what `openssl enc -K -iv` does."""

from collections.abc import Generator, Iterable, Iterator

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CBC

from bundler.errors import VerificationError
from bundler.model.bundle import BundleKey, Chunk

BLOCK_SIZE = 16
"""Bytes of an AES block."""


def encrypt(chunks: Iterable[Chunk], secret: BundleKey) -> Generator[bytes, None, None]:
    """Encrypt a stream; its length grows to the next multiple of BLOCK_SIZE above it."""
    encryptor = Cipher(AES128(secret.key), CBC(secret.iv)).encryptor()
    size = 0
    for chunk in chunks:
        size += len(chunk)
        yield encryptor.update(chunk)
    padding = BLOCK_SIZE - size % BLOCK_SIZE
    yield encryptor.update(bytes([padding]) * padding) + encryptor.finalize()


def decrypt(chunks: Iterable[bytes], secret: BundleKey) -> Iterator[bytes]:
    """Undo encrypt().

    Raises:
        VerificationError: the length or the padding is not one that encrypt() makes.
    """
    decryptor = Cipher(AES128(secret.key), CBC(secret.iv)).decryptor()
    tail = b""
    size = 0
    for chunk in chunks:
        size += len(chunk)
        text = decryptor.update(chunk)
        if text:
            # The padding shows only at the end, so the last block waits for what follows.
            if tail:
                yield tail
            yield text[:-BLOCK_SIZE]
            tail = text[-BLOCK_SIZE:]
    if size % BLOCK_SIZE or not tail:
        raise VerificationError(f"decrypt: {size} bytes are not a whole number of AES blocks")
    decryptor.finalize()
    padding = tail[-1]
    if not 1 <= padding <= BLOCK_SIZE or tail[-padding:] != bytes([padding]) * padding:
        raise VerificationError("decrypt: the padding does not hold: damaged, or wrong key")
    yield tail[:-padding]
