"""Instance metadata over real HTTP: a server that wants tokens, and all that can go wrong."""

import re
from dataclasses import replace

import pytest

from bundler.aws.metadata import read_instance_metadata
from bundler.aws.metadata_client import MAX_BODY_SIZE
from bundler.aws.metadata_endpoint import MetadataEndpoint, MetadataPatience
from bundler.errors import AwsRefusedError, BundlerError, TransferError, UsageError
from bundler.model.image import Architecture
from bundler.model.instance_metadata import InstanceMetadata
from bundler.model.mapping import BlockDeviceMapping
from tests.support.metadata_server import (
    DOCUMENT,
    DOCUMENT_PATH,
    NITRO,
    PARAVIRTUAL,
    TOKEN_PATH,
    Answer,
    MetadataServer,
    Override,
    absent_server,
    deaf_server,
)

NO_WAIT = MetadataPatience(timeout=5.0, wait=lambda seconds: None)
"""For answers that come."""

SHORT = replace(NO_WAIT, timeout=0.1, max_attempts=2)
"""For those that do not."""

ENDPOINT = "AWS_EC2_METADATA_SERVICE_ENDPOINT"


def read(url: str, patience: MetadataPatience = NO_WAIT) -> InstanceMetadata:
    return read_instance_metadata(MetadataEndpoint.from_environment({ENDPOINT: url}), patience)


def refusal(url: str, kind: type[BundlerError], patience: MetadataPatience = NO_WAIT) -> str:
    """The one line with which reading fails; it names the server and what always helps."""
    with pytest.raises(kind) as caught:
        read(url, patience)
    assert type(caught.value) is kind
    words = str(caught.value)
    assert words.startswith(f"read instance metadata of {url}: ")
    assert words.endswith("--no-inherit does without instance metadata")
    assert words.isprintable()
    assert len(words) < 400
    return words


def only(method: str, path: str, answer: Answer) -> Override:
    """One request is answered otherwise, whenever it comes."""
    return lambda got, where, count: answer if (got, where) == (method, path) else None


def mappings(**devices: str) -> tuple[BlockDeviceMapping, ...]:
    return tuple(
        BlockDeviceMapping(virtual=name, device=device) for name, device in devices.items()
    )


def test_all_is_read_with_one_token_over_one_connection() -> None:
    with MetadataServer(PARAVIRTUAL, document={**DOCUMENT, "architecture": "i386"}) as server:
        metadata = read(server.url)
    assert metadata == InstanceMetadata(
        instance_id="i-1a2b3c4d",
        ami_id="ami-1a2b3c4d",
        ancestor_ami_ids=("ami-00000001", "ami-00000002"),
        kernel_id="aki-52a34525",
        ramdisk_id="ari-a51cf9cc",
        product_codes=("774F4FF8", "7w4ugprjc7i0abcdefghijkl"),
        block_device_mappings=mappings(
            ami="sda1", ephemeral0="sda2", root="/dev/sda1", swap="sda3"
        ),
        region="eu-west-1",
        account="123456789012",
        architecture=Architecture.I386,
    )
    assert metadata.ancestry == ("ami-00000001", "ami-00000002", "ami-1a2b3c4d")
    assert server.requests.count(f"PUT {TOKEN_PATH}") == 1
    assert server.connection_count == 1


def test_what_an_instance_does_not_have_is_empty_and_volumes_are_left_out() -> None:
    with MetadataServer(NITRO) as server:
        metadata = read(server.url)
    assert metadata == InstanceMetadata(
        instance_id="i-0123456789abcdef0",
        ami_id="ami-0123456789abcdef0",
        block_device_mappings=mappings(ami="/dev/xvda", ephemeral0="sdb", root="/dev/xvda"),
        region="eu-west-1",
        account="123456789012",
        architecture=Architecture.X86_64,
    )
    assert "GET /latest/meta-data/block-device-mapping/ebs1" not in server.requests


def test_a_server_that_tells_nothing_gives_nothing() -> None:
    override = only("GET", DOCUMENT_PATH, Answer(status=404))
    with MetadataServer({}, override=override) as server:
        assert read(server.url) == InstanceMetadata()


@pytest.mark.parametrize("value", ["arm64_mac", "", None])
def test_an_architecture_of_no_s3_backed_ami_is_none(value: str | None) -> None:
    with MetadataServer(document={**DOCUMENT, "architecture": value}) as server:
        assert read(server.url).architecture is None


