"""The embedded EC2 over HTTP: what it keeps, shows, launches and refuses."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from botocore.exceptions import ClientError

from bundler.embedded.ec2 import Ec2Settings
from bundler.embedded.s3 import EC2_READER
from bundler.errors import AwsRefusedError, VerificationError
from tests.support.bundles import EC2_KEY, VECTORS, load_key
from tests.support.cloud import CloudServer, cloud_server, open_cloud, s3_client
from tests.support.ebs_backed import EPHEMERAL, HVM, make_snapshot, register_ebs
from tests.support.images import sha256_of

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

ACL: Literal["aws-exec-read"] = "aws-exec-read"
LOCATION = "images/web/full.manifest.xml"
PART = "web/full.part.0"
SETTINGS = Ec2Settings(private_key=load_key(EC2_KEY))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CloudServer]:
    with cloud_server(monkeypatch, tmp_path, settings=SETTINGS) as running:
        place_bundle(running)
        yield running


@pytest.fixture
def ec2(server: CloudServer) -> "EC2Client":
    return open_cloud(server, region="us-east-1").ec2()


def place_bundle(server: CloudServer) -> None:
    """A bundle of AMI Tools in S3, readable by EC2."""
    client = s3_client(server, region="us-east-1")
    client.create_bucket(Bucket="images")
    for path in (VECTORS / "full").iterdir():
        client.put_object(Bucket="images", Key=f"web/{path.name}", Body=path.read_bytes(), ACL=ACL)


def register(ec2: "EC2Client", name: str = "web", **more: Any) -> str:
    arguments = {"Name": name, "ImageLocation": LOCATION, **HVM, **more}
    return ec2.register_image(**arguments)["ImageId"]


def describe(ec2: "EC2Client", **which: Any) -> list[Any]:
    return list(ec2.describe_images(**which)["Images"])


def names(ec2: "EC2Client", **filters: str) -> list[str]:
    """Names of the images that filters choose; _ stands for - in their names."""
    chosen: Any = [
        {"Name": name.replace("_", "-"), "Values": [value]} for name, value in filters.items()
    ]
    return [image["Name"] for image in describe(ec2, Owners=["self"], Filters=chosen)]


def launch(ec2: "EC2Client", image_id: str, **more: Any) -> str:
    arguments = {"InstanceType": "m3.medium", "MinCount": 1, "MaxCount": 1, **more}
    return ec2.run_instances(ImageId=image_id, **arguments)["Instances"][0]["InstanceId"]


def instance(ec2: "EC2Client", instance_id: str) -> Any:
    (reservation,) = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
    return reservation["Instances"][0]


def check_code(code: str, call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    assert caught.value.response["Error"]["Code"] == code
    return str(caught.value.response["Error"]["Message"])


def test_an_image_is_what_it_was_registered_with(ec2: "EC2Client") -> None:
    given: dict[str, Any] = {
        "Description": "a web server",
        "BlockDeviceMappings": [{"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"}],
        "RootDeviceName": "/dev/xvda",
        "SriovNetSupport": "simple",
        "EnaSupport": True,
        "BootMode": "legacy-bios",
        "ImdsSupport": "v2.0",
    }
    tags: Any = [{"ResourceType": "image", "Tags": [{"Key": "team", "Value": "web"}]}]
    image_id = register(ec2, TagSpecifications=tags, **given)
    (image,) = describe(ec2, ImageIds=[image_id])
    expected = {**given, **HVM, "Name": "web", "ImageLocation": LOCATION, "ImageId": image_id}
    assert expected.items() <= image.items()
    assert (image["RootDeviceType"], image["State"]) == ("instance-store", "available")
    assert image["Tags"] == [{"Key": "team", "Value": "web"}]
    assert "KernelId" not in image  # the manifest's is for paravirtual instances
    assert ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"] == []
    assert ec2.describe_volumes()["Volumes"] == []


def test_what_the_manifest_says_is_the_default(ec2: "EC2Client") -> None:
    image_id = ec2.register_image(Name="old", ImageLocation=LOCATION)["ImageId"]
    (image,) = describe(ec2, ImageIds=[image_id])
    assert (image["VirtualizationType"], image["Architecture"]) == ("paravirtual", "i386")
    assert (image["KernelId"], image["RamdiskId"]) == ("aki-00806369", "ari-00806369")
    assert image["BlockDeviceMappings"] == []


def test_an_image_of_a_snapshot(ec2: "EC2Client") -> None:
    snapshot = make_snapshot(ec2)
    image_id = register_ebs(ec2, snapshot, EPHEMERAL)
    (image,) = describe(ec2, ImageIds=[image_id])
    assert (image["RootDeviceType"], image["ImageLocation"]) == ("ebs", "123456789012/ebs")
    root, ephemeral = image["BlockDeviceMappings"]
    assert (root["Ebs"]["SnapshotId"], root["Ebs"]["VolumeSize"]) == (snapshot, 3)
    assert ephemeral["VirtualName"] == "ephemeral0"
    (volume,) = instance(ec2, launch(ec2, image_id, InstanceType="t3.micro"))["BlockDeviceMappings"]
    assert (volume["DeviceName"], volume["Ebs"]["DeleteOnTermination"]) == ("/dev/xvda", True)
    assert image_id in check_code("InvalidSnapshot.InUse", ec2.delete_snapshot, SnapshotId=snapshot)
    reply = ec2.deregister_image(ImageId=image_id, DeleteAssociatedSnapshots=True)
    assert reply["DeleteSnapshotResults"] == [{"SnapshotId": snapshot, "ReturnCode": "success"}]
    assert ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"] == []


PARAVIRTUAL = {"VirtualizationType": "paravirtual"}
ROOT_ONLY = {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": "snap-0123456789abcdef0"}}
EBS_BACKED = {"ImageLocation": None, "RootDeviceName": "/dev/xvda"}

REFUSED: dict[str, tuple[str, Mapping[str, Any]]] = {
    "a name with another character": ("InvalidAMIName.Malformed", {"Name": "web:1"}),
    "a name that is taken": ("InvalidAMIName.Duplicate", {"Name": "taken"}),
    "an EBS volume": (
        "UnsupportedOperation",
        {"BlockDeviceMappings": [{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}}]},
    ),
    "no such ephemeral volume": (
        "InvalidBlockDeviceMapping",
        {"BlockDeviceMappings": [{"DeviceName": "/dev/sdb", "VirtualName": "ephemeral24"}]},
    ),
    "a device twice": (
        "InvalidBlockDeviceMapping",
        {"BlockDeviceMappings": [{"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"}] * 2},
    ),
    "a kernel for hvm": ("InvalidParameterCombination", {"KernelId": "aki-1"}),
    "a ramdisk for hvm": ("InvalidParameterCombination", {"RamdiskId": "ari-1"}),
    "a kernel that is none": ("InvalidKernelId.Malformed", {**PARAVIRTUAL, "KernelId": "true"}),
    "ENA for paravirtual": ("InvalidParameterCombination", {**PARAVIRTUAL, "EnaSupport": True}),
    "an unknown boot mode": ("InvalidParameterValue", {"BootMode": "coreboot"}),
    "tags for an instance": (
        "InvalidParameterValue",
        {"TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "a"}]}]},
    ),
    "no manifest": ("InvalidManifest", {"ImageLocation": "images/web/x.manifest.xml"}),
    "a part for a manifest": ("InvalidManifest", {"ImageLocation": f"images/{PART}"}),
    "neither manifest nor snapshot": ("MissingParameter", {"ImageLocation": None}),
    "a snapshot of another device": (
        "InvalidBlockDeviceMapping",
        {**EBS_BACKED, "RootDeviceName": "/dev/sda1", "BlockDeviceMappings": [ROOT_ONLY]},
    ),
    "no such snapshot": (
        "InvalidSnapshot.NotFound",
        {**EBS_BACKED, "BlockDeviceMappings": [ROOT_ONLY]},
    ),
    "a dry run": ("DryRunOperation", {"DryRun": True}),
}


def test_what_cannot_be_registered(ec2: "EC2Client", server: CloudServer) -> None:
    register(ec2, "taken")
    for code, changes in REFUSED.values():
        arguments = {"Name": "web", "ImageLocation": LOCATION, **HVM, **changes}
        given = {name: value for name, value in arguments.items() if value is not None}
        check_code(code, ec2.register_image, **given)
        assert server.registrations[-1]["Name"] == given["Name"]
    assert [image["Name"] for image in describe(ec2)] == ["taken"]
    elsewhere = open_cloud(server, region="us-west-2").ec2()
    assert "HTTP 301" in check_code(
        "InvalidManifest", elsewhere.register_image, Name="web", ImageLocation=LOCATION
    )


def test_who_may_read_is_known_however_it_was_said(server: CloudServer, ec2: "EC2Client") -> None:
    s3 = s3_client(server, region="us-east-1")
    part: Any = {"Bucket": "images", "Key": PART}
    body = s3.get_object(**part)["Body"].read()

    def is_readable(name: str) -> bool:
        try:
            register(ec2, name)
        except ClientError as error:
            if "HTTP 403" not in str(error) or PART not in str(error):
                raise
            return False
        return True

    s3.put_object(**part, Body=body)
    assert not is_readable("put without")
    s3.put_object_acl(**part, ACL=ACL)
    assert is_readable("then granted")
    grants = s3.get_object_acl(**part)["Grants"]
    assert [(grant["Grantee"]["ID"], grant["Permission"]) for grant in grants[1:]] == [
        (EC2_READER.id, "READ")
    ]
    owner: Any = s3.get_object_acl(**part)["Owner"]
    policy: Any = {"Owner": owner, "Grants": grants[:1]}
    s3.put_object_acl(**part, AccessControlPolicy=policy)
    assert not is_readable("taken back")
    s3.put_object_acl(**part, AccessControlPolicy={"Owner": owner, "Grants": grants})
    assert is_readable("granted by a policy")
    s3.copy_object(**part, CopySource=f"images/{PART}", MetadataDirective="REPLACE")
    assert not is_readable("copied without")
    s3.copy_object(**part, CopySource=f"images/{PART}", MetadataDirective="REPLACE", ACL=ACL)
    assert is_readable("copied with")
    upload = s3.create_multipart_upload(**part, ACL="public-read")["UploadId"]
    piece = s3.upload_part(**part, UploadId=upload, PartNumber=1, Body=body)
    pieces: Any = {"Parts": [{"PartNumber": 1, "ETag": piece["ETag"]}]}
    s3.complete_multipart_upload(**part, UploadId=upload, MultipartUpload=pieces)
    assert is_readable("in pieces and public")
    rule: Any = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    s3.put_bucket_ownership_controls(Bucket="images", OwnershipControls=rule)
    check_code("AccessControlListNotSupported", s3.put_object, **part, Body=body, ACL=ACL)
    check_code("AccessControlListNotSupported", s3.put_object_acl, **part, ACL=ACL)
    s3.put_object(**part, Body=body)


def test_a_launch_rebuilds_the_root_volume(server: CloudServer, ec2: "EC2Client") -> None:
    image_id = register(ec2)
    mappings: Any = [{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}}]
    instance_id = launch(ec2, image_id, BlockDeviceMappings=mappings, ClientToken="once")
    image = VECTORS / "tiny.img"
    volume = server.ec2.root_volume(instance_id)
    assert (volume.size, volume.sha256) == (image.stat().st_size, sha256_of(image))
    found = instance(ec2, instance_id)
    assert (found["State"]["Name"], found["RootDeviceType"]) == ("running", "instance-store")
    assert [mapping["DeviceName"] for mapping in found["BlockDeviceMappings"]] == ["/dev/sdf"]
    assert launch(ec2, image_id, BlockDeviceMappings=mappings, ClientToken="once") == instance_id
    assert len(ec2.describe_instances()["Reservations"]) == 1


@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_a_bundle_that_has_changed_does_not_start(
    server: CloudServer, ec2: "EC2Client", damage: str
) -> None:
    image_id = register(ec2)
    s3 = s3_client(server, region="us-east-1")
    size = s3.head_object(Bucket="images", Key=PART)["ContentLength"]
    if damage == "gone":
        s3.delete_object(Bucket="images", Key=PART)
    else:
        s3.put_object(Bucket="images", Key=PART, Body=bytes(size), ACL=ACL)
    instance_id = launch(ec2, image_id)
    with pytest.raises((AwsRefusedError, VerificationError), match=r"HTTP 404|SHA-1"):
        server.ec2.root_volume(instance_id)
    found = instance(ec2, instance_id)
    assert found["State"]["Name"] == "terminated"
    assert found["StateReason"]["Code"] == "Server.InternalError"
    assert PART in found["StateReason"]["Message"]


def test_what_cannot_be_launched(ec2: "EC2Client") -> None:
    image_id = register(ec2)
    counts: Any = {"MinCount": 1, "MaxCount": 1}

    def refused(code: str, image: str = image_id, kind: str = "m3.medium", **more: Any) -> str:
        arguments = {"ImageId": image, "InstanceType": kind, **counts, **more}
        return check_code(code, ec2.run_instances, **arguments)

    assert "root device" in refused("InvalidParameterCombination", kind="t3.micro")
    old_id = register(ec2, "old", VirtualizationType="paravirtual")
    assert "virtualization" in refused("InvalidParameterCombination", old_id, "r3.large")
    arm_id = register(ec2, "arm", Architecture="arm64")
    assert "architecture" in refused("InvalidParameterCombination", arm_id)
    refused("InvalidInstanceType", kind="m9.huge")
    refused("InvalidAMIID.NotFound", "ami-0123456789abcdef0")
    refused("InvalidAMIID.Malformed", "image")
    root: Any = [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 9}}]
    refused("InvalidBlockDeviceMapping", BlockDeviceMappings=root)
    ec2.disable_image(ImageId=image_id)
    refused("InvalidAMIID.Unavailable")
    ec2.enable_image(ImageId=image_id)
    refused("DryRunOperation", DryRun=True)
    ec2.deregister_image(ImageId=image_id)
    refused("InvalidAMIID.Unavailable")
    assert ec2.describe_instances()["Reservations"] == []


def test_time_passes_by_looks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = Ec2Settings(pending_looks=1, unseen_looks=2, held_looks=1)
    with cloud_server(monkeypatch, tmp_path, settings=settings) as server:
        place_bundle(server)
        ec2 = open_cloud(server, region="us-east-1").ec2()
        image_id = register(ec2)
        check_code("InvalidAMIID.NotFound", ec2.describe_images, ImageIds=[image_id])
        assert describe(ec2) == []
        states = [describe(ec2, ImageIds=[image_id])[0]["State"] for _ in range(3)]
        assert states == ["pending", "available", "available"]
        # Without EC2's key the bundle is only looked at.
        instance_id = launch(ec2, image_id)
        assert server.ec2.root_volume(instance_id).sha256 == ""
        assert instance(ec2, instance_id)["State"]["Name"] == "running"
        ec2.deregister_image(ImageId=image_id)
        location: Any = {"Name": "web", "ImageLocation": LOCATION}
        check_code("InvalidAMIName.Duplicate", ec2.register_image, **location)
        assert register(ec2) != image_id


def test_pages_and_filters(ec2: "EC2Client") -> None:
    tags: Any = [{"ResourceType": "image", "Tags": [{"Key": "team", "Value": "web"}]}]
    for index in range(5):
        register(ec2, f"web [{index}]", TagSpecifications=tags if index else [])
    register_ebs(ec2, make_snapshot(ec2), name="database")
    pages = ec2.get_paginator("describe_images").paginate(PaginationConfig={"PageSize": 2})
    found = [[image["Name"] for image in page["Images"]] for page in pages]
    assert [len(page) for page in found] == [2, 2, 2]
    everything = [name for page in found for name in page]
    assert everything == [*(f"web [{index}]" for index in range(5)), "database"]
    assert names(ec2, name="web [1]") == ["web [1]"]
    assert names(ec2, name="web*") == everything[:5]
    assert names(ec2, name=r"web\*") == []
    assert names(ec2, manifest_location="images/*") == everything[:5]
    assert names(ec2, creation_date=f"{datetime.now(UTC):%Y}-*") == everything
    assert names(ec2, creation_date="2006-*") == []
    assert names(ec2, **{"tag:team": "w?b", "root_device_type": "instance-*"}) == everything[1:5]
    assert names(ec2, tag_key="team") == everything[1:5]
    assert names(ec2, **{"block_device_mapping.volume_size": "3"}) == ["database"]
    check_code(
        "InvalidParameterValue", ec2.describe_images, Filters=[{"Name": "colour", "Values": ["1"]}]
    )


def test_an_images_life(ec2: "EC2Client") -> None:
    image_id = register(ec2)
    me: Any = {"ImageId": image_id}
    added: Any = {"Add": [{"UserId": "111122223333"}, {"Group": "all"}]}
    ec2.modify_image_attribute(**me, LaunchPermission=added)
    attribute: Any = {**me, "Attribute": "launchPermission"}
    assert ec2.describe_image_attribute(**attribute)["LaunchPermissions"] == added["Add"]
    assert describe(ec2, ExecutableUsers=["all"])[0]["Public"]
    assert describe(ec2, ExecutableUsers=["self"]) == []
    ec2.reset_image_attribute(**attribute)
    assert ec2.describe_image_attribute(**attribute)["LaunchPermissions"] == []
    ec2.modify_image_attribute(**me, Description={"Value": "newer"})
    described = ec2.describe_image_attribute(**me, Attribute="description")
    assert described["Description"]["Value"] == describe(ec2)[0]["Description"] == "newer"
    at = datetime.now(UTC).replace(second=7, microsecond=0) + timedelta(days=30)
    ec2.enable_image_deprecation(**me, DeprecateAt=at)
    assert describe(ec2)[0]["DeprecationTime"] == f"{at:%Y-%m-%dT%H:%M}:00.000Z"
    late = at + timedelta(days=4000)
    check_code("InvalidParameterValue", ec2.enable_image_deprecation, **me, DeprecateAt=late)
    ec2.disable_image_deprecation(**me)
    assert "DeprecationTime" not in describe(ec2)[0]
    ec2.disable_image(**me)
    assert describe(ec2) == []
    assert describe(ec2, IncludeDisabled=True)[0]["State"] == "disabled"
    assert describe(ec2, ImageIds=[image_id])[0]["State"] == "disabled"
    ec2.enable_image(**me)
    ec2.enable_image_deregistration_protection(**me)
    assert "protection" in check_code("OperationNotPermitted", ec2.deregister_image, **me)
    ec2.disable_image_deregistration_protection(**me)
    ec2.deregister_image(**me)
    check_code("InvalidAMIID.Unavailable", ec2.deregister_image, **me)
    assert describe(ec2, ImageIds=[image_id]) == []
    assert register(ec2) != image_id  # the name is free again


def test_a_copy_has_a_bundle_of_its_own(server: CloudServer, ec2: "EC2Client") -> None:
    tags: Any = [{"ResourceType": "image", "Tags": [{"Key": "team", "Value": "web"}]}]
    source = register(ec2, TagSpecifications=tags)
    there = open_cloud(server, region="eu-west-1").ec2()
    request: Any = {"Name": "copy", "SourceImageId": source, "SourceRegion": "us-east-1"}
    copy_id = there.copy_image(**request, CopyImageTags=True, ClientToken="once")["ImageId"]
    again = there.copy_image(**request, CopyImageTags=True, ClientToken="once")
    assert again["ImageId"] == copy_id
    check_code("IdempotentParameterMismatch", there.copy_image, **request, ClientToken="once")
    check_code("InvalidAMIName.Duplicate", there.copy_image, **request)
    (image,) = describe(there)
    bucket, _, key = image["ImageLocation"].partition("/")
    assert re.fullmatch(r"amis-for-123456789012-in-eu-west-1-[0-9a-f]+", bucket)
    assert (image["SourceImageId"], image["SourceImageRegion"]) == (source, "us-east-1")
    assert image["Tags"] == tags[0]["Tags"]
    s3 = s3_client(server)
    for name in ("web/full.manifest.xml", PART):
        s3.delete_object(Bucket="images", Key=name)
    late = {**request, "Name": "late"}
    assert "HTTP 404" in check_code("InvalidManifest", there.copy_image, **late)
    volume = server.ec2.root_volume(launch(there, copy_id))
    assert volume.sha256 == sha256_of(VECTORS / "tiny.img")
    assert s3.head_object(Bucket=bucket, Key=key)["ContentLength"] > 0


def test_an_image_of_an_instance(server: CloudServer, ec2: "EC2Client") -> None:
    base = register_ebs(ec2, make_snapshot(ec2), EPHEMERAL)
    more: Any = [{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 7}}]
    instance_id = launch(ec2, base, BlockDeviceMappings=more)
    tags: Any = [
        {"ResourceType": kind, "Tags": [{"Key": "of", "Value": kind}]}
        for kind in ("image", "snapshot")
    ]
    made = ec2.create_image(InstanceId=instance_id, Name="made", TagSpecifications=tags)
    (image,) = describe(ec2, ImageIds=[made["ImageId"]])
    mappings = {mapping["DeviceName"]: mapping for mapping in image["BlockDeviceMappings"]}
    assert list(mappings) == ["/dev/xvda", "/dev/sdf", "/dev/sdb"]
    assert [mappings[name]["Ebs"]["VolumeSize"] for name in ("/dev/xvda", "/dev/sdf")] == [3, 7]
    assert mappings["/dev/sdb"]["VirtualName"] == "ephemeral0"
    assert (image["SourceInstanceId"], image["RootDeviceType"]) == (instance_id, "ebs")
    assert image["Tags"] == tags[0]["Tags"]
    ids = [mappings[name]["Ebs"]["SnapshotId"] for name in ("/dev/xvda", "/dev/sdf")]
    snapshots = ec2.describe_snapshots(SnapshotIds=ids)["Snapshots"]
    assert [snapshot["Tags"] for snapshot in snapshots] == [tags[1]["Tags"]] * 2
    check_code("InvalidAMIName.Duplicate", ec2.create_image, InstanceId=instance_id, Name="made")
    s3_backed = launch(ec2, register(ec2))
    server.ec2.root_volume(s3_backed)
    check_code("OperationNotPermitted", ec2.create_image, InstanceId=s3_backed, Name="other")
    ec2.terminate_instances(InstanceIds=[instance_id])
    check_code("IncorrectState", ec2.create_image, InstanceId=instance_id, Name="late")


def test_who_needs_an_image(server: CloudServer, ec2: "EC2Client") -> None:
    image_id, other = register(ec2), register(ec2, "other")
    instance_id = launch(ec2, image_id)
    server.ec2.root_volume(instance_id)
    template = ec2.create_launch_template(
        LaunchTemplateName="web", LaunchTemplateData={"ImageId": image_id}
    )["LaunchTemplate"]["LaunchTemplateId"]

    def users(image: str, **which: Any) -> list[str]:
        reply = ec2.describe_image_references(ImageIds=[image], **which)
        return [reference["Arn"].rpartition(":")[2] for reference in reply["ImageReferences"]]

    everything: Any = {"IncludeAllResourceTypes": True}
    expected = [f"instance/{instance_id}", f"launch-template/{template}"]
    assert users(image_id, **everything) == expected
    assert users(image_id, ResourceTypes=[{"ResourceType": "ec2:Instance"}]) == expected[:1]
    assert users(other, **everything) == []
    ec2.terminate_instances(InstanceIds=[instance_id])
    assert users(image_id, **everything) == expected[1:]
    check_code("MissingParameter", ec2.describe_image_references, ImageIds=[image_id])
