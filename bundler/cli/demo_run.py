"""One run of ami-bundler demo: an image to S3 and EC2, and back."""

import argparse
import hashlib
import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Final

from bundler.aws.bucket import S3Bucket
from bundler.aws.s3 import ACL
from bundler.aws.session import Cloud
from bundler.aws.sts import account_id
from bundler.cli import publish, unbundle
from bundler.cli.cloud import open_store, registry_of
from bundler.cli.console import Console, Result
from bundler.embedded.ec2 import EmbeddedEc2
from bundler.errors import VerificationError
from bundler.host.image_file import ImageSource
from bundler.host.root_image import build_root_image, default_sources
from bundler.model.bundle import CompressionLevel, Extent
from bundler.model.file_name import manifest_name
from bundler.model.image import Architecture, ImageLocation, VirtualizationType
from bundler.model.manifest import Manifest
from bundler.workflow.download import download_bundle
from bundler.workflow.image_contents import find_contents
from bundler.workflow.keys import write_key_pair

REGION = "us-east-1"
"""The region that the embedded cloud plays."""

LOCATION = ImageLocation(bucket="ami-bundler-demo", key="images")
"""Where the demo's bundle lies in the embedded S3."""

AMI_NAME = "ami-bundler-demo"
"""The name of the demo's AMI."""

INSTANCE_TYPE: Final = "c3.large"
"""A type that boots S3-backed AMIs, hvm and paravirtual, i386 and x86_64."""


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


def make_keys(directory: Path) -> None:
    """Make the user's key pair and EC2's."""
    for owner in ("user", "ec2"):
        write_key_pair(
            directory / f"{owner}.pem",
            directory / f"{owner}.cert.pem",
            common_name=f"{owner} of the demo",
            now=datetime.now(UTC),
            passphrase=None,
            force=False,
        )


def _registration_words(image: Path) -> list[str]:
    """How EC2 would boot an image, as options of publish."""
    with ImageSource.open(image) as source:
        contents = find_contents(source)
    # A bare file system needs a kernel from outside.
    kind = VirtualizationType.HVM if contents.partition_table else VirtualizationType.PARAVIRTUAL
    words = ["--virtualization-type", kind.value]
    if contents.architecture is Architecture.ARM64:
        # No instance type boots S3-backed images of ARM, and nothing boots here.
        words += ["--arch", Architecture.X86_64.value]
    return words


@dataclass(slots=True, kw_only=True)
class Demo:
    """One run; everything it makes lies in its directory or in the embedded cloud."""

    directory: Path
    url: str
    ec2: EmbeddedEc2
    level: CompressionLevel
    console: Console
    stages: list[Stage] = field(default_factory=list)

    def run(self, original: Path | None) -> Outcome:
        """Do all of it."""
        cloud = self._open_cloud()
        image = original or self._build_image()
        data_size, sha256 = self._look_at(image)
        with self._stage("publish", data_size):
            image_id = self._publish(image)
        manifest = self._download(cloud, image.name)
        with self._stage("unbundle with your key", data_size):
            self._unbundle(image.name)
        self._compare(sha256, self._take_away("again.img"), "unbundle with your key")
        with self._stage("launch with EC2's key", data_size):
            root_sha256 = self._launch(cloud, image_id)
        self._compare(sha256, root_sha256, f"launch {image_id}")
        return Outcome(
            image=original or Path(image.name),
            data_size=data_size,
            sha256=sha256,
            image_id=image_id,
            level=self.level,
            manifest=manifest,
            stages=tuple(self.stages),
        )

    def _open_cloud(self) -> Cloud:
        """Wait until the cloud answers: its first answers take seconds that are not ours."""
        self.console.note(f"starting an S3 and EC2 of our own (moto) at {self.url}")
        cloud = Cloud.open(region=REGION, endpoint_url=self.url)
        account_id(cloud.sts(), cloud.transport)
        registry_of(cloud).find(AMI_NAME)
        S3Bucket(cloud.s3(), LOCATION.bucket, cloud.transport).create(acl=ACL, tags={})
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
        words += _registration_words(image)
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

    def _unbundle(self, name: str) -> None:
        manifest = self._path(f"bundle/{manifest_name(name)}")
        words = ["--key", self._path("user.pem"), "--cert", self._path("user.cert.pem")]
        words += ["--output", self._path("again.img")]
        self._command(unbundle, "unbundle", *words, "--", manifest)

    def _launch(self, cloud: Cloud, image_id: str) -> str:
        """Let EC2 open the bundle, by its own key and code; SHA-256 of the root volume."""
        self.console.note(f"launching {image_id} as {INSTANCE_TYPE}: EC2 opens the bundle itself")
        client = cloud.ec2()
        reservation = cloud.transport.call(
            f"launch {image_id}",
            lambda: client.run_instances(
                ImageId=image_id,
                InstanceType=INSTANCE_TYPE,
                MinCount=1,
                MaxCount=1,
                ClientToken=AMI_NAME,
            ),
        )
        return self.ec2.root_volume(reservation["Instances"][0]["InstanceId"]).sha256

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

    def _take_away(self, name: str) -> str:
        """Remove an image; its SHA-256."""
        path = self.directory / name
        _, sha256 = self._look_at(path)
        path.unlink()
        return sha256

    def _compare(self, expected: str, got: str, title: str) -> None:
        if got != expected:
            raise VerificationError(f"{title}: expected an image of SHA-256 {expected}, got {got}")

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
