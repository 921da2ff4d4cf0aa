"""Boot loaders' configuration, rewritten for the disk of an image.

Only what is understood changes, byte for byte; the rest stays as it is.  The root file system is
named by UUID (or label), as device names differ between instances.  Sources: the manuals of GRUB
and GRUB Legacy, the Boot Loader Specification, syslinux(1), dracut.cmdline(7),
kernel-parameters.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

MAX_NOTE_COUNT = 20
"""Most notes about one file; our choice."""


class BootConfigKind(StrEnum):
    """Files that say how a system is booted."""

    GRUB = "grub"
    """grub.cfg, of /boot or of the ESP."""
    DEFAULTS = "defaults"
    """/etc/default/grub and the like: shell variables."""
    ENVIRONMENT = "environment"
    """grubenv: a block of fixed size."""
    COMMAND_LINE = "command line"
    """/etc/kernel/cmdline."""
    ENTRY = "entry"
    """A file of loader/entries."""
    SYSLINUX = "syslinux"
    """extlinux.conf, syslinux.cfg."""
    LEGACY = "legacy"
    """menu.lst or grub.conf of GRUB Legacy and PV-GRUB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BootNames:
    """By what names a boot loader finds the file systems of an image."""

    root_uuid: str
    """Of the root file system."""
    boot_uuid: str
    """Of the file system that has /boot: the same, if /boot is none of its own."""
    root_label: str = ""
    root_type: str = ""
    """The kernel's word, such as "ext4"; empty: not known."""
    root_partition_uuid: str = ""
    """PARTUUID; empty without a partition table."""
    uuids: frozenset[str] = frozenset()
    """Of all file systems of the image, lower case."""
    boot_path: str = "/boot"
    """Where /boot is in the file system that has it: "/boot", or empty if it is one of its own."""
    boot_files: frozenset[str] = frozenset()
    """Names of the files in /boot."""
    legacy_device: str = "(hd0)"
    """GRUB Legacy's name of the file system that has /boot, such as "(hd0,0)"."""

    @property
    def has_initramfs(self) -> bool:
        """Without one the kernel itself finds the root: it knows no UUID of a file system."""
        return any(name.startswith(("initrd", "initramfs")) for name in self.boot_files)


def rewrite_boot_config(
    data: bytes, kind: BootConfigKind, names: BootNames
) -> tuple[bytes, tuple[str, ...]]:
    """The file for the image's disk, and what has changed, a line of text each."""
    rewriter = _Rewriter(kind=kind, names=names, old_roots=_old_roots(data))
    if kind is BootConfigKind.ENVIRONMENT:
        new = _rewrite_environment(data, rewriter)
    else:
        new = b"".join(map(rewriter.line, data.splitlines(keepends=True)))
    return new, tuple(rewriter.notes)


def needs_names(data: bytes) -> bool:
    """Whether a configuration names a device of this machine that no other one has."""
    return _LOOP.search(data) is not None


_VALUE = rb"[^\s\"'\\$;]+"
_ROOT = re.compile(rb"(?<![\w.-])root=((?:(?:PART)?(?:UUID|LABEL)=|/)" + _VALUE + rb")")
_UUID_ROOT = re.compile(rb"(?<![\w.-])root=UUID=([0-9A-Fa-f-]{9,36})")
_DROPPED = re.compile(
    rb"(?<![\w.-])(?:resume|resume_offset|rd\.lvm\.[lv][vg]|rd\.luks[\w.]*|rd\.md\.uuid)="
    + _VALUE
    + rb"[ \t]?"
)
"""Of disks that the image does not have: swap, LVM, LUKS, MD."""
_ROOT_FLAGS = re.compile(rb"(?<![\w.-])rootflags=(" + _VALUE + rb")[ \t]?")
_ROOT_TYPE = re.compile(rb"(?<![\w.-])rootfstype=(" + _VALUE + rb")[ \t]?")
_NO_DEVICES = (b"/dev/nfs", b"/dev/ram", b"/dev/cifs")

_SEARCH = re.compile(rb"\s*search(?:\.fs_uuid\s|\s(?=.*(?:--fs-uuid|-[a-z]*u\b)))|\s*uuid\s")
_UUID = re.compile(
    rb"(?<![\w-])(?:[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|"
    rb"[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}|[0-9A-Fa-f]{16})(?![\w-])"
)
_LOOP = re.compile(rb"\s--hint[\w-]*=\S*loop\d+\S*|hostdisk//dev/\S+")
_PREFIX = re.compile(rb"(\s*set\s+prefix=\(\$root\)'?)((?:/[^\s/']+)*)/(grub2?)(?=['\s]|$)")
_FORCED = re.compile(rb"(\s*(?:export\s+)?GRUB_FORCE_PARTUUID=[\"']?)([\w-]+)")

