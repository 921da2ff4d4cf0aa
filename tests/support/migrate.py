"""Bundles in S3 to migrate, and the command that does it."""

from collections.abc import Iterable
from pathlib import Path

from bundler.model.image import ImageLocation
from tests.support.bundles import EC2_CERT, USER_CERT, USER_KEY
from tests.support.cloud import REGION, CloudServer, client_of, make_bucket, open_store, put_object
from tests.support.tools import Outcome, cli_environment, run_cli

SOURCE = "s3://from/old"
TARGET = "s3://goal/new"
KEYS: tuple[str | Path, ...] = ("--key", USER_KEY, "--cert", USER_CERT, "--ec2-cert", EC2_CERT)


def place(server: CloudServer, url: str, paths: Iterable[Path]) -> None:
    """Put files below a prefix, each with its SHA-1, past our record; the bucket is made."""
    location = ImageLocation.parse(url)
    if not has_bucket(server, location.bucket):
        make_bucket(server, location.bucket)
    store = open_store(server, location)
    for path in paths:
        put_object(store, path.name, path.read_bytes())
    store.flush()
    server.requests.clear()


def has_bucket(server: CloudServer, name: str) -> bool:
    client = client_of(server.url, server.credentials)
    return name in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]


def stored(server: CloudServer, url: str) -> dict[str, bytes]:
    """The objects below a prefix, by file name; nothing where there is no bucket."""
    location = ImageLocation.parse(url)
    if not has_bucket(server, location.bucket):
        return {}
    client = client_of(server.url, server.credentials)
    listing = client.list_objects_v2(Bucket=location.bucket, Prefix=f"{location.key}/")
    return {
        item["Key"].removeprefix(f"{location.key}/"): client.get_object(
            Bucket=location.bucket, Key=item["Key"]
        )["Body"].read()
        for item in listing.get("Contents", [])
    }


def fetch(server: CloudServer, url: str, directory: Path) -> Path:
    """Write what is below a prefix to a directory; the manifest's path."""
    directory.mkdir()
    for name, body in stored(server, url).items():
        (directory / name).write_bytes(body)
    (manifest,) = directory.glob("*.manifest.xml")
    return manifest


def run_migrate(
    server: CloudServer, *arguments: str | Path, region: str = REGION, **variables: str
) -> Outcome:
    """Run the command with the server as the source's endpoint."""
    environment = cli_environment(**server.credentials, **variables)
    options = ("--endpoint-url", server.url, "--region", region)
    return run_cli("migrate", *arguments, *options, environment=environment)


def transfers(server: CloudServer) -> list[str]:
    """What was put or copied, in the order in which it was asked for: last pieces of paths."""
    return [
        request.path.rpartition("/")[2]
        for request in server.requests
        if request.method == "PUT" and request.path.count("/") > 1
    ]
