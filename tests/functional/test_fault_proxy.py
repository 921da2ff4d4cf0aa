"""Each fault does what it says, to a plain client of each S3 server."""

import io
import time
import urllib.request
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    IncompleteReadError,
    ResponseStreamingError,
)
from botocore.httpchecksum import AwsChunkedWrapper, Crc32Checksum
from botocore.httpsession import URLLib3Session

from bundler.model.bundle import MIB
from tests.support.cloud import (
    REGION,
    S3_SERVERS,
    CloudServer,
    Fault,
    FaultKind,
    client_of,
    cloud_server,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONTENT = Random(1).randbytes(MIB)


@pytest.fixture(params=S3_SERVERS)
def server(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[CloudServer]:
    with cloud_server(monkeypatch, tmp_path, s3=request.param) as running:
        yield running


@pytest.fixture
def client(server: CloudServer) -> "S3Client":
    """A client that tries once, of a bucket `images` with an object `name`."""
    client = open_client(server)
    client.create_bucket(
        Bucket="images", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    client.put_object(Bucket="images", Key="name", Body=CONTENT)
    server.requests.clear()
    return client


def open_client(server: CloudServer, *, attempts: int = 1) -> "S3Client":
    config = Config(retries={"mode": "standard", "total_max_attempts": attempts})
    return client_of(server.url, server.credentials, config=config)


def get(client: "S3Client", key: str = "name") -> bytes:
    return client.get_object(Bucket="images", Key=key)["Body"].read()


def damaged_bytes(client: "S3Client") -> list[int]:
    """Where the object `name` is not what it was, as it comes over the wire."""
    url = client.generate_presigned_url("get_object", Params={"Bucket": "images", "Key": "name"})
    with urllib.request.urlopen(url) as reply:  # noqa: S310 - http, and our own server's
        content = reply.read()
    pairs = enumerate(zip(content, CONTENT, strict=True))
    return [index for index, (got, expected) in pairs if got != expected]


def put(client: "S3Client", content: bytes, key: str = "name") -> None:
    client.put_object(Bucket="images", Key=key, Body=content)


def last(server: CloudServer) -> tuple[Fault | None, int | None]:
    """What struck the last request, and what the server answered."""
    return server.requests[-1].fault, server.requests[-1].status


def test_ten_mebibytes_come_back_as_they_were_sent(server: CloudServer, client: "S3Client") -> None:
    content = Random(2).randbytes(10 * MIB)
    put(client, content)
    assert get(client) == content
    assert [request.status for request in server.requests] == [200, 200]
    # The client waited with its body until the server wanted it.
    assert server.requests[0].headers["expect"] == "100-continue"


def test_an_error_is_answered_in_the_servers_stead(server: CloudServer, client: "S3Client") -> None:
    date = formatdate(0, usegmt=True)
    fault = Fault(
        kind=FaultKind.STATUS,
        method="PUT",
        path="/images/",
        status=403,
        code="RequestTimeTooSkewed",
        headers=(("Date", date), ("x-amz-bucket-region", "us-west-2")),
        elements=(("Region", "us-west-2"),),
    )
    server.faults.add(fault)
    with pytest.raises(ClientError) as caught:
        put(client, b"other")
    error = caught.value.response["Error"]
    assert (error.get("Code"), error.get("Region")) == ("RequestTimeTooSkewed", "us-west-2")
    headers = caught.value.response["ResponseMetadata"]["HTTPHeaders"]
    assert (headers["date"], headers["x-amz-bucket-region"]) == (date, "us-west-2")
    assert last(server) == (fault, None)
    assert get(client) == CONTENT


def test_an_error_without_a_document_to_head(server: CloudServer, client: "S3Client") -> None:
    server.faults.add(Fault(kind=FaultKind.STATUS, method="HEAD", status=403))
    with pytest.raises(ClientError, match="403"):
        client.head_object(Bucket="images", Key="name")
    assert client.head_object(Bucket="images", Key="name")["ContentLength"] == MIB


def test_an_error_under_status_200(server: CloudServer, client: "S3Client") -> None:
    fault = Fault(kind=FaultKind.ERROR_IN_200, query="uploadId=", after=1, code="InternalError")
    server.faults.add(fault)
    upload_id = client.create_multipart_upload(Bucket="images", Key="big")["UploadId"]
    etag = client.upload_part(
        Bucket="images", Key="big", UploadId=upload_id, PartNumber=1, Body=CONTENT
    )["ETag"]

    def complete() -> None:
        client.complete_multipart_upload(
            Bucket="images",
            Key="big",
            UploadId=upload_id,
            MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]},
        )

    with pytest.raises(ClientError, match="InternalError"):
        complete()
    assert last(server) == (fault, None)
    complete()
    assert get(client, "big") == CONTENT


@pytest.mark.parametrize("at", [0, 100_000])
@pytest.mark.parametrize("kind", [FaultKind.RESET_REQUEST, FaultKind.CLOSE_REQUEST])
def test_a_request_that_breaks_stores_nothing(
    server: CloudServer, client: "S3Client", kind: FaultKind, at: int
) -> None:
    fault = Fault(kind=kind, method="PUT", at=at)
    server.faults.add(fault)
    with pytest.raises(ConnectionClosedError):
        put(client, bytes(MIB))
    assert last(server) == (fault, None)
    assert get(client) == CONTENT


@pytest.mark.parametrize("at", [0, 100_000])
@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (FaultKind.RESET_RESPONSE, ResponseStreamingError),
        (FaultKind.CLOSE_RESPONSE, IncompleteReadError),
    ],
)
def test_a_reply_that_breaks(
    server: CloudServer, client: "S3Client", kind: FaultKind, error: type[Exception], at: int
) -> None:
    fault = Fault(kind=kind, method="GET", at=at)
    server.faults.add(fault)
    body = client.get_object(Bucket="images", Key="name")["Body"]
    assert body.read(at) == CONTENT[:at]
    with pytest.raises(error, match=r"Connection broken|100000 read|0 read"):
        body.read(1)
    assert last(server) == (fault, 200)
    assert get(client) == CONTENT


