"""ami-bundler demo."""

import argparse
import hashlib
import shlex
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

from bundler.aws.ec2 import Ec2ImageRegistry
from bundler.aws.embedded import embedded_cloud
from bundler.aws.s3 import S3BundleStore
from bundler.aws.session import Cloud
from bundler.aws.sts import account_id
from bundler.cli import publish, unbundle
from bundler.cli.console import Console, Result
from bundler.cli.options import choice
from bundler.errors import VerificationError
from bundler.host.files import os_errors
from bundler.host.image_file import ImageSource
from bundler.host.root_image import build_root_image, default_sources, find_mke2fs
from bundler.model.bundle import CompressionLevel, Extent
from bundler.model.file_name import manifest_name
from bundler.model.image import ImageLocation
from bundler.workflow.download import download_bundle
from bundler.workflow.keys import write_key_pair

REGION = "us-east-1"
"""The region that the embedded cloud plays."""

LOCATION = ImageLocation(bucket="ami-bundler-demo", key="images")
"""Where the demo's bundle lies in the embedded S3."""

AMI_NAME = "ami-bundler-demo"
"""The name of the demo's AMI."""

MB = 1_000_000
"""Bytes of the unit in which the summary tells sizes and speeds."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "image",
        type=Path,
        nargs="?",
        metavar="IMAGE",
        help="raw image or block device (default: an ext4 root image of files of this machine)",
    )
    parser.add_argument("--level", default="balanced", help="fast, balanced (default) or small")


def handle(arguments: argparse.Namespace, console: Console) -> Result:
    """Publish an image to a cloud on this machine, get it back, and compare."""
    level = choice("--level", arguments.level, CompressionLevel)
    image: Path | None = arguments.image
    if image is None:
        find_mke2fs()
    else:
        with ImageSource.open(image):
            pass
    with _private_directory() as directory, embedded_cloud(directory) as url:
        demo = _Demo(directory=directory, url=url, level=level, console=console)
        facts = demo.run(image)
    return Result(text="\n".join(_summary(facts)), facts=facts)


@contextmanager
def _private_directory() -> Iterator[Path]:
    with os_errors("make a directory in", tempfile.gettempdir()):
        temporary = tempfile.TemporaryDirectory(prefix="ami-bundler-demo-")
    with temporary as directory:
        yield Path(directory)


@dataclass(slots=True, kw_only=True)
class _Demo:
    """One run; everything it makes lies in its directory or in the embedded cloud."""

    directory: Path
    url: str
    level: CompressionLevel
    console: Console
    seconds: dict[str, float] = field(default_factory=dict)
    """How long each stage took."""

    def run(self, image: Path | None) -> dict[str, object]:
        """Do all of it; what there is to tell."""
        self._make_keys()
        cloud = self._open_cloud()
        image = image or self._build_image()
        sha256 = self._sha256(image)
        with self._stage("publish"):
            published = self._publish(image)
        with self._stage("download"):
            self._download(cloud, image.name)
        with self._stage("unbundle with the user's key"):
            self._unbundle(image.name, "user", "--cert", self._path("user.cert.pem"))
        self._compare(sha256, "the user's key")
        with self._stage("unbundle with EC2's key"):
            self._unbundle(image.name, "ec2", "--cert", self._path("user.cert.pem"), "--as-ec2")
        self._compare(sha256, "EC2's key")
        return {**published, "sha256": sha256, "level": self.level.value, "seconds": self.seconds}

    def _make_keys(self) -> None:
        for owner in ("user", "ec2"):
            write_key_pair(
                self.directory / f"{owner}.pem",
                self.directory / f"{owner}.cert.pem",
                common_name=f"{owner} of the demo",
                now=datetime.now(UTC),
                passphrase=None,
                force=False,
            )

    def _open_cloud(self) -> Cloud:
        """Wait until the cloud answers: its first answers take seconds that are not ours."""
        self.console.note(f"starting S3 and EC2 of our own (moto) at {self.url}")
        cloud = Cloud.open(region=REGION, endpoint_url=self.url)
        account_id(cloud.sts())
        Ec2ImageRegistry(cloud.ec2()).find(AMI_NAME)
        return cloud

    def _build_image(self) -> Path:
        path = self.directory / "root.img"
        sources = default_sources()
        budget = sum(source.budget for source in sources)
        with self._stage("build"), self.console.task("building root.img", budget) as advance:
            build_root_image(path, sources, advance)
        return path

    def _publish(self, image: Path) -> Mapping[str, object]:
        words = ["--name", AMI_NAME, "--level", self.level.value]
        words += ["--key", self._path("user.pem"), "--cert", self._path("user.cert.pem")]
        words += ["--ec2-cert", self._path("ec2.cert.pem")]
        words += ["--region", REGION, "--endpoint-url", self.url]
        return self._command(publish, "publish", *words, "--", str(image), LOCATION.url)

    def _download(self, cloud: Cloud, name: str) -> None:
        self.console.note(f"downloading {LOCATION.join(manifest_name(name)).url} and its parts")
        store = S3BundleStore(cloud.s3(), LOCATION)
        bundle = self.directory / "bundle"
        bundle.mkdir()
        download_bundle(store, name, bundle, progress=self.console)

    def _unbundle(self, name: str, key: str, *options: str) -> None:
        manifest = self._path(f"bundle/{manifest_name(name)}")
        words = ("--key", self._path(f"{key}.pem"), "--output", self._path("again.img"))
        self._command(unbundle, "unbundle", *words, *options, "--", manifest)

    def _command(self, module: ModuleType, name: str, *words: str) -> Mapping[str, object]:
        """Run a command as its user would."""
        self.console.note("$ " + shlex.join(("ami-bundler", name, *words)))
        parser = argparse.ArgumentParser(prog=f"ami-bundler {name}", allow_abbrev=False)
        parser.set_defaults(command=name)
        module.add_arguments(parser)
        result: Result = module.handle(parser.parse_args(words), self.console)
        return result.facts

    def _compare(self, expected: str, whose: str) -> None:
        path = self.directory / "again.img"
        got = self._sha256(path)
        if got != expected:
            raise VerificationError(
                f"unbundle with {whose}: expected an image of SHA-256 {expected}, got {got}"
            )
        path.unlink()

    def _sha256(self, path: Path) -> str:
        digest = hashlib.sha256()
        with (
            ImageSource.open(path) as source,
            self.console.task(f"SHA-256 of {path.name}", source.size) as advance,
        ):
            for chunk in source.read((Extent(offset=0, size=source.size),)):
                digest.update(chunk)
                advance(len(chunk))
        return digest.hexdigest()

    def _path(self, name: str) -> str:
        return str(self.directory / name)

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - start
