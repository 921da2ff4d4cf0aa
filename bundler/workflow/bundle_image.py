"""Image file to bundle: parts and a signed manifest, in one pass."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

import bundler
from bundler.codec.keywrap import wrap_key
from bundler.codec.manifest import render_manifest
from bundler.codec.signature import sign
from bundler.errors import InputError, ManifestError, UsageError
from bundler.model.bundle import (
    MAX_IMAGE_SIZE,
    MAX_NAME_SIZE,
    MAX_PART_SIZE,
    MIB,
    MIN_PART_SIZE,
    PART_SIZE,
    BundleKey,
    CompressionLevel,
    Extent,
    Part,
    check_file_name,
)
from bundler.model.digest import Digest
from bundler.model.image import Architecture, ImageType
from bundler.model.manifest import Bundler, Manifest
from bundler.model.mapping import BlockDeviceMapping
from bundler.stages.deflate import describe_deflater
from bundler.stages.pipeline import seal
from bundler.stages.split import split
from bundler.stages.tap import Tap, sha1_digest
from bundler.stages.tar import header_size, pack, packed_size
from bundler.workflow.bundle_source import BundleSource
from bundler.workflow.ports import Advance, PartSink, Progress

_logger = logging.getLogger(__name__)

BUNDLER = Bundler(name="ami-bundler", version=bundler.__version__, release="0")
"""What our manifests say in element `bundler`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleSpec:
    """What a bundle shall be.

    Raises:
        UsageError: an argument that no bundle can have.
    """

    name: str
    account: str
    """12 digits."""
    architecture: Architecture
    image_type: ImageType = ImageType.MACHINE
    block_device_mappings: tuple[BlockDeviceMapping, ...] = ()
    kernel_id: str = ""
    ramdisk_id: str = ""
    product_codes: tuple[str, ...] = ()
    ancestor_ami_ids: tuple[str, ...] = ()
    part_size: int = PART_SIZE
    level: CompressionLevel = CompressionLevel.BALANCED

    def __post_init__(self) -> None:
        if len(self.account) != 12 or not (self.account.isascii() and self.account.isdigit()):
            raise UsageError(f"account {self.account!r}: expected 12 digits")
        check_name(self.name)
        ids = (word for word in (self.kernel_id, self.ramdisk_id) if word)
        check_words((*ids, *self.product_codes, *self.ancestor_ami_ids))
        if len(self.name.encode()) > MAX_NAME_SIZE:
            raise UsageError(f"bundle name {self.name!r}: expected at most {MAX_NAME_SIZE} bytes")
        if not MIN_PART_SIZE <= self.part_size <= MAX_PART_SIZE:
            raise UsageError(
                f"part size {self.part_size}: expected {MIN_PART_SIZE} to {MAX_PART_SIZE} bytes"
            )


def check_name(name: str) -> None:
    """Refuse a bundle's name that no file, or no manifest, could have.

    Raises:
        UsageError: it is such a name.
    """
    try:
        check_file_name(name, "bundle name")
    except ManifestError as error:
        raise UsageError(str(error)) from error
    if not name.isprintable() or name != name.strip():
        raise UsageError(
            f"bundle name {name!r}: expected printable characters, no blank at its ends"
        )


def check_words(words: Iterable[str]) -> None:
    """Refuse what no id and no product code can be.

    Raises:
        UsageError: one is no single word.
    """
    for word in words:
        if not word or not word.isprintable() or " " in word:
            raise UsageError(f"id or product code {word!r}: expected one word")


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleKeys:
    """Who signs a bundle, and for whom its key is wrapped."""

    user: RSAPrivateKey = field(repr=False)
    ec2: RSAPublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class BundlePlan:
    """An image, looked at and accepted: what bundling it will read and need."""

    source: BundleSource
    extents: tuple[Extent, ...]
    tar_size: int

    @property
    def worst_size(self) -> int:
        """Most bytes that the bundle's parts can have together: nothing can be compressed."""
        return self.tar_size + self.tar_size // 1000 + MIB

    @property
    def data_size(self) -> int:
        """Bytes of the image that are not holes."""
        return sum(extent.size for extent in self.extents)

    def with_extents(self, extents: tuple[Extent, ...]) -> "BundlePlan":
        """The plan with other holes."""
        return replace(self, extents=extents, tar_size=packed_size(self.source.size, extents))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A finished bundle."""

    manifest: Manifest
    document: bytes
    """The manifest file's bytes."""
    data_size: int
    """Bytes of the image that are not holes."""


