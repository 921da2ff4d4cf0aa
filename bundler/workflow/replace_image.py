"""Give an AMI's name to another bundle.

An AMI's name is unique and cannot be changed, so for a moment nobody has it.  Before that the
new bundle is registered under a trial name: only when EC2 has taken it is the old AMI
deregistered; should the registration under the real name fail even so, the old bundle is
registered again.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from bundler.errors import AwsRefusedError, BundlerError, TransferError
from bundler.model.described_image import DescribedImage
from bundler.model.image import Ami
from bundler.model.registration import Registration
from bundler.workflow.ports import ImageRegistry
from bundler.workflow.register import register_freed_name, wait_for_image
from bundler.workflow.wait import Patience

Deregister = Callable[[str], object]
"""Deregisters an AMI by its id; one that is gone is no error."""

_TRIAL = " replacing "
_KEPT_LENGTH = 96
"""Characters of the name in that of a trial; with an AMI's id it may have 128."""


def trial_name(name: str, image_id: str) -> str:
    """The name under which a bundle is tried that is to replace an AMI."""
    return f"{name[:_KEPT_LENGTH]}{_TRIAL}{image_id}"


def find_trials(registry: ImageRegistry, registration: Registration) -> tuple[Ami, ...]:
    """AMIs of that very manifest that an interrupted replacement has left.

    Raises:
        AwsRefusedError: EC2 refused.
        TransferError: EC2 could not be reached.
    """
    start = re.escape(registration.name[:_KEPT_LENGTH] + _TRIAL)
    return tuple(
        ami
        for ami in registry.list_own()
        if re.fullmatch(start + "ami-[0-9a-f]+", ami.name)
        and ami.location.strip("/") == registration.location.path
    )


def replace_image(
    registry: ImageRegistry,
    registration: Registration,
    old: DescribedImage,
    *,
    deregister: Deregister,
    patience: Patience,
) -> Ami:
    """Register a bundle under the name of an S3-backed AMI, which goes.

    Raises:
        UsageError: the old AMI could not be registered again.
        AwsRefusedError: EC2 refused; the message tells what has become of the old AMI.
        TransferError: EC2 could not be reached, or the AMI was not available in time.
    """
    earlier = old.registration()
    trial = replace(registration, name=trial_name(registration.name, old.image_id))
    trial_id = register_freed_name(registry, trial, patience)
    try:
        wait_for_image(registry, trial_id, patience, done=f"it is registered as {trial.name!r}")
        deregister(old.image_id)
        ami = _register(registry, registration, earlier, old, deregister, patience)
    except BundlerError:
        with suppress(BundlerError):  # the next replacement finds what is left
            deregister(trial_id)
        raise
    deregister(trial_id)
    return ami


def _register(
    registry: ImageRegistry,
    registration: Registration,
    earlier: Registration,
    old: DescribedImage,
    deregister: Deregister,
    patience: Patience,
) -> Ami:
    """Register under the freed name, or else the old bundle again."""
    image_id = ""
    try:
        image_id = register_freed_name(registry, registration, patience, freed=old.image_id)
        return wait_for_image(registry, image_id, patience)
    except (AwsRefusedError, TransferError) as error:
        if image_id and isinstance(error, TransferError):
            raise  # it is there, and only late
        if image_id:
            deregister(image_id)
        words = _restore(registry, earlier, old, patience)
        raise type(error)(f"{error}; {words}", code=error.code) from error


def _restore(
    registry: ImageRegistry, earlier: Registration, old: DescribedImage, patience: Patience
) -> str:
    """Register the old bundle again; what has become of it, in words."""
    try:
        image_id = register_freed_name(registry, earlier, patience, freed=old.image_id)
    except BundlerError as error:
        return f"{old.image_id} is deregistered, and registering its bundle again failed: {error}"
    return f"{old.image_id} is deregistered; its bundle is registered again as {image_id}"