def test_names_of_mappings_that_are_none_are_not_asked_for() -> None:
    names = "ami\n../../iam/\nephemeral24\nephemeral0?x\nother"
    with MetadataServer({**NITRO, "block-device-mapping/": names}) as server:
        assert read(server.url).block_device_mappings == mappings(ami="/dev/xvda")
    assert not [line for line in server.requests if "iam" in line or "ephemeral" in line]


@pytest.mark.parametrize("status", [400, 404, 405, 501])
def test_a_server_without_imdsv2_is_asked_nothing_more(status: int) -> None:
    with MetadataServer(override=only("PUT", TOKEN_PATH, Answer(status=status))) as server:
        words = refusal(server.url, AwsRefusedError)
    assert f"(IMDSv2), got status {status}: this server knows IMDSv1 at most" in words
    assert server.requests == [f"PUT {TOKEN_PATH}"]


def test_metadata_that_are_switched_off() -> None:
    with MetadataServer(override=lambda method, path, count: Answer(status=403)) as server:
        words = refusal(server.url, AwsRefusedError)
    assert "status 403: this instance's metadata are switched off" in words
    assert "ModifyInstanceMetadataOptions with HttpEndpoint=enabled" in words
    assert server.requests == [f"PUT {TOKEN_PATH}"]


def test_a_token_that_never_comes() -> None:
    with MetadataServer(override=only("PUT", TOKEN_PATH, Answer(is_silent=True))) as server:
        words = refusal(server.url, TransferError, SHORT)
    assert "expected a session token, got no answer within 0.1 seconds" in words
    assert "in a container, ModifyInstanceMetadataOptions with HttpPutResponseHopLimit=2" in words
    assert server.requests == [f"PUT {TOKEN_PATH}"] * SHORT.max_attempts


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Answer(is_silent=True), id="silent"),
        pytest.param(Answer(is_dripping=True, claimed_size=1000), id="dripping"),
    ],
)
def test_a_server_that_hangs_later_has_no_hop_limit(answer: Answer) -> None:
    with MetadataServer(override=only("GET", DOCUMENT_PATH, answer)) as server:
        words = refusal(server.url, TransferError, SHORT)
    assert ": no answer within 0.1 seconds; --no-inherit" in words


def test_nothing_at_that_address() -> None:
    with absent_server() as url:
        assert "nothing there: Connection refused" in refusal(url, TransferError)


def test_an_address_where_nobody_answers() -> None:
    patience = replace(SHORT, connect_timeout=0.1)
    with deaf_server() as url:
        assert ": no connection within 0.1 seconds; " in refusal(url, TransferError, patience)


def test_a_name_that_is_none() -> None:
    assert "nothing there: " in refusal(f"http://{'x' * 64}", TransferError)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Answer(status=503), id="503"),
        pytest.param(Answer(status=429), id="429"),
        pytest.param(Answer(body=b"short", claimed_size=500), id="cut short"),
    ],
)
def test_failures_that_pass_are_waited_for(answer: Answer) -> None:
    waits: list[float] = []
    patience = replace(NO_WAIT, delay=0.5, wait=waits.append)
    with MetadataServer(
        override=lambda method, path, count: answer if count < 2 else None
    ) as server:
        assert read(server.url, patience).region == "eu-west-1"
    assert waits == [0.5, 1.0]
    assert server.requests[:3] == [f"PUT {TOKEN_PATH}"] * 3


@pytest.mark.parametrize(
    ("answer", "pattern"),
    [
        (Answer(status=503), "expected a session token, got status 503"),
        (Answer(body=b"short", claimed_size=500), r"no whole answer \(cut short\)"),
    ],
    ids=["503", "cut short"],
)
def test_failures_that_do_not_pass_end(answer: Answer, pattern: str) -> None:
    with MetadataServer(override=lambda method, path, count: answer) as server:
        assert re.search(pattern, refusal(server.url, TransferError))
    assert len(server.requests) == NO_WAIT.max_attempts


@pytest.mark.parametrize("path", [TOKEN_PATH, DOCUMENT_PATH])
def test_no_redirect_is_followed(path: str) -> None:
    with MetadataServer() as other:
        answer = Answer(status=302, headers={"Location": f"{other.url}{path}"})
        with MetadataServer(
            override=lambda method, where, count: answer if where == path else None
        ) as server:
            assert "got status 302" in refusal(server.url, TransferError)
    assert other.requests == []


def test_no_proxy_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with MetadataServer() as proxy, MetadataServer() as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "https_proxy"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        assert read(server.url).instance_id == "i-0123456789abcdef0"
    assert proxy.connection_count == 0


