"""What the options of a bundle inherit from the instance, asked over real HTTP."""

import argparse
import io
from pathlib import Path

import pytest

from bundler.aws.metadata_endpoint import MetadataPatience
from bundler.cli.bundle_options import add_bundle_options
from bundler.cli.console import Console
from bundler.cli.inherit import add_inherit_option, find_endpoint, inherit
from bundler.cli.options import add_cloud_options
from bundler.errors import AwsRefusedError, TransferError, UsageError
from tests.support.cloud import set_cloud_environment
from tests.support.metadata_server import (
    NITRO,
    PARAVIRTUAL,
    Answer,
    MetadataServer,
    absent_server,
)

ENDPOINT = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
DISABLED = "AWS_EC2_METADATA_DISABLED"
MAPPINGS = ["ami=sda1", "ephemeral0=sda2", "root=/dev/sda1", "swap=sda3"]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings, and no credentials but those that an instance's role would give."""
    set_cloud_environment(monkeypatch, tmp_path)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", DISABLED):
        monkeypatch.delenv(name, raising=False)


class Command:
    """A command line with the options that volume has, on a machine that is no instance."""

    def __init__(self, root: Path) -> None:
        self.told = io.StringIO()
        self._root = root
        self._parser = argparse.ArgumentParser(allow_abbrev=False)
        add_bundle_options(self._parser)
        add_cloud_options(self._parser)
        add_inherit_option(self._parser)
        self._parser.add_argument("--virtualization-type", default="")

    def parse(self, *words: str) -> argparse.Namespace:
        return self._parser.parse_args(words)

    def inherit(self, *words: str) -> argparse.Namespace:
        return inherit(
            self.parse(*words),
            Console(stderr=self.told),
            sys=self._root,
            patience=MetadataPatience(timeout=5.0, wait=lambda seconds: None),
        )


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path / "sys")


def make_instance(root: Path) -> None:
    firmware = root / "devices/virtual/dmi/id"
    firmware.mkdir(parents=True)
    (firmware / "sys_vendor").write_text("Amazon EC2\n")


def test_a_paravirtual_instance_gives_all(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MetadataServer(PARAVIRTUAL) as server:
        monkeypatch.setenv(ENDPOINT, server.url)
        found = command.inherit()
    changed = {
        "arch": "x86_64",
        "account": "123456789012",
        "region": "eu-west-1",
        "kernel": "aki-52a34525",
        "ramdisk": "ari-a51cf9cc",
        "product_code": ["774F4FF8", "7w4ugprjc7i0abcdefghijkl"],
        "ancestor": ["ami-00000001", "ami-00000002", "ami-1a2b3c4d"],
        "block_device_mapping": MAPPINGS,
        "virtualization_type": "paravirtual",
    }
    assert vars(found) == vars(command.parse()) | changed
    assert command.told.getvalue() == (
        "inherited from instance i-1a2b3c4d: architecture x86_64, account 123456789012, "
        "region eu-west-1, kernel aki-52a34525, ramdisk ari-a51cf9cc, "
        "product codes 774F4FF8 7w4ugprjc7i0abcdefghijkl, "
        "ancestors ami-00000001 ami-00000002 ami-1a2b3c4d, "
        "block device mapping ami=sda1 ephemeral0=sda2 root=/dev/sda1 swap=sda3\n"
    )


def test_an_instance_of_today_gives_no_kernel(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MetadataServer(NITRO) as server:
        monkeypatch.setenv(ENDPOINT, server.url)
        found = command.inherit()
    assert (found.kernel, found.ramdisk, found.virtualization_type) == ("", "", "hvm")
    assert found.ancestor == ["ami-0123456789abcdef0"]
    assert found.block_device_mapping == ["ami=/dev/xvda", "ephemeral0=sdb", "root=/dev/xvda"]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--arch", "arm64"),
        ("--account", "210987654321"),
        ("--region", "us-east-1"),
        ("--kernel", "aki-11111111"),
        ("--ramdisk", "ari-11111111"),
        ("--product-code", "mine"),
        ("--ancestor", "ami-11111111"),
        ("--block-device-mapping", "ami=sdz"),
        ("--virtualization-type", "hvm"),
    ],
)
def test_an_option_wins_whole(
    command: Command, monkeypatch: pytest.MonkeyPatch, option: str, value: str
) -> None:
    with MetadataServer(PARAVIRTUAL) as server:
        monkeypatch.setenv(ENDPOINT, server.url)
        found = command.inherit(option, value)
    name = option.removeprefix("--").replace("-", "_")
    assert vars(found)[name] == vars(command.parse(option, value))[name]