_FILE_COMMAND = re.compile(
    rb"\s*(?:linux|linux16|linuxefi|initrd|initrd16|initrdefi|kernel|fdt|devicetree|multiboot2?"
    rb"|module2?)\s",
    re.IGNORECASE,
)
_FILE = re.compile(rb"(?<!\S)(\([^()\s]*\))?((?:/[^/\s]+)*)/([^/\s]+)(?=\s|$)")
_LEGACY_DEVICE = re.compile(rb"\(hd0(?:,\d+)?\)")
_LEGACY_COMMAND = re.compile(
    rb"\s*(?:root|rootnoverify|kernel|initrd|module|splashimage)\b|# groot="
)
_LEGACY_MAGIC = re.compile(rb"# k?groot=|# kopt(?:_\w+)?=|# defoptions=|# (?:xen)?kopt=")
"""Comments that Debian's update-grub of GRUB Legacy reads.  Source: update-grub(8)."""

_ENVIRONMENT_HEADER = b"# GRUB Environment Block\n"
_OTHER_SYSTEMS = b"/etc/grub.d/30_os-prober ###"


def _old_roots(data: bytes) -> frozenset[str]:
    """UUIDs that the configuration gives to root=, lower case."""
    return frozenset(found.decode().lower() for found in _UUID_ROOT.findall(data))


