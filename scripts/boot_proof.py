"""Prove that images of `ami-bundler volume` boot; see scripts/boot-proof.

For each case a Debian root is imaged and bundled, the bundle uploaded to an S3 on the loopback,
downloaded, verified and unbundled, and the image booted by qemu under software emulation. On
its serial console root logs in and runs a program, which tells of extended attributes, ACLs,
capabilities, hard links and holes what the same program told of the root before; every entry of
/etc/fstab must be mounted, and no unit of systemd may have failed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bootproof.machine import Machine, uefi_words
from bootproof.process import ProofError, run
from bootproof.root import HOSTNAME, expected_words, make_root_tar, unpack_root

from bundler.embedded.ec2 import Ec2Settings, EmbeddedEc2
from bundler.embedded.server import serve_cloud
from bundler.host.loop_device import attach
from bundler.host.mounts import enter_mount_namespace, mounted

REGION = "us-east-1"
ACCOUNT = "123456789012"
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One way to boot."""

    letter: str
    title: str
    words: tuple[str, ...]
    """Options of ami-bundler volume."""
    mounts: tuple[str, ...]
    """What must be mounted by the image's fstab: mount point and type."""
    is_uefi: bool = False
    has_own_kernel: bool = True
    is_mounted: bool = False
    """Whether the root is a mounted xfs, with a mounted ext4 at /boot."""


CASES = (
    Case(
        letter="a",
        title="GPT, GRUB 2 for BIOS, ext4",
        words=("--partition", "gpt", "--firmware", "bios"),
        mounts=("/ ext4",),
    ),
    Case(
        letter="b",
        title="MBR, GRUB 2 for BIOS, ext4",
        words=("--partition", "mbr", "--firmware", "bios"),
        mounts=("/ ext4",),
    ),
    Case(
        letter="c",
        title="GPT, GRUB 2 for UEFI, ext4, separate /boot/efi",
        words=("--partition", "gpt", "--firmware", "uefi"),
        mounts=("/ ext4", "/boot/efi vfat"),
        is_uefi=True,
    ),
    Case(
        letter="d",
        title="GPT, GRUB 2 for BIOS, xfs, separate /boot of ext4",
        words=("--partition", "gpt", "--firmware", "bios"),
        mounts=("/ xfs", "/boot ext4"),
        is_mounted=True,
    ),
    Case(
        letter="e",
        title="bare ext4, kernel from outside",
        words=("--partition", "none"),
        mounts=("/ ext4",),
        has_own_kernel=False,
    ),
)


@dataclass(slots=True, kw_only=True)
class Verdict:
    """What came of a case."""

    case: str
    title: str
    holds: bool = False
    problem: str = ""
    said: list[str] = field(default_factory=list)
    image_seconds: float = 0.0
    """From the root to the bundle."""
    boot_seconds: float = 0.0


