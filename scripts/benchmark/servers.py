"""S3 servers for the transfers: started here, emptied between the runs, read for the checks."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from benchmark import seaweedfs, swift
from benchmark.daemon import cpu_seconds, wait_until_up
from benchmark.moto import moto_server
from benchmark.process import BenchError

if TYPE_CHECKING:
    import subprocess

    from mypy_boto3_s3 import S3Client

REGION = "us-east-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Server:
    """A running server."""

    name: str
    url: str
    access_key: str
    secret_key: str = field(repr=False)
    pids: tuple[int, ...]
    _client: "S3Client" = field(repr=False)

    def cpu(self) -> float:
        """CPU seconds that it has used so far."""
        return cpu_seconds(self.pids)

    def client_environment(self, directory: Path) -> dict[str, str]:
        """Variables for a client: credentials, no configuration of the user's, no metadata."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            # Files that are not there: everybody's defaults.
            "AWS_CONFIG_FILE": str(directory / "no-aws-config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(directory / "no-aws-credentials"),
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
        }

    def make_bucket_anew(self, bucket: str) -> None:
        """Make an empty bucket, in the place of one that there may be.

        Raises:
            BenchError: the server refused.
        """
        try:
            self._remove(bucket)
            self._client.create_bucket(Bucket=bucket)
            # Some servers find room for a bucket only when the first object comes.
            self._client.put_object(Bucket=bucket, Key="warm-up", Body=bytes(1024))
        except (BotoCoreError, ClientError) as error:
            raise BenchError(f"{self.name}: make bucket {bucket}: {error}") from error

    def put_all(self, directory: Path, bucket: str, prefix: str) -> None:
        """Put every file of a directory below a prefix."""
        try:
            for path in sorted(directory.iterdir()):
                with path.open("rb") as body:
                    self._client.put_object(Bucket=bucket, Key=f"{prefix}/{path.name}", Body=body)
        except (BotoCoreError, ClientError) as error:
            raise BenchError(f"{self.name}: put {directory}: {error}") from error

    def get_all(self, bucket: str, prefix: str, directory: Path) -> None:
        """Write every object below a prefix to a directory, which is made."""
        directory.mkdir()
        try:
            for key in self._keys(bucket, f"{prefix}/"):
                self._client.download_file(bucket, key, str(directory / Path(key).name))
        except (BotoCoreError, ClientError) as error:
            raise BenchError(f"{self.name}: get {bucket}/{prefix}: {error}") from error

    def _keys(self, bucket: str, prefix: str) -> list[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def _remove(self, bucket: str) -> None:
        if bucket not in [found["Name"] for found in self._client.list_buckets()["Buckets"]]:
            return
        for key in self._keys(bucket, ""):
            self._client.delete_object(Bucket=bucket, Key=key)
        self._client.delete_bucket(Bucket=bucket)


@contextmanager
def s3_server(name: str, work_dir: Path) -> Iterator[S3Server]:
    """Start one of SERVERS, with nothing in it; stop it at the end.

    Raises:
        BenchError: it is not installed, or did not start.
    """
    with (
        tempfile.TemporaryDirectory(dir=work_dir, prefix=f"{name}-") as directory,
        _STARTERS[name](Path(directory), work_dir) as server,
    ):
        yield server


@contextmanager
def _moto(_: Path, __: Path) -> Iterator[S3Server]:
    with moto_server() as moto:
        yield _describe("moto", moto.url, ("testing", "testing"), (moto.pid,))


@contextmanager
def _swift(directory: Path, work_dir: Path) -> Iterator[S3Server]:
    keys = (swift.ACCESS_KEY, swift.SECRET_KEY)
    with swift.swift_servers(directory, work_dir) as (url, processes):
        yield _wait_for("swift", url, keys, processes)


@contextmanager
def _seaweedfs(directory: Path, work_dir: Path) -> Iterator[S3Server]:
    keys = (seaweedfs.ACCESS_KEY, seaweedfs.SECRET_KEY)
    with seaweedfs.seaweedfs_server(directory, work_dir) as (url, processes):
        yield _wait_for("seaweedfs", url, keys, processes)


_STARTERS: dict[str, Callable[[Path, Path], AbstractContextManager[S3Server]]] = {
    "moto": _moto,
    "swift": _swift,
    "seaweedfs": _seaweedfs,
}


def _wait_for(
    name: str, url: str, keys: tuple[str, str], processes: Sequence["subprocess.Popen[bytes]"]
) -> S3Server:
    server = _describe(name, url, keys, tuple(process.pid for process in processes))

    def is_up() -> bool:
        try:
            server.make_bucket_anew("first-bucket")
        except BenchError:
            return False
        return True

    wait_until_up(name, is_up, processes)
    return server


def _describe(name: str, url: str, keys: tuple[str, str], pids: tuple[int, ...]) -> S3Server:
    access_key, secret_key = keys
    client = boto3.client(
        "s3",
        region_name=REGION,
        endpoint_url=url,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=Config(s3={"addressing_style": "path"}),
    )
    return S3Server(
        name=name,
        url=url,
        access_key=access_key,
        secret_key=secret_key,
        pids=pids,
        _client=client,
    )
