"""Every error code of EC2 that somebody who uses `ami-bundler ami` can cause, caused.

Each ends in one line that names cause and remedy.  What depends on the account (rights, quotas,
its clock, block public access) is a setting of the embedded EC2; all else it refuses by the
cause itself.

Not caused, as no command of ours can cause it:

* InvalidBundleID.NotFound: the id of a bundle task (BundleInstance, for Windows); we start none.

InvalidInstanceType is EC2's code for bundling what is no Windows instance, which we do not ask
for either, and for types that do not exist, which is caused here.
"""

import gc
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from moto.ec2.models import ec2_backends

from tests.support.ami_cli import BUCKET, ami, done, put, register
from tests.support.bundles import USER_KEY, load_key
from tests.support.cloud import (
    ACCOUNT_ID,
    LENIENT_EC2,
    REGION,
    CloudServer,
    cloud_server,
    make_bucket,
    open_cloud,
    s3_client,
)
from tests.support.ebs_backed import make_snapshot, register_ebs, run_ebs_instance
from tests.support.small_bundles import small_bundle
from tests.support.tools import check_refused

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

CODES = frozenset(
    (
        *("AuthFailure", "DryRunOperation", "IdempotentParameterMismatch"),
        *("InaccessibleStorageLocation", "IncorrectState", "InvalidAMIAttributeItemValue"),
        *("InvalidAMIID.Malformed", "InvalidAMIID.NotFound", "InvalidAMIID.Unavailable"),
        *("InvalidAMIName.Duplicate", "InvalidAMIName.Malformed", "InvalidBlockDeviceMapping"),
        *("InvalidBundleID.NotFound", "InvalidInstanceID.NotFound", "InvalidInstanceType"),
        *("InvalidKernelId.Malformed", "InvalidManifest", "InvalidParameterCombination"),
        *("InvalidRegion", "InvalidRequest", "InvalidSecurity.RequestHasExpired"),
        *("InvalidSnapshot.InUse", "InvalidSnapshot.NotFound", "OperationNotPermitted"),
        *("RequestExpired", "RequestLimitExceeded", "ResourceLimitExceeded"),
        *("Server.InternalError", "UnauthorizedOperation", "UnsupportedOperation"),
    )
)
"""Codes of an AMI's life, and those of any request.  Source: Amazon EC2 API, error codes."""

IMPOSSIBLE = frozenset(("InvalidBundleID.NotFound",))
"""Those that no command of ours can cause; see above."""

OK, USAGE, REFUSED, FAILED = 0, 2, 6, 7
OTHER_ACCOUNT = "111122223333"
NO_ID = "0123456789abcdef0"

Words = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What a user does, and is told."""

    do: Callable[[CloudServer, str], Words]
    """Sets the scene for a name that nothing else has; the verb and its arguments."""
    exit_code: int = REFUSED
    told: str
    """A pattern of the line, with cause and remedy."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of the EC2, when the command is run."""


def ec2_of(server: CloudServer) -> "EC2Client":
    return open_cloud(server).ec2()


def bundle(server: CloudServer, name: str) -> str:
    put(server, small_bundle(name, folder="web/"))
    return f"s3://{BUCKET}/web/{name}.manifest.xml"


def backend_ami(image_id: str) -> Any:
    return ec2_backends[ACCOUNT_ID][REGION].amis[image_id]


def of_another(image_id: str) -> str:
    backend_ami(image_id).owner_id = OTHER_ACCOUNT
    return image_id


def pending(image_id: str) -> str:
    backend_ami(image_id).state = "pending"
    return image_id


def ebs_ami(server: CloudServer, name: str) -> str:
    ec2 = ec2_of(server)
    return register_ebs(ec2, make_snapshot(ec2), name=name)


