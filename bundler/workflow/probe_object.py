"""An object put for real: the one sure way to learn whether S3 takes what will be sent."""

import io
from collections.abc import Callable, Iterator

from bundler.errors import AwsRefusedError, BundlerError, VerificationError
from bundler.stages.tap import sha1_digest
from bundler.workflow.doctor import Finding
from bundler.workflow.ports import BundleStore

PROBE = b"ami-bundler doctor: may be removed\n"
"""What the object holds."""


class ProbeObject:
    """An object of a few bytes, put as parts will be, read back, and removed in any case.

    `bare` sends no ACL, and tells whether it is the ACL that was refused; `remove` must
    leave nothing of the object.
    """

    def __init__(
        self,
        store: BundleStore,
        bare: BundleStore | None,
        name: str,
        *,
        remove: Callable[[], object],
    ) -> None:
        self._store = store
        self._bare = bare
        self._name = name
        self._remove = remove
        self._may_be_there = False

    def try_out(self) -> tuple[Finding, ...]:
        """What S3 said to it."""
        findings: list[Finding] = []
        url = self._store.location.join(self._name).url
        try:
            self._put_and_read(url)
            findings.append(Finding.ok("probe", f"{url}: put as parts will be, and read back"))
        except BundlerError as error:
            findings.append(Finding.of_error("probe", error))
        finally:
            findings.extend(self._clean_up(url))
        return tuple(findings)

    def _put_and_read(self, url: str) -> None:
        try:
            self._put(self._store)
        except AwsRefusedError as error:
            if error.code != "AccessDenied" or self._bare is None:
                raise
            raise self._explained(error, self._bare) from error
        if self._store.read(self._name, limit=len(PROBE)) != PROBE:
            raise VerificationError(f"get {url}: expected the bytes that were put, got others")

    def _put(self, store: BundleStore) -> None:
        self._may_be_there = True  # whatever ends the request
        try:
            store.put(self._name, io.BytesIO(PROBE), sha1=sha1_digest(PROBE).value)
            store.flush()
        except AwsRefusedError:
            self._may_be_there = False
            raise

    def _explained(self, error: AwsRefusedError, bare: BundleStore) -> AwsRefusedError:
        """Which of two permissions is missing."""
        try:
            self._put(bare)
        except BundlerError:
            return AwsRefusedError(f"{error} (s3:PutObject; without an ACL it is refused too)")
        return AwsRefusedError(
            f"{error} (s3:PutObjectAcl; without the ACL it is accepted)", code=error.code
        )

    def _clean_up(self, url: str) -> Iterator[Finding]:
        if not self._may_be_there:
            return
        try:
            self._remove()
        except BundlerError as error:
            yield Finding.warn("probe", f"{url} could not be removed: {error}", "remove it")
