"""Make the images that the benchmark bundles: ext4 file systems that are the same every time.

Data comes from a directory of this machine or from a seed.  The files are staged in a temporary
directory and put into the image by mke2fs; time stamps, owners, UUID and hash seed are fixed.
"""

import gzip
import hashlib
import os
import random
import shutil
import stat
import sys
import sysconfig
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from benchmark.process import need_tool, run

BLOCK_SIZE = 4096
"""Bytes per ext4 block."""
EPOCH = 1_700_000_000
"""Seconds: every time stamp in an image."""
MIB = 1024 * 1024
RECIPE = 1
"""Counts up when images made of the same plan change."""

_UUID = "5dc1a8b5-7cb0-4c08-9d2b-2a1f0c6f5e11"
_MKFS_ENV = {"SOURCE_DATE_EPOCH": str(EPOCH), "E2FSPROGS_FAKE_TIME": str(EPOCH)}
_TEXT_SHARE, _GZIP_SHARE, _ZERO_SHARE, _GARBAGE_SHARE = 0.33, 0.12, 0.04, 0.06
"""Shares of a synthetic image's data; the rest is programs."""
_WORD_COUNT, _SUCCESSOR_COUNT = 6000, 120
_FIRST_INODE = 12
"""The first inode that mke2fs gives to a file; 11 is lost+found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePlan:
    """What to put into an image."""

    source: Path | None
    """Directory to take files from; None: make them from the seed."""
    data_size: int
    """Bytes of data, about."""
    image_size: int
    """Bytes of the image, holes included."""
    seed: int = 20071010

    def key(self) -> str:
        """Name of the image of this plan in the cache."""
        words = (RECIPE, self.source, self.data_size, self.image_size, self.seed)
        python = "" if self.source else sys.version
        digest = hashlib.sha256(f"{words} {python}".encode()).hexdigest()[:16]
        return f"{'synthetic' if self.source is None else 'from'}-{digest}"


def default_image_size(data_size: int) -> int:
    """Size of the image for so much data: 1.4 times as big, a multiple of 64 MiB."""
    step = 64 * MIB
    return -(-data_size * 14 // 10 // step) * step


def build_image(plan: ImagePlan, work_dir: Path) -> Path:
    """Make the image of a plan in `work_dir`, or find the one made before.

    Raises:
        BenchError: mke2fs or debugfs is missing or failed.
    """
    image = work_dir / f"{plan.key()}.img"
    if image.exists():
        return image
    with tempfile.TemporaryDirectory(dir=work_dir, prefix="build-") as directory:
        root, unfinished = Path(directory) / "root", Path(directory) / "image"
        root.mkdir()
        if plan.source is None:
            _fill_synthetic(plan, root)
        else:
            _fill_from(plan.source, root, plan.data_size)
        _make_filesystem(plan, root, unfinished)
        if plan.source is None:
            _zero_file(unfinished, "zeros")
            _delete(unfinished, sorted((root / "garbage").iterdir()))
        unfinished.rename(image)
    return image


def write_scattered(path: Path, *, image_size: int, data_size: int, places: int) -> None:
    """Make a sparse file with synthetic data in `places` evenly spread pieces."""
    piece_size = data_size // places // BLOCK_SIZE * BLOCK_SIZE
    stream = _Mixture(seed=places)
    with path.open("wb") as file:
        file.truncate(image_size)
        for place in range(places):
            file.seek(image_size * place // places // BLOCK_SIZE * BLOCK_SIZE)
            file.write(stream.read(piece_size))


# Data from a directory


def _fill_from(source: Path, root: Path, budget: int) -> None:
    """Copy files in an order that looks random but is always the same, up to `budget` bytes."""
    left = budget
    for path in sorted(_regular_files(source), key=lambda path: zlib.crc32(os.fsencode(path))):
        size = -(-path.stat().st_size // BLOCK_SIZE) * BLOCK_SIZE
        if size > left:
            continue
        left -= size
        target = root / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        target.chmod(stat.S_IMODE(path.stat().st_mode) | stat.S_IRUSR | stat.S_IWUSR)
        if left < 16 * BLOCK_SIZE:
            break


def _regular_files(source: Path) -> Iterator[Path]:
    """Readable regular files below `source`, sorted; of hard links the first."""
    seen: set[tuple[int, int]] = set()
    for directory, names, files in os.walk(source):
        names.sort()
        for name in sorted(files):
            path = Path(directory, name)
            status = path.lstat()
            identity = (status.st_dev, status.st_ino)
            if not stat.S_ISREG(status.st_mode) or identity in seen or not os.access(path, os.R_OK):
                continue
            seen.add(identity)
            yield path


# Data from a seed


class _Text:
    """Pseudo-text: words of syllables, where each word has few successors."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  test data, not a secret
        pick = self._random
        syllables = [a + b + c for a in "bdfglmnprst" for b in "aeiou" for c in ("", "n", "s")]
        ends = [" "] * 12 + [", ", ". ", "\n"]
        self._words = [
            "".join(pick.choices(syllables, k=pick.choice((1, 2, 2, 3, 4)))) + pick.choice(ends)
            for _ in range(_WORD_COUNT)
        ]
        ranks = [1 / (rank + 3) for rank in range(_WORD_COUNT)]
        self._successors = [
            pick.choices(range(_WORD_COUNT), ranks, k=_SUCCESSOR_COUNT) for _ in range(_WORD_COUNT)
        ]
        self._word = 0

    def read(self, size: int) -> bytes:
        """The next `size` bytes."""
        parts: list[str] = []
        left, word = size, self._word
        while left > 0:
            for choice in self._random.choices(range(_SUCCESSOR_COUNT), k=1024):
                word = self._successors[word][choice]
                parts.append(self._words[word])
                left -= len(parts[-1])
        self._word = word
        return "".join(parts).encode("ascii")[:size]