class Proof:
    """All that the cases share: the root, keys and a cloud."""

    def __init__(self, directory: Path, tar: Path, url: str) -> None:
        self._directory = directory
        self._tar = tar
        self._url = url
        key, certificate = directory / "key.pem", directory / "cert.pem"
        self._keys: tuple[str | Path, ...] = ("--key", key, "--cert", certificate)
        self._bundler("keygen", *self._keys)

    def prove(self, case: Case) -> Verdict:
        """Make, move and boot one image."""
        verdict = Verdict(case=case.letter, title=case.title)
        try:
            with ExitStack() as stack:
                work = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=self._directory)))
                root = work / "root"
                root.mkdir()
                if case.is_mounted:
                    stack.enter_context(_mounted_root(work, root))
                unpack_root(self._tar, root)
                expected = expected_words(root)
                began = time.monotonic()
                image = self._move(case, work, root)
                verdict.image_seconds = round(time.monotonic() - began, 1)
                began = time.monotonic()
                with Machine(image, self._machine_words(case, work, root, image)) as machine:
                    verdict.said = machine.check()
                verdict.boot_seconds = round(time.monotonic() - began, 1)
                _compare(verdict.said, [HOSTNAME, *expected, *case.mounts, "33"])
            verdict.holds = True
        except ProofError as error:
            verdict.problem = str(error)
        return verdict

    def _move(self, case: Case, work: Path, root: Path) -> Path:
        """Image and bundle the root, send it round, and unbundle it."""
        for name in ("made", "back"):
            (work / name).mkdir()
        manifest = f"{case.letter}.manifest.xml"
        location = f"s3://boot-proof/{case.letter}"
        cloud = ("--region", REGION, "--endpoint-url", self._url)
        words: tuple[str | Path, ...] = ("--account", ACCOUNT, *case.words, *self._keys)
        self._bundler(
            "volume", "--volume", root, "-d", work / "made", "--name", case.letter, *words
        )
        self._bundler("upload", work / "made" / manifest, location, *cloud)
        self._bundler("download", f"{location}/{manifest}", "-d", work / "back", *cloud)
        image = work / "image"
        self._bundler("unbundle", work / "back" / manifest, "-o", image, *self._keys)
        return image

    def _machine_words(self, case: Case, work: Path, root: Path, image: Path) -> Sequence[str]:
        if case.is_uefi:
            return uefi_words(work)
        if case.has_own_kernel:
            return ()
        uuid = run(("blkid", "-p", "-s", "UUID", "-o", "value", image)).decode().strip()
        (kernel,) = (root / "boot").glob("vmlinuz-*")
        (ramdisk,) = (root / "boot").glob("initrd.img-*")
        line = f"root=UUID={uuid} ro console=ttyS0 quiet systemd.show_status=0"
        return ("-kernel", str(kernel), "-initrd", str(ramdisk), "-append", line)

    def _bundler(self, *words: str | Path) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._directory),
            "AWS_ACCESS_KEY_ID": "proof",
            "AWS_SECRET_ACCESS_KEY": "proof",
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "*",
        }
        run((sys.executable, "-m", "bundler", *words), environment=environment)


@contextmanager
def _mounted_root(work: Path, root: Path) -> Iterator[None]:
    """An xfs with an ext4 at /boot, for as long as the block lasts."""
    with ExitStack() as stack:
        for name, kind, point in (("root", "xfs", root), ("boot", "ext4", root / "boot")):
            path = work / f"{name}.img"
            file = stack.enter_context(path.open("x+b"))
            file.truncate(1200 * MIB)
            run((f"mkfs.{kind}", "-q", path))
            device = stack.enter_context(attach(file.fileno()))
            stack.enter_context(mounted(device, point, kind))
        yield


def _compare(said: list[str], expected: list[str]) -> None:
    for wanted, got in zip(expected, said, strict=False):
        if wanted != got:
            raise ProofError(f"expected {wanted!r} of the booted system, got {got!r}")
    if len(said) != len(expected):
        raise ProofError(f"expected {len(expected)} lines of the booted system, got {said}")


def main() -> int:
    """Run the cases that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    letters = [case.letter for case in CASES]
    parser.add_argument("--case", action="append", choices=letters, help="default: all")
    parser.add_argument("--root-tar", type=Path, help="of an earlier run; made if there is none")
    parser.add_argument("--json", action="store_true", help="print all that was found as JSON")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("expected to be root")
    enter_mount_namespace()
    chosen = [case for case in CASES if case.letter in (arguments.case or letters)]
    verdicts = []
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="boot-proof-")))
        tar = arguments.root_tar or directory / "root.tar"
        if not tar.exists():
            make_root_tar(tar)
        url = stack.enter_context(serve_cloud(EmbeddedEc2(Ec2Settings(checks_acl=False))))
        proof = Proof(directory, tar, url)
        for case in chosen:
            verdicts.append(verdict := proof.prove(case))
            word = "ok  " if verdict.holds else "FAIL"
            seconds = f"image {verdict.image_seconds} s, boot {verdict.boot_seconds} s"
            tail = verdict.problem or seconds
            print(f"{word} ({case.letter}) {case.title}: {tail}", file=sys.stderr)
    if arguments.json:
        print(json.dumps([asdict(one) for one in verdicts], indent=2))
    return 0 if all(one.holds for one in verdicts) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ProofError, subprocess.SubprocessError) as problem:
        sys.exit(f"boot-proof: {problem}")
