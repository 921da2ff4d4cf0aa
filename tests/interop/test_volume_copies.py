"""What a copied volume keeps: by the rules of AMI Tools, by those of euca2ools, and by ours.

Their rules are theirs for the volume /: rsync's options, what they leave out by name, and which
mounts they take for local.  Each copy is compared with the volume file by file, and all that
differs stands here: of a file that no table names, everything is kept.
"""

import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.bundles import EC2_CERT, USER_KEY
from tests.support.privileged import check_no_traces, require_root, run_python, traces
from tests.support.tools import cli_argv, require_tool, use_tool
from tests.support.volumes import TIME_NS, describe, describe_image, make_tree

Files = Mapping[str, Mapping[str, object]]

MOUNTS = ("run", "srv/memory")
"""Where a tmpfs is, with a file in it."""

_SENSITIVE = (
    *("*/#*#", "*/.#*", "*.sw", "*.swo", "*.swp", "*~", "*.pem", "*.priv", "*id_rsa*", "*id_dsa*"),
    *("*.gpg", "*.jks", "*/.ssh/authorized_keys", "*/.bash_history"),
)
AMI_TOOLS = (
    *("-rlpgoD", "-t", "-r", "-S", "-l"),
    *(f"--exclude=/{name}" for name in ("dev", "media", "mnt", "proc", "sys")),
    *(f"--exclude={pattern}" for pattern in _SENSITIVE),
    "-X",
)
"""ec2-bundle-vol 1.5.7; tmpfs is among the types that it takes for local."""

AMI_TOOLS_DIRECTORIES = ("mnt", "proc", "sys", "dev")
"""What it makes first; four device nodes in /dev, as ours are, are not its copy's merit."""

_EUCA_EXCLUDED = (
    *("*~", "*.nfs*", "*.pem", "*.priv", "*.sw", "*.swo", "*.swp", "*.gpg", "*.jks", "*id_dsa*"),
    *("*id_rsa*", ".bash_history", ".gnupg/**", ".ssh/authorized_keys", ".zsh_history"),
    *("/dev/**", "/etc/udev/rules.d/*-persistent-net.rules", "/media/**", "/mnt/**"),
    *("/proc/**", "/sys/**", "/tmp/**", "/var/tmp/**", "/var/cache/**"),  # noqa: S108  patterns
)
EUCA2OOLS = (
    *("-X", "-rHlpogDtS"),
    *(f"--exclude=/{mount}/**" for mount in MOUNTS),
    *(f"--exclude={pattern}" for pattern in _EUCA_EXCLUDED),
)
"""euca-bundle-vol 3.4; tmpfs is not among the types that it takes."""

