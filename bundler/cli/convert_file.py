"""ami-bundler convert --to: an image file instead of an AMI."""

import argparse
from pathlib import Path

from bundler.aws.session import Cloud
from bundler.cli.console import Console, Result
from bundler.cli.convert_fstab import fstab_facts, tell_fstab
from bundler.cli.convert_source import ConvertSource
from bundler.cli.options import choice, path_option
from bundler.errors import UsageError
from bundler.host.files import check_absent, check_directory
from bundler.host.processors import processor_count
from bundler.host.qemu_img import find_qemu_img
from bundler.model.image import DiskFormat
from bundler.model.partition_table import PartitionScheme
from bundler.workflow.convert import ConversionPlan, disk_size
from bundler.workflow.write_image import write_image


def check_output(arguments: argparse.Namespace) -> tuple[DiskFormat, Path]:
    """The format and the file that --to names.

    Raises:
        UsageError: the format is none that is known.
        MissingError: qemu-img is needed, and not installed.
        ExistsError, InputError: there is such a file.
    """
    word, name = arguments.to
    disk_format = choice("--to", word, DiskFormat)
    if disk_format is not DiskFormat.RAW:
        find_qemu_img()
    output = Path(name)
    check_directory(output.parent)
    check_absent(output, force=arguments.force)
    return disk_format, output


def write_file(
    arguments: argparse.Namespace,
    source: ConvertSource,
    target: tuple[DiskFormat, Path],
    scheme: PartitionScheme | None,
    cloud: Cloud | None,
    console: Console,
) -> Result:
    """Write the image of a bundle as --to says."""
    disk_format, output = target
    key = path_option(arguments, "key", "EC2_PRIVATE_KEY")
    inputs = [Path(source.place), key, arguments.cert]
    if source.stored is None:
        inputs += [source.directory / part.filename for part in source.manifest.parts]
    if any(path is not None and path.resolve() == output.resolve() for path in inputs):
        raise UsageError(f"write {output}: this is one of the inputs")
    plan = ConversionPlan(virtualization_type=None, scheme=scheme, is_forced=False)
    fstab = write_image(
        source.manifest,
        source.parts(),
        source.secret,
        plan,
        output,
        disk_format,
        removes_mounts=arguments.remove_ephemeral_mounts,
        force=arguments.force,
        workers=processor_count(),
        progress=console,
    )
    tell_fstab(fstab, console, is_removed=arguments.remove_ephemeral_mounts)
    facts = {
        "image": str(output),
        "format": disk_format.value,
        "size": disk_size(source.manifest, scheme),
        "signature_checked": source.is_signature_checked,
        "retry_count": cloud.transport.retry_count if cloud else 0,
        **fstab_facts(fstab, is_removed=arguments.remove_ephemeral_mounts),
    }
    return Result(text=str(output), facts=facts)
