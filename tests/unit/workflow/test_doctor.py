"""Findings: what follows from what, how a run ends, and verdicts on what was found."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from bundler.errors import (
    AwsRefusedError,
    BundlerError,
    HostError,
    InputError,
    TransferError,
    UsageError,
)
from bundler.workflow.cloud_checks import (
    check_name,
    check_no_bundle,
    judge_bucket,
    judge_clock,
    judge_credentials,
    judge_encryption,
    judge_instance_types,
    judge_ownership,
    judge_payer,
    judge_versioning,
)
from bundler.workflow.doctor import Check, Finding, Status, examine, exit_code
from bundler.workflow.probe_object import PROBE, ProbeObject
from tests.support.registry import MemoryBundleStore, MemoryImageRegistry

NAME = ".probe"
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def give(*findings: Finding) -> Iterator[Finding]:
    yield from findings


def raising(error: BundlerError, *before: Finding) -> Iterator[Finding]:
    yield from before
    raise error


def test_one_that_fails_hides_only_what_needs_it() -> None:
    bucket = InputError("read x: it is empty")
    checks = (
        Check(name="a", look=lambda: raising(bucket, Finding.ok("a", "half of it"))),
        Check(name="b", look=lambda: give(Finding.ok("b", "well")), needs=("a",)),
        Check(name="c", look=lambda: give(Finding.ok("c", "well")), needs=("b",)),
        Check(name="d", look=lambda: give(Finding.warn("d", "so so"))),
        Check(name="e", look=lambda: give(Finding.ok("e", "well")), needs=("d",)),
    )
    findings = tuple(examine(checks))
    assert [(one.check, one.status.value) for one in findings] == [
        ("a", "ok"),
        ("a", "fail"),
        ("b", "skip"),
        ("c", "skip"),
        ("d", "warn"),
        ("e", "ok"),
    ]
    assert findings[1].message == "read x: it is empty"
    assert findings[2].message == "not looked at: needs a"


def test_a_bug_of_ours_is_no_finding() -> None:
    def look() -> Iterator[Finding]:
        raise RuntimeError("a bug")
        yield

    with pytest.raises(RuntimeError):
        tuple(examine((Check(name="a", look=look),)))


@pytest.mark.parametrize(
    ("findings", "expected"),
    [
        ((), 0),
        ((Finding.ok("a", ""), Finding.warn("b", ""), Finding.skip("c", "")), 0),
        ((Finding.warn("a", ""), Finding.fail("b", "", error=HostError)), 8),
        ((Finding.of_error("a", TransferError("")), Finding.of_error("b", UsageError(""))), 7),
    ],
)
def test_the_first_that_fails_tells_the_exit_code(
    findings: tuple[Finding, ...], expected: int
) -> None:
    assert exit_code(findings) == expected


@pytest.mark.parametrize(
    ("skew", "status"),
    [
        (0.0, Status.OK),
        (59.9, Status.OK),
        (-60.0, Status.WARN),
        (899.0, Status.WARN),
        (900.0, Status.FAIL),
        (-1e6, Status.FAIL),
        (None, Status.WARN),
    ],
)
def test_the_clock(skew: float | None, status: Status) -> None:
    assert judge_clock(skew).status is status


@pytest.mark.parametrize(
    ("skew", "words"),
    [
        (120.4, "120 s ahead of AWS's clock"),
        (-300, "300 s behind AWS's clock; EC2 refuses from 300 s (RequestExpired)"),
        (299, "299 s ahead of AWS's clock"),
        (-900, "900 s behind AWS's clock; S3 refuses from 900 s (RequestTimeTooSkewed)"),
    ],
)
def test_which_way_the_clock_is_off(skew: float, words: str) -> None:
    assert judge_clock(skew).message == f"this machine is {words}"


@pytest.mark.parametrize(
    ("left", "is_renewed", "status"),
    [
        (None, False, Status.OK),
        (timedelta(hours=1), False, Status.OK),
        (timedelta(minutes=59), False, Status.WARN),
        (timedelta(minutes=59), True, Status.OK),
        (timedelta(0), False, Status.FAIL),
    ],
)
def test_credentials(left: timedelta | None, status: Status, *, is_renewed: bool) -> None:
    expires = None if left is None else NOW + left
    assert judge_credentials("env", expires, NOW, is_renewed=is_renewed).status is status


@pytest.mark.parametrize(
    ("found", "may_be_made", "status"),
    [
        ("eu-west-1", False, Status.OK),
        ("", False, Status.OK),
        ("us-east-1", True, Status.FAIL),
        (None, True, Status.WARN),
        (None, False, Status.FAIL),
    ],
)
def test_buckets(found: str | None, status: Status, *, may_be_made: bool) -> None:
    finding = judge_bucket("images", found, "eu-west-1", may_be_made=may_be_made)
    assert finding.status is status


@pytest.mark.parametrize(
    ("ownership", "acl", "may_enable", "status"),
    [
        ("", "aws-exec-read", False, Status.OK),
        ("BucketOwnerPreferred", "aws-exec-read", False, Status.OK),
        ("ObjectWriter", "aws-exec-read", False, Status.OK),
        ("BucketOwnerEnforced", "", False, Status.OK),
        ("BucketOwnerEnforced", "aws-exec-read", True, Status.WARN),
        ("BucketOwnerEnforced", "aws-exec-read", False, Status.FAIL),
    ],
)
def test_ownership(ownership: str, acl: str, status: Status, *, may_enable: bool) -> None:
    assert judge_ownership(ownership, acl, may_enable=may_enable).status is status


def test_what_a_bucket_does_besides() -> None:
    assert judge_encryption("aws:kms:dsse").status is Status.WARN
    assert judge_encryption("AES256").status is Status.OK
    assert judge_versioning(is_versioned=True).status is Status.WARN
    assert judge_versioning(is_versioned=False).status is Status.OK
    assert "--request-payer" in judge_payer(is_requester=True, may_pay=False).remedy
    assert "--request-payer" not in judge_payer(is_requester=True, may_pay=True).remedy
    assert judge_payer(is_requester=False, may_pay=False).status is Status.OK


def test_instance_types() -> None:
    names = [f"m1.{number}" for number in range(6)]
    assert judge_instance_types(names[:5], "r").message == f"5 in r: {', '.join(names[:5])}"
    assert judge_instance_types(names, "r").message.endswith("m1.4, ...")
    nothing = judge_instance_types((), "r")
    assert (nothing.status, nothing.exit_code) == (Status.FAIL, AwsRefusedError.exit_code)


def test_names() -> None:
    registry = MemoryImageRegistry()
    assert [one.status for one in check_name(registry, "web 1")] == [Status.OK]
    with pytest.raises(UsageError, match="3 to 128"):
        list(check_name(registry, "a!"))


def test_bundles_that_are_there() -> None:
    store = MemoryBundleStore()

    def statuses(*, force: bool = False, may_be_ours: bool = False) -> list[Status]:
        found = check_no_bundle(store, "x", force=force, may_be_ours=may_be_ours)
        return [one.status for one in found]

    assert statuses() == [Status.OK]
    store.objects["x.manifest.xml"] = b""
    assert statuses(force=True) == [Status.WARN]
    assert statuses(may_be_ours=True) == [Status.WARN]
    with pytest.raises(UsageError, match="--force replaces it"):
        statuses()


def try_out(
    store: MemoryBundleStore,
    bare: MemoryBundleStore | None = None,
    *,
    removal: BundlerError | None = None,
) -> list[tuple[Status, int]]:
    def remove() -> None:
        store.calls.append("remove")
        if removal is not None:
            raise removal

    findings = ProbeObject(store, bare, NAME, remove=remove).try_out()
    return [(one.status, one.exit_code) for one in findings]


def denied() -> AwsRefusedError:
    return AwsRefusedError("put: no (AccessDenied)", code="AccessDenied")


def test_a_probe_is_put_read_and_removed() -> None:
    store = MemoryBundleStore()
    assert try_out(store) == [(Status.OK, 0)]
    assert store.calls == [f"put {NAME}", "flush", f"get {NAME}", "remove"]


def test_a_probe_that_is_refused_leaves_nothing_to_remove() -> None:
    store = MemoryBundleStore(put_failures={NAME: denied()})
    assert try_out(store) == [(Status.FAIL, 6)]
    assert "remove" not in store.calls


def test_a_probe_of_which_nobody_knows_is_removed() -> None:
    store = MemoryBundleStore(put_failures={NAME: TransferError("the reply is lost")})
    assert try_out(store) == [(Status.FAIL, 7)]
    assert store.calls[-1] == "remove"


def test_a_probe_that_cannot_be_read_is_removed() -> None:
    store = MemoryBundleStore(get_failures={NAME: TransferError("cut")})
    assert try_out(store) == [(Status.FAIL, 7)]
    assert store.calls[-1] == "remove"


def test_a_probe_that_cannot_be_removed_is_a_warning() -> None:
    assert try_out(MemoryBundleStore(), removal=denied()) == [(Status.OK, 0), (Status.WARN, 0)]


def test_an_interrupt_removes_the_probe_too() -> None:
    class Interrupted(MemoryBundleStore):
        def read(self, name: str, *, limit: int) -> bytes:
            raise KeyboardInterrupt

    store = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        try_out(store)
    assert store.calls[-1] == "remove"


@pytest.mark.parametrize(
    ("bare_failure", "words", "is_removed"),
    [
        (None, "without the ACL it is accepted", True),
        (denied(), "without an ACL it is refused too", False),
    ],
)
def test_which_permission_is_missing(
    bare_failure: BundlerError | None, words: str, *, is_removed: bool
) -> None:
    store = MemoryBundleStore(put_failures={NAME: denied()})
    bare = MemoryBundleStore(put_failures={NAME: bare_failure} if bare_failure else {})
    removed: list[str] = []
    probe = ProbeObject(store, bare, NAME, remove=lambda: removed.append(NAME))
    (finding,) = probe.try_out()
    assert words in finding.message
    assert bool(removed) == is_removed


def test_other_bytes_than_those_that_were_put() -> None:
    class Forgetful(MemoryBundleStore):
        def read(self, name: str, *, limit: int) -> bytes:
            return PROBE[:-1]

    assert try_out(Forgetful()) == [(Status.FAIL, 4)]
