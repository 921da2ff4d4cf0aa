"""What EC2 asks of every request: the right time, known credentials, a region, pace, and rights."""

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from moto.core.common_types import TYPE_RESPONSE
from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends

from bundler.embedded.actions import Ec2Actions
from bundler.embedded.ec2 import Ec2Settings

MAX_SKEW = timedelta(minutes=5)
"""Source: EC2 error code InvalidSecurity.RequestHasExpired."""

MAX_AGE = timedelta(minutes=15)
"""Source: EC2 error code RequestExpired."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refusal:
    status: int
    code: str
    words: str


class AdmissionActions(Ec2Actions):
    """Requests are let in, or refused before anybody looks at what they want."""

    def call_action(self) -> TYPE_RESPONSE:
        """Answer a request."""
        refusal = self._check()
        if refusal is None:
            return super().call_action()
        error = EC2ClientError(refusal.code, refusal.words)
        _, headers, body = self.serialized(ActionResult(error))
        return refusal.status, headers, body

    def _check(self) -> _Refusal | None:
        settings, action = self.ec2.settings, self._get_action()
        if refusal := _check_time(self.headers, settings) or _check_key(self.headers, settings):
            return refusal
        if self.region not in ec2_backends[self.current_account].regions:
            return _Refusal(
                status=400,
                code="InvalidRegion",
                words=f"The region '{self.region}' does not exist.",
            )
        if settings.is_throttling:
            return _Refusal(
                status=503, code="RequestLimitExceeded", words="Request limit exceeded."
            )
        if action in settings.denied:
            return _deny(self.current_account, self.region, action)
        return None


def _check_time(headers: Mapping[str, str], settings: Ec2Settings) -> _Refusal | None:
    """Compare the time of the signature with EC2's own."""
    told = headers.get("X-Amz-Date")
    if not told:
        return None
    signed = datetime.strptime(told, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    skew = abs(datetime.now(UTC) + settings.clock_lead - signed)
    if skew > MAX_AGE:
        return _Refusal(status=400, code="RequestExpired", words="Request has expired.")
    if skew > MAX_SKEW:
        return _Refusal(
            status=400,
            code="InvalidSecurity.RequestHasExpired",
            words="The difference between the request timestamp and the AWS server time is "
            "greater than 5 minutes.",
        )
    return None


def _check_key(headers: Mapping[str, str], settings: Ec2Settings) -> _Refusal | None:
    """Look whether the access key is known; signatures are not checked."""
    found = re.search(r"Credential=([^/,]+)/", headers.get("Authorization", ""))
    if not settings.access_keys or (found and found[1] in settings.access_keys):
        return None
    return _Refusal(
        status=401,
        code="AuthFailure",
        words="AWS was not able to validate the provided access credentials",
    )


def _deny(account: str, region: str, action: str) -> _Refusal:
    """EC2's words of a policy that lacks something, with the reasons in a form of its own."""
    reasons = hashlib.shake_256(action.encode()).digest(600)
    user = f"arn:aws:iam::{account}:user/web"
    return _Refusal(
        status=403,
        code="UnauthorizedOperation",
        words=f"You are not authorized to perform this operation. User: {user} is not authorized "
        f"to perform: ec2:{action} on resource: arn:aws:ec2:{region}:{account}:* because no "
        f"identity-based policy allows the ec2:{action} action. Encoded authorization failure "
        f"message: {base64.urlsafe_b64encode(reasons).decode()}",
    )
