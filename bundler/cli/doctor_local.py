"""doctor's checks of this machine."""

from collections.abc import Iterator
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

from bundler.cli.bundle_options import DEFAULT_ARCHITECTURE, bundle_spec
from bundler.cli.bundle_source import open_source
from bundler.cli.doctor_case import Case
from bundler.cli.options import choice, passphrase, path_option
from bundler.cli.publish import state_directory
from bundler.host.image_file import ImageSource
from bundler.model.bundle import CompressionLevel
from bundler.model.image import Architecture, ImageLocation, ImageType, VirtualizationType
from bundler.model.registration import Registration
from bundler.workflow.bundle_image import BundlePlan, plan_bundle
from bundler.workflow.bundle_source import BundleSource
from bundler.workflow.doctor import Check, Finding, Task
from bundler.workflow.free_checks import check_free_blocks
from bundler.workflow.image_contents import ImageContents, find_contents
from bundler.workflow.local_checks import (
    check_architecture,
    check_compressor,
    check_contents,
    check_disk,
    check_ec2_key,
    check_keys,
    check_plan,
    check_program,
    check_state,
)

ANY_ACCOUNT = "0" * 12
ANY_NAME = "any"
ANY_LOCATION = ImageLocation(bucket="any", key="")
"""In place of what is not known, where only the rest is looked at."""