def walled(server: CloudServer, name: str) -> Words:
    """A bucket that lets its own account alone read parts."""
    make_bucket(server, name)
    client = s3_client(server)
    for key, body in small_bundle(name).items():
        client.put_object(Bucket=name, Key=key, Body=body)
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": f"arn:aws:s3:::{name}/*.part.*",
        "Condition": {"StringNotEquals": {"aws:PrincipalAccount": ACCOUNT_ID}},
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    client.put_bucket_policy(Bucket=name, Policy=json.dumps(policy))
    return ("register", f"s3://{name}/{name}.manifest.xml", "--name", name)


def elsewhere(server: CloudServer, name: str) -> Words:
    make_bucket(server, name, region="us-west-2")
    for key, body in small_bundle(name).items():
        s3_client(server, region="us-west-2").put_object(Bucket=name, Key=key, Body=body)
    return ("register", f"s3://{name}/{name}.manifest.xml", "--name", name)


def ended(server: CloudServer, name: str) -> Words:
    ec2 = ec2_of(server)
    instance_id = run_ebs_instance(ec2)
    ec2.terminate_instances(InstanceIds=[instance_id])
    return ("create", instance_id, "--name", name)


def launched_twice(server: CloudServer, name: str) -> Words:
    words = ("launch", register(server, name), "--client-token", name, "--no-wait")
    done(server, *words, "--instance-type", "m3.medium")
    return (*words, "--instance-type", "m3.large")


def copied_twice(server: CloudServer, name: str) -> Words:
    words = ("copy", register(server, name), "--client-token", name, "--to-region", "us-west-2")
    done(server, *words)
    return (*words, "--name", "another")


def with_shared_snapshot(server: CloudServer, name: str) -> Words:
    ec2 = ec2_of(server)
    snapshot = make_snapshot(ec2)
    register_ebs(ec2, snapshot, name=f"{name} 2")
    image_id = register_ebs(ec2, snapshot, name=name)
    return ("deregister", image_id, "--delete-snapshots", "--yes")


def protected(server: CloudServer, name: str) -> Words:
    image_id = register(server, name)
    done(server, "protect", image_id)
    return ("deregister", image_id, "--yes")


def disabled(server: CloudServer, name: str) -> Words:
    image_id = register(server, name)
    done(server, "disable", image_id)
    return ("launch", image_id, "--instance-type", "m3.medium")


def incomplete(server: CloudServer, name: str) -> Words:
    url = bundle(server, name)
    s3_client(server).delete_object(Bucket=BUCKET, Key=f"web/{name}.part.1")
    return ("register", url, "--name", name)


def without_a_part(server: CloudServer, name: str) -> Words:
    image_id = register(server, name)
    s3_client(server).delete_object(Bucket=BUCKET, Key=f"web/{name}.part.1")
    return ("launch", image_id, "--instance-type", "m3.medium")


def launch(*more: str, kind: str = "m3.medium") -> Callable[[CloudServer, str], Words]:
    """Launch an S3-backed AMI."""
    return lambda server, name: (
        *("launch", register(server, name), "--instance-type", kind),
        *more,
    )


CASES = {
    "AuthFailure, of the key": Case(
        do=lambda server, name: ("list",),
        settings={"access_keys": frozenset(("AKIAIOSFODNN7EXAMPLE",))},
        told=r"list AMIs: AWS was not able to validate .*\(AuthFailure\); check the access key and",
    ),
    "AuthFailure, of sharing": Case(
        do=lambda server, name: (
            *("share", of_another(register(server, name)), "--account", ACCOUNT_ID),
        ),
        told=rf"share AMI .*\(AuthFailure\); only the AMI's owner may, which is {OTHER_ACCOUNT}",
    ),
    "AuthFailure, of deregistering": Case(
        do=lambda server, name: ("deregister", of_another(register(server, name)), "--yes"),
        told=r"Not authorized for .*\(AuthFailure\); only the AMI's owner may .*bundler ami copy",
    ),
    "DryRunOperation": Case(
        do=lambda server, name: ("copy", register(server, name), "--name", "web 2", "--dry-run"),
        exit_code=OK,
        told=r'^CopyImage in \S+: Name="web 2"',
    ),
    "IdempotentParameterMismatch, of a launch": Case(
        do=launched_twice,
        told=r"launch AMI .*\(IdempotentParameterMismatch\); .*give another one \(--client-token",
    ),
    "IdempotentParameterMismatch, of a copy": Case(
        do=copied_twice,
        told=r"copy AMI .*\(IdempotentParameterMismatch\); .*or the same parameters",
    ),
    "InaccessibleStorageLocation": Case(
        do=walled,
        told=r"URL cannot be accessed.*\(InaccessibleStorageLocation\); .*policy must have no De",
    ),
    "IncorrectState": Case(
        do=ended,
        told=r"ami create i-\w+: expected .* running or stopped, got terminated; name another one",
    ),
    "InvalidAMIAttributeItemValue": Case(
        do=lambda server, name: ("share", register(server, name), "--account", "0" * 12),
        told=r'item value "0{12}" .*\(InvalidAMIAttributeItemValue\); check the account\'s number',
    ),
    "InvalidAMIID.Malformed": Case(
        do=lambda server, name: ("show", "my-image"),
        told=r"describe AMI my-image in .*\(InvalidAMIID\.Malformed\); an AMI's id is ami- and 8",
    ),
    "InvalidAMIID.NotFound, of showing": Case(
        do=lambda server, name: ("show", f"ami-{NO_ID}"),
        told=r"does not exist.*\(InvalidAMIID\.NotFound\); check the id and the region",
    ),
    "InvalidAMIID.NotFound, of launching": Case(
        do=lambda server, name: ("launch", f"ami-{NO_ID}", "--instance-type", "m3.medium"),
        told=rf"ami launch ami-{NO_ID}: there is no such AMI in {REGION}, .*check the id and",
    ),
    "InvalidAMIID.Unavailable, pending": Case(
        do=lambda server, name: ("share", pending(register(server, name)), "--account", ACCOUNT_ID),
        told=r"\(InvalidAMIID\.Unavailable\); it is pending \(try again when it is available\)",
    ),
    "InvalidAMIID.Unavailable, disabled": Case(
        do=disabled, told=r"is available, got disabled.*; ami-bundler ami enable ami-\w+$"
    ),
    "InvalidAMIName.Duplicate": Case(
        do=lambda server, name: ("copy", register(server, name)),
        told=r"is already in use.*\(InvalidAMIName\.Duplicate\); choose another AMI name",
    ),
    "InvalidAMIName.Malformed": Case(
        do=lambda server, name: ("create", f"i-{NO_ID}", "--name", "web!"),
        exit_code=USAGE,
        told=r"AMI name 'web!': expected 3 to 128 letters, digits",
    ),
    "InvalidBlockDeviceMapping": Case(
        do=launch("-B", "ephemeral0=/dev/sda1"),
        told=r"root device /dev/sda1 .*\(InvalidBlockDeviceMapping\); .*cannot be mapped",
    ),
    "InvalidInstanceID.NotFound": Case(
        do=lambda server, name: ("create", f"i-{NO_ID}", "--name", name),
        told=rf"ami create i-{NO_ID}: there is no such instance in {REGION}; check the id",
    ),
    "InvalidInstanceType": Case(
        do=lambda server, name: (*("launch", ebs_ami(server, name), "--instance-type", "m9.huge"),),
        told=r"'m9\.huge' does not exist \(InvalidInstanceType\); .*describe-instance-type-offer",
    ),
    "InvalidKernelId.Malformed": Case(
        do=lambda server, name: (
            *("register", bundle(server, name), "--name", name, "--kernel", "vmlinuz"),
            *("--virtualization-type", "paravirtual"),
        ),
        told=r"\(InvalidKernelId\.Malformed\); a kernel's id is aki- and 8 hexadecimal digits",
    ),
    "InvalidManifest, of the ACL": Case(
        do=lambda server, name: ("register", bundle(server, name), "--name", name),
        settings={"checks_acl": True},
        told=r"HTTP 403 .*\(InvalidManifest\); EC2 may not read .*aws-exec-read.*bundler upload",
    ),
    "InvalidManifest, of the partition": Case(
        do=lambda server, name: ("register", bundle(server, name), "--name", name),
        settings={"private_key": load_key(USER_KEY)},
        told=r"ec2_encrypted_key.*\(InvalidManifest\); .*EC2 certificate of another partition",
    ),
    "InvalidManifest, of a part": Case(
        do=incomplete,
        told=r"HTTP 404 .*\.part\.1: .*\(InvalidManifest\); there is no such object: .*bundler ls",
    ),
    "InvalidManifest, of the region": Case(
        do=elsewhere,
        told=r"HTTP 301 .*\(InvalidManifest\); the bucket is in another region: register there",
    ),
    "InvalidParameterCombination, before the call": Case(
        do=launch(kind="t3.micro"),
        exit_code=USAGE,
        told=r"t3\.micro does not boot S3-backed AMIs .*; these do: .*m3\.medium",
    ),
    "InvalidParameterCombination": Case(
        do=lambda server, name: (
            *("launch", ebs_ami(server, name), "--instance-type", "m6g.medium"),
        ),
        told=r"\(InvalidParameterCombination\); .* does not fit the AMI's architecture",
    ),
    "InvalidRegion": Case(
        do=lambda server, name: ("copy", register(server, name), "--to-region", "us-west-9"),
        told=r"to us-west-9: .*\(InvalidRegion\); check the region's name.*describe-regions",
    ),
    "InvalidRequest, of a bundle": Case(
        do=lambda server, name: (
            *("copy", of_another(register(server, name)), "--to-region", "us-west-2"),
        ),
        told=r"You do not have permission .*\(InvalidRequest\); its owner .*s3:GetObject",
    ),
    "InvalidRequest, of a snapshot": Case(
        do=lambda server, name: (
            *("copy", of_another(ebs_ami(server, name)), "--to-region", "us-west-2"),
        ),
        told=r"You do not have permission .*\(InvalidRequest\); .*or the snapshots of an EBS-back",
    ),
    "InvalidSecurity.RequestHasExpired": Case(
        do=lambda server, name: ("list",),
        settings={"clock_lead": timedelta(minutes=7)},
        told=r"\(InvalidSecurity\.RequestHasExpired\); check this machine's clock: it is 4\d\d s b",
    ),
    "InvalidSnapshot.InUse": Case(
        do=with_shared_snapshot, exit_code=OK, told=r"snap-\w+ stays: another AMI needs it"
    ),
    "InvalidSnapshot.NotFound": Case(
        do=launch(
            "--block-device-mappings",
            f'{{"DeviceName": "/dev/sdf", "Ebs": {{"SnapshotId": "snap-{NO_ID}"}}}}',
        ),
        told=rf"'snap-{NO_ID}' .*\(InvalidSnapshot\.NotFound\); check the snapshot's id and the re",
    ),
    "OperationNotPermitted, of publishing": Case(
        do=lambda server, name: ("share", register(server, name), "--public", "--yes"),
        settings={"blocks_public_access": True},
        told=r"\(OperationNotPermitted\); share it with accounts .*disable-image-block-public-acc",
    ),
    "OperationNotPermitted, of deregistering": Case(
        do=protected, told=r"protected from dereg.* \(enabled\); ami-bundler ami protect \S+ --off"
    ),
    "RequestExpired": Case(
        do=lambda server, name: ("list",),
        settings={"clock_lead": timedelta(minutes=-20)},
        told=r"\(RequestExpired\); check this machine's clock: it is 1[12]\d\d s ahead of AWS's",
    ),
    "RequestLimitExceeded": Case(
        do=lambda server, name: (
            *("show", register(server, name), "--max-attempts", "2", "--retry-delay", "0.01"),
        ),
        exit_code=FAILED,
        settings={"is_throttling": True},
        told=r"\(RequestLimitExceeded\); EC2 asks for fewer requests: .*\(tried 2 times\)",
    ),
    "ResourceLimitExceeded": Case(
        do=lambda server, name: ("copy", register(server, name), "--to-region", "us-west-2"),
        settings={"copy_quota": 0},
        told=r"copy AMI .*\(ResourceLimitExceeded\); wait until some .* run the same command again",
    ),
    "Server.InternalError": Case(
        do=without_a_part,
        told=r"wait for instance .* got terminated: Server\.InternalError.*; .*bundler ami show",
    ),
    "UnauthorizedOperation": Case(
        do=lambda server, name: ("register", bundle(server, name), "--name", name),
        settings={"denied": frozenset(("RegisterImage",))},
        told=r"\(UnauthorizedOperation\); the caller's IAM policy must allow ec2:RegisterImage; .*"
        r"aws sts decode-authorization-message --encoded-message with the message that -v shows$",
    ),
    "UnsupportedOperation": Case(
        do=lambda server, name: (
            *("register", bundle(server, name), "--name", name),
            *("--block-device-mappings", '{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}}'),
        ),
        exit_code=USAGE,
        told=r"EBS volume, .*\(UnsupportedOperation\); give it when an instance is launched",
    ),
}
"""By the code, and what else is to be told apart."""


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudServer]:
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        cloud_server(monkeypatch, tmp_path_factory.mktemp("cloud")) as running,
    ):
        make_bucket(running, BUCKET)
        done(running, "list")
        # What the first command has loaded is there for good: see conftest.py.
        gc.freeze()
        yield running


@pytest.fixture
def server(shared_server: CloudServer) -> Iterator[CloudServer]:
    yield shared_server
    shared_server.ec2.settings = LENIENT_EC2


def test_the_encoded_reasons_are_there_to_be_decoded(server: CloudServer) -> None:
    server.ec2.settings = replace(LENIENT_EC2, denied=frozenset(("DescribeImages",)))
    outcome = ami(server, "list", "-v")
    assert outcome.code == REFUSED
    encoded, error = outcome.errors.splitlines()
    (message,) = re.findall(r"list AMIs: encoded authorization failure message: (\S+)$", encoded)
    assert len(message) == 800
    assert message[:20] not in error
    assert "must allow ec2:DescribeImages;" in error


def test_what_ec2_does_not_know_yet_or_still_knows_is_waited_out(server: CloudServer) -> None:
    """A freed name that is still taken, a fresh id that is not found: a look later all is well."""
    # A look ends each wait, and comes when the time is over: so long is waited, and no longer.
    words = ("register", bundle(server, "late"), "--name", "late", "--timeout", "0.7")
    image_id = done(server, *words).text.strip()
    server.ec2.settings = replace(LENIENT_EC2, held_looks=1, unseen_looks=1)
    done(server, "deregister", image_id, "--yes")
    again = done(server, *words)
    assert again.text.strip() != image_id
    assert "late: the name 'late' is not free yet\n" in again.errors
    assert f"{again.text.strip()}: unknown to EC2\n" in again.errors


def test_no_code_is_left_out() -> None:
    caused = {label.partition(",")[0] for label in CASES}
    assert caused | IMPOSSIBLE == CODES
    assert caused & IMPOSSIBLE == set()


@pytest.mark.parametrize("label", CASES)
def test_what_a_user_causes_ends_in_one_line(server: CloudServer, label: str) -> None:
    case = CASES[label]
    name = re.sub(r"[^a-z]+", "-", label.lower())
    verb, *words = case.do(server, name)
    server.ec2.settings = replace(LENIENT_EC2, **case.settings)
    outcome = ami(server, verb, *words, "--quiet")
    if case.exit_code:
        check_refused(outcome, case.exit_code, case.told)
    else:
        assert outcome.code == OK, outcome.errors
        assert re.search(case.told, outcome.text + outcome.errors)
