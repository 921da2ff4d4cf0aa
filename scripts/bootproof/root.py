"""A Debian root file system, with files that have all that a file can have."""

import os
from pathlib import Path

from bootproof.process import run

SUITE = "bookworm"
"""Of Debian."""

PACKAGES = (
    *("linux-image-cloud-amd64", "systemd-sysv", "udev", "login", "passwd", "initramfs-tools"),
    *("kmod", "iproute2", "grub-pc-bin", "grub-efi-amd64-bin", "grub2-common", "grub-common"),
    *("xfsprogs", "e2fsprogs", "attr", "acl", "libcap2-bin"),
)

PASSWORD = "boot-proof"  # noqa: S105  of a machine that lives for a minute, without a network
"""Of root."""

HOSTNAME = "boot-proof"

CHECK = "/srv/proof/check"
"""A program of the root that tells what its files are like."""

_CHECK_TEXT = """#!/bin/sh
cd /srv/proof || exit
hostname
getfattr --only-values -n user.proof file; echo
getfacl --omit-header --numeric file | tr '\\n' ' '; echo
getcap program
stat -c '%h links, mode %a, %u:%g, %y' file other
for name in sparse; do
    stat -c '%s %b' "$name" | awk '{print $1, ($2 * 512 < $1 / 2) ? "sparse" : "not sparse"}'
done
tail -c 3 sparse; echo
readlink link
"""

_FSTAB = "# made by boot-proof\n/dev/xvda1 / ext4 defaults 0 1\n"
_GRUB = """GRUB_TIMEOUT=0
GRUB_TERMINAL=serial
GRUB_CMDLINE_LINUX="console=ttyS0 quiet systemd.show_status=0"
"""


def make_root_tar(path: Path) -> None:
    """Install Debian into a tar archive.

    Raises:
        ProofError: mmdebstrap is not installed, or fails.
    """
    left_out = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale")]
    included = f"--include={','.join(PACKAGES)}"
    run(("mmdebstrap", "--variant=minbase", included, *left_out, SUITE, path))


def unpack_root(tar: Path, root: Path) -> None:
    """Unpack the root, and put into it what the proofs look for.

    Raises:
        ProofError: a program is not installed, or fails.
    """
    run(("tar", "-xpf", tar, "--xattrs", "--xattrs-include=*", "-C", root))
    run(("chroot", root, "chpasswd"), data=f"root:{PASSWORD}\n".encode())
    (root / "etc/hostname").write_text(f"{HOSTNAME}\n")
    (root / "etc/fstab").write_text(_FSTAB)
    (root / "etc/default").mkdir(exist_ok=True)
    (root / "etc/default/grub").write_text(_GRUB)
    proof = root / "srv/proof"
    proof.mkdir()
    (proof / "check").write_text(_CHECK_TEXT)
    (proof / "file").write_text("as it was")
    (proof / "file").chmod(0o640)
    os.chown(proof / "file", 1234, 2345)
    os.link(proof / "file", proof / "other")
    os.setxattr(proof / "file", "user.proof", b"kept")
    run(("setfacl", "-m", "u:4321:rw", proof / "file"))
    run(("cp", root / "bin/true", proof / "program"))
    run(("setcap", "cap_net_raw+ep", proof / "program"))
    with (proof / "sparse").open("wb") as file:
        file.seek(8 << 20)
        file.write(b"end")
    (proof / "link").symlink_to("/nowhere at all")
    os.utime(proof / "file", ns=(10**18 + 1, 10**18 + 123_456_789))


def expected_words(root: Path) -> list[str]:
    """What CHECK says of the root itself; the first line is this machine's name, and left out.

    Raises:
        ProofError: it cannot be run.
    """
    return run(("chroot", root, "sh", CHECK)).decode().splitlines()[1:]
