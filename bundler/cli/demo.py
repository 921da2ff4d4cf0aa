"""ami-bundler demo."""

import argparse
import hashlib
import shlex
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

from bundler.aws.ec2 import Ec2ImageRegistry
from bundler.aws.embedded import embedded_cloud
from bundler.aws.session import Cloud
from bundler.aws.sts import account_id
from bundler.cli import publish, unbundle
from bundler.cli.cloud import open_store
from bundler.cli.console import Console, Result
from bundler.cli.options import choice, parse_path
from bundler.errors import VerificationError
from bundler.host.files import os_errors
from bundler.host.image_file import ImageSource
from bundler.host.root_image import build_root_image, default_sources, find_mke2fs
from bundler.model.bundle import CompressionLevel, Extent
from bundler.model.file_name import manifest_name
from bundler.model.image import ImageLocation
from bundler.model.manifest import Manifest
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
        type=parse_path,
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
        outcome = demo.run(image)
    return Result(text="\n".join(_lines(outcome)), facts=_facts(outcome))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What one step of the demo took."""

    name: str
    size: int
    """Bytes that went through: of the image's data; of the bundle, when it is downloaded."""
    seconds: float

    @property
    def speed(self) -> float:
        """Bytes in a second."""
        return self.size / self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the demo found."""

    image: Path
    data_size: int
    """Bytes of the image that are not holes."""
    sha256: str
    """Hexadecimal; of the image, and of the two that came back."""
    image_id: str
    level: CompressionLevel
    manifest: Manifest
    stages: tuple[Stage, ...]

    @property
    def ratio(self) -> float:
        """How many times smaller the bundle is than the image's data."""
        return self.data_size / self.manifest.bundled_size


def _facts(outcome: Outcome) -> dict[str, object]:
    return {
        "image_id": outcome.image_id,
        "image": str(outcome.image),
        "sha256": outcome.sha256,
        "level": outcome.level.value,
        "size": outcome.manifest.size,
        "data_size": outcome.data_size,
        "bundled_size": outcome.manifest.bundled_size,
        "part_count": len(outcome.manifest.parts),
        "ratio": round(outcome.ratio, 3),
        "stages": [
            {
                "name": stage.name,
                "size": stage.size,
                "seconds": round(stage.seconds, 3),
                "bytes_per_second": round(stage.speed),
            }
            for stage in outcome.stages
        ],
    }


def _lines(outcome: Outcome) -> Iterator[str]:
    manifest = outcome.manifest
    facts = {
        "image": f"{outcome.image}: {_mb(manifest.size)}, {_mb(outcome.data_size)} of it data",
        "bundle": f"{_mb(manifest.bundled_size)}, parts: {len(manifest.parts)}, "
        f"{outcome.ratio:.2f} times smaller than the data, level {outcome.level}",
        **{
            stage.name: f"{stage.seconds:.2f} s, {stage.speed / MB:.0f} MB/s"
            for stage in outcome.stages
        },
        "SHA-256": f"{outcome.sha256}: the image, and both that came back",
        "AMI": outcome.image_id,
    }
    yield from (f"{name:<26}{fact}" for name, fact in facts.items())


