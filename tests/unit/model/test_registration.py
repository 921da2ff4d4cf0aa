"""What RegisterImage would refuse is refused before it is asked."""

from typing import Any

import pytest

from bundler.errors import UsageError
from bundler.model.device_mapping import DeviceMapping, read_mappings
from bundler.model.image import Architecture, ImageLocation, VirtualizationType
from bundler.model.registration import BootMode, Registration
from bundler.model.resource_tag import parse_tags
from bundler.model.shorthand import parse_shorthand

PLAIN: dict[str, Any] = {
    "location": ImageLocation(bucket="images", key="a.manifest.xml"),
    "name": "web",
    "architecture": Architecture.X86_64,
}
SDB = DeviceMapping(device="/dev/sdb", virtual="ephemeral0")
PV = VirtualizationType.PARAVIRTUAL


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"name": "we"}, "expected 3 to 128"),
        ({"description": "x" * 256}, "expected at most 255 characters, got 256"),
        ({"kernel_id": "aki-1"}, "for paravirtual AMIs only"),
        ({"has_ena": True, "virtualization_type": PV}, "for hvm AMIs only"),
        ({"boot_mode": BootMode.UEFI, "virtualization_type": PV}, "for hvm AMIs only"),
        ({"mappings": (DeviceMapping(device="/dev/sdf", ebs={}),)}, "/dev/sdf is an EBS volume"),
        ({"mappings": (SDB, SDB)}, "/dev/sdb is there twice"),
    ],
)
def test_registrations_that_ec2_refuses(more: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Registration(**{**PLAIN, **more})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("DeviceName=/dev/sdf", "one of VirtualName, Ebs and NoDevice"),
        ("DeviceName=/dev/sdf,Size=1", "expected an object of DeviceName"),
        ("DeviceName=/dev/sdf,Ebs=8", "expected texts, and an object as Ebs"),
        ('["x"]', "expected an object of DeviceName"),
        ('{"DeviceName": "/dev/sdf", "Size": 1}', "expected an object of DeviceName"),
        ('{"DeviceName": 1, "NoDevice": ""}', "expected texts"),
        ('{"DeviceName": "/dev/sdf"}', "one of VirtualName, Ebs and NoDevice"),
        ('{"DeviceName": "/dev/sdf", "Ebs": {}, "NoDevice": ""}', "one of VirtualName"),
        ('{"DeviceName": "/dev/sdf", "VirtualName": "ephemeral24"}', "ephemeral0 to ephemeral23"),
    ],
)
def test_mappings_that_are_none(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        tuple(read_mappings(parse_shorthand(text)))


@pytest.mark.parametrize("text", ["root=/dev/sda1", "ephemeral0", "swap=sda3"])
def test_words_that_are_no_mappings_of_an_ami(text: str) -> None:
    with pytest.raises(UsageError, match="block device mapping"):
        DeviceMapping.parse(text)


def test_mappings_are_sent_as_they_are_given() -> None:
    words = (
        '[{"DeviceName":"a","NoDevice":""},{"DeviceName":"b","Ebs":{"VolumeSize":1}}]',
        "DeviceName=c,Ebs={VolumeSize=8,DeleteOnTermination=false,SnapshotId=snap-1,Iops=x}",
        "DeviceName=d,NoDevice=",
    )
    mappings = [DeviceMapping.parse("ephemeral1=sdc")]
    for word in words:
        mappings += read_mappings(parse_shorthand(word))
    assert [one.request() for one in mappings] == [
        {"DeviceName": "/dev/sdc", "VirtualName": "ephemeral1"},
        {"DeviceName": "a", "NoDevice": ""},
        {"DeviceName": "b", "Ebs": {"VolumeSize": 1}},
        {
            "DeviceName": "c",
            "Ebs": {
                "VolumeSize": 8,
                "DeleteOnTermination": False,
                "SnapshotId": "snap-1",
                "Iops": "x",
            },
        },
        {"DeviceName": "d", "NoDevice": ""},
    ]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["team"], "expected KEY=VALUE"),
        (["=x"], "expected KEY=VALUE"),
        (["AWS:x=1"], "AWS's own"),
        (["a=1", "a=2"], "the key 'a' is there twice"),
        ([f"a={'x' * 257}"], "256 of value"),
        ([f"{index}=" for index in range(51)], "at most 50 tags, got 51"),
    ],
)
def test_tags_that_ec2_refuses(words: list[str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        parse_tags(words)
