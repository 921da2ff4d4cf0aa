"""ami-bundler demo."""

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bundler.cli.console import Console, Result
from bundler.cli.demo_run import Demo, Outcome, make_keys
from bundler.cli.options import choice, parse_path
from bundler.embedded.ec2 import Ec2Settings, EmbeddedEc2
from bundler.embedded.server import embedded_cloud
from bundler.host.files import os_errors
from bundler.host.image_file import ImageSource
from bundler.host.root_image import find_mke2fs
from bundler.model.bundle import CompressionLevel
from bundler.workflow.keys import load_private_key

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
    with _private_directory() as directory:
        make_keys(directory)
        key = load_private_key(directory / "ec2.pem", lambda: None)
        ec2 = EmbeddedEc2(Ec2Settings(private_key=key))
        with embedded_cloud(directory, ec2) as url:
            demo = Demo(directory=directory, url=url, ec2=ec2, level=level, console=console)
            outcome = demo.run(image)
    return Result(text="\n".join(_lines(outcome)), facts=_facts(outcome))


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
