"""Manifests for another EC2, element by element: what changes, and what must not."""

import re
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from bundler.codec.ec2_keys import ec2_public_key
from bundler.codec.keywrap import unwrap_key
from bundler.codec.manifest import parse_manifest, render_manifest
from bundler.codec.signature import sign, verify_manifest
from bundler.errors import UsageError, VerificationError
from bundler.model.bundle import BundleKey, WrappedKey
from bundler.model.image import ImageType
from bundler.model.manifest import Manifest, ManifestVersion, SignedManifest, UnknownElement
from bundler.workflow.bundle_image import BundleKeys
from bundler.workflow.migrate_manifest import (
    DROP,
    KEEP,
    IdFate,
    Migration,
    is_migrated,
    plan_migration,
)
from tests.unit.codec.vectors import (
    FULL,
    MANIFESTS,
    PLAIN,
    V3,
    V20070829,
    expected,
    private_key,
    public_key,
    read_vector,
)

NEW_EC2 = generate_private_key(public_exponent=65537, key_size=2048)
"""The EC2 of elsewhere."""

KEYS = BundleKeys(user=private_key(), ec2=NEW_EC2.public_key())

KERNEL, RAMDISK = "aki-00806369", "ari-00806369"
"""Of the full manifest."""


def plan(
    document: bytes,
    *,
    keys: BundleKeys = KEYS,
    kernel: str = "",
    ramdisk: str = "",
    is_same_region: bool = True,
) -> Migration:
    return plan_migration(
        parse_manifest(document),
        keys,
        kernel=kernel,
        ramdisk=ramdisk,
        is_same_region=is_same_region,
    )


def signed_again(manifest: Manifest) -> bytes:
    return render_manifest(manifest, lambda text: sign(text, private_key()))


def elements(document: bytes) -> list[str]:
    """The document cut before each start tag: an element a line."""
    return re.sub(r"(<[a-z])", r"\n\1", document.decode()).splitlines()


def changed(old: bytes, new: bytes) -> set[str]:
    """Names of elements whose lines are in one of two documents only."""
    differing = set(elements(old)) ^ set(elements(new))
    return {re.split("[ >]", line[1:])[0] for line in differing}


@pytest.mark.parametrize("name", MANIFESTS)
def test_only_what_must_changes(name: str) -> None:
    old = read_vector(name)
    new = plan(old).document
    expected_changes = {"ec2_encrypted_key", "ec2_encrypted_iv", "signature"}
    if name == V3:
        expected_changes |= {"version", "machine_configuration", "architecture", "type"}
    if name == V20070829:
        expected_changes |= {"version", "type"}
    assert changed(old, new) == expected_changes


@pytest.mark.parametrize("name", MANIFESTS)
def test_both_keys_open_to_the_bundles_own(name: str) -> None:
    facts = expected(name if name == FULL else PLAIN)
    secret = BundleKey(
        key=bytes.fromhex(str(facts["key_hex"])), iv=bytes.fromhex(str(facts["iv_hex"]))
    )
    old = parse_manifest(read_vector(name)).manifest
    manifest = parse_manifest(plan(read_vector(name)).document).manifest
    assert manifest.user_key == old.user_key
    assert manifest.user_key is not None
    assert unwrap_key(manifest.user_key, private_key()) == secret
    assert unwrap_key(manifest.ec2_key, NEW_EC2) == secret
    with pytest.raises(VerificationError, match="wrong private key"):
        unwrap_key(manifest.ec2_key, private_key("ec2"))


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_new_manifest_is_of_todays_version_and_signed(name: str) -> None:
    migration = plan(read_vector(name))
    manifest = verify_manifest(parse_manifest(migration.document), public_key())
    assert manifest == migration.manifest
    assert manifest.version is ManifestVersion.V2007_10_10
    assert manifest.image_type is ImageType.MACHINE
    if name == V3:
        assert manifest.architecture == "i386"


@pytest.mark.parametrize(
    ("partition", "size"), [("aws", 128), ("aws-us-gov", 128), ("aws-cn", 256)]
)
def test_the_key_is_wrapped_for_the_partition(partition: str, size: int) -> None:
    keys = BundleKeys(user=private_key(), ec2=ec2_public_key(partition))
    manifest = plan(read_vector(PLAIN), keys=keys).manifest
    assert (len(manifest.ec2_key.key), len(manifest.ec2_key.iv)) == (size, size)


UNKNOWN = tuple(
    UnknownElement(
        parent=parent, xml=f"<extra a='1' b='&lt;'><of>{parent} &amp; &gt;</of><deep/></extra>"
    )
    for parent in (
        "manifest",
        "manifest/bundler",
        "manifest/machine_configuration",
        "manifest/machine_configuration/product_codes",
        "manifest/image",
        "manifest/image/ancestry",
        "manifest/image/parts",
    )
)


def test_elements_that_the_format_does_not_know_survive() -> None:
    old = replace(
        parse_manifest(read_vector(FULL)).manifest,
        unknown_elements=UNKNOWN,
        ancestor_ami_ids=("ami-1", "ami-2"),
    )
    document = plan(signed_again(old)).document
    for element in UNKNOWN:
        assert document.count(element.xml.encode()) == 1
    new = parse_manifest(document).manifest
    assert sorted(new.unknown_elements, key=lambda element: element.parent) == sorted(
        UNKNOWN, key=lambda element: element.parent
    )
    assert new.ancestor_ami_ids == ("ami-1", "ami-2")
    start = b"<bundler><name>ec2-ami-tools</name><version>1.5</version><release>3</release><extra"
    assert start in document


