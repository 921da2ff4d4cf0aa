"""Manifests: bytes to model."""

from bundler.codec.fields import (
    Fields,
    check_no_unknown,
    parse_hex,
    parse_number,
    read_fields,
    read_list,
)
from bundler.codec.signed_text import find_signed_texts
from bundler.codec.xml import XML_SPACE, Element, parse_xml
from bundler.errors import ManifestError
from bundler.model.bundle import Part, WrappedKey
from bundler.model.digest import Digest, DigestAlgorithm
from bundler.model.image import Architecture, ImageType
from bundler.model.manifest import (
    Bundler,
    Manifest,
    ManifestVersion,
    SignedManifest,
    UnknownElement,
)
from bundler.model.mapping import BlockDeviceMapping

SHA1_ATTRIBUTE = ("algorithm", DigestAlgorithm.SHA1.value)
"""The attribute of digests; its only value."""

AES_ATTRIBUTE = ("algorithm", "AES-128-CBC")
"""The attribute of wrapped keys; its only value."""

UNSIGNED = "UNSIGNED"
"""What euca2ools write as the signature of a bundle made without a key."""

_VERSIONS = {version.value: version for version in ManifestVersion} | {
    "2007-08-29": ManifestVersion.V2007_08_29
}

_BUNDLER_FIELDS = ("name", "version", "release")
_MACHINE_FIELDS = (
    "architecture",
    "block_device_mapping",
    "kernel_id",
    "ramdisk_id",
    "product_codes",
)
_IMAGE_FIELDS = (
    "name",
    "user",
    "type",
    "kernel_name",
    "ancestry",
    "digest",
    "size",
    "bundled_size",
    "ec2_encrypted_key",
    "user_encrypted_key",
    "ec2_encrypted_iv",
    "user_encrypted_iv",
    "parts",
)


def parse_manifest(document: bytes) -> SignedManifest:
    """Read a manifest of any version and maker; nothing in it is verified yet.

    Elements may stand in any order, with any white space between them.

    Raises:
        ManifestError: not a manifest, of a version that cannot be read, or hostile.
    """
    document = document.removeprefix(b"\xef\xbb\xbf").lstrip(XML_SPACE.encode())
    if not document:
        raise ManifestError("manifest: the document is empty")
    if not document.startswith(b"<"):
        raise ManifestError(
            "manifest: not XML; either no manifest at all, or the manifest itself is "
            "encrypted (made before 2007), not supported"
        )
    root = parse_xml(document)
    if root.tag != "manifest":
        raise ManifestError(f"manifest: expected element 'manifest', got {root.tag[:80]!r}")
    names = ("version", "bundler", "machine_configuration", "image", "signature")
    top = read_fields(root, "manifest", names)
    version = _VERSIONS.get(top.word("version"))
    if version is None:
        raise ManifestError(f"manifest: version {top.word('version')[:40]!r} is not supported")
    if version is ManifestVersion.V3 and "machine_configuration" in top.known:
        # The signature of version 3 covers the image alone.
        raise ManifestError("manifest: version 3 has no machine_configuration")
    return SignedManifest(
        manifest=_read_manifest(top, version),
        signature=_read_signature(top),
        signed_texts=find_signed_texts(document, top, version),
    )


def _read_signature(top: Fields) -> bytes:
    text = top.optional_word("signature")
    return b"" if text == UNSIGNED else parse_hex(text, "manifest/signature")


def _read_manifest(top: Fields, version: ManifestVersion) -> Manifest:
    bundler = read_fields(top.element("bundler"), "manifest/bundler", _BUNDLER_FIELDS)
    machine = _read_machine_configuration(top, version)
    image = read_fields(top.element("image"), "manifest/image", _IMAGE_FIELDS)
    mappings, unknown_mappings = _read_mappings(machine)
    codes, unknown_codes = _read_words(machine, "product_codes", "product_code")
    ancestors, unknown_ancestors = _read_words(image, "ancestry", "ancestor_ami_id")
    parts, unknown_parts = _read_parts(image)
    return Manifest(
        version=version,
        bundler=Bundler(**{name: bundler.text(name) for name in _BUNDLER_FIELDS}),
        architecture=machine.word("architecture"),
        block_device_mappings=mappings,
        kernel_id=machine.optional_word("kernel_id"),
        ramdisk_id=machine.optional_word("ramdisk_id"),
        product_codes=codes,
        name=image.text("name"),
        user=image.word("user"),
        image_type=_read_type(image),
        kernel_name=image.text("kernel_name") if "kernel_name" in image.known else "",
        ancestor_ami_ids=ancestors,
        digest=_read_digest(image),
        size=image.number("size"),
        bundled_size=image.number("bundled_size"),
        ec2_key=WrappedKey(
            key=image.hex_bytes("ec2_encrypted_key", attribute=AES_ATTRIBUTE),
            iv=image.hex_bytes("ec2_encrypted_iv", attribute=AES_ATTRIBUTE),
        ),
        user_key=_read_user_key(image),
        parts=parts,
        unknown_elements=(
            *top.unknown,
            *bundler.unknown,
            *machine.unknown,
            *unknown_mappings,
            *unknown_codes,
            *image.unknown,
            *unknown_ancestors,
            *unknown_parts,
        ),
    )