def test_a_ramdisk_stays_with_its_kernel(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    with MetadataServer(PARAVIRTUAL) as server:
        monkeypatch.setenv(ENDPOINT, server.url)
        assert command.inherit("--kernel", "aki-11111111").ramdisk == ""
        found = command.inherit("--virtualization-type", "hvm")
    assert (found.kernel, found.ramdisk) == ("", "")


@pytest.mark.parametrize("name", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_a_configured_region_is_the_user_s_word(
    command: Command, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "us-east-1")
    with MetadataServer() as server:
        monkeypatch.setenv(ENDPOINT, server.url)
        assert command.inherit().region == ""


@pytest.mark.parametrize("name", ["AWS_PROFILE", "AWS_ACCESS_KEY_ID"])
def test_credentials_that_are_named_tell_the_account(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    (tmp_path / "aws-config").write_text("[profile other]\n")
    monkeypatch.setenv(name, "other")
    with MetadataServer() as server:
        monkeypatch.setenv(ENDPOINT, server.url)
        assert command.inherit().account is None


def test_what_is_not_told_stays_unsaid(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    with MetadataServer({}, document={}) as server:
        monkeypatch.setenv(ENDPOINT, server.url)
        found = command.inherit("--virtualization-type", "hvm")
    assert vars(found) == vars(command.parse("--virtualization-type", "hvm"))
    assert command.told.getvalue() == ""


@pytest.mark.parametrize(
    ("is_instance", "words", "expected"),
    [
        (True, (), "http://169.254.169.254"),
        (True, ("--no-inherit",), None),
        (False, (), None),
        (False, ("--inherit",), "http://169.254.169.254"),
    ],
)
def test_ec2_s_own_server_is_for_instances(
    command: Command,
    tmp_path: Path,
    is_instance: bool,
    words: tuple[str, ...],
    expected: str | None,
) -> None:
    if is_instance:
        make_instance(tmp_path / "sys")
    endpoint = find_endpoint(command.parse(*words), tmp_path / "sys")
    assert (endpoint and endpoint.url) == expected


def test_elsewhere_nothing_is_asked_and_nothing_said(command: Command) -> None:
    assert vars(command.inherit()) == vars(command.parse())
    assert command.told.getvalue() == ""


@pytest.mark.parametrize(
    ("words", "value"),
    [(("--no-inherit",), ""), ((), "true"), ((), "TRUE")],
    ids=["option", "variable", "variable in capitals"],
)
def test_nobody_is_asked_where_it_is_switched_off(
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: tuple[str, ...],
    value: str,
) -> None:
    make_instance(tmp_path / "sys")
    monkeypatch.setenv(DISABLED, value)
    with MetadataServer() as server:
        monkeypatch.setenv(ENDPOINT, server.url)
        assert vars(command.inherit(*words)) == vars(command.parse(*words))
    assert server.connection_count == 0
    assert command.told.getvalue() == ""


def test_what_is_asked_for_and_forbidden_is_refused(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DISABLED, "true")
    with pytest.raises(UsageError, match=r"^--inherit: AWS_EC2_METADATA_DISABLED=true forbids"):
        command.inherit("--inherit")


@pytest.mark.parametrize("words", [(), ("--inherit",)])
def test_a_named_server_that_is_absent_is_an_error(
    command: Command, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    with absent_server() as url:
        monkeypatch.setenv(ENDPOINT, url)
        with pytest.raises(TransferError, match="nothing there: Connection refused; --no-inherit"):
            command.inherit(*words)


def test_metadata_that_are_switched_off_are_an_error(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MetadataServer(override=lambda method, path, count: Answer(status=403)) as server:
        monkeypatch.setenv(ENDPOINT, server.url)
        with pytest.raises(AwsRefusedError, match="HttpEndpoint=enabled") as caught:
            command.inherit()
    assert caught.value.exit_code == 6
