"""OpenStack Swift with its S3 API: a server that shares no code with moto, and is strict.

One node for each process that runs tests, started when a test first needs it.
"""

import atexit
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.tools import lacking

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

SWIFT_REGION = "eu-west-1"
"""The one region of the node: signatures for another one are refused."""

SWIFT_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test:tester", "AWS_SECRET_ACCESS_KEY": "testing"}
"""Of the account's administrator."""

SWIFT_OTHER_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test:tester3",
    "AWS_SECRET_ACCESS_KEY": "testing3",
}
"""Of a user of the same account, who may do nothing but what an ACL grants."""

_USERS = ("test:tester=testing .admin", "test:tester3=testing3")
_NODE = Path(__file__).with_name("swift_node.py")


def swift_url() -> str:
    """The URL of this process's node, which is started if it does not run yet.

    Where Swift is not installed, or the tests do not run as root, the test is skipped.
    """
    programs = Path(sys.executable).parent
    if not (programs / "swift-proxy-server").exists():
        lacking("needs Swift, of the extra dev")
    if os.geteuid() != 0:
        lacking("needs root, to run Swift")
    url, said = _start(programs)
    assert url, f"Swift does not start:\n{said}"
    return url


@cache
def _start(programs: Path) -> tuple[str, str]:
    """The URL and nothing, or nothing and what the node said; it is started only once."""
    directory = tempfile.mkdtemp(prefix="bundler-swift-")
    node = subprocess.Popen(  # noqa: S603 - our own words, and no shell
        [sys.executable, "-I", _NODE, programs, directory, SWIFT_REGION, *_USERS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
        start_new_session=True,
    )
    assert node.stdout is not None
    if url := node.stdout.readline().strip():
        # Ends its standard input, which is what the node waits for.
        atexit.register(node.communicate)
        return url, ""
    return "", node.communicate()[1]


def empty_account(client: "S3Client") -> None:
    """Remove all buckets, with their objects, versions and multipart uploads."""
    for bucket in client.list_buckets()["Buckets"]:
        name = bucket["Name"]
        for uploads in client.get_paginator("list_multipart_uploads").paginate(Bucket=name):
            for upload in uploads.get("Uploads", []):
                client.abort_multipart_upload(
                    Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"]
                )
        for page in client.get_paginator("list_object_versions").paginate(Bucket=name):
            found = (*page.get("Versions", []), *page.get("DeleteMarkers", []))
            if found:
                objects: list[ObjectIdentifierTypeDef] = [
                    {"Key": version["Key"], "VersionId": version["VersionId"]} for version in found
                ]
                done = client.delete_objects(Bucket=name, Delete={"Objects": objects})
                assert not done.get("Errors"), done["Errors"]
        client.delete_bucket(Bucket=name)