class _Programs:
    """Python's executable, libraries and modules, over and over."""

    def __init__(self) -> None:
        stdlib = Path(sysconfig.get_path("stdlib"))
        modules = (path for path in _regular_files(stdlib) if path.suffix in (".py", ".so"))
        kept = [path for path in modules if "site-packages" not in path.parts]
        self._files = cycle([Path(sys.executable).resolve(), *kept])
        self._buffer = b""

    def read(self, size: int) -> bytes:
        """The next `size` bytes."""
        while len(self._buffer) < size:
            self._buffer += next(self._files).read_bytes()
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data


class _Mixture:
    """Text, programs and compressed files, by shares, in pieces of a file's size."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  test data, not a secret
        self.text = _Text(seed)
        self.programs = _Programs()
        self._buffer = bytearray()

    def compressed(self, size: int) -> bytes:
        """Gzip files of text and programs, `size` bytes."""
        pieces: list[bytes] = []
        while sum(map(len, pieces)) < size:
            plain = self.text.read(128 * 1024) + self.programs.read(128 * 1024)
            pieces.append(gzip.compress(plain, 6, mtime=0))
        return b"".join(pieces)[:size]

    def read(self, size: int) -> bytes:
        """The next `size` bytes of all kinds mixed."""
        shares = (_TEXT_SHARE, 1 - _TEXT_SHARE - _GZIP_SHARE, _GZIP_SHARE)
        while len(self._buffer) < size:
            kinds = (self.text.read, self.programs.read, self.compressed)
            (kind,) = self._random.choices(kinds, shares)
            self._buffer += kind(64 * 1024)
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def garbage(self, size: int) -> bytes:
        """Half random bytes, half text: what deleted files leave behind."""
        return self._random.randbytes(size // 2) + self.text.read(size - size // 2)

    def file_size(self) -> int:
        """A file's size: many small, a few large."""
        return min(int(self._random.lognormvariate(9.5, 1.6)) + 1, 4 * MIB)


def _fill_synthetic(plan: ImagePlan, root: Path) -> None:
    """Write text, programs, compressed files, a file to be zeroed and files to be deleted."""
    mixture = _Mixture(plan.seed)
    rest = 1 - _TEXT_SHARE - _GZIP_SHARE - _ZERO_SHARE - _GARBAGE_SHARE
    kinds = {
        "text": (_TEXT_SHARE, mixture.text.read),
        "programs": (rest, mixture.programs.read),
        "compressed": (_GZIP_SHARE, mixture.compressed),
        "garbage": (_GARBAGE_SHARE, mixture.garbage),
    }
    for name, (share, read) in kinds.items():
        directory = root / name
        directory.mkdir()
        left, index = int(plan.data_size * share), 0
        while left > 0:
            size = mixture.file_size()
            (directory / f"{index:06}").write_bytes(read(size))
            left -= -(-size // BLOCK_SIZE) * BLOCK_SIZE
            index += 1
    zero_size = int(plan.data_size * _ZERO_SHARE)
    (root / "zeros").write_bytes(b"\xff" * zero_size)  # zeroed later: mke2fs makes zeros a hole


# The file system


def _make_filesystem(plan: ImagePlan, root: Path, image: Path) -> None:
    """Put the files below `root` into a new ext4 file system, reproducibly."""
    paths = sorted(root.rglob("*"), reverse=True)
    for path in (*paths, root):
        if path.is_dir():
            path.chmod(0o755)
        os.utime(path, (EPOCH, EPOCH))
    with image.open("wb") as file:
        file.truncate(plan.image_size)
    extended = f"hash_seed={_UUID},root_owner=0:0,lazy_itable_init=1,lazy_journal_init=1"
    inode_count = max(4096, len(paths) * 5 // 4)
    argv = [need_tool("mke2fs"), "-q", "-F", "-t", "ext4", "-b", str(BLOCK_SIZE), "-U", _UUID]
    argv += ["-N", str(inode_count), "-E", extended, "-d", str(root), str(image)]
    run(argv, env=_MKFS_ENV)
    # mke2fs copies owner and change time from the staged file, and these cannot be staged.
    last_inode = _FIRST_INODE + len(paths)
    fields = (("uid", "0"), ("gid", "0"), ("ctime", f"@{EPOCH}"))
    commands = (
        f"sif <{inode}> {field} {value}"
        for inode in range(_FIRST_INODE, last_inode)
        for field, value in fields
    )
    _debugfs(image, commands)


def _zero_file(image: Path, name: str) -> None:
    """Overwrite a file's blocks with zeros that are data, not a hole."""
    listing = run((need_tool("debugfs"), "-R", f"blocks /{name}", str(image)), env=_MKFS_ENV)
    with image.open("r+b") as file:
        for block in listing.split():
            file.seek(int(block) * BLOCK_SIZE)
            file.write(bytes(BLOCK_SIZE))


def _delete(image: Path, paths: list[Path]) -> None:
    """Delete staged files from the image; what was in them stays in its free blocks."""
    _debugfs(image, (f"rm /{path.parent.name}/{path.name}" for path in paths))


def _debugfs(image: Path, commands: Iterator[str]) -> None:
    script = image.with_name("debugfs-commands")
    script.write_text("".join(f"{command}\n" for command in commands), encoding="ascii")
    run((need_tool("debugfs"), "-w", "-f", str(script), str(image)), env=_MKFS_ENV)
