"""doctor's checks of AWS: who, where and when."""

import argparse
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cached_property

from bundler.aws.instances import find_instance_types
from bundler.aws.probe import measure_skew
from bundler.aws.remedies import CREDENTIAL_CODES
from bundler.aws.session import (
    NO_REGION,
    Cloud,
    configured_region,
    is_listed_region,
    partition,
)
from bundler.aws.sts import find_caller
from bundler.cli.cloud import api_of, open_cloud, registry_of
from bundler.cli.doctor_case import NO_URL, Case
from bundler.cli.doctor_local import virtualization_type
from bundler.errors import AwsRefusedError, TransferError, UsageError
from bundler.workflow.cloud_checks import (
    TYPE_FAMILIES,
    check_name,
    judge_clock,
    judge_credentials,
    judge_instance_types,
)
from bundler.workflow.doctor import Check, Finding, Task

ANY_REGION = "us-east-1"
"""For the credentials alone, which are of no region, when none is known."""


class CloudChecks:
    """Region, credentials, clock, AMI name and instance types."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._arguments = case.arguments

    def first_checks(self) -> Iterator[Check]:
        """Those without which nothing can be asked of AWS."""
        yield Check(name="region", look=self.region)
        if self._case.is_in_cloud:
            yield Check(name="credentials", look=self.credentials)
            if self._case.task is not Task.BUNDLE:
                yield Check(name="clock", look=self.clock, needs=("region", "credentials"))
            yield Check(name="identity", look=self.identity, needs=("region", "credentials"))

    def last_checks(self) -> Iterator[Check]:
        """Those of EC2."""
        needs = ("region", "credentials", "identity")
        if self._case.task in (Task.PUBLISH, Task.REGISTER):
            yield Check(name="ami-name", look=self.ami_name, needs=needs)
            yield Check(name="instance-types", look=self.instance_types, needs=needs)

    def region(self) -> Iterator[Finding]:
        """Where."""
        region = self._arguments.region or configured_region(self._arguments.profile)
        if not region and self._case.is_in_cloud:
            raise UsageError(NO_REGION)
        if not region:
            yield Finding.ok("region", f"none is named: partition {self._case.partition}")
            return
        self._case.region = region
        try:
            self._case.partition = partition(region)
        except UsageError as error:
            self._case.partition = "unknown"
            if not self._arguments.endpoint_url:
                raise
            yield Finding.warn("region", str(error), "fine for a private cloud")
            return
        words = f"{region}, partition {self._case.partition}"
        if is_listed_region(region) or self._arguments.endpoint_url:
            yield Finding.ok("region", words)
        else:
            yield Finding.warn("region", words, "botocore does not list it: new, or mistyped")

    def credentials(self) -> Iterator[Finding]:
        """Where they come from, and how long they hold."""
        source = self.cloud.credential_source()
        yield judge_credentials(
            source.method, source.expires, datetime.now(UTC), is_renewed=source.is_renewed
        )

    def clock(self) -> Iterator[Finding]:
        """This machine's against S3's."""
        if self._case.location is None:
            yield Finding.skip("clock", NO_URL)
            return
        bucket = self._case.location.bucket
        yield judge_clock(measure_skew(self.cloud.s3(), bucket, self.cloud.transport))

    def identity(self) -> Iterator[Finding]:
        """Whose the credentials are.

        Only what no service would take keeps the other checks from being tried: private clouds
        may have no STS, and networks may not reach it.
        """
        try:
            caller = find_caller(self.cloud.sts(), self.cloud.transport)
        except (AwsRefusedError, TransferError) as error:
            if error.code in CREDENTIAL_CODES:
                raise
            yield Finding.warn("identity", str(error))
            if self._case.is_account_asked and self._case.task in (Task.BUNDLE, Task.PUBLISH):
                words = "the account cannot be asked of AWS STS"
                yield Finding.fail("account", words, "give --account", error=type(error))
            return
        yield Finding.ok("identity", f"account {caller.account}, {caller.arn}")

    def ami_name(self) -> Iterator[Finding]:
        """Whether the AMI's name is free."""
        if self._arguments.name is None:
            yield Finding.skip("ami-name", "no --name is given")
            return
        registry = registry_of(self.cloud)
        manifest = self._case.location if self._case.task is Task.REGISTER else None
        if manifest is None and self._case.is_unfinished:
            manifest = self._case.manifest
        yield from check_name(registry, self._arguments.name, manifest=manifest)

    def instance_types(self) -> Iterator[Finding]:
        """What can run the result."""
        try:
            names = find_instance_types(
                api_of(self.cloud),
                architecture=self._case.architecture,
                virtualization_type=virtualization_type(self._case),
            )
        except AwsRefusedError as error:
            families = ", ".join(TYPE_FAMILIES)
            remedy = f"by the documentation S3-backed AMIs run on {families}; on no Nitro type"
            yield Finding.warn("instance-types", str(error), remedy)
            return
        yield judge_instance_types(names, self._case.region)

    @cached_property
    def cloud(self) -> Cloud:
        """The account and region; one for all, since credentials may cost a password."""
        region = self._case.region or ANY_REGION
        return open_cloud(argparse.Namespace(**{**vars(self._arguments), "region": region}))
