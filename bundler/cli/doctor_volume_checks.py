"""doctor's checks of a volume, by the same code that images it."""

import argparse
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property

from bundler.cli.console import Console
from bundler.cli.inherit import find_endpoint
from bundler.cli.volume import check_destination, inherited, is_instance_asked
from bundler.cli.volume_image import (
    PlannedImage,
    enter_own_namespace,
    own_files,
    planned_image,
    scratch_directory,
)
from bundler.cli.volume_options import image_options
from bundler.cli.volume_room import check_rooms
from bundler.errors import HostError
from bundler.host.files import check_absent, check_directory
from bundler.model.file_name import manifest_name
from bundler.workflow.doctor import Check, Finding
from bundler.workflow.image_options import ImageOptions, SnapshotKind
from bundler.workflow.local_checks import format_size
from bundler.workflow.volume_checks import (
    check_boot_loader,
    check_consistency,
    check_image_programs,
    check_loop_devices,
    check_mounts,
    check_partitions,
    check_programs,
    check_root,
    check_secrets,
    describe_selection,
)


class VolumeChecks:
    """The volume, its image, and the machine that makes it; `stack` releases the volume."""

    def __init__(self, arguments: argparse.Namespace, console: Console, stack: ExitStack) -> None:
        self.arguments = arguments
        """With what is inherited, once inheritance() was looked at."""
        self._console = console
        self._stack = stack
        self._may_mount = False

    def checks(self) -> Iterator[Check]:
        """All but inheritance()."""
        yield Check(name="root", look=self.root)
        yield Check(name="destination", look=self.destination)
        yield Check(name="scratch", look=self.scratch)
        yield Check(name="programs", look=self.programs, needs=("root",))
        if self._may_mount:
            yield Check(name="loop-devices", look=self.loop_devices, needs=("scratch",))
        yield Check(name="options", look=self.options, needs=("root",))
        needs = ("root", "options", "programs", "scratch")
        yield Check(name="volume", look=self.volume, needs=needs)
        for name, look in (
            ("mounts", self.mounts),
            ("consistency", self.consistency),
            ("partitions", self.partitions),
            ("boot-loader", self.boot_loader),
            ("image-programs", self.image_programs),
            ("architecture", self.architecture),
            ("secrets", self.secrets),
            ("room", self.room),
        ):
            yield Check(name=name, look=look, needs=("volume",))

    def inheritance(self) -> Iterator[Check]:
        """What comes from the instance."""
        yield Check(name="metadata", look=self.metadata)

    def root(self) -> Iterator[Finding]:
        """What this process may."""
        self._may_mount = enter_own_namespace(self.arguments.volume)
        yield from check_root(may_mount=self._may_mount)

    def destination(self) -> Iterator[Finding]:
        """Whether the result can be written."""
        arguments, directory = self.arguments, self.arguments.destination
        if directory is None and not arguments.location:
            yield Finding.skip("destination", "neither -d DIR nor an s3:// URL is given")
            return
        check_destination(arguments)
        if directory is None:
            yield Finding.ok("destination", arguments.location)
            return
        name = arguments.name if arguments.clone_only else manifest_name(arguments.name)
        check_absent(directory / name, force=arguments.force)
        yield Finding.ok("destination", f"{directory / name} can be written")

    def scratch(self) -> Iterator[Finding]:
        """Whether the image can be made there."""
        directory = scratch_directory(self.arguments)
        check_directory(directory)
        yield Finding.ok("scratch", f"{directory} can be written to")

    def programs(self) -> Iterator[Finding]:
        """Those that look and copy."""
        yield from check_programs(may_mount=self._may_mount)

    def loop_devices(self) -> Iterator[Finding]:
        """Whether the kernel gives them."""
        yield from check_loop_devices(scratch_directory(self.arguments))

    def options(self) -> Iterator[Finding]:
        """Whether an image can be what they want."""
        yield Finding.ok("options", f"of the volume {self._options.volume}")

    def volume(self) -> Iterator[Finding]:
        """Whether it can be read."""
        yield Finding.ok("volume", describe_selection(self._planned.plan.selection))

    def mounts(self) -> Iterator[Finding]:
        """What is copied."""
        yield from check_mounts(self._planned.plan.volume)

    def consistency(self) -> Iterator[Finding]:
        """Whether the files are those of one moment."""
        arguments = self.arguments
        others = (arguments.destination, arguments.state_dir)
        writers = (scratch_directory(arguments), *filter(None, others))
        yield from check_consistency(self._options, self._planned.plan.volume, writers)

    def partitions(self) -> Iterator[Finding]:
        """What the image would be."""
        yield from check_partitions(self._planned.plan)

    def boot_loader(self) -> Iterator[Finding]:
        """Whether it would boot."""
        yield from check_boot_loader(self._options, self._planned.plan)

    def image_programs(self) -> Iterator[Finding]:
        """Those that make the image."""
        yield from check_image_programs(self._options, self._planned.plan.disk)

    def architecture(self) -> Iterator[Finding]:
        """What the volume's programs are built for."""
        found = self._planned.plan.architecture
        if self.arguments.arch or found:
            by = "--arch" if self.arguments.arch else "the volume's first program"
            yield Finding.ok("architecture", f"{self.arguments.arch or found}, by {by}")
        else:
            yield Finding.warn("architecture", "it is not known", "--arch tells it")

    def secrets(self) -> Iterator[Finding]:
        """What should not be in an image."""
        selection = self._planned.plan.selection
        yield from check_secrets(selection, must_be_none=self.arguments.fail_on_secrets)

    def room(self) -> Iterator[Finding]:
        """Room for the image and the bundle."""
        size = format_size(self._planned.needed_size)
        try:
            check_rooms(self.arguments, self._planned)
        except HostError as error:
            if not self.arguments.no_space_check:
                raise
            yield Finding.warn("room", str(error), "--no-space-check is given")
        else:
            yield Finding.ok("room", f"there is enough: the image needs {size} while it is made")

    def metadata(self) -> Iterator[Finding]:
        """What the instance tells."""
        is_asked = is_instance_asked(self.arguments) and find_endpoint(self.arguments) is not None
        self.arguments = inherited(self.arguments, self._console)
        words = "the instance answers" if is_asked else "not asked: nothing is inherited"
        yield Finding.ok("metadata", words)

    @cached_property
    def _options(self) -> ImageOptions:
        return image_options(self.arguments, may_mount=self._may_mount)

    @cached_property
    def _planned(self) -> PlannedImage:
        # Nothing is frozen, and no snapshot made; secrets have a check of their own.
        options = replace(self._options, freezes=False, snapshot=SnapshotKind.NONE)
        arguments = argparse.Namespace(**{**vars(self.arguments), "fail_on_secrets": False})
        planned = planned_image(arguments, options, own_files(arguments), self._console)
        return self._stack.enter_context(planned)