def check_image_size(source: BundleSource, *, allow_large: bool) -> None:
    """Refuse what EC2 does not take.

    Raises:
        InputError: more than MAX_IMAGE_SIZE bytes, and `allow_large` is not given.
    """
    if source.size > MAX_IMAGE_SIZE and not allow_large:
        raise InputError(
            f"bundle image {source.label}: EC2 takes S3-backed images of at most {MAX_IMAGE_SIZE} "
            f"bytes (10 GiB), got {source.size}; --allow-large is for private clouds"
        )


def plan_bundle(source: BundleSource, *, dig_holes: bool, allow_large: bool) -> BundlePlan:
    """Check an image and find its data.

    Raises:
        InputError: more than MAX_IMAGE_SIZE bytes, and `allow_large` is not given.
        HostError, AwsRefusedError, TransferError: the image cannot be read.
    """
    check_image_size(source, allow_large=allow_large)
    extents = source.extents(dig_holes=dig_holes)
    return BundlePlan(source=source, extents=extents, tar_size=packed_size(source.size, extents))


def bundle_image(
    plan: BundlePlan,
    spec: BundleSpec,
    keys: BundleKeys,
    sink: PartSink,
    *,
    secret: BundleKey,
    workers: int,
    progress: Progress,
) -> Bundle:
    """Bundle an image: its parts go to `sink` as they are made, then the manifest.

    The parts depend on the image, the level, the part size and `secret` alone.

    Raises:
        InputError: the image changed while it was read.
        HostError, AwsRefusedError, TransferError: from reading the image or from the sink.
    """
    source = plan.source
    _logger.info("compressing with %s, %d workers", describe_deflater(spec.level), workers)
    digest = Tap()
    digests: list[Digest] = []
    bundled_size = 0
    with progress.task(f"bundling {spec.name}", plan.data_size) as advance:
        lead = header_size(source.size, plan.extents)
        data = _counted(source.read(plan.extents, lead=lead), advance)
        tar = pack(spec.name, source.size, plan.extents, data)
        bundled = seal(tar, secret, digest, level=spec.level, workers=workers)
        with closing(bundled), _cancelled_on_failure(source):
            for index, part in enumerate(split(bundled, spec.part_size)):
                part_digest = sha1_digest(part)
                sink.put_part(index, part, part_digest)
                digests.append(part_digest)
                bundled_size += len(part)
    manifest = Manifest(
        bundler=BUNDLER,
        architecture=spec.architecture,
        block_device_mappings=tuple(sorted(spec.block_device_mappings)),
        kernel_id=spec.kernel_id,
        ramdisk_id=spec.ramdisk_id,
        product_codes=spec.product_codes,
        name=spec.name,
        user=spec.account,
        image_type=spec.image_type,
        kernel_name=spec.name if spec.image_type is ImageType.KERNEL else "",
        ancestor_ami_ids=spec.ancestor_ami_ids,
        digest=digest.digest,
        size=source.size,
        bundled_size=bundled_size,
        ec2_key=wrap_key(secret, keys.ec2),
        user_key=wrap_key(secret, keys.user.public_key()),
        parts=_parts(sink.part_names(len(digests)), digests),
    )
    document = render_manifest(manifest, lambda text: sign(text, keys.user))
    sink.put_manifest(document)
    return Bundle(manifest=manifest, document=document, data_size=plan.data_size)


@contextmanager
def _cancelled_on_failure(source: BundleSource) -> Iterator[None]:
    """Closing the stages waits for the thread that reads, and that may wait for a network."""
    try:
        yield
    except BaseException:
        source.cancel()
        raise


def _counted(chunks: Iterable[bytes], advance: Advance) -> Iterator[bytes]:
    for chunk in chunks:
        yield chunk
        advance(len(chunk))


def _parts(names: tuple[str, ...], digests: list[Digest]) -> tuple[Part, ...]:
    return tuple(
        Part(index=index, filename=name, digest=digest)
        for index, (name, digest) in enumerate(zip(names, digests, strict=True))
    )