def _mb(size: int) -> str:
    return f"{size / MB:.1f} MB"


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
    stages: list[Stage] = field(default_factory=list)

    def run(self, original: Path | None) -> Outcome:
        """Do all of it."""
        self._make_keys()
        cloud = self._open_cloud()
        image = original or self._build_image()
        data_size, sha256 = self._look_at(image)
        with self._stage("publish", data_size):
            image_id = self._publish(image)
        manifest = self._download(cloud, image.name)
        for title, key, options in (("your key", "user", ()), ("EC2's key", "ec2", ("--as-ec2",))):
            with self._stage(f"unbundle with {title}", data_size):
                self._unbundle(image.name, key, *options)
            self._compare(sha256, title)
        return Outcome(
            image=original or Path(image.name),
            data_size=data_size,
            sha256=sha256,
            image_id=image_id,
            level=self.level,
            manifest=manifest,
            stages=tuple(self.stages),
        )

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
        self.console.note(f"starting an S3 and EC2 of our own (moto) at {self.url}")
        cloud = Cloud.open(region=REGION, endpoint_url=self.url)
        account_id(cloud.sts(), cloud.transport)
        Ec2ImageRegistry(cloud.ec2(), cloud.transport).find(AMI_NAME)
        return cloud

    def _build_image(self) -> Path:
        path = self.directory / "root.img"
        sources = default_sources()
        budget = sum(source.budget for source in sources)
        with self.console.task(f"building {path.name}", budget) as advance:
            build_root_image(path, sources, advance)
        return path

    def _publish(self, image: Path) -> str:
        words = ["--name", AMI_NAME, "--level", self.level.value]
        words += ["--key", self._path("user.pem"), "--cert", self._path("user.cert.pem")]
        words += ["--ec2-cert", self._path("ec2.cert.pem")]
        words += [
            "--region",
            REGION,
            "--endpoint-url",
            self.url,
            "--state-dir",
            self._path("state"),
        ]
        facts = self._command(publish, "publish", *words, "--", str(image), LOCATION.url)
        return str(facts["image_id"])

    def _download(self, cloud: Cloud, name: str) -> Manifest:
        self.console.note(f"downloading {LOCATION.join(manifest_name(name)).url} and its parts")
        store = open_store(cloud, LOCATION)
        bundle = self.directory / "bundle"
        bundle.mkdir()
        start = time.monotonic()
        manifest = download_bundle(store, name, bundle, progress=self.console).signed.manifest
        self._note_stage("download", manifest.bundled_size, start)
        return manifest

    def _unbundle(self, name: str, key: str, *options: str) -> None:
        manifest = self._path(f"bundle/{manifest_name(name)}")
        words = ["--key", self._path(f"{key}.pem"), "--cert", self._path("user.cert.pem")]
        words += ["--output", self._path("again.img"), *options]
        self._command(unbundle, "unbundle", *words, "--", manifest)

    def _command(self, module: ModuleType, name: str, *words: str) -> Mapping[str, object]:
        """Run a command as its user would."""
        # Shown as if it were run in our directory: its name would make the lines long.
        shown = [word.removeprefix(f"{self.directory}/") for word in words]
        self.console.note("$ " + shlex.join(("ami-bundler", name, *shown)))
        parser = argparse.ArgumentParser(prog=f"ami-bundler {name}", allow_abbrev=False)
        parser.set_defaults(command=name)
        module.add_arguments(parser)
        result: Result = module.handle(parser.parse_args(words), self.console)
        return result.facts

    def _compare(self, expected: str, title: str) -> None:
        path = self.directory / "again.img"
        _, got = self._look_at(path)
        if got != expected:
            raise VerificationError(
                f"unbundle with {title}: expected an image of SHA-256 {expected}, got {got}"
            )
        path.unlink()

    def _look_at(self, path: Path) -> tuple[int, str]:
        """Bytes of an image that are not holes, and its SHA-256."""
        digest = hashlib.sha256()
        with (
            ImageSource.open(path) as source,
            self.console.task(f"SHA-256 of {path.name}", source.size) as advance,
        ):
            for chunk in source.read((Extent(offset=0, size=source.size),)):
                digest.update(chunk)
                advance(len(chunk))
            data_size = sum(extent.size for extent in source.extents(dig_holes=False))
        return data_size, digest.hexdigest()

    def _path(self, name: str) -> str:
        return str(self.directory / name)

    @contextmanager
    def _stage(self, name: str, size: int) -> Iterator[None]:
        start = time.monotonic()
        yield
        self._note_stage(name, size, start)

    def _note_stage(self, name: str, size: int, start: float) -> None:
        seconds = max(time.monotonic() - start, 0.001)
        self.stages.append(Stage(name=name, size=size, seconds=seconds))
