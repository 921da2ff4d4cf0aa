"""Manifests from files, verified where a certificate is at hand, and their facts."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from bundler.codec.keywrap import unwrap_key
from bundler.codec.manifest import parse_manifest
from bundler.codec.signature import verify_manifest
from bundler.errors import ManifestError, VerificationError
from bundler.host.files import read_bounded
from bundler.model.bundle import BundleKey
from bundler.model.manifest import Manifest, SignedManifest, VerifiedManifest
from bundler.stages.tap import sha1_digest
from bundler.workflow.ports import BundleReader

MAX_MANIFEST_SIZE = 32 * 1024 * 1024
"""Most bytes of a manifest: a hundred thousand parts; our choice."""


def read_manifest(path: Path) -> SignedManifest:
    """Read a manifest file; nothing in it is verified yet.

    Raises:
        MissingError, HostError: it cannot be read.
        ManifestError: it is malformed.
    """
    return load_manifest(path)[0]


def load_manifest(path: Path) -> tuple[SignedManifest, bytes]:
    """Read a manifest file: what it says, and its bytes; see read_manifest()."""
    document = read_bounded(path, MAX_MANIFEST_SIZE, "read manifest")
    return parse_document(document, path.name, str(path)), document


def fetch_manifest(store: BundleReader, file_name: str) -> tuple[SignedManifest, bytes]:
    """Read a manifest in S3: what it says, nothing of it verified yet, and its bytes.

    Raises:
        AwsRefusedError, TransferError: it cannot be read.
        ManifestError: it is malformed.
        InputError: it is too large.
    """
    url = store.location.join(file_name).url
    document = store.read(file_name, limit=MAX_MANIFEST_SIZE)
    return parse_document(document, file_name, url), document


def manifest_sha1(document: bytes) -> bytes:
    """By which a manifest in S3 is known again."""
    return sha1_digest(document).value


def parse_document(document: bytes, file_name: str, subject: str) -> SignedManifest:
    """What the bytes of a manifest of that file name say; `subject` is a path or URL.

    Raises:
        ManifestError: it is malformed.
    """
    try:
        signed = parse_manifest(document)
    except ManifestError as error:
        problem = str(error).removeprefix("manifest: ")
        raise ManifestError(f"read manifest {subject}: {problem}") from error
    if any(part.filename == file_name for part in signed.manifest.parts):
        raise ManifestError(f"read manifest {subject}: a part has the manifest's own name")
    return signed


def is_signed_by(signed: SignedManifest, public_key: RSAPublicKey) -> bool:
    """Whether the signature holds."""
    try:
        verify_manifest(signed, public_key)
    except VerificationError:
        return False
    return True


def open_secret(manifest: Manifest, private_key: RSAPrivateKey, *, as_ec2: bool) -> BundleKey:
    """Unwrap the bundle's key for its user, or for the cloud.

    Raises:
        VerificationError: wrong private key, or the bundle has no key for a user.
    """
    wrapped = manifest.ec2_key if as_ec2 else manifest.user_key
    if wrapped is None:
        raise VerificationError(
            f"open bundle {manifest.name}: it was made without a user's key; only the "
            "cloud's private key opens it (--as-ec2)"
        )
    try:
        return unwrap_key(wrapped, private_key)
    except VerificationError as error:
        remedy = "--as-ec2 is for the cloud's key only" if as_ec2 else "for the cloud's: --as-ec2"
        raise VerificationError(f"open {error} ({remedy})") from error


def manifest_facts(signed: SignedManifest) -> dict[str, object]:
    """Everything that a manifest says, for people and programs; sizes in bytes."""
    manifest = signed.manifest
    return {
        "version": manifest.version.value,
        "bundler": {
            "name": manifest.bundler.name,
            "version": manifest.bundler.version,
            "release": manifest.bundler.release,
        },
        "name": manifest.name,
        "type": manifest.image_type.value,
        "architecture": manifest.architecture,
        "user": manifest.user,
        "size": manifest.size,
        "bundled_size": manifest.bundled_size,
        "digest": {
            "algorithm": manifest.digest.algorithm.value,
            "value": manifest.digest.hexdigest,
        },
        "block_device_mappings": [
            {"virtual": mapping.virtual, "device": mapping.device}
            for mapping in manifest.block_device_mappings
        ],
        "kernel_id": manifest.kernel_id,
        "ramdisk_id": manifest.ramdisk_id,
        "kernel_name": manifest.kernel_name,
        "product_codes": list(manifest.product_codes),
        "ancestor_ami_ids": list(manifest.ancestor_ami_ids),
        "ec2_encrypted_key": manifest.ec2_key.key.hex(),
        "ec2_encrypted_iv": manifest.ec2_key.iv.hex(),
        "user_encrypted_key": manifest.user_key.key.hex() if manifest.user_key else "",
        "user_encrypted_iv": manifest.user_key.iv.hex() if manifest.user_key else "",
        "signature": signed.signature.hex(),
        "unknown_elements": [
            {"parent": element.parent, "xml": element.xml} for element in manifest.unknown_elements
        ],
        "parts": [
            {
                "index": part.index,
                "filename": part.filename,
                "digest": {
                    "algorithm": part.digest.algorithm.value,
                    "value": part.digest.hexdigest,
                },
            }
            for part in manifest.parts
        ],
    }


__all__ = [
    "MAX_MANIFEST_SIZE",
    "VerifiedManifest",
    "fetch_manifest",
    "is_signed_by",
    "load_manifest",
    "manifest_facts",
    "manifest_sha1",
    "open_secret",
    "parse_document",
    "read_manifest",
    "verify_manifest",
]
