"""A bundle's manifest for another region, partition or cloud; bytes in, bytes out."""

from dataclasses import dataclass, replace
from enum import StrEnum

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from bundler.codec.keywrap import unwrap_key, wrap_key
from bundler.codec.manifest import parse_manifest, render_manifest
from bundler.codec.signature import sign, verify_manifest
from bundler.errors import UsageError, VerificationError
from bundler.model.bundle import BundleKey
from bundler.model.manifest import Manifest, ManifestVersion, SignedManifest, VerifiedManifest
from bundler.workflow.bundle_image import BundleKeys, check_words

KEEP = "keep"
"""Said instead of an id: the manifest's own stays."""

DROP = "drop"
"""Said instead of an id: the new manifest has none."""


class IdFate(StrEnum):
    """What becomes of a manifest's kernel or ramdisk id."""

    ABSENT = "absent"
    """There was none, and there is none."""
    KEPT = "kept"
    DROPPED = "dropped"
    SET = "set"


@dataclass(frozen=True, slots=True, kw_only=True)
class IdDecision:
    """A kernel or ramdisk id before and after; empty: none."""

    old: str
    new: str

    @property
    def fate(self) -> IdFate:
        """In one word."""
        if self.old == self.new:
            return IdFate.KEPT if self.old else IdFate.ABSENT
        return IdFate.SET if self.new else IdFate.DROPPED


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """A manifest, and what it shall be elsewhere."""

    source: VerifiedManifest
    manifest: Manifest
    """The new one, as its document reads."""
    document: bytes
    kernel: IdDecision
    ramdisk: IdDecision


def plan_migration(
    signed: SignedManifest,
    keys: BundleKeys,
    *,
    kernel: str,
    ramdisk: str,
    is_same_region: bool,
) -> Migration:
    """Verify a manifest of the owner of `keys`, and write it anew for whose EC2 they name.

    `kernel` and `ramdisk` are an id, KEEP, DROP, or empty where nothing was said.

    Raises:
        VerificationError: the signature does not hold, or the bundle's key does not open.
        UsageError: it must be said what becomes of the kernel or ramdisk.
        ManifestError: it says what no new manifest can hold.
    """
    source = verify_manifest(signed, keys.user.public_key())
    kernel_id = _decide("kernel", source.kernel_id, kernel, is_same_region=is_same_region)
    ramdisk_id = _decide("ramdisk", source.ramdisk_id, ramdisk, is_same_region=is_same_region)
    if source.user_key is None:
        raise VerificationError(
            f"open bundle {source.name}: it was made without a user's key; nobody but the "
            "cloud that it was made for can open it"
        )
    manifest = migrate_manifest(
        source,
        unwrap_key(source.user_key, keys.user),
        keys.ec2,
        kernel_id=kernel_id.new,
        ramdisk_id=ramdisk_id.new,
    )
    document = render_manifest(manifest, lambda text: sign(text, keys.user))
    return Migration(
        source=source,
        manifest=parse_manifest(document).manifest,
        document=document,
        kernel=kernel_id,
        ramdisk=ramdisk_id,
    )


def migrate_manifest(
    manifest: VerifiedManifest,
    secret: BundleKey,
    ec2: RSAPublicKey,
    *,
    kernel_id: str,
    ramdisk_id: str,
) -> Manifest:
    """The manifest in today's version, its key wrapped for another EC2; all else stays.

    Whose bundle it is, and by which program, does not change: the user's wrapped key, the
    bundler and elements that the format does not know are kept.
    """
    return replace(
        manifest,
        version=ManifestVersion.V2007_10_10,
        ec2_key=wrap_key(secret, ec2),
        kernel_id=kernel_id,
        ramdisk_id=ramdisk_id,
    )


def is_migrated(found: Manifest, migration: Migration) -> bool:
    """Whether an earlier run of the same migration has made a manifest.

    Encrypting is random, so that EC2's wrapped key, which only EC2 can open, is never the same
    again: it must have the length that it shall have, and not be the source's, which a mere
    copy of the manifest has.  All else must be the same.
    """
    wanted = migration.manifest
    sizes = [(len(keys.key), len(keys.iv)) for keys in (found.ec2_key, wanted.ec2_key)]
    return (
        replace(found, ec2_key=wanted.ec2_key) == wanted
        and found.ec2_key != migration.source.ec2_key
        and sizes[0] == sizes[1]
    )


def _decide(what: str, old: str, choice: str, *, is_same_region: bool) -> IdDecision:
    """What becomes of an id: those of one region are unknown, or another's, in the next."""
    if choice == DROP:
        return IdDecision(old=old, new="")
    if choice == KEEP or (not choice and (is_same_region or not old)):
        return IdDecision(old=old, new=old)
    if choice:
        check_words((choice,))
        return IdDecision(old=old, new=choice)
    raise UsageError(
        f"migrate: the manifest has {what} {old[:80]}, which is of the region it comes from; "
        f"expected --{what} ID, --{what} {KEEP} or --{what} {DROP}, got none"
    )
