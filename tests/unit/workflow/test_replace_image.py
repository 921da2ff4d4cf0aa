"""Replacing an AMI, when the last step fails and when a name is freed late."""

import shlex
from dataclasses import dataclass, field, replace

import pytest

from bundler.cli.register import register_line
from bundler.errors import AwsRefusedError, BundlerError, TransferError
from bundler.model.described_image import DescribedImage
from bundler.model.device_mapping import DeviceMapping
from bundler.model.image import Ami, Architecture, ImageLocation, ImageState
from bundler.model.registration import Registration
from bundler.workflow.register import register_freed_name
from bundler.workflow.replace_image import replace_image
from bundler.workflow.wait import Patience
from tests.support.registry import MemoryImageRegistry

NEW = Registration(
    location=ImageLocation(bucket="images", key="new.manifest.xml"),
    name="web",
    architecture=Architecture.X86_64,
)
OLD = DescribedImage(
    image_id="ami-01d",
    name="web",
    description="The old one.",
    state=ImageState.AVAILABLE,
    state_reason="",
    root_device_type="instance-store",
    root_device_name="/dev/sda1",
    location="images/old.manifest.xml",
    architecture="i386",
    virtualization_type="paravirtual",
    kernel_id="aki-1",
    ramdisk_id="",
    has_sriov=False,
    has_ena=False,
    boot_mode="",
    needs_imds_v2=True,
    protection="",
    source_instance_id="",
    mappings=(
        DeviceMapping(device="/dev/sda2", virtual="ephemeral0"),
        DeviceMapping(device="/dev/sdf", ebs={}),
    ),
    snapshot_ids=(),
    tags=(("a", "b c'd"), ("aws:x", "y")),
)


@dataclass(slots=True)
class Registry(MemoryImageRegistry):
    """One whose registrations fail, by their numbers from 1."""

    failures: dict[int, BundlerError] = field(default_factory=dict)
    stale: dict[int, str] = field(default_factory=dict)
    """Ids that registrations give which make nothing."""
    gone: list[str] = field(default_factory=list)
    count: int = 0
    pauses: list[float] = field(default_factory=list)

    def register(self, registration: Registration) -> str:
        self.count += 1
        if self.count in self.failures:
            raise self.failures[self.count]
        if self.count in self.stale:
            return self.stale[self.count]
        # Not super(): slots make the class anew.
        return MemoryImageRegistry.register(self, registration)

    def find(self, name: str) -> Ami | None:
        return None

    def run(self) -> Ami:
        def sleep(seconds: float) -> None:
            self.pauses.append(seconds)

        patience = Patience(sleep=sleep, clock=lambda: sum(self.pauses))
        return replace_image(self, NEW, OLD, deregister=self.gone.append, patience=patience)


TAKEN = AwsRefusedError("In use.", code="InvalidAMIName.Duplicate")


def test_the_old_goes_only_when_the_new_was_available() -> None:
    registry = Registry()
    ami = registry.run()
    assert (ami.name, ami.image_id) == ("web", "ami-00000000000000002")
    trial = replace(NEW, name="web replacing ami-01d")
    assert registry.registrations == [trial, NEW]
    assert registry.gone == ["ami-01d", "ami-00000000000000001"]


def test_a_name_that_is_freed_late_is_waited_for() -> None:
    registry = Registry(failures={2: TAKEN, 3: TAKEN})
    assert registry.run().name == "web"
    assert registry.pauses == [2.0, 3.0]


def test_a_name_that_nobody_frees_ends_the_wait() -> None:
    registry = Registry(failures=dict.fromkeys(range(2, 11), TAKEN))
    with pytest.raises(AwsRefusedError, match=r"not free yet.*registered again as ami-0+2$"):
        registry.run()
    assert sum(registry.pauses) == 60


def test_the_ami_that_has_gone_is_not_taken_for_the_new_one() -> None:
    """EC2 refuses the name, and still shows the old AMI of that manifest."""
    registry = Registry(stale={1: "ami-01d", 2: "ami-01d"})
    patience = Patience(sleep=registry.pauses.append, clock=lambda: sum(registry.pauses))
    image_id = register_freed_name(registry, OLD.registration(), patience, freed="ami-01d")
    assert (image_id, registry.pauses) == ("ami-00000000000000001", [2.0, 3.0])


def test_a_trial_that_fails_leaves_the_old_alone() -> None:
    registry = Registry(states=[ImageState.FAILED], state_reason="bad part")
    with pytest.raises(AwsRefusedError, match="bad part"):
        registry.run()
    assert registry.gone == ["ami-00000000000000001"]


@pytest.mark.parametrize("failure", [AwsRefusedError("No."), TransferError("no network")])
def test_the_old_bundle_is_registered_again(failure: BundlerError) -> None:
    registry = Registry(failures={2: failure})
    words = f"{failure}; ami-01d is deregistered; its bundle is registered again as ami-0+2$"
    with pytest.raises(type(failure), match=words):
        registry.run()
    restored = registry.registrations[-1]
    assert restored == OLD.registration()
    assert (restored.kernel_id, restored.needs_imds_v2, restored.tags, len(restored.mappings)) == (
        "aki-1",
        True,
        (("a", "b c'd"),),
        1,
    )


def test_what_cannot_be_restored_is_told() -> None:
    registry = Registry(failures={2: AwsRefusedError("No."), 3: AwsRefusedError("Never.")})
    with pytest.raises(AwsRefusedError, match=r"No.; .* its bundle again failed: Never"):
        registry.run()


def test_the_line_that_undoes_says_all() -> None:
    words = shlex.split(register_line(OLD.registration(), "eu-west-1"))
    assert words == [
        *("ami-bundler", "ami", "register", "s3://images/old.manifest.xml", "--name", "web"),
        *("--region", "eu-west-1", "--arch", "i386", "--virtualization-type", "paravirtual"),
        *("--description", "The old one.", "--kernel", "aki-1"),
        *("--root-device-name", "/dev/sda1", "--imds-support", "v2.0"),
        *("--block-device-mapping", "ephemeral0=/dev/sda2", "--tag", "a=b c'd"),
    ]