def _read_machine_configuration(top: Fields, version: ManifestVersion) -> Fields:
    """The element, or what stands for it in manifests that are older than it."""
    if version is ManifestVersion.V3:
        architecture = Element("architecture", text=Architecture.I386)
        configuration = Element("machine_configuration", children=(architecture,))
    else:
        configuration = top.element("machine_configuration")
    return read_fields(configuration, "manifest/machine_configuration", _MACHINE_FIELDS)


def _read_type(image: Fields) -> ImageType:
    """The image's type: manifests before 2007-10-10 have none and are machines."""
    word = image.optional_word("type") or ImageType.MACHINE
    if word not in tuple(ImageType):
        raise ManifestError(f"manifest/image/type: {word[:40]!r} is not machine, kernel or ramdisk")
    return ImageType(word)


def _read_digest(fields: Fields) -> Digest:
    value = fields.hex_bytes("digest", attribute=SHA1_ATTRIBUTE)
    try:
        return Digest(value=value)
    except ManifestError as error:
        raise ManifestError(f"{fields.path}/digest: {error}") from error


def _read_user_key(image: Fields) -> WrappedKey | None:
    """The bundle key for the user; euca2ools leave it empty when there is no certificate."""
    key, iv = (
        image.optional_word(name, attribute=AES_ATTRIBUTE)
        for name in ("user_encrypted_key", "user_encrypted_iv")
    )
    if not key and not iv:
        return None
    return WrappedKey(
        key=image.hex_bytes("user_encrypted_key", attribute=AES_ATTRIBUTE),
        iv=image.hex_bytes("user_encrypted_iv", attribute=AES_ATTRIBUTE),
    )


def _read_words(
    fields: Fields, list_name: str, name: str
) -> tuple[tuple[str, ...], tuple[UnknownElement, ...]]:
    """The texts of a list of simple elements."""
    path = f"{fields.path}/{list_name}"
    elements, unknown = read_list(fields.known.get(list_name), path, name)
    words = (Fields(path=path, known={name: element}).word(name) for element in elements)
    return tuple(words), unknown


def _read_mappings(
    machine: Fields,
) -> tuple[tuple[BlockDeviceMapping, ...], tuple[UnknownElement, ...]]:
    path = f"{machine.path}/block_device_mapping"
    elements, unknown = read_list(machine.known.get("block_device_mapping"), path, "mapping")
    mappings = []
    for element in elements:
        fields = check_no_unknown(read_fields(element, f"{path}/mapping", ("virtual", "device")))
        mappings.append(
            BlockDeviceMapping(virtual=fields.word("virtual"), device=fields.word("device"))
        )
    return tuple(mappings), unknown


def _read_parts(image: Fields) -> tuple[tuple[Part, ...], tuple[UnknownElement, ...]]:
    path = f"{image.path}/parts"
    parent = image.element("parts")
    elements, unknown = read_list(parent, path, "part", attribute=("count", ""))
    count = parse_number(dict(parent.attributes).get("count", ""), f"{path} count")
    if count != len(elements):
        raise ManifestError(f"{path}: expected {count} parts, got {len(elements)}")
    return tuple(_read_part(element, path) for element in elements), unknown


def _read_part(element: Element, path: str) -> Part:
    index = parse_number(dict(element.attributes).get("index", ""), f"{path}/part index")
    part_path = f"{path}/part {index}"
    fields = check_no_unknown(
        read_fields(element, part_path, ("filename", "digest"), attribute=("index", ""))
    )
    return Part(index=index, filename=fields.text("filename"), digest=_read_digest(fields))
