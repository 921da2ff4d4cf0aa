"""Manifest in S3 to AMI."""

import logging
from collections.abc import Callable
from dataclasses import replace

from bundler.errors import AwsRefusedError, TransferError
from bundler.model.image import Ami, ImageState
from bundler.model.registration import Registration
from bundler.workflow.ports import ImageRegistry
from bundler.workflow.wait import FIRST_PAUSE, WAIT_TIMEOUT, Patience, wait_until

FREED_NAME_TIMEOUT = 60.0
"""Seconds until the name of an AMI that was just deregistered must be free.  Our choice."""

NAME_IS_TAKEN = "InvalidAMIName.Duplicate"
"""EC2's code for a name that another AMI has."""

_UNDECIDED = (ImageState.PENDING, ImageState.TRANSIENT)

_logger = logging.getLogger(__name__)


def register_image(
    registry: ImageRegistry,
    registration: Registration,
    *,
    sleep: Callable[[float], object],
    clock: Callable[[], float],
    timeout: float = WAIT_TIMEOUT,
    poll: float = FIRST_PAUSE,
    freed: str = "",
) -> Ami:
    """Register a bundle as an AMI and wait until it is available.

    `clock` gives seconds that never go back (time.monotonic); `timeout` and `poll`, the first
    pause, are seconds.  `freed` is the id of an AMI that had the name and was just
    deregistered.  Every error after the registration names the AMI's id.

    Raises:
        AwsRefusedError: EC2 refused the registration, or found the bundle unusable later.
        TransferError: EC2 could not be reached, or the AMI was not available in time.
    """
    patience = Patience(sleep=sleep, clock=clock, timeout=timeout, first_pause=poll)
    image_id = register_freed_name(registry, registration, patience, freed=freed)
    return wait_for_image(registry, image_id, patience)


def register_freed_name(
    registry: ImageRegistry, registration: Registration, patience: Patience, *, freed: str = ""
) -> str:
    """RegisterImage; a name that nobody has any more, but that is not free yet, is waited for.

    Raises:
        AwsRefusedError: EC2 refused; another AMI than `freed` has the name.
        TransferError: EC2 could not be reached.
    """
    state = f"the name {registration.name!r} is not free yet"

    def look() -> tuple[str | None, str]:
        try:
            image_id = registry.register(registration)
        except AwsRefusedError as error:
            if error.code != NAME_IS_TAKEN:
                raise
            holder = registry.find(registration.name)
            if holder is not None and holder.image_id != freed:
                raise
            return None, state
        # EC2 may still show the AMI that has gone, and it is one of the same manifest.
        return (None, state) if image_id == freed else (image_id, "")

    def too_late(state: str) -> AwsRefusedError:
        return AwsRefusedError(
            f"register {registration.location.url}: {state}, though no other AMI of this account "
            "and region is seen to have it; try again in a minute",
            code=NAME_IS_TAKEN,
        )

    seconds = min(patience.timeout, FREED_NAME_TIMEOUT)
    image_id = wait_until(look, replace(patience, timeout=seconds), too_late)
    _logger.info("registered %s as AMI %s", registration.location.url, image_id)
    return image_id


def wait_for_image(
    registry: ImageRegistry,
    image_id: str,
    patience: Patience,
    *,
    done: str = "it is registered",
    describe_pending: Callable[[], str] = lambda: "",
) -> Ami:
    """Wait until an AMI is available; EC2 may not know it in the first seconds.

    `done` says for messages what has happened to it; `describe_pending` what there is to say
    of one that is pending.

    Raises:
        AwsRefusedError: the AMI is in a state from which it never becomes available.
        TransferError: EC2 could not be reached, or the AMI was not available in time.
    """

    def look() -> tuple[Ami | None, str]:
        ami = _look_at(registry, image_id, done)
        if ami is None:
            return None, "unknown to EC2"
        if ami.state is ImageState.AVAILABLE:
            return ami, ""
        if ami.state not in _UNDECIDED:
            reason = ami.state_reason or "EC2 gives no reason"
            raise AwsRefusedError(
                f"wait for AMI {image_id}: expected it to become available, got "
                f"{ami.state.value}: {reason}"
            )
        return None, ", ".join(filter(None, (ami.state.value, describe_pending())))

    def too_late(state: str) -> TransferError:
        return TransferError(
            f"wait for AMI {image_id}: {done}, but after {patience.timeout:g} seconds it is "
            f"not available but {state}; look again later"
        )

    return wait_until(look, patience, too_late)


def _look_at(registry: ImageRegistry, image_id: str, done: str) -> Ami | None:
    try:
        return registry.describe(image_id)
    except AwsRefusedError as error:
        raise AwsRefusedError(
            f"wait for AMI {image_id}: {done}, but its state is hidden: {error}",
            code=error.code,
        ) from error
    except TransferError as error:
        raise TransferError(
            f"wait for AMI {image_id}: {done}, but its state is not known: {error}"
        ) from error
