"""Look into a file of a volume: whether it is swap space, or a secret.

How much is read: of each file of 40 KiB or more the place of a swap area's signature; of each
file the first 8 KiB, which tell text from other data; text up to 8 MiB; what begins as a key
store, key ring or key in DER does, up to 8 MiB.  Other data (programs, archives, databases) is
not looked at, nor what is packed or encrypted.
"""

import os
import re

from bundler.codec.secret_formats import describe_secret_format, is_pkcs12
from bundler.codec.secrets import Secret, find_secret_text
from bundler.model.bundle import MIB

MAX_READ_SIZE = 8 * MIB
"""Most bytes that are read of a file; our choice."""

_HEAD_SIZE = 8192
_SWAP_SIGNATURES = (b"SWAPSPACE2", b"SWAP-SPACE", b"S1SUSPEND\0")
"""At the end of the first page; the last is of a machine that sleeps.  Source: libblkid."""

_PAGE_SIZES = (4096, 8192, 16384, 65536)
_MIN_SWAP_PAGES = 10
_BINARY_BEGINNINGS = frozenset((0x30, 0xFE, 0xCE, 0xC5, 0xC7, *range(0x94, 0xA0)))
"""First bytes of DER, of Java's key stores, and of OpenPGP's secret keys."""

_HASH = re.compile(rb"^[^:\n]*:(?:\$[^:\n]+|_?[./A-Za-z0-9]{13,20}):", re.MULTILINE)
_HASH_FILES = frozenset((b"etc/shadow", b"etc/shadow-", b"etc/gshadow", b"etc/gshadow-"))
_PROGRAM_SUFFIXES = (
    *(b".py", b".pyi", b".js", b".mjs", b".cjs", b".ts", b".rb", b".pl", b".pm", b".t", b".go"),
    *(b".c", b".h", b".cc", b".cpp", b".hpp", b".java", b".php", b".lua", b".tcl", b".sh", b".el"),
    *(b".rs", b".html", b".htm", b".md", b".rst", b".txt", b".info", b".pod", b".xml", b".adoc"),
)


def is_swap(descriptor: int, size: int) -> bool:
    """Whether an open file of `size` bytes is a swap area.

    Raises:
        OSError: it cannot be read.
    """
    for page_size in _PAGE_SIZES:
        if size < _MIN_SWAP_PAGES * page_size:
            return False
        if os.pread(descriptor, 10, page_size - 10) in _SWAP_SIGNATURES:
            return True
    return False


def find_secret(descriptor: int, size: int, path: bytes) -> Secret | None:
    """What secret an open file of `size` bytes is or has.

    A key in a program's or manual's text below /usr, which packages fill, is but suspicious:
    it is one of a test or an example, and without the file the program may fail.

    Raises:
        OSError: it cannot be read.
    """
    secret = _find_any(descriptor, size, path)
    is_of_package = path.startswith(b"usr/") and not path.startswith(b"usr/local/")
    if secret is None or not secret.is_certain:
        return secret
    if is_of_package and path.lower().endswith(_PROGRAM_SUFFIXES):
        return Secret(reason=f"{secret.reason}, in a program or manual", is_certain=False)
    return secret


def _find_any(descriptor: int, size: int, path: bytes) -> Secret | None:
    head = os.pread(descriptor, _HEAD_SIZE, 0)
    if not head:
        return None
    if head[0] in _BINARY_BEGINNINGS:
        whole = _read(descriptor, head)
        reason = describe_secret_format(whole)
        if reason:
            return Secret(reason=reason)
        if is_pkcs12(head):
            return Secret(
                reason="PKCS#12: certificates, or keys under a password", is_certain=False
            )
    if b"\0" in head:
        return None
    text = _read(descriptor, head)
    secret = find_secret_text(text)
    if secret is not None:
        return secret
    if path in _HASH_FILES and _HASH.search(text):
        return Secret(reason="password hashes", is_certain=False)
    if len(text) >= MAX_READ_SIZE and size > MAX_READ_SIZE:
        reason = f"large: only the first {MAX_READ_SIZE // MIB} MiB were looked at"
        return Secret(reason=reason, is_certain=False)
    return None


def _read(descriptor: int, head: bytes) -> bytes:
    """All of the file, but at most MAX_READ_SIZE bytes."""
    if len(head) < _HEAD_SIZE:
        return head
    pieces, size = [head], len(head)
    while size < MAX_READ_SIZE and (piece := os.pread(descriptor, MAX_READ_SIZE - size, size)):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)