META = "/latest/meta-data"
PAGE = b"<!DOCTYPE html><html><body>Sign in</body></html>"
RUBBISH = {
    "token that is a page": (TOKEN_PATH, PAGE, "session token: expected one word"),
    "token that is empty": (TOKEN_PATH, b"", "session token: expected one word"),
    "token with a line": (TOKEN_PATH, b"a\r\nX: y", "session token: expected one word"),
    "token without end": (TOKEN_PATH, bytes(MAX_BODY_SIZE + 1), "at most 65536 bytes, got more"),
    "document without end": (DOCUMENT_PATH, b" " * 10**6, "at most 65536 bytes, got more"),
    "document that is a page": (DOCUMENT_PATH, PAGE, "expected JSON, got none"),
    "document of brackets": (DOCUMENT_PATH, b"[" * MAX_BODY_SIZE, "expected JSON, got none"),
    "document that is a list": (DOCUMENT_PATH, b"[]", "expected a JSON object, got another"),
    "region that is a number": (DOCUMENT_PATH, b'{"region": 1}', "expected a text, got int"),
    "region of two labels": (DOCUMENT_PATH, b'{"region": "x.evil"}', "got 'x.evil'"),
    "account with hyphens": (DOCUMENT_PATH, b'{"accountId": "1234-5678-9012"}', "accountId: "),
    "id that is a page": (f"{META}/ami-id", PAGE, "ami-id: expected what EC2 tells there, got '<!"),
    "id with a control character": (f"{META}/kernel-id", b"aki-52a34525\x1b[2J", r"\x1b[2J"),
    "id of two words": (f"{META}/instance-id", b"i-1a2b3c4d i-1a2b3c4d", "instance-id: "),
    "id of another kind": (f"{META}/ramdisk-id", b"aki-52a34525", "ramdisk-id: "),
    "ancestor that is none": (f"{META}/ancestor-ami-ids", b"ami-1\n", "ancestor-ami-ids: "),
    "code with a mark": (f"{META}/product-codes", b"<product_code>", "product-codes: "),
    "bytes that are no text": (f"{META}/ami-id", b"ami-\xff", "expected ASCII text"),
    "device with an option": (f"{META}/block-device-mapping/ami", b"sda1,b=c", "got 'sda1,b=c'"),
    "device elsewhere": (f"{META}/block-device-mapping/ami", b"/dev/../etc", "got '/dev/../etc'"),
}
"""Path, what it is answered with, and what is said of that."""


@pytest.mark.parametrize("name", RUBBISH)
def test_rubbish_is_not_believed(name: str) -> None:
    path, body, expected = RUBBISH[name]
    answer = Answer(body=body)
    method = "PUT" if path == TOKEN_PATH else "GET"
    with MetadataServer(override=only(method, path, answer)) as server:
        assert expected in refusal(server.url, TransferError)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "http://169.254.169.254"),
        ({f"{ENDPOINT}_MODE": "IPv6"}, "http://[fd00:ec2::254]"),
        ({f"{ENDPOINT}_MODE": "ipv4"}, "http://169.254.169.254"),
        ({ENDPOINT: "http://[fd00:ec2::254]:80/"}, "http://[fd00:ec2::254]"),
        ({ENDPOINT: "http://localhost:1338", f"{ENDPOINT}_MODE": "IPv6"}, "http://localhost:1338"),
        ({ENDPOINT: ""}, "http://169.254.169.254"),
    ],
)
def test_the_address_is_the_environment_s(environment: dict[str, str], expected: str) -> None:
    endpoint = MetadataEndpoint.from_environment(environment)
    assert endpoint.url == expected
    assert endpoint.is_given == bool(environment.get(ENDPOINT))


@pytest.mark.parametrize(
    "environment",
    [
        {f"{ENDPOINT}_MODE": "ipv5"},
        {ENDPOINT: "169.254.169.254"},
        {ENDPOINT: "https://169.254.169.254"},
        {ENDPOINT: "http://"},
        {ENDPOINT: "http://host:0"},
        {ENDPOINT: "http://host:x"},
        {ENDPOINT: "http://[::1"},
        {ENDPOINT: "http://host/latest"},
        {ENDPOINT: "http://user:password@host"},
        {ENDPOINT: "http://ho st"},
        {ENDPOINT: "http://höst"},
    ],
)
def test_addresses_that_are_none_are_refused(environment: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=r"^AWS_EC2_METADATA_SERVICE_ENDPOINT") as caught:
        MetadataEndpoint.from_environment(environment)
    assert "password" not in str(caught.value)