@dataclass(slots=True, kw_only=True)
class _Rewriter:
    """One file's rewriting: what has been said, and where in it we are."""

    kind: BootConfigKind
    names: BootNames
    old_roots: frozenset[str]
    is_of_other_system: bool = False
    notes: list[str] = field(default_factory=list)

    def line(self, line: bytes) -> bytes:
        """A line, with its end."""
        if self._is_left(line):
            return line
        for change in self._changes():
            line = change(line)
        return line

    def _changes(self) -> tuple[Callable[[bytes], bytes], ...]:
        words = (self._root, self._dropped, self._root_flags, self._root_type)
        match self.kind:
            case BootConfigKind.GRUB:
                return (self._search, self._loops, self._prefix, self._files, *words)
            case BootConfigKind.ENTRY | BootConfigKind.SYSLINUX:
                return (self._files, *words)
            case BootConfigKind.LEGACY:
                return (self._search, self._legacy_device, self._files, *words)
            case BootConfigKind.DEFAULTS:
                return (self._forced, *words)
            case _:
                return words

    def _is_left(self, line: bytes) -> bool:
        """Comments, and what another system's menu entries are, if they were found."""
        if self.kind is BootConfigKind.GRUB and _OTHER_SYSTEMS in line:
            self.is_of_other_system = line.startswith(b"### BEGIN")
        if self.kind is BootConfigKind.LEGACY and _LEGACY_MAGIC.match(line):
            return False
        is_comment = line.lstrip().startswith(b"#")
        return self.is_of_other_system or is_comment

    def _note(self, old: bytes, new: str) -> None:
        text = "".join(c if c.isprintable() else "?" for c in old.decode(errors="replace").strip())
        note = f"{text[:200]} is now {new}" if new else f"{text[:200]} is left out"
        if note not in self.notes and len(self.notes) < MAX_NOTE_COUNT:
            self.notes.append(note)

    def _root(self, line: bytes) -> bytes:
        def replace(match: re.Match[bytes]) -> bytes:
            new = _new_root(match[1], self.names)
            if new == match[1]:
                return match[0]
            self._note(match[0], f"root={new.decode()}")
            return b"root=" + new

        return _ROOT.sub(replace, line)

    def _dropped(self, line: bytes) -> bytes:
        for match in _DROPPED.finditer(line):
            self._note(match[0], "")
        return _DROPPED.sub(b"", line)

    def _root_flags(self, line: bytes) -> bytes:
        def replace(match: re.Match[bytes]) -> bytes:
            flags = match[1].split(b",")
            kept = [flag for flag in flags if not flag.startswith((b"subvol=", b"subvolid="))]
            if kept == flags:
                return match[0]
            end = match[0][len(match[0].rstrip()) :]
            new = b"rootflags=" + b",".join(kept) if kept else b""
            self._note(match[0], new.decode(errors="replace"))
            return new + end if new else b""

        return _ROOT_FLAGS.sub(replace, line)

    def _root_type(self, line: bytes) -> bytes:
        def replace(match: re.Match[bytes]) -> bytes:
            if not self.names.root_type or self.names.root_type.encode() in match[1].split(b","):
                return match[0]
            self._note(match[0], "")
            return b""

        return _ROOT_TYPE.sub(replace, line)

    def _search(self, line: bytes) -> bytes:
        def replace(match: re.Match[bytes]) -> bytes:
            old = match[0].decode().lower()
            if old in self.names.uuids:
                return match[0]
            # With a /boot of its own, the root file system is searched for fonts.
            is_root = old in self.old_roots and self.names.boot_path == ""
            new = self.names.root_uuid if is_root else self.names.boot_uuid
            self._note(b"search for " + match[0], new)
            return new.encode()

        return _UUID.sub(replace, line) if _SEARCH.match(line) else line

    def _loops(self, line: bytes) -> bytes:
        if b"=" in line and re.match(rb"\s*set\s+root=\S*loop\d", line):
            return b""
        return _LOOP.sub(b"", line)

    def _prefix(self, line: bytes) -> bytes:
        return _PREFIX.sub(rb"\1" + self.names.boot_path.encode() + rb"/\3", line)

    def _forced(self, line: bytes) -> bytes:
        new = self.names.root_partition_uuid.encode()
        match = _FORCED.match(line)
        if match is None or not new or match[2].lower() == new.lower():
            return line
        self._note(match[0], f"GRUB_FORCE_PARTUUID={new.decode()}")
        return match[1] + new + line[match.end() :]

    def _files(self, line: bytes) -> bytes:
        """Where /boot's files are, when /boot has become a file system, or is one no more."""

        def replace(match: re.Match[bytes]) -> bytes:
            device, directory, name = match[1] or b"", match[2], match[3]
            is_boot = directory in (b"", b"/boot") or directory.endswith(b"/boot")
            if not is_boot or name.decode(errors="replace") not in self.names.boot_files:
                return match[0]
            new = device + self.names.boot_path.encode() + b"/" + name
            if new != match[0]:
                self._note(match[0], new.decode())
            return new

        return _FILE.sub(replace, line) if _FILE_COMMAND.match(line) else line

    def _legacy_device(self, line: bytes) -> bytes:
        if not _LEGACY_COMMAND.match(line):
            return line
        for match in _LEGACY_DEVICE.finditer(line):
            if match[0].decode() != self.names.legacy_device:
                self._note(match[0], self.names.legacy_device)
        return _LEGACY_DEVICE.sub(self.names.legacy_device.encode(), line)


def _new_root(old: bytes, names: BootNames) -> bytes:
    """What root= is to say; as it is where that holds, or where nothing better is known."""
    key, _, value = old.partition(b"=")
    text = value.decode(errors="replace")
    by_partition = f"PARTUUID={names.root_partition_uuid}".encode()
    match key:
        case b"UUID":
            holds = text.lower() == names.root_uuid.lower()
        case b"LABEL":
            holds = bool(names.root_label) and text == names.root_label
        case b"PARTUUID":
            holds = text.lower() == names.root_partition_uuid.lower()
        case _:
            holds = old.startswith(_NO_DEVICES)
    if holds:
        return old
    if names.root_partition_uuid and (key == b"PARTUUID" or not names.has_initramfs):
        return by_partition
    if not names.has_initramfs and old.startswith(b"/"):
        return old  # nobody would find it by UUID
    return b"UUID=" + names.root_uuid.encode()


def _rewrite_environment(data: bytes, rewriter: _Rewriter) -> bytes:
    """Grubenv keeps its size, padded with #.  Source: GRUB manual, environment block."""
    if not data.startswith(_ENVIRONMENT_HEADER):
        return data
    body = data.rstrip(b"#")
    lines = body[len(_ENVIRONMENT_HEADER) :].splitlines(keepends=True)
    new = _ENVIRONMENT_HEADER + b"".join(map(rewriter.line, lines))
    if len(new) > len(data):
        rewriter.notes[:] = [f"left as it is: {len(new)} bytes do not fit in {len(data)}"]
        return data
    return new.ljust(len(data), b"#")
