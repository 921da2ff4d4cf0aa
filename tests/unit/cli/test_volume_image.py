"""Which files of a machine are ours, and so no part of its volume."""

import argparse
from pathlib import Path

import pytest

from bundler.cli.volume_image import own_files


def test_what_options_and_variables_name_is_ours(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EC2_PRIVATE_KEY", "/secret/pk.pem")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/secret/aws")
    monkeypatch.delenv("EC2_CERT", raising=False)
    monkeypatch.delenv("AWS_WEB_IDENTITY_TOKEN_FILE", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    arguments = argparse.Namespace(
        key=None,
        cert=Path("cert.pem"),
        passphrase_file=None,
        destination=Path("out"),
        report=None,
        state_dir=None,
    )
    assert own_files(arguments) == [
        Path("cert.pem"),
        Path("out"),
        Path("/secret/pk.pem"),
        Path("/secret/aws"),
        tmp_path / "ami-bundler",
    ]
