"""What lies in S3, looked at without our code, and what a manifest there promises."""

import re
from collections.abc import Mapping
from hashlib import sha1
from pathlib import Path

from tests.support.cloud import CloudServer, s3_client


def stored_objects(server: CloudServer, bucket: str, prefix: str) -> dict[str, bytes]:
    """The objects below a prefix that ends in a slash, by file name."""
    client = s3_client(server)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
    return {
        key.removeprefix(prefix): client.get_object(Bucket=bucket, Key=key)["Body"].read()
        for key in keys
    }


def check_whole(files: Mapping[str, bytes]) -> bool:
    """Whether there is a manifest; if so, it has all its parts, byte for byte."""
    documents = [body for name, body in files.items() if name.endswith(".manifest.xml")]
    for document in documents:
        parts = re.findall(
            rb"<filename>([^<]*)</filename><digest algorithm='SHA1'>([0-9a-f]{40})<", document
        )
        assert parts
        for name, digest in parts:
            body = files[name.decode()]
            assert sha1(body, usedforsecurity=False).hexdigest() == digest.decode(), name
    return bool(documents)


def sent_parts(server: CloudServer) -> list[str]:
    """Parts that were sent, each as often as it was."""
    return [
        request.path.rpartition("/")[2]
        for request in server.requests
        if request.method == "PUT" and ".part." in request.path and request.query != "acl"
    ]


def check_nothing_sent_twice(
    server: CloudServer, before: Mapping[str, bytes], after: Mapping[str, bytes]
) -> None:
    """What S3 held whole `before` was not among what has been sent since."""
    held = {name for name, body in before.items() if body == after.get(name)}
    assert not held & set(sent_parts(server))


def read_files(directory: Path) -> dict[str, bytes]:
    """The files of a directory, by name."""
    return {path.name: path.read_bytes() for path in directory.iterdir()}
