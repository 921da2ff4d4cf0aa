"""What must be right on this machine before a bundle is made."""

from collections.abc import Iterator
from pathlib import Path

from bundler.codec.ec2_keys import ec2_public_key
from bundler.codec.keys import NEW_KEY_SIZE, check_key_fits
from bundler.errors import BundlerError, HostError, InputError
from bundler.host.files import (
    check_absent,
    check_creatable,
    check_directory,
    check_room,
    is_private,
)
from bundler.host.run import find_program
from bundler.model.bundle import MIB, CompressionLevel
from bundler.model.file_name import manifest_name
from bundler.model.image import Architecture, VirtualizationType
from bundler.stages.deflate import describe_deflater, has_fallen_back
from bundler.workflow.bundle_image import BundlePlan
from bundler.workflow.doctor import Finding
from bundler.workflow.image_contents import ImageContents
from bundler.workflow.keys import Passphrase, load_certificate, load_private_key

ROOM_REMEDY = "make room, or give --no-space-check if the image compresses well"
"""What to do when a bundle that does not compress at all would not fit."""


def format_size(size: int) -> str:
    """Bytes for people, such as "10 MiB" or "1.5 GiB"."""
    for unit, name in ((1024 * MIB, "GiB"), (MIB, "MiB"), (1024, "KiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}".replace(".0 ", " ")
    return f"{size} bytes"


def check_keys(key: Path, certificate: Path, ask: Passphrase) -> Iterator[Finding]:
    """Whether the user's key and certificate can be read, fit, and are kept well.

    Raises:
        MissingError, HostError, InputError, VerificationError: they cannot be used.
    """
    public = load_certificate(certificate)
    private = load_private_key(key, ask)
    check_key_fits(
        private, public, private_subject=f"read key {key}", public_subject=str(certificate)
    )
    words = f"{key}: RSA, {private.key_size} bits, fits {certificate}"
    if private.key_size < NEW_KEY_SIZE:
        yield Finding.warn("keys", words, f"a key of {NEW_KEY_SIZE} bits is safer: see keygen")
    else:
        yield Finding.ok("keys", words)
    if not is_private(key):
        yield Finding.warn("keys", f"{key} may be read by others", f"chmod 600 {key}")


def check_ec2_key(
    partition: str, certificate: Path | None, *, is_private_cloud: bool
) -> Iterator[Finding]:
    """For whom the bundle's key will be wrapped.

    Raises:
        MissingError, HostError, InputError: the certificate cannot be used.
        UsageError: EC2's key for the partition is not known.
    """
    if certificate:
        size = load_certificate(certificate).key_size
        yield Finding.ok("ec2-key", f"{certificate}: RSA, {size} bits")
        return
    size = ec2_public_key(partition).key_size
    words = f"built in for partition {partition}: RSA, {size} bits"
    if is_private_cloud:
        remedy = "no private cloud opens such a bundle: give its certificate with --ec2-cert"
        yield Finding.warn("ec2-key", words, remedy)
    else:
        yield Finding.ok("ec2-key", words)


def check_plan(plan: BundlePlan) -> Iterator[Finding]:
    """What of the image is read; plan_bundle() has checked it."""
    words = f"{plan.source.label}: {format_size(plan.source.size)}"
    if plan.data_size == plan.source.size:
        yield Finding.ok("image", f"{words}, no holes")
    else:
        data_size = format_size(plan.data_size)
        yield Finding.ok("image", f"{words}, {data_size} of it data, the rest holes")


def check_raw(other_format: str, image: str) -> None:
    """Refuse what is no raw image: EC2 would boot its very bytes; see find_contents().

    Raises:
        InputError: it is of `other_format`.
    """
    if other_format:
        raise InputError(
            f"read image {image}: expected a raw image, got {other_format} by its first bytes; "
            "make a raw image of it first"
        )


def check_contents(
    contents: ImageContents, image: str, virtualization_type: VirtualizationType
) -> Iterator[Finding]:
    """What the image is, as far as its first sectors and ext file systems tell.

    Raises:
        InputError: no raw image.
    """
    check_raw(contents.other_format, image)
    words = f"{_layout(contents)}; {_file_systems(contents)}"
    if virtualization_type is not VirtualizationType.HVM:
        yield Finding.ok("contents", words)
    elif not contents.partition_table:
        remedy = (
            "an hvm instance boots a disk with a boot loader; a bare file system is for "
            "--virtualization-type paravirtual"
        )
        yield Finding.warn("contents", words, remedy)
    elif not contents.has_boot_code:
        remedy = "instance types that run S3-backed AMIs boot by BIOS: install a boot loader for it"
        yield Finding.warn("contents", words, remedy)
    else:
        yield Finding.ok("contents", words)


def _layout(contents: ImageContents) -> str:
    if not contents.partition_table:
        return "no partition table"
    code = "boot code" if contents.has_boot_code else "no boot code"
    return f"a disk with {contents.partition_table} partition table, {code} in its first sector"


def _file_systems(contents: ImageContents) -> str:
    if not contents.ext_offsets:
        return "no ext2, ext3 or ext4 file system found"
    places = ", ".join(str(offset) for offset in contents.ext_offsets)
    return f"ext file system at byte {places}"


def check_architecture(
    found: Architecture | None, asked: Architecture | None, default: Architecture
) -> Iterator[Finding]:
    """Whether what is said of the image is what is found in it."""
    if found is None:
        chosen = asked or default
        remedy = "" if asked else f"give it with --arch if it is not {default}"
        yield Finding.warn("architecture", f"not found in the image; {chosen} is taken", remedy)
    elif asked not in (None, found):
        remedy = f"--arch {found}, or leave it out"
        yield Finding.warn("architecture", f"{asked} is given, {found} is in the image", remedy)
    else:
        yield Finding.ok("architecture", f"{found}, by the image's first program")


def check_disk(
    directory: Path, name: str, worst_size: int, *, force: bool, may_be_full: bool = False
) -> Iterator[Finding]:
    """Whether a bundle of that name can be written to a directory.

    Raises:
        MissingError, InputError, HostError: the directory cannot be used, or is full.
        ExistsError: a bundle is there and `force` is not given.
    """
    check_directory(directory)
    check_absent(directory / manifest_name(name), force=force)
    try:
        check_room(directory, worst_size, remedy=ROOM_REMEDY)
    except HostError as error:
        if not may_be_full:
            raise
        yield Finding.warn("room", str(error), "--no-space-check is given")
    else:
        size = format_size(worst_size)
        yield Finding.ok("room", f"{directory}: room for the worst case, {size}")


def check_state(directory: Path, *, is_given: bool, is_unfinished: bool) -> Iterator[Finding]:
    """Whether a run that is interrupted can be resumed, and whether one has been.

    Raises:
        InputError, HostError: it cannot, and the directory is what the user has asked for.
    """
    try:
        check_creatable(directory)
    except BundlerError as error:
        if is_given:
            raise
        remedy = "a run that is interrupted cannot be resumed: see --state-dir"
        yield Finding.warn("state", str(error), remedy)
    else:
        yield Finding.ok("state", f"{directory}: can be written to")
        if is_unfinished:
            remedy = "publish goes on with it, unless the image or an option has changed"
            yield Finding.warn("state", "an earlier run was interrupted", remedy)


def check_compressor(level: CompressionLevel) -> Iterator[Finding]:
    """What will compress."""
    if has_fallen_back(level):
        remedy = "install zlib's shared library for smaller bundles"
        yield Finding.warn("compressor", describe_deflater(level), remedy)
    else:
        yield Finding.ok("compressor", describe_deflater(level))


def check_program(name: str, *, package: str, what_for: str) -> Iterator[Finding]:
    """Whether a program is there that the task can use."""
    try:
        path = find_program(name, package=package)
    except BundlerError as error:
        yield Finding.warn(name, str(error), f"it is needed for {what_for}")
    else:
        yield Finding.ok(name, str(path))