@pytest.mark.parametrize("at", [0, MIB - 1])
def test_a_byte_of_a_reply_is_damaged(server: CloudServer, client: "S3Client", at: int) -> None:
    server.faults.add(Fault(kind=FaultKind.CORRUPT_RESPONSE, method="GET", at=at))
    assert damaged_bytes(client) == [at]
    assert get(client) == CONTENT


@pytest.mark.parametrize("at", [0, MIB - 1])
def test_a_byte_of_a_request_is_damaged(server: CloudServer, client: "S3Client", at: int) -> None:
    fault = Fault(kind=FaultKind.CORRUPT_REQUEST, method="PUT", at=at)
    server.faults.add(fault)
    if server.credentials["AWS_ACCESS_KEY_ID"].startswith("test:"):
        with pytest.raises(ClientError, match=r"XAmzContentSHA256Mismatch|BadDigest"):
            put(client, CONTENT)
    else:  # moto looks at no digest
        put(client, CONTENT)
        assert damaged_bytes(client) == [at]
    assert server.requests[0].fault == fault


def test_a_byte_that_is_not_there_is_not_damaged(server: CloudServer, client: "S3Client") -> None:
    server.faults.add(Fault(kind=FaultKind.CORRUPT_REQUEST, at=MIB))
    put(client, CONTENT)
    assert last(server) == (None, 200)


def test_a_lost_reply_leaves_the_deed_done(server: CloudServer, client: "S3Client") -> None:
    fault = Fault(kind=FaultKind.DROP_RESPONSE, method="PUT")
    server.faults.add(fault)
    with pytest.raises(ConnectionClosedError):
        put(client, b"other")
    assert last(server) == (fault, 200)
    assert get(client) == b"other"


def test_a_request_hangs_and_is_reset(server: CloudServer, client: "S3Client") -> None:
    fault = Fault(kind=FaultKind.HANG, method="GET", seconds=0.3)
    server.faults.add(fault)
    began = time.monotonic()
    with pytest.raises(ConnectionClosedError):
        get(client)
    assert time.monotonic() - began >= 0.3
    assert last(server) == (fault, None)


def test_bodies_pass_slowly_both_ways(server: CloudServer, client: "S3Client") -> None:
    server.faults.add(Fault(kind=FaultKind.SLOW, rate=4 * MIB, times=2))
    actions: tuple[Callable[[], object], ...] = (lambda: put(client, CONTENT), lambda: get(client))
    for action in actions:
        began = time.monotonic()
        action()
        assert 0.25 <= time.monotonic() - began < 5
    assert server.requests[0].fault is server.requests[1].fault is not None


def test_a_fault_strikes_some_of_the_requests_that_match(
    server: CloudServer, client: "S3Client"
) -> None:
    server.faults.add(Fault(kind=FaultKind.STATUS, query="list-type=2", after=1, times=2))
    codes = []
    for _ in range(5):
        assert get(client) == CONTENT
        try:
            client.list_objects_v2(Bucket="images")
        except ClientError:
            codes.append(503)
        else:
            codes.append(200)
    assert codes == [200, 503, 503, 200, 200]


def test_a_client_that_tries_again_gets_through(server: CloudServer, client: "S3Client") -> None:
    server.faults.add(
        Fault(kind=FaultKind.STATUS, method="PUT"),
        Fault(kind=FaultKind.RESET_REQUEST, method="PUT", at=1000),
    )
    put(open_client(server, attempts=3), b"other" * 1000)
    assert [request.status for request in server.requests] == [None, None, 200]
    assert get(client) == b"other" * 1000


def test_replies_without_a_body(server: CloudServer, client: "S3Client") -> None:
    etag = client.head_object(Bucket="images", Key="name")["ETag"]
    with pytest.raises(ClientError, match="304"):
        client.get_object(Bucket="images", Key="name", IfNoneMatch=etag)
    client.delete_object(Bucket="images", Key="name")
    assert [request.status for request in server.requests] == [200, 304, 204]


def test_signed_chunks_with_a_trailer(server: CloudServer, client: "S3Client") -> None:
    """As boto3 sends them over HTTPS: chunks of AWS inside of chunks of HTTP."""
    name = "x-amz-checksum-crc32"
    body = AwsChunkedWrapper(io.BytesIO(CONTENT), checksum_cls=Crc32Checksum, checksum_name=name)
    request = AWSRequest(
        method="PUT",
        url=f"{server.url}/images/chunks",
        data=body,
        headers={
            "Content-Encoding": "aws-chunked",
            "Transfer-Encoding": "chunked",
            "X-Amz-Trailer": name,
            "X-Amz-Decoded-Content-Length": str(len(CONTENT)),
        },
    )
    request.context["checksum"] = {"request_algorithm": {"in": "trailer"}}
    keys = Credentials(*server.credentials.values())
    S3SigV4Auth(keys, "s3", REGION).add_auth(request)
    assert URLLib3Session().send(request.prepare()).status_code == 200
    assert get(client, "chunks") == CONTENT
