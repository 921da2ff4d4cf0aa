"""What AWS must be like before anything is sent: verdicts on what its adapters found."""

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta

from bundler.errors import AwsRefusedError, ExistsError
from bundler.model.bucket_name import check_new_bucket_name
from bundler.model.clock import EC2_MAX_SKEW, NOTED_SKEW, S3_MAX_SKEW, describe_skew
from bundler.model.file_name import manifest_name
from bundler.model.image import ImageLocation
from bundler.model.manifest import Manifest
from bundler.model.registration import check_ami_name
from bundler.workflow.doctor import Finding
from bundler.workflow.ports import BundleStore, ImageRegistry, Progress
from bundler.workflow.publish import name_is_taken
from bundler.workflow.verify import verify_stored_parts

EXPIRY_NOTICE = timedelta(hours=1)
"""How long before they expire credentials are worth a warning; our choice."""

TYPE_FAMILIES = ("C1", "C3", "D2", "I2", "M1", "M2", "M3", "R3", "X1")
"""Families that boot S3-backed AMIs.  Source: EC2 user guide, S3-backed AMIs."""

_SHOWN_TYPE_COUNT = 5


def judge_credentials(
    method: str, expires: datetime | None, now: datetime, *, is_renewed: bool
) -> Finding:
    """Whether credentials last; both times have a zone."""
    words = f"found by {method}"
    if expires is None:
        return Finding.ok("credentials", words)
    if is_renewed:
        return Finding.ok("credentials", f"{words}; temporary, renewed by themselves")
    when = f"{expires:%Y-%m-%d %H:%M:%S %Z}"
    remedy = "log in again (for IAM Identity Center: aws sso login)"
    if expires <= now:
        error = AwsRefusedError
        return Finding.fail("credentials", f"{words}; expired at {when}", remedy, error=error)
    if expires - now < EXPIRY_NOTICE:
        minutes = int((expires - now).total_seconds() // 60)
        return Finding.warn("credentials", f"{words}; expire in {minutes} minutes", remedy)
    return Finding.ok("credentials", f"{words}; temporary, until {when}")


def judge_clock(skew: float | None) -> Finding:
    """Whether AWS takes requests of this machine's clock; `skew` in seconds, ahead positive."""
    if skew is None:
        return Finding.warn("clock", "S3 does not tell the time", "compare the clock yourself")
    words = f"this machine is {describe_skew(skew)}"
    remedy = "set the clock, and keep it right with NTP"
    if abs(skew) >= S3_MAX_SKEW:
        words = f"{words}; S3 refuses from {S3_MAX_SKEW} s (RequestTimeTooSkewed)"
        return Finding.fail("clock", words, remedy, error=AwsRefusedError)
    if abs(skew) >= EC2_MAX_SKEW:
        words = f"{words}; EC2 refuses from {EC2_MAX_SKEW} s (RequestExpired)"
        return Finding.warn("clock", words, remedy)
    if abs(skew) >= NOTED_SKEW:
        return Finding.warn("clock", words, remedy)
    return Finding.ok("clock", words)


def judge_bucket(name: str, found: str | None, wanted: str, *, may_be_made: bool) -> Finding:
    """Whether a bucket can be used; `found` is its region, empty: not told, None: no bucket.

    Raises:
        UsageError: it is to be made, and S3 takes no such name.
    """
    if found is None and may_be_made:
        check_new_bucket_name(name)
        remedy = "nothing to do, unless the name is mistyped"
        return Finding.warn("bucket", f"s3://{name}: none; will be created in {wanted}", remedy)
    if found is None:
        return Finding.fail(
            "bucket",
            f"s3://{name}: there is no such bucket",
            "check the bucket's name",
            error=AwsRefusedError,
        )
    if found and found != wanted:
        remedy = f"--region {found}, or another bucket: EC2 registers bundles of its own region"
        message = f"s3://{name}: expected it in {wanted}, got {found}"
        return Finding.fail("bucket", message, remedy, error=AwsRefusedError)
    return Finding.ok("bucket", f"s3://{name}: in {found or 'a region that it does not tell'}")


def judge_ownership(ownership: str, acl: str, *, may_enable: bool) -> Finding:
    """Whether objects may have ACLs, which EC2 needs; `acl` is empty when none is sent."""
    if not ownership:
        return Finding.ok("ownership", "not set, or hidden from these credentials")
    if ownership != "BucketOwnerEnforced":
        return Finding.ok("ownership", f"{ownership}: objects may have ACLs")
    words = f"{ownership}: objects may have no ACLs"
    if not acl:
        return Finding.ok("ownership", f"{words}, and none is sent")
    if may_enable:
        remedy = "--enable-acls is given: BucketOwnerPreferred will be set"
        return Finding.warn("ownership", words, remedy)
    remedy = f"EC2 reads bundles by the ACL {acl}: --enable-acls, or another bucket"
    return Finding.fail("ownership", words, remedy, error=AwsRefusedError)


def judge_encryption(encryption: str) -> Finding:
    """Whether EC2 can read what S3 encrypts by default."""
    if encryption.startswith("aws:kms"):
        remedy = (
            "EC2 must be allowed to use the key to read the bundle, and ETags tell no MD5; "
            "AES256 has neither trouble"
        )
        return Finding.warn("encryption", f"{encryption} by default", remedy)
    return Finding.ok("encryption", encryption or "none by default, or hidden")


def judge_versioning(*, is_versioned: bool) -> Finding:
    """Whether what is removed stays."""
    if is_versioned:
        remedy = "parts that are overwritten or deleted stay and cost: a lifecycle rule ends them"
        return Finding.warn("versioning", "enabled", remedy)
    return Finding.ok("versioning", "not enabled, or hidden")


def judge_payer(*, is_requester: bool, may_pay: bool) -> Finding:
    """Who pays for requests."""
    if is_requester:
        remedy = "EC2 may be refused when it reads the bundle; let the owner pay"
        if not may_pay:
            remedy = f"{remedy}; --request-payer for requests of yours to somebody else's bucket"
        return Finding.warn("payer", "whoever reads must agree to pay", remedy)
    return Finding.ok("payer", "the bucket's owner, as far as can be seen")


def judge_instance_types(names: Collection[str], region: str) -> Finding:
    """Whether the region can run the result."""
    if not names:
        return Finding.fail(
            "instance-types",
            f"no instance type of {region} boots such an S3-backed AMI",
            "use another region, or an EBS-backed AMI",
            error=AwsRefusedError,
        )
    shown = list(names)[:_SHOWN_TYPE_COUNT]
    more = ", ..." if len(names) > len(shown) else ""
    return Finding.ok("instance-types", f"{len(names)} in {region}: {', '.join(shown)}{more}")


def check_name(
    registry: ImageRegistry, name: str, *, manifest: ImageLocation | None = None
) -> Iterator[Finding]:
    """Whether an AMI may have that name; one of `manifest` itself may have it already.

    Raises:
        UsageError: EC2 takes no such name.
        AwsRefusedError: another AMI has it.
        TransferError: EC2 cannot be reached.
    """
    check_ami_name(name)
    if ami := registry.find(name):
        if manifest is None or ami.location.strip("/") != manifest.path:
            raise name_is_taken(name, ami)
        yield Finding.ok("ami-name", f"{name!r} is that of {ami.image_id}, of this very manifest")
        return
    yield Finding.ok("ami-name", f"{name!r} is free")


def check_no_bundle(
    store: BundleStore, name: str, *, force: bool, may_be_ours: bool
) -> Iterator[Finding]:
    """Whether a bundle of that name is in S3 already; an interrupted run may have sent it.

    Raises:
        ExistsError: it is of nobody who `may_be_ours`, and `force` is not given.
        AwsRefusedError, TransferError: S3 refuses, or cannot be reached.
    """
    url = store.location.join(manifest_name(name)).url
    if store.head(manifest_name(name)) is None:
        yield Finding.ok("bundle", f"{url}: none yet")
    elif force:
        yield Finding.warn("bundle", f"{url} is there", "--force is given: it will be replaced")
    elif may_be_ours:
        remedy = "if it is not of the run that was interrupted, --force replaces it"
        yield Finding.warn("bundle", f"{url} is there", remedy)
    else:
        raise ExistsError(f"write bundle: {url} exists; --force replaces it")


def check_parts(store: BundleStore, manifest: Manifest, progress: Progress) -> Iterator[Finding]:
    """Whether all parts are in S3, by what S3 tells of them.

    Raises:
        VerificationError: one is missing or another one.
        AwsRefusedError, TransferError: S3 refuses, or cannot be reached.
    """
    checks = verify_stored_parts(store, manifest, progress=progress)
    by_size = sum(not check.is_proven for check in checks)
    words = f"{len(checks)} parts, {'all' if not by_size else len(checks) - by_size} by SHA-1"
    yield Finding.ok("parts", f"{words}, {by_size} by size only" if by_size else words)