@pytest.mark.parametrize("name", ["kernel", "ramdisk"])
@pytest.mark.parametrize(
    ("choice", "is_same_region", "is_kept", "fate"),
    [
        ("", True, True, IdFate.KEPT),
        (KEEP, True, True, IdFate.KEPT),
        (KEEP, False, True, IdFate.KEPT),
        (DROP, True, False, IdFate.DROPPED),
        (DROP, False, False, IdFate.DROPPED),
    ],
)
def test_ids_of_a_region(
    name: str, choice: str, *, is_same_region: bool, is_kept: bool, fate: IdFate
) -> None:
    choices = {"kernel": KEEP, "ramdisk": KEEP, name: choice}
    migration = plan(
        read_vector(FULL),
        kernel=choices["kernel"],
        ramdisk=choices["ramdisk"],
        is_same_region=is_same_region,
    )
    old = {"kernel": KERNEL, "ramdisk": RAMDISK}
    new = {"kernel": migration.manifest.kernel_id, "ramdisk": migration.manifest.ramdisk_id}
    assert new == {**old, name: old[name] if is_kept else ""}
    assert {"kernel": migration.kernel, "ramdisk": migration.ramdisk}[name].fate is fate


def test_ids_may_be_set() -> None:
    for name in (PLAIN, FULL):
        migration = plan(read_vector(name), kernel="aki-1", ramdisk="ari-1", is_same_region=False)
        manifest = migration.manifest
        assert (manifest.kernel_id, manifest.ramdisk_id) == ("aki-1", "ari-1")
        assert (migration.kernel.fate, migration.ramdisk.fate) == (IdFate.SET, IdFate.SET)


@pytest.mark.parametrize("choice", ["", KEEP, DROP])
def test_where_there_are_no_ids_nothing_need_be_said(choice: str) -> None:
    migration = plan(read_vector(PLAIN), kernel=choice, ramdisk=choice, is_same_region=False)
    assert (migration.kernel.fate, migration.ramdisk.fate) == (IdFate.ABSENT, IdFate.ABSENT)


@pytest.mark.parametrize(
    ("kernel", "ramdisk", "pattern"),
    [
        ("", KEEP, rf"kernel {KERNEL}.*--kernel ID, --kernel keep or --kernel drop"),
        (DROP, "", rf"ramdisk {RAMDISK}.*--ramdisk ID"),
        ("a b", KEEP, r"'a b': expected one word"),
        ("a\n", KEEP, r"expected one word"),
    ],
)
def test_ids_that_nobody_has_decided(kernel: str, ramdisk: str, pattern: str) -> None:
    with pytest.raises(UsageError, match=pattern):
        plan(read_vector(FULL), kernel=kernel, ramdisk=ramdisk, is_same_region=False)


def test_a_bundle_without_a_users_key() -> None:
    old = replace(parse_manifest(read_vector(PLAIN)).manifest, user_key=None)
    with pytest.raises(VerificationError, match="made without a user's key; nobody but the cloud"):
        plan(signed_again(old))


def test_a_key_wrapped_for_somebody_else() -> None:
    manifest = parse_manifest(read_vector(PLAIN)).manifest
    old = replace(manifest, user_key=manifest.ec2_key)
    with pytest.raises(VerificationError, match="wrong private key"):
        plan(signed_again(old))


def test_whose_signature_does_not_hold() -> None:
    signed = parse_manifest(read_vector(PLAIN))
    for signature, pattern in ((b"", "is not signed"), (bytes(256), "does not hold")):
        forged = SignedManifest(
            manifest=signed.manifest, signature=signature, signed_texts=signed.signed_texts
        )
        with pytest.raises(VerificationError, match=pattern):
            plan_migration(forged, KEYS, kernel="", ramdisk="", is_same_region=True)


def test_the_same_migration_is_known_again() -> None:
    first, second = plan(read_vector(FULL)), plan(read_vector(FULL))
    assert first.document != second.document
    assert is_migrated(first.manifest, second)


OTHER_EC2 = BundleKeys(user=private_key(), ec2=ec2_public_key("aws"))

OTHERS = {
    "the source": parse_manifest(read_vector(FULL)).manifest,
    "other ids": plan(read_vector(FULL), kernel=DROP).manifest,
    "a key of another size": plan(read_vector(FULL), keys=OTHER_EC2).manifest,
    "another bundle": plan(read_vector(PLAIN)).manifest,
    "another user": replace(plan(read_vector(FULL)).manifest, user="210987654321"),
    "an IV of another size": replace(
        plan(read_vector(FULL)).manifest, ec2_key=WrappedKey(key=bytes(256), iv=bytes(128))
    ),
}


@pytest.mark.parametrize("manifest", OTHERS.values(), ids=OTHERS.keys())
def test_another_migration_is_not_taken_for_this(manifest: Manifest) -> None:
    assert not is_migrated(manifest, plan(read_vector(FULL)))
