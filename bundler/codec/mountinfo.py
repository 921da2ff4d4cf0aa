"""The mounts of a mount namespace, as /proc/self/mountinfo lists them.

Source: proc(5), and the kernel's Documentation/filesystems/proc.rst.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

from bundler.errors import InputError
from bundler.model.volume import Mount

MAX_MOUNT_COUNT = 200_000
"""Most mounts of a namespace; our choice: twice the kernel's default (fs.mount-max)."""

_ESCAPE = re.compile(rb"\\([0-3][0-7]{2})")
_NUMBER = re.compile(rb"[0-9]{1,10}")
_DEVICE_NUMBER = re.compile(rb"[0-9]{1,10}:[0-9]{1,10}")


def parse_mountinfo(data: bytes) -> tuple[Mount, ...]:
    """All mounts in the kernel's order, hidden ones too; names are decoded as file names are.

    Raises:
        InputError: a line is not what the kernel writes, or there are too many.
    """
    lines = data.removesuffix(b"\n").split(b"\n") if data else []
    if len(lines) > MAX_MOUNT_COUNT:
        raise InputError(f"read mountinfo: expected at most {MAX_MOUNT_COUNT} mounts, got more")
    return tuple(_parse_line(line, number) for number, line in enumerate(lines, 1))


def visible_mounts(mounts: Iterable[Mount]) -> tuple[Mount, ...]:
    """Those that a path leads to: none that another one was mounted over later."""
    by_id = {mount.mount_id: mount for mount in mounts}
    children: dict[int, list[Mount]] = defaultdict(list)
    tops = []
    for mount in by_id.values():
        if mount.parent_id in by_id and mount.parent_id != mount.mount_id:
            children[mount.parent_id].append(mount)
        else:
            tops.append(mount)
    found, waiting = [], list(_uncovered(tops))
    while waiting:  # a mount has one parent, so that none can come twice
        mount = waiting.pop()
        over = [one for one in children[mount.mount_id] if one.mount_point == mount.mount_point]
        if over:
            waiting.append(over[-1])
            continue
        found.append(mount)
        waiting.extend(_uncovered(children[mount.mount_id]))
    return tuple(sorted(found, key=lambda mount: mount.mount_point))


def ancestors(path: str) -> Iterator[str]:
    """The directories above an absolute path, the nearest first; none of "/"."""
    while path != "/":
        path = path[: path.rfind("/")] or "/"
        yield path


def _uncovered(siblings: list[Mount]) -> Iterator[Mount]:
    """Mounts on the same one, without those on a directory that another one hides."""
    by_point = {mount.mount_point: mount for mount in siblings}
    for mount in by_point.values():
        if not any(above in by_point for above in ancestors(mount.mount_point)):
            yield mount


def _parse_line(line: bytes, number: int) -> Mount:
    before, separator, after = line.partition(b" - ")
    fields, rest = before.split(b" "), after.split(b" ", 2)
    if not separator or len(fields) < 6 or len(rest) != 3:
        raise InputError(f"read mountinfo: line {number}: expected six fields, ' - ' and three")
    mount_id, parent_id, device_number, root, mount_point, options = fields[:6]
    if not _NUMBER.fullmatch(mount_id) or not _NUMBER.fullmatch(parent_id):
        raise InputError(f"read mountinfo: line {number}: expected two numbers at its start")
    if not _DEVICE_NUMBER.fullmatch(device_number):
        raise InputError(f"read mountinfo: line {number}: expected a device number, such as 8:1")
    if not mount_point.startswith(b"/"):
        raise InputError(f"read mountinfo: line {number}: expected an absolute path")
    kind, source, super_options = rest
    return Mount(
        mount_id=int(mount_id),
        parent_id=int(parent_id),
        device_number=device_number.decode(),
        root=_decode(root),
        mount_point=_decode(mount_point),
        type=_decode(kind),
        source=_decode(source),
        options=tuple(
            _decode(word) for words in (options, super_options) for word in words.split(b",")
        ),
    )


def _decode(word: bytes) -> str:
    """Undo the kernel's octal escapes; bytes that are no UTF-8 stay, as os.fsdecode() has them."""
    plain = _ESCAPE.sub(lambda match: bytes((int(match[1], 8),)), word)
    return plain.decode(errors="surrogateescape")
