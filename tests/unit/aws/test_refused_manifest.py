"""InvalidManifest: EC2's words, what they mean and what helps."""

from pathlib import Path

import pytest
from botocore.stub import Stubber

from bundler.aws.ec2 import Ec2ImageRegistry
from bundler.aws.refused_manifest import manifest_remedy
from bundler.aws.session import Cloud
from bundler.errors import AwsRefusedError
from bundler.model.image import Architecture, ImageLocation
from bundler.model.registration import Registration
from tests.support.cloud import set_cloud_environment

URL = "URL http://s3.amazonaws.com:80/404-signature/kernel.manifest.xml"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (f"HTTP 301 (Moved Permanently) response for {URL}: check your S3 ACLs", "another region"),
        (f"HTTP 403 (Forbidden) response for {URL}: check your S3 ACLs", "the ACL aws-exec-read"),
        (f"HTTP 404 (Not Found) response for {URL}: check your path", "there is no such object"),
        (f"HTTP 503 (Service Unavailable) response for {URL}", "try again"),
        ("Invalid device name: xvdal", "device names of the block device mapping"),
        ("The specified kernel aki-4e7d9527 could not be read", "sometimes cannot be read"),
        ("The manifest's signature does not match", "changed after it was signed"),
        ("Could not decrypt the encrypted key", "the EC2 certificate of another partition"),
        ("The manifest could not be parsed", "ami-bundler inspect"),
        ("Product codes are not allowed", "product codes that are not the caller's"),
    ],
)
def test_the_cause_is_told(words: str, told: str) -> None:
    assert told in manifest_remedy(words)


def test_unknown_words_get_the_usual_causes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    set_cloud_environment(monkeypatch, tmp_path)
    client = Cloud.open(region="eu-west-1").ec2()
    registration = Registration(
        location=ImageLocation(bucket="images", key="a.manifest.xml"),
        name="web",
        architecture=Architecture.X86_64,
    )
    with Stubber(client) as stub:
        for words in (f"It is so: {URL}", f"HTTP 403 for {URL}"):
            stub.add_client_error("register_image", "InvalidManifest", words, 400)
        with pytest.raises(AwsRefusedError, match="; usual causes: "):
            Ec2ImageRegistry(client).register(registration)
        with pytest.raises(AwsRefusedError, match="; EC2 may not read the manifest"):
            Ec2ImageRegistry(client).register(registration)
