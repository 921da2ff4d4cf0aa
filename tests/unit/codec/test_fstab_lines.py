"""Lines of an fstab: fields, and changes that leave the rest as it is."""

import random

import pytest

from bundler.codec.fstab import (
    MAX_FSTAB_SIZE,
    FstabEntry,
    comment_line,
    entry_line,
    parse_fstab,
    render_fstab,
    with_fields,
)
from bundler.errors import InputError


def entry_of(line: bytes) -> FstabEntry | None:
    (parsed,) = parse_fstab(line)
    return parsed.entry


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"/dev/xvda1\t/  ext4 defaults 0 1\n", ("/dev/xvda1", "/", "ext4", ("defaults",))),
        (
            b" LABEL=a\\040b /x\\134y xfs ro,noatime",
            ("LABEL=a b", "/x\\y", "xfs", ("ro", "noatime")),
        ),
        (b'UUID="1-2" /boot/efi/ vfat', ("UUID=1-2", "/boot/efi", "vfat", ())),
        (b"proc //proc/./\r\n", ("proc", "/proc", "", ())),
        (b"/\xff none swap sw 0 0", ("/\udcff", "none", "swap", ("sw",))),
    ],
)
def test_entries(line: bytes, expected: tuple[str, str, str, tuple[str, ...]]) -> None:
    source, mount_point, type_, options = expected
    assert entry_of(line) == FstabEntry(
        source=source, mount_point=mount_point, type=type_, options=options
    )


@pytest.mark.parametrize(
    ("line", "is_rubbish"),
    [(b"\n", False), (b" \t\n", False), (b"  # x y z\n", False), (b"x\n", True), (b"\0", True)],
)
def test_lines_without_an_entry(line: bytes, is_rubbish: bool) -> None:
    (parsed,) = parse_fstab(line)
    assert (parsed.entry, parsed.is_rubbish) == (None, is_rubbish)


def test_any_bytes_stay_as_they_are() -> None:
    chance = random.Random(7)
    for _ in range(300):
        data = bytes(chance.choices(b"ab/=,\\04#\t \r\n\n\xff\0", k=chance.randrange(200)))
        assert render_fstab(parse_fstab(data)) == data
    with pytest.raises(InputError, match="at most"):
        parse_fstab(bytes(MAX_FSTAB_SIZE + 1))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"  a\t/ \text4   ro 0 1 # x\r\n", b"  UUID=1\t/ \txfs   rw,nofail 0 1 # x\r\n"),
        (b"a / ext4", b"UUID=1 / xfs rw,nofail"),
        (b"a /\n", b"UUID=1 / xfs rw,nofail\n"),
    ],
)
def test_fields_are_replaced_in_place(line: bytes, expected: bytes) -> None:
    (parsed,) = parse_fstab(line)
    new = with_fields(parsed, source="UUID=1", type_="xfs", options=("rw", "nofail"))
    assert new.raw == expected


def test_what_is_not_changed_keeps_its_spelling() -> None:
    (parsed,) = parse_fstab(b'LABEL="a" /b\\040c ext4\n')
    new = with_fields(parsed, source="LABEL=a", type_="ext4", options=("nofail",))
    assert new.raw == b'LABEL="a" /b\\040c ext4 nofail\n'
    (typeless,) = parse_fstab(b"a /b\n")
    assert with_fields(typeless, source="a", type_="", options=("ro",)).raw == b"a /b auto ro\n"


def test_new_lines_hold_one_line() -> None:
    assert entry_line("LABEL=a b\n/ x", "/").raw == b"LABEL=a\\040b\\012/\\040x\t/\n"
    assert comment_line("a\nUUID=x / ext4\udcff").raw == b"# a?UUID=x / ext4?\n"
