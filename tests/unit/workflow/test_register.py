"""Registering and waiting: the verb over a registry in memory."""

import pytest

from bundler.errors import AwsRefusedError, BundlerError, TransferError
from bundler.model.image import Architecture, ImageLocation, ImageState
from bundler.model.registration import Registration
from bundler.workflow.register import register_image, wait_for_image
from bundler.workflow.wait import Patience
from tests.support.registry import MemoryImageRegistry

REGISTRATION = Registration(
    location=ImageLocation(bucket="images", key="web.manifest.xml"),
    name="web",
    architecture=Architecture.ARM64,
)

AMI_ID = "ami-00000000000000001"


class Clock:
    """Time that passes only in sleep()."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def __call__(self) -> float:
        return self.now


def test_an_image_that_is_available_at_once_is_not_waited_for() -> None:
    registry, clock = MemoryImageRegistry(), Clock()
    ami = register_image(registry, REGISTRATION, sleep=clock.sleep, clock=clock)
    assert (ami.image_id, ami.state, ami.location) == (
        AMI_ID,
        ImageState.AVAILABLE,
        "images/web.manifest.xml",
    )
    assert registry.registrations == [REGISTRATION]
    assert clock.pauses == []


def test_unknown_and_pending_images_are_waited_for() -> None:
    states: list[ImageState | BundlerError | None] = [
        None,
        None,
        ImageState.PENDING,
        ImageState.TRANSIENT,
        ImageState.AVAILABLE,
    ]
    registry, clock = MemoryImageRegistry(states=states), Clock()
    ami = register_image(registry, REGISTRATION, sleep=clock.sleep, clock=clock, poll=3)
    assert ami.state is ImageState.AVAILABLE
    assert clock.pauses == [3, 4.5, 6.75, 10.125]


@pytest.mark.parametrize(
    "state",
    [
        ImageState.INVALID,
        ImageState.FAILED,
        ImageState.ERROR,
        ImageState.DEREGISTERED,
        ImageState.DISABLED,
    ],
)
@pytest.mark.parametrize("reason", ["manifest is bad", ""])
def test_a_state_without_return_ends_the_wait(state: ImageState, reason: str) -> None:
    registry = MemoryImageRegistry(states=[ImageState.PENDING, state], state_reason=reason)
    clock = Clock()
    expected = f"{AMI_ID}: .* got {state.value}: {reason or 'EC2 gives no reason'}"
    with pytest.raises(AwsRefusedError, match=expected):
        register_image(registry, REGISTRATION, sleep=clock.sleep, clock=clock)


@pytest.mark.parametrize(
    ("state", "words"), [(None, "unknown to EC2"), (ImageState.PENDING, "pending")]
)
def test_the_wait_ends_in_time_and_names_the_image(state: ImageState | None, words: str) -> None:
    registry, clock = MemoryImageRegistry(states=[state]), Clock()
    with pytest.raises(TransferError, match=f"{AMI_ID}: it is registered.*25 seconds.*{words}"):
        register_image(registry, REGISTRATION, sleep=clock.sleep, clock=clock, timeout=25, poll=8)
    assert clock.pauses == [8, 12, 5]


@pytest.mark.parametrize(
    "failure", [TransferError("no network"), AwsRefusedError("no right", code="AccessDenied")]
)
def test_a_failed_look_names_the_image(failure: BundlerError) -> None:
    registry, clock = MemoryImageRegistry(states=[failure]), Clock()
    with pytest.raises(type(failure), match=f"{AMI_ID}: it is registered.*{failure}") as caught:
        register_image(registry, REGISTRATION, sleep=clock.sleep, clock=clock)
    assert getattr(caught.value, "code", None) == getattr(failure, "code", None)


def test_a_refused_registration_is_not_waited_for() -> None:
    failure = AwsRefusedError("no", code="InvalidManifest")
    registry, clock = MemoryImageRegistry(register_failure=failure), Clock()
    with pytest.raises(AwsRefusedError, match="no"):
        register_image(registry, REGISTRATION, sleep=clock.sleep, clock=clock)
    assert clock.pauses == []


def test_the_wait_alone() -> None:
    registry, clock = MemoryImageRegistry(registrations=[REGISTRATION]), Clock()
    ami = wait_for_image(registry, AMI_ID, Patience(sleep=clock.sleep, clock=clock))
    assert ami.image_id == AMI_ID
