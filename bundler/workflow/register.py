"""Manifest in S3 to AMI."""

import logging
from collections.abc import Callable

from bundler.errors import AwsRefusedError, TransferError
from bundler.model.image import Ami, ImageState
from bundler.model.registration import Registration
from bundler.workflow.ports import ImageRegistry

REGISTER_TIMEOUT = 600.0
"""Seconds until a registered AMI must be available; EC2 takes a few.  Our choice."""

POLL_INTERVAL = 5.0
"""Seconds between two looks at an AMI.  Our choice; EC2's own waiter takes 15."""

_UNDECIDED = (ImageState.PENDING, ImageState.TRANSIENT)

_logger = logging.getLogger(__name__)


def register_image(
    registry: ImageRegistry,
    registration: Registration,
    *,
    sleep: Callable[[float], object],
    clock: Callable[[], float],
    timeout: float = REGISTER_TIMEOUT,
    poll: float = POLL_INTERVAL,
) -> Ami:
    """Register a bundle as an AMI and wait until it is available.

    `clock` gives seconds that never go back (time.monotonic); `timeout` and `poll` are
    seconds.  Every error after the registration names the AMI's id.

    Raises:
        AwsRefusedError: EC2 refused the registration, or found the bundle unusable later.
        TransferError: EC2 could not be reached, or the AMI was not available in time.
    """
    image_id = registry.register(registration)
    _logger.info("registered %s as AMI %s", registration.location.url, image_id)
    return wait_for_image(registry, image_id, sleep=sleep, clock=clock, timeout=timeout, poll=poll)


def wait_for_image(
    registry: ImageRegistry,
    image_id: str,
    *,
    sleep: Callable[[float], object],
    clock: Callable[[], float],
    timeout: float = REGISTER_TIMEOUT,
    poll: float = POLL_INTERVAL,
) -> Ami:
    """Wait until a registered AMI is available; EC2 may not know it in the first seconds.

    Raises:
        AwsRefusedError: the AMI is in a state from which it never becomes available.
        TransferError: EC2 could not be reached, or the AMI was not available in time.
    """
    deadline = clock() + timeout
    while True:
        ami = _look_at(registry, image_id)
        state = "unknown to EC2" if ami is None else ami.state.value
        if ami is not None and ami.state is ImageState.AVAILABLE:
            return ami
        if ami is not None and ami.state not in _UNDECIDED:
            reason = ami.state_reason or "EC2 gives no reason"
            raise AwsRefusedError(
                f"wait for AMI {image_id}: expected it to become available, got {state}: {reason}"
            )
        remaining = deadline - clock()
        if remaining <= 0:
            raise TransferError(
                f"wait for AMI {image_id}: it is registered, but after {timeout:g} seconds it is "
                f"not available but {state}; look again later"
            )
        sleep(min(poll, remaining))


def _look_at(registry: ImageRegistry, image_id: str) -> Ami | None:
    try:
        return registry.describe(image_id)
    except AwsRefusedError as error:
        raise AwsRefusedError(
            f"wait for AMI {image_id}: it is registered, but its state is hidden: {error}",
            code=error.code,
        ) from error
    except TransferError as error:
        raise TransferError(
            f"wait for AMI {image_id}: it is registered, but its state is not known: {error}"
        ) from error
