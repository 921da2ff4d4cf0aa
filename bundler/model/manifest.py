"""The manifest: everything it says, and how far it may be believed."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

from bundler.errors import ManifestError
from bundler.model.bundle import Part, WrappedKey, check_file_name
from bundler.model.digest import Digest
from bundler.model.image import ImageType
from bundler.model.mapping import BlockDeviceMapping


class ManifestVersion(StrEnum):
    """Versions that are read; only the last is written for new bundles (element `version`)."""

    V3 = "3"
    V2007_08_29 = "20070829"
    V2007_10_10 = "2007-10-10"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundler:
    """The program that made the bundle (element `bundler`)."""

    name: str
    version: str
    release: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownElement:
    """An element that the format does not know, kept so that no rewrite loses it.

    `parent` is the path of the known element around it, such as "manifest/image";
    `xml` is the element itself in canonical form.
    """

    parent: str
    xml: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a manifest says (sizes in bytes).

    Raises:
        ManifestError: sizes, part indices or names that no bundle can have.
    """

    version: ManifestVersion = ManifestVersion.V2007_10_10
    bundler: Bundler
    architecture: str
    """Text, not an enum: old bundles say armhf, ppc64, unknown; new ones say Architecture."""
    block_device_mappings: tuple[BlockDeviceMapping, ...] = ()
    kernel_id: str = ""
    ramdisk_id: str = ""
    product_codes: tuple[str, ...] = ()
    name: str
    user: str
    image_type: ImageType = ImageType.MACHINE
    kernel_name: str = ""
    ancestor_ami_ids: tuple[str, ...] = ()
    digest: Digest
    """SHA-1 of the uncompressed tar stream, padding included."""
    size: int
    """Bytes of the image, holes included."""
    bundled_size: int
    """Sum of the sizes of the parts."""
    ec2_key: WrappedKey
    user_key: WrappedKey | None
    """None when the bundle was made without a user's certificate (euca2ools)."""
    parts: tuple[Part, ...]
    unknown_elements: tuple[UnknownElement, ...] = ()

    def __post_init__(self) -> None:
        check_file_name(self.name, "image name")
        if self.size <= 0 or self.bundled_size <= 0:
            raise ManifestError(
                f"manifest sizes: expected more than 0 bytes, got size {self.size}, "
                f"bundled_size {self.bundled_size}"
            )
        if not self.parts:
            raise ManifestError("manifest parts: expected at least one part, got none")
        for expected, part in enumerate(self.parts):
            if part.index != expected:
                raise ManifestError(f"manifest parts: expected index {expected}, got {part.index}")
        if len({part.filename for part in self.parts}) != len(self.parts):
            raise ManifestError("manifest parts: two parts have the same file name")
        if self.bundled_size < len(self.parts):
            raise ManifestError(
                f"manifest parts: {self.bundled_size} bytes cannot fill {len(self.parts)} parts"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedManifest:
    """A manifest as read, not verified: what it says may be anybody's words.

    `signed_texts` are the byte strings that the signature may cover, most literal first
    (the bytes as they stand in the file, then the canonical serialisation).
    """

    manifest: Manifest
    signature: bytes
    """Empty when the document has no usable signature."""
    signed_texts: tuple[bytes, ...]


VerifiedManifest = NewType("VerifiedManifest", Manifest)
"""A Manifest whose signature held.  Made in codec/signature.py and nowhere else."""
