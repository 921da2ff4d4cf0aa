"""What EC2 asks of a bundle in S3 before it takes its manifest for an AMI.

EC2's rules for manifests are not published: these are what public reports tell of them.
"""

from collections.abc import Iterator, Mapping

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from bundler.codec.keywrap import unwrap_key
from bundler.codec.manifest import parse_manifest
from bundler.codec.xml import Element, parse_xml
from bundler.embedded.objects import FoundObject, ObjectReader
from bundler.errors import AwsRefusedError, InputError, UsageError, VerificationError
from bundler.model.bundle import BundleKey, Part
from bundler.model.image import ImageLocation
from bundler.model.manifest import Manifest
from bundler.stages.tap import sha1_digest

INVALID_MANIFEST = "InvalidManifest"
"""EC2's code for every fault of a manifest, or of what it names.  Source: RegisterImage."""

_ORDER: Mapping[str, tuple[str, ...]] = {
    "manifest": ("version", "bundler", "machine_configuration", "image", "signature"),
    "bundler": ("name", "version", "release"),
    "machine_configuration": (
        "architecture",
        "block_device_mapping",
        "kernel_id",
        "ramdisk_id",
        "product_codes",
    ),
    "mapping": ("virtual", "device"),
    "image": (
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
    ),
    "part": ("filename", "digest"),
}
"""Children of an element, in the only order that EC2 takes."""

_OPTIONAL = frozenset(
    ("block_device_mapping", "kernel_id", "ramdisk_id", "product_codes", "kernel_name", "ancestry")
)


def check_bundle(
    objects: ObjectReader,
    path: str,
    *,
    region: str,
    private_key: RSAPrivateKey | None,
    checks_acl: bool,
) -> Manifest:
    """The manifest at `path` (BUCKET/KEY), if EC2 in `region` would register it.

    Without EC2's `private_key` it is not known whether the bundle is for this EC2.

    Raises:
        AwsRefusedError: with EC2's code.
    """
    location = parse_location(path)
    _check_object(objects.find(location), location, region=region, checks_acl=checks_acl)
    manifest = parse_strictly(objects.read(location), location)
    if private_key is not None:
        unwrap(manifest, private_key, location)
    total = 0
    for part in manifest.parts:
        place = part_location(location, part)
        found = _check_object(objects.find(place), place, region=region, checks_acl=checks_acl)
        total += found.size
    if total != manifest.bundled_size:
        raise _invalid(location, f"the parts have {total} bytes and not {manifest.bundled_size}")
    return manifest


def parse_location(path: str) -> ImageLocation:
    """BUCKET/KEY as a location.

    Raises:
        AwsRefusedError: no bucket, or no key.
    """
    try:
        location = ImageLocation.parse(path)
    except UsageError as error:
        raise AwsRefusedError(f"{path[:80]!r}: {error}", code=INVALID_MANIFEST) from error
    if not location.key or "://" in path:
        raise AwsRefusedError(f"{path[:80]!r} is not BUCKET/KEY", code=INVALID_MANIFEST)
    return location


def part_location(manifest: ImageLocation, part: Part) -> ImageLocation:
    """Where a part lies: beside the manifest."""
    folder = manifest.key.rpartition("/")[0]
    return ImageLocation(bucket=manifest.bucket, key=folder).join(part.filename)


def parse_strictly(document: bytes, location: ImageLocation) -> Manifest:
    """Read a manifest as EC2 does: complete, and each element in its place.

    Raises:
        AwsRefusedError: malformed.
    """
    try:
        if not document.startswith(b"<?xml"):
            raise InputError("there is no XML declaration")
        root = parse_xml(document)
        _check_order(root)
        signed = parse_manifest(document)
    except InputError as error:
        raise _invalid(location, str(error)) from error
    if not signed.signature:
        raise _invalid(location, "the signature is empty")
    if "-" in signed.manifest.user:
        raise _invalid(location, "the account has hyphens")
    return signed.manifest


def unwrap(manifest: Manifest, private_key: RSAPrivateKey, location: ImageLocation) -> BundleKey:
    """The bundle's key, by EC2's own.

    Raises:
        AwsRefusedError: it was encrypted for somebody else.
    """
    try:
        return unwrap_key(manifest.ec2_key, private_key)
    except VerificationError as error:
        raise _invalid(location, f"ec2_encrypted_key: {error}") from error


def read_verified_parts(
    objects: ObjectReader, manifest: Manifest, location: ImageLocation
) -> Iterator[bytes]:
    """The parts' bytes, each part's SHA-1 checked before it is passed on.

    Raises:
        MissingError: a part is gone.
        VerificationError: a part is another than the manifest says.
    """
    for part in manifest.parts:
        place = part_location(location, part)
        data = objects.read(place)
        if sha1_digest(data) != part.digest:
            raise VerificationError(f"read {place.url}: the SHA-1 does not hold")
        yield data


def _check_object(
    found: FoundObject | None, location: ImageLocation, *, region: str, checks_acl: bool
) -> FoundObject:
    if found is None:
        status, advice = "404 (Not Found)", "check your manifest path is correct"
    elif found.region != region:
        status, advice = "301 (Moved Permanently)", "check your manifest is in the correct region"
    elif found.is_denied:
        raise AwsRefusedError(
            "The specified Amazon S3 URL cannot be accessed. Check your access permissions.",
            code="InaccessibleStorageLocation",
        )
    elif checks_acl and not found.is_readable:
        status, advice = "403 (Forbidden)", "check your S3 ACLs are correct"
    else:
        return found
    url = f"http://s3.amazonaws.com/{location.path}"
    raise AwsRefusedError(f"HTTP {status} response for URL {url}: {advice}.", code=INVALID_MANIFEST)


def _check_order(element: Element) -> None:
    order = _ORDER.get(element.tag) if element.children else None
    if order is not None:
        names = [child.tag for child in element.children]
        expected = [name for name in order if name in names or name not in _OPTIONAL]
        if names != expected:
            raise InputError(
                f"element {element.tag}: expected {', '.join(expected)}, got {', '.join(names)}"
            )
    for child in element.children:
        _check_order(child)


def _invalid(location: ImageLocation, reason: str) -> AwsRefusedError:
    return AwsRefusedError(f"{location.path}: {reason}", code=INVALID_MANIFEST)
