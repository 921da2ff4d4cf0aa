"""Volumes to be imaged, and what is in an image of one."""

import json
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.bundles import EC2_CERT, USER_CERT, USER_KEY
from tests.support.privileged import run_python
from tests.support.tools import Outcome, cli_environment, run_cli, use_tool

MIB = 1024 * 1024

TIME_NS = 1_500_000_000_123_456_789

KEYS = ("-k", USER_KEY, "-c", USER_CERT, "--ec2-cert", EC2_CERT, "--account", "123456789012")

_MOUNT = """
import json, sys
from pathlib import Path
from bundler.host.loop_device import attach
from bundler.host.mounts import enter_mount_namespace, mounted
from tests.support.volumes import describe
image, place, kind, offset = sys.argv[1:5]
enter_mount_namespace()
options = ("nouuid",) if kind == "xfs" else ()
with open(image, "r+b") as file, attach(file.fileno(), offset=int(offset)) as device:
    with mounted(device, Path(place), kind, options=options, read_only=True):
        print(json.dumps(describe(Path(place))))
"""


def make_tree(root: Path) -> Path:
    """A small root file system with all that a file can have."""
    for name in ("etc", "dev", "proc", "tmp", "home/user", "usr/bin", "var/empty"):
        (root / name).mkdir(parents=True)
    (root / "etc/hostname").write_text("sample\n")
    (root / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    (root / "etc/fstab").write_text("# mine\n/dev/xvda1 / ext4 defaults 0 1\n")
    (root / "usr/bin/true").write_bytes(elf_header())
    (root / "sbin").symlink_to("usr/bin")
    (root / "usr/bin/init").symlink_to("true")
    (root / "tmp").chmod(0o1777)
    (root / "tmp/left").write_text("out")
    (root / ".top").write_text("a dot file at the top")
    _fill_home(root / "home/user")
    (root / "var/empty").chmod(0o711)
    if os.geteuid() == 0:
        use_tool("setcap", "cap_net_raw+ep", root / "usr/bin/true")
        use_tool("setfacl", "-m", "u:4321:rw", "-m", "d:g:99:rx", root / "home")
    for path in sorted(root.rglob("*"), key=lambda path: -len(path.parts)):
        os.utime(path, ns=(TIME_NS, TIME_NS), follow_symlinks=False)
    return root


def elf_header() -> bytes:
    """The start of a program for x86-64."""
    return b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\x3e\x00" + bytes(44)


def _fill_home(home: Path) -> None:
    (home / "first").write_bytes(b"data" * 5000)
    os.link(home / "first", home / "second")
    with (home / "sparse").open("wb") as file:
        file.truncate(20 * MIB)
        file.seek(10 * MIB)
        file.write(b"in the middle")
    os.setxattr(home / "first", "user.comment", b"\0binary\xff")
    Path(os.fsdecode(os.fsencode(home) + b"/\xffodd\nname")).write_bytes(b"x")
    os.mkfifo(home / "pipe", 0o640)
    if os.geteuid() == 0:
        os.chown(home, 1234, 2345)
        os.mknod(home / "node", stat.S_IFCHR | 0o600, os.makedev(1, 3))


def describe(root: Path) -> dict[str, dict[str, object]]:
    """Every file below a directory, by its path, with all that belongs to it."""
    found: dict[str, dict[str, object]] = {}
    for path in (root, *root.rglob("*")):
        state = path.lstat()
        kind = stat.S_IFMT(state.st_mode)
        name = ascii(str(path.relative_to(root)))
        found[name] = {
            "mode": oct(state.st_mode),
            "owner": [state.st_uid, state.st_gid],
            "time": state.st_mtime_ns,
            "xattrs": {
                key: ascii(os.getxattr(path, key, follow_symlinks=False))
                for key in os.listxattr(path, follow_symlinks=False)
                if not key.startswith("trusted.SGI_")  # xfs shows ACLs a second time so
            },
        }
        if kind == stat.S_IFREG:
            found[name] |= {"size": state.st_size, "links": state.st_nlink}
            found[name]["is_sparse"] = state.st_blocks * 512 < state.st_size // 2
        elif kind == stat.S_IFLNK:
            found[name]["target"] = ascii(str(path.readlink()))
        elif kind in (stat.S_IFCHR, stat.S_IFBLK):
            found[name]["device"] = state.st_rdev
    return found


def describe_image(
    image: Path, place: Path, kind: str = "ext4", *, offset: int = 0
) -> dict[str, dict[str, object]]:
    """describe() of a file system in an image, mounted at the empty directory `place`."""
    done = run_python(_MOUNT, image, place, kind, str(offset))
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, object]] = json.loads(done.stdout)
    return found


def run_volume(
    *arguments: str | Path,
    wrapper: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
) -> Outcome:
    """ami-bundler volume, in a process of its own, with more variables in its environment."""
    environment = cli_environment(**(variables or {}))
    # Whoever runs the tests in the background may have it ignored.
    interruptible = ("env", "--default-signal=INT", *wrapper)
    return run_cli("volume", *arguments, wrapper=interruptible, environment=environment)
