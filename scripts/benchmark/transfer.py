"""The competitors that move a bundle to and from S3: ami-bundler and the AWS CLI."""

import hashlib
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmark.competitors import (
    NAME,
    OURS,
    Competitor,
    Keys,
    Task,
    make_source_bundle,
    our_bundler,
    sha256_of,
)
from benchmark.runner import Subject, say
from benchmark.servers import REGION, S3Server

MIB = 1024 * 1024
DATA_SIZE = 640 * MIB
"""Bytes of the image that the bundle is made of: random ones, so that 64 full parts come out."""
_SEED = 20071010
_TARGET, _SOURCE = "bench-upload", "bench-download"
"""Buckets: the one is emptied before each upload, the other holds what is downloaded."""


@contextmanager
def transfer_bundle(keys: Keys, work_dir: Path) -> Iterator[tuple[Path, Subject]]:
    """A bundle in a directory, removed at the end."""
    with tempfile.TemporaryDirectory(dir=work_dir, prefix="bundle-") as name:
        image = Path(name, "random.img")
        say(f"bundle: {DATA_SIZE:,} random bytes")
        source = random.Random(_SEED)  # noqa: S311  the same bytes each time
        with image.open("wb") as file:
            for _ in range(DATA_SIZE // MIB):
                file.write(source.randbytes(MIB))
        directory = Path(name, "bundle")
        directory.mkdir()
        make_source_bundle(our_bundler(image, keys, "fast"), directory, keys)
        image.unlink()
        sizes = [path.stat().st_size for path in directory.iterdir()]
        yield (
            directory,
            Subject(
                name="bundle",
                size_text=f"{sum(sizes):,} bytes in {len(sizes)} files",
                digest=digest_of(directory),
            ),
        )


def digest_of(directory: Path) -> str:
    """Hex SHA-256 over the names and contents of all files."""
    lines = [f"{path.name} {sha256_of(path)}\n" for path in sorted(directory.iterdir())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def uploaders(bundle: Path, server: S3Server, aws: str, work_dir: Path) -> list[Competitor]:
    """Both ways to send a bundle, each to an empty bucket."""
    manifest = str(bundle / f"{NAME}.manifest.xml")
    commands = {
        # Not every server knows the ACL for EC2.
        "ours-upload": (*OURS, "upload", manifest, f"s3://{_TARGET}/p", "--acl", "none", "--quiet"),
        "aws-upload": (*_aws_copy(aws), str(bundle), f"s3://{_TARGET}/p"),
    }

    def check(directory: Path) -> str:
        server.get_all(_TARGET, "p", directory / "got")
        return digest_of(directory / "got")

    return [
        Competitor(
            name=name,
            task=Task.UPLOAD,
            argv=(*argv, "--endpoint-url", server.url, "--region", REGION),
            check=check,
            prepare=lambda: server.make_bucket_anew(_TARGET),
            env=server.client_environment(work_dir),
            server_cpu=server.cpu,
        )
        for name, argv in commands.items()
    ]


def downloaders(bundle: Path, server: S3Server, aws: str, work_dir: Path) -> list[Competitor]:
    """Both ways to get a bundle, sent here, each into an empty directory."""
    server.make_bucket_anew(_SOURCE)
    server.put_all(bundle, _SOURCE, "p")
    commands = {
        "ours-download": (
            *(*OURS, "download", f"s3://{_SOURCE}/p/{NAME}.manifest.xml"),
            *("-d", ".", "--quiet"),
        ),
        "aws-download": (*_aws_copy(aws), f"s3://{_SOURCE}/p", "."),
    }
    return [
        Competitor(
            name=name,
            task=Task.DOWNLOAD,
            argv=(*argv, "--endpoint-url", server.url, "--region", REGION),
            check=digest_of,
            env=server.client_environment(work_dir),
            server_cpu=server.cpu,
        )
        for name, argv in commands.items()
    ]


def _aws_copy(aws: str) -> tuple[str, ...]:
    return (aws, "s3", "cp", "--recursive", "--quiet")
