"""ami-bundler volume on an instance: straight into S3, with what the instance was told."""

import json
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from bundler.embedded.ec2 import Ec2Settings
from tests.support.bundles import EC2_CERT, EC2_KEY, USER_CERT, USER_KEY, element_text, load_key
from tests.support.cloud import (
    REGION,
    CloudServer,
    Reply,
    Request,
    cloud_server,
    error_reply,
    s3_client,
)
from tests.support.metadata_server import PARAVIRTUAL, MetadataServer
from tests.support.privileged import check_no_traces, require_root, traces
from tests.support.tools import Outcome, check_refused, cli_environment, run_cli
from tests.support.volumes import make_tree, run_volume

LOCATION = "s3://images/web"
KEYS = ("-k", USER_KEY, "-c", USER_CERT, "--ec2-cert", EC2_CERT)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CloudServer]:
    require_root()
    settings = Ec2Settings(private_key=load_key(EC2_KEY))
    with cloud_server(monkeypatch, tmp_path, settings=settings) as running:
        yield running


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "scratch").mkdir()
    before = traces(tmp_path)
    yield make_tree(tmp_path / "tree")
    check_no_traces(tmp_path, before)
    assert list((tmp_path / "scratch").iterdir()) == []


def run(
    server: CloudServer,
    tree: Path,
    *more: str | Path,
    variables: Mapping[str, str] | None = None,
) -> Outcome:
    scratch, state = tree.parent / "scratch", tree.parent / "state"
    options = ("--endpoint-url", server.url, "--scratch-dir", scratch, "--state-dir", state)
    words = (LOCATION, "--volume", tree, *KEYS, *options, "--name", "web", *more)
    return run_volume(*words, variables={**server.credentials, **(variables or {})})


def test_a_tree_becomes_an_ami(server: CloudServer, tree: Path) -> None:
    more = ("--region", REGION, "--ami-name", "web 1", "--tag", "made=here", "--json")
    outcome = run(server, tree, *more, "--virtualization-type", "paravirtual")
    assert outcome.code == 0, outcome.errors
    facts = json.loads(outcome.output)
    assert facts["image_id"].startswith("ami-")
    assert (facts["ami_name"], facts["name"]) == ("web 1", "web")
    assert facts["manifest"] == f"{LOCATION}/web.manifest.xml"
    (registered,) = server.registrations
    assert registered["Architecture"] == "x86_64"
    assert facts["report"] == str(tree.parent / "state/web.report.json")
    assert json.loads(Path(facts["report"]).read_text())["volume"] == str(tree)
    keys = [one["Key"] for one in s3_client(server).list_objects(Bucket="images")["Contents"]]
    assert [key for key in keys if "report" in key] == []
    again = run(server, tree, *more)
    check_refused(again, 6, "a free name, got one that ami-")


def test_what_an_instance_was_told_is_in_the_manifest(server: CloudServer, tree: Path) -> None:
    with MetadataServer(PARAVIRTUAL) as metadata:
        variables = {
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata.url,
            "AWS_EC2_METADATA_DISABLED": "false",
        }
        outcome = run(server, tree, "--inherit", "--account", "123456789012", variables=variables)
    assert outcome.code == 0, outcome.errors
    assert "inherited from instance i-" in outcome.errors
    body = s3_client(server).get_object(Bucket="images", Key="web/web.manifest.xml")["Body"].read()
    assert element_text(body, "kernel_id") == PARAVIRTUAL["kernel-id"]
    assert b"<virtual>ephemeral0</virtual>" in body
    assert PARAVIRTUAL["ami-id"].encode() in body
    assert "PUT /latest/api/token" in metadata.requests


def test_a_lost_network_leaves_no_manifest_and_the_next_run_succeeds(
    server: CloudServer, tree: Path
) -> None:
    def refuse(request: Request) -> Reply | None:
        is_part = request.method == "PUT" and ".part." in request.path
        return error_reply("503 Slow Down", "SlowDown") if is_part else None

    server.intercept = refuse
    options = ("--region", REGION, "--endpoint-url", server.url)
    more = ("--max-attempts", "2", "--retry-delay", "0.01")
    check_refused(run(server, tree, *options[:2], *more), 7, "SlowDown")
    server.intercept = lambda request: None
    manifest = f"{LOCATION}/web.manifest.xml"
    environment = cli_environment(**server.credentials)
    words = ("verify", manifest, "--deep", "--key", USER_KEY, "--cert", USER_CERT, *options)
    check_refused(run_cli(*words, environment=environment), 6, "NoSuchKey")
    outcome = run(server, tree, *options[:2], *more)
    assert outcome.code == 0, outcome.errors
    assert run_cli(*words, environment=environment).code == 0


def test_an_interruption_while_parts_are_sent(server: CloudServer, tree: Path) -> None:
    """The process that sends the first part is interrupted before the server answers."""

    def interrupt(request: Request) -> Reply | None:
        if request.method == "PUT" and ".part." in request.path:
            children = Path(f"/proc/{os.getpid()}/task/{main}/children").read_text().split()
            for child in children:
                os.kill(int(child), signal.SIGINT)
        return None

    main = os.getpid()
    server.intercept = interrupt
    outcome = run(server, tree, "--region", REGION, "--account", "123456789012")
    server.intercept = lambda request: None
    check_refused(outcome, 130, "interrupted$")
    keys = [
        one["Key"] for one in s3_client(server).list_objects(Bucket="images").get("Contents", [])
    ]
    assert [key for key in keys if "manifest" in key] == []
