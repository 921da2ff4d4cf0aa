"""ami-bundler ami ... on a cloud of its own: AMIs to begin with, and EC2's answers in its stead."""

import json
from collections.abc import Mapping
from typing import Any

from tests.support.cloud import REGION, CloudServer, Reply, open_cloud, s3_client
from tests.support.faults import Request
from tests.support.in_process import run_here
from tests.support.small_bundles import small_bundle
from tests.support.tools import Outcome, cli_environment

BUCKET = "images"
"""Of all bundles here."""


def ami(server: CloudServer, verb: str, *words: str) -> Outcome:
    """Run a verb."""
    options = ("--endpoint-url", server.url, "--region", REGION)
    environment = cli_environment(**server.credentials)
    return run_here("ami", verb, *words, *options, environment=environment)


def done(server: CloudServer, verb: str, *words: str) -> Outcome:
    """Run a verb that must succeed."""
    outcome = ami(server, verb, *words)
    assert outcome.code == 0, outcome.errors
    return outcome


def facts_of(server: CloudServer, verb: str, *words: str) -> Any:
    """What a verb that must succeed tells programs."""
    return json.loads(done(server, verb, *words, "--json").output)


def put(server: CloudServer, objects: Mapping[str, bytes]) -> None:
    """Store objects, whose SHA-1 S3 keeps."""
    client = s3_client(server)
    for key, body in objects.items():
        client.put_object(Bucket=BUCKET, Key=key, Body=body, ChecksumAlgorithm="SHA1")


def register(server: CloudServer, name: str, **more: Any) -> str:
    """An S3-backed AMI whose bundle is whole."""
    put(server, small_bundle(name, folder="web/"))
    location = f"{BUCKET}/web/{name}.manifest.xml"
    client = open_cloud(server).ec2()
    return client.register_image(Name=name, ImageLocation=location, **more)["ImageId"]


def answer(server: CloudServer, *bodies: str | None, status: str = "200 OK") -> None:
    """Answer requests to EC2 in this order in the server's stead; None lets one pass.

    The status is that of the last one.
    """
    left = list(bodies)

    def intercept(request: Request) -> Reply | None:
        if "/ec2/" not in request.headers.get("authorization", ""):
            return None
        body = left.pop(0)
        if body is None:
            return None
        return Reply(status="200 OK" if left else status, body=body.encode())

    server.intercept = intercept


def replied(operation: str, word: str = "true") -> str:
    """EC2's answer to a request that says no more than that it is done."""
    return f"<{operation}Response><return>{word}</return></{operation}Response>"


def described(*items: tuple[str, str]) -> str:
    """EC2's answer to DescribeImages: ids and further elements."""
    images = "".join(f"<item><imageId>{name}</imageId>{more}</item>" for name, more in items)
    return f"<DescribeImagesResponse><imagesSet>{images}</imagesSet></DescribeImagesResponse>"


def refused(code: str, words: str = "It is so.") -> str:
    """EC2's refusal."""
    return (
        f"<Response><Errors><Error><Code>{code}</Code><Message>{words}</Message></Error></Errors>"
        "<RequestID>1</RequestID></Response>"
    )