_COPY = """
import glob, json, subprocess, sys
from contextlib import ExitStack
from pathlib import Path
from bundler.host.mounts import enter_mount_namespace, in_memory
tree, mounts, commands = sys.argv[1:]
enter_mount_namespace()
with ExitStack() as stack:
    for point in json.loads(mounts):
        stack.enter_context(in_memory(Path(tree, point)))
        Path(tree, point, "in memory").write_text("gone when the machine stops")
    for argv in json.loads(commands):
        words = [one for word in argv for one in (sorted(glob.glob(word)) or [word])]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """The volume, and what each made of it."""

    volume: Files
    ami_tools: Files
    euca2ools: Files
    ours: Files


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copies]:
    require_root()
    place = tmp_path_factory.mktemp("copies")
    before = traces(place)
    tree = make_full_tree(place / "volume")
    for name in ("ami-tools", "euca2ools", "ours", "mounted"):
        (place / name).mkdir()
    for name in AMI_TOOLS_DIRECTORIES:
        (place / "ami-tools" / name).mkdir()
    rsync = require_tool("rsync")
    commands = (
        # The shell that ec2-bundle-vol gives it to expands the star.
        [rsync, *AMI_TOOLS, f"{tree}/*", str(place / "ami-tools")],
        [rsync, *EUCA2OOLS, f"{tree}/", f"{place / 'euca2ools'}/"],
        cli_argv("volume", "--volume", tree, "-d", place / "ours", "--clone-only"),
    )
    done = run_python(_COPY, tree, json.dumps(MOUNTS), json.dumps(commands))
    assert done.returncode == 0, done.stderr
    yield Copies(
        volume=describe(tree),
        ami_tools=describe(place / "ami-tools"),
        euca2ools=describe(place / "euca2ools"),
        ours=describe_image(place / "ours/image", place / "mounted"),
    )
    check_no_traces(place, before)


def make_full_tree(root: Path) -> Path:
    """A root file system with all that a file can have, and secrets and what looks like them."""
    make_tree(root)
    for name in ("etc/ssl/private", "etc/apt", "root/.ssh", "run", "srv/memory", "mnt/disk", "sys"):
        (root / name).mkdir(parents=True)
    (root / "etc/ssl/ca.pem").write_bytes(EC2_CERT.read_bytes() * 3)
    (root / "etc/ssl/private/site.pem").write_bytes(USER_KEY.read_bytes())
    (root / "etc/ssl/private/site.key").write_bytes(USER_KEY.read_bytes())
    (root / "etc/apt/archive.gpg").write_bytes(b"\x99\x01\x0d\x04" + os.urandom(300))
    (root / "root/.ssh/id_rsa.pub").write_text("ssh-rsa AAAAB3NzaC1yc2EAAAADAQAB root@sample\n")
    (root / "root/.ssh/authorized_keys").write_text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA me\n")
    (root / "root/.bash_history").write_text("mysql --password=secret\n")
    (root / "mnt/disk/left").write_text("out")
    (root / "usr/bin/su").write_bytes(b"setuid")
    (root / "usr/bin/su").chmod(0o4755)
    (root / "usr/bin/wall").write_bytes(b"setgid")
    (root / "usr/bin/wall").chmod(0o2755)
    os.mknod(root / "srv/socket", stat.S_IFSOCK | 0o666)
    os.mknod(root / "srv/disk", stat.S_IFBLK | 0o660, os.makedev(8, 1))
    (root / "srv/note").write_text("labelled")
    os.chown(root / "sbin", 12, 34, follow_symlinks=False)
    for name in ("etc/fstab", "etc/machine-id"):  # we write to them
        os.chown(root / name, 56, 78)
        (root / name).chmod(0o440)
        use_tool("setfacl", "-m", "u:77:r", root / name)
        os.setxattr(root / name, "security.selinux", b"system_u:object_r:etc_t:s0\0")
    for name, key, value in (
        ("etc/hostname", "security.selinux", b"system_u:object_r:hostname_etc_t:s0\0"),
        ("sbin", "security.selinux", b"system_u:object_r:bin_t:s0\0"),
        ("srv", "security.selinux", b"system_u:object_r:var_t:s0\0"),
        ("srv/note", "trusted.overlay.opaque", b"y"),
        ("srv/note", "user.empty", b""),
    ):
        os.setxattr(root / name, key, value, follow_symlinks=False)
    use_tool("setfacl", "-m", "u:77:r", root / "srv/note")
    root.chmod(0o751)
    (root / "proc").chmod(0o555)
    # What is in a directory before the directory itself, whose time it would change.
    for index, path in enumerate(sorted((root, *root.rglob("*")), reverse=True)):
        time = TIME_NS + index * 1_000_000_007
        os.utime(path, ns=(time, time), follow_symlinks=False)
    return root


def differences(volume: Files, copy: Files) -> dict[str, str]:
    """What a copy has not, or has more, or otherwise; all that it has not of a file."""
    found: dict[str, str] = {}
    for name in volume.keys() | copy.keys():
        if name not in copy:
            found[name.strip("'")] = "left out"
        elif name not in volume:
            found[name.strip("'")] = "added"
        else:
            fields = (key for key in volume[name] if volume[name][key] != copy[name].get(key))
            if told := " ".join(fields):
                found[name.strip("'")] = told
    return found


LEFT_OUT_BY_THEIR_NAMES = {
    "etc/apt/archive.gpg": "left out",  # no secret: apt cannot check its packages any more
    "etc/ssl/ca.pem": "left out",  # no secret: TLS does not work any more
    "root/.ssh/id_rsa.pub": "left out",  # no secret
    "etc/ssl/private/site.pem": "left out",  # site.key, the same key, is not
}
LEFT_OUT_BY_ALL = {
    "mnt/disk": "left out",
    "mnt/disk/left": "left out",
    "root/.bash_history": "left out",
    "root/.ssh/authorized_keys": "left out",
}
ACLS_LOST = dict.fromkeys(("etc/fstab", "etc/machine-id", "home", "srv/note"), "xattrs")
MOUNTED_TIMES = dict.fromkeys(MOUNTS, "time")
"""Of what is mounted there, not of the volume's own directory."""


def test_ami_tools(copies: Copies) -> None:
    assert differences(copies.volume, copies.ami_tools) == {
        **LEFT_OUT_BY_THEIR_NAMES,
        **LEFT_OUT_BY_ALL,
        **ACLS_LOST,
        **MOUNTED_TIMES,
        ".": "mode time",
        ".top": "left out",
        "dev": "time",
        "mnt": "time",
        "proc": "mode time",
        "sys": "time",
        "home/user/first": "links",
        "home/user/second": "links",
        "run/in memory": "added",
        "srv/memory/in memory": "added",
    }


def test_euca2ools(copies: Copies) -> None:
    assert differences(copies.volume, copies.euca2ools) == {
        **LEFT_OUT_BY_THEIR_NAMES,
        **LEFT_OUT_BY_ALL,
        **ACLS_LOST,
        **MOUNTED_TIMES,
        "tmp/left": "left out",
    }


def test_ours(copies: Copies) -> None:
    assert differences(copies.volume, copies.ours) == {
        **LEFT_OUT_BY_ALL,
        "tmp/left": "left out",
        "etc/ssl/private/site.key": "left out",
        "etc/ssl/private/site.pem": "left out",
        "etc/fstab": "time size",  # names a device that no instance has
        "etc/machine-id": "time size",
        "dev": "time",
        **{f"dev/{name}": "added" for name in ("console", "null", "tty", "zero")},
        "lost+found": "added",
    }


def test_the_volume_has_what_they_are_compared_by(copies: Copies) -> None:
    """Else an equal table would say nothing."""
    volume = copies.volume
    kinds = {str(one["mode"])[:-4] for one in volume.values()}
    assert kinds == {"0o1", "0o2", "0o4", "0o6", "0o10", "0o12", "0o14"}  # all that stat(2) has
    assert {str(one["mode"])[-4:] for one in volume.values()} >= {"1777", "2755", "4755", "0751"}
    keys = {key for one in volume.values() for key in one["xattrs"]}  # type: ignore[attr-defined]
    assert keys == {
        *("security.capability", "security.selinux", "trusted.overlay.opaque"),
        *("system.posix_acl_access", "system.posix_acl_default", "user.comment", "user.empty"),
    }
    assert len({one["time"] for one in volume.values()}) == len(volume) - 1  # two are one file
    assert volume["'home/user/sparse'"]["is_sparse"]
    assert volume["'home/user/first'"]["links"] == 2
    assert volume["'sbin'"]["owner"] == [12, 34]
    assert r"'home/user/\udcffodd\nname'" in volume