class LocalChecks:
    """Keys, image, disk and programs; `stack` closes the image."""

    def __init__(self, case: Case, stack: ExitStack) -> None:
        self._case = case
        self._arguments = case.arguments
        self._stack = stack

    def checks(self) -> Iterator[Check]:
        """Those that matter for the task; what needs the region or the account comes later."""
        task = self._case.task
        if task in (Task.BUNDLE, Task.PUBLISH):
            yield Check(name="keys", look=self.keys)
            needs = () if self._arguments.ec2_cert else ("region",)
            yield Check(name="ec2-key", look=self.ec2_key, needs=needs)
        if task is not Task.REGISTER:
            yield Check(name="image", look=self.image)
        if task in (Task.BUNDLE, Task.PUBLISH):
            yield Check(name="contents", look=self.contents, needs=("image",))
            yield Check(name="architecture", look=self.architecture, needs=("image",))
            yield Check(name="options", look=self.options, needs=("image",))
            yield Check(name="free-blocks", look=self.free_blocks, needs=("image",))
            yield Check(name="compressor", look=self.compressor)
        if task in (Task.PUBLISH, Task.REGISTER):
            yield Check(name="registration", look=self.registration)
        if task is Task.BUNDLE:
            yield Check(name="room", look=self.room, needs=("image",))
        if task is Task.PUBLISH:
            yield Check(name="state", look=self.state)
        if task is Task.CONVERT:
            yield Check(name="qemu-img", look=self.qemu_img)

    def keys(self) -> Iterator[Finding]:
        """The user's key and certificate."""
        key = path_option(self._arguments, "key", "EC2_PRIVATE_KEY")
        certificate = path_option(self._arguments, "cert", "EC2_CERT")
        yield from check_keys(
            key, certificate, passphrase(self._arguments, self._case.console, key)
        )

    def ec2_key(self) -> Iterator[Finding]:
        """EC2's key."""
        yield from check_ec2_key(
            self._case.partition,
            self._arguments.ec2_cert,
            is_private_cloud=bool(self._arguments.endpoint_url),
        )

    def image(self) -> Iterator[Finding]:
        """Whether the image can be read, and its size."""
        if self._case.image is None:
            yield Finding.skip("image", "no IMAGE is given")
            return
        if self._case.task is Task.CONVERT:
            size = self._source.size
            yield Finding.ok("image", f"{self._case.image}: {size} bytes, readable")
            return
        yield from check_plan(self._plan)

    def contents(self) -> Iterator[Finding]:
        """What kind of image it is."""
        if self._arguments.type != ImageType.MACHINE:
            yield Finding.skip("contents", f"--type {self._arguments.type} is given")
            return
        kind = virtualization_type(self._case)
        yield from check_contents(self._contents, self._source.label, kind)

    def architecture(self) -> Iterator[Finding]:
        """What the image is built for."""
        words: str = self._arguments.arch
        asked = choice("--arch", words, Architecture) if words else None
        found = self._contents.architecture
        self._case.architecture = asked or found or DEFAULT_ARCHITECTURE
        yield from check_architecture(found, asked, DEFAULT_ARCHITECTURE)

    def options(self) -> Iterator[Finding]:
        """Whether a bundle can be what the other options want."""
        account = str(self._arguments.account or ANY_ACCOUNT).replace("-", "")
        case = self._case
        spec = bundle_spec(self._arguments, self._source, case.bundle_name, account, case.console)
        yield Finding.ok("options", f"a bundle named {spec.name}")

    def free_blocks(self) -> Iterator[Finding]:
        """What is left of deleted files."""
        yield from check_free_blocks(self._source, is_discarded=self._arguments.discard_free)

    def registration(self) -> Iterator[Finding]:
        """Whether an AMI can be what the options want; its name has a check of its own."""
        registration = Registration(
            location=self._case.location or ANY_LOCATION,
            name=ANY_NAME,
            description=self._arguments.description,
            architecture=self._case.architecture or DEFAULT_ARCHITECTURE,
            virtualization_type=virtualization_type(self._case),
            kernel_id=self._arguments.kernel,
            ramdisk_id=self._arguments.ramdisk,
        )
        yield Finding.ok("registration", f"an AMI of type {registration.virtualization_type}")

    def compressor(self) -> Iterator[Finding]:
        """What will compress."""
        yield from check_compressor(choice("--level", self._arguments.level, CompressionLevel))

    def room(self) -> Iterator[Finding]:
        """Room for the bundle."""
        directory: Path | None = self._arguments.directory
        if directory is None:
            yield Finding.skip("room", "no --directory is given")
            return
        yield from check_disk(
            directory,
            self._case.bundle_name,
            self._plan.worst_size,
            force=self._arguments.force,
            may_be_full=self._arguments.no_space_check,
        )

    def state(self) -> Iterator[Finding]:
        """Where an interrupted run is remembered."""
        try:
            directory = state_directory(self._arguments)
        except RuntimeError:  # no home directory
            remedy = "a run that is interrupted cannot be resumed: see --state-dir"
            yield Finding.warn("state", "there is no home directory", remedy)
            return
        yield from check_state(
            directory,
            is_given=self._arguments.state_dir is not None,
            is_unfinished=self._case.is_unfinished,
        )

    def qemu_img(self) -> Iterator[Finding]:
        """A program that reads other forms of images."""
        yield from check_program(
            "qemu-img", package="qemu-utils", what_for="images that are not raw"
        )

    @cached_property
    def _source(self) -> BundleSource:
        assert self._case.image is not None  # noqa: S101  who asks needs check "image"
        if self._case.task is Task.CONVERT:
            return self._stack.enter_context(ImageSource.open(self._case.image))
        opened = self._stack.enter_context(open_source(self._arguments, self._case.image))
        # An AMI tells what the options do not, for the checks behind this one too.
        self._arguments = self._case.arguments = opened.arguments
        self._case.default_name = opened.name
        return opened.source

    @cached_property
    def _contents(self) -> ImageContents:
        return find_contents(self._source)

    @cached_property
    def _plan(self) -> BundlePlan:
        # No holes are dug: that would read all of the image.
        return plan_bundle(self._source, dig_holes=False, allow_large=self._arguments.allow_large)


def virtualization_type(case: Case) -> VirtualizationType:
    """What the option says.

    Raises:
        UsageError: there is no such type.
    """
    word = case.arguments.virtualization_type or VirtualizationType.HVM
    return choice("--virtualization-type", word, VirtualizationType)
