"""Mounts from /proc/self/mountinfo, and which of them are visible."""

import pytest

from bundler.codec.mountinfo import parse_mountinfo, visible_mounts
from bundler.errors import InputError
from bundler.model.volume import Mount

# The example of proc(5), with what the kernel escapes and a name that is no UTF-8.
EXAMPLE = (
    b"36 35 98:0 /mnt1 /mnt\\0402\\134\\011\xff rw,noatime master:1 propagate_from:2 - "
    b"ext3 /dev/root rw,errors=continue\n"
)


def test_fields() -> None:
    assert parse_mountinfo(EXAMPLE) == (
        Mount(
            mount_id=36,
            parent_id=35,
            device_number="98:0",
            root="/mnt1",
            mount_point="/mnt 2\\\t\udcff",
            type="ext3",
            source="/dev/root",
            options=("rw", "noatime", "rw", "errors=continue"),
        ),
    )
    (nameless,) = parse_mountinfo(b"1 1 0:1 / / rw - tmpfs  rw")
    assert (nameless.source, nameless.options) == ("", ("rw", "rw"))
    assert parse_mountinfo(b"") == ()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"36 35 98:0 / /mnt rw ext3 /dev/root rw", "line 2: expected six fields"),
        (b"36 35 98:0 / /mnt - ext3 /dev/root rw", "six fields"),
        (b"36 35 98:0 / /mnt rw - ext3 /dev/root", "six fields"),
        (b"x 35 98:0 / /mnt rw - ext3 /dev/root rw", "two numbers"),
        (b"36 -5 98:0 / /mnt rw - ext3 /dev/root rw", "two numbers"),
        (b"36 35 98 / /mnt rw - ext3 /dev/root rw", "device number"),
        (b"36 35 98:0 / mnt rw - ext3 /dev/root rw", "absolute"),
        (b"", "six fields"),
    ],
)
def test_bad_lines(line: bytes, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        parse_mountinfo(EXAMPLE + line + b"\n")


def visible(*lines: str) -> list[tuple[int, str]]:
    """Of lines "id parent mount-point"."""
    data = ""
    for line in lines:
        mount_id, parent_id, point = line.split()
        data += f"{mount_id} {parent_id} 8:{mount_id} / {point} rw - ext4 none rw\n"
    return [
        (one.mount_id, one.mount_point) for one in visible_mounts(parse_mountinfo(data.encode()))
    ]


def test_later_mounts_hide_earlier_ones() -> None:
    assert visible("1 0 /", "2 1 /a", "3 2 /a", "4 2 /a/b", "5 3 /a/c") == [
        (1, "/"),
        (3, "/a"),
        (5, "/a/c"),
    ]
    # The first one is below the directory that the second one is mounted on.
    assert visible("1 0 /", "2 1 /a/b", "3 1 /a", "4 2 /a/b/c") == [(1, "/"), (3, "/a")]
    assert visible("1 1 /", "2 1 /", "3 1 /old") == [(2, "/")]  # the rootfs, and the root


def test_a_view_without_a_root_and_parents_in_a_circle() -> None:
    assert visible("5 4 /home", "6 5 /home/x") == [(5, "/home"), (6, "/home/x")]
    assert visible("1 2 /", "2 1 /") == []
