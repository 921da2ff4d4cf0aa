"""What doctor examines, and what its checks tell one another."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from bundler.cli.console import Console
from bundler.cli.publish import state_path
from bundler.model.file_name import MANIFEST_SUFFIX, manifest_name
from bundler.model.image import Architecture, ImageLocation
from bundler.workflow.doctor import Task

DEFAULT_PARTITION = "aws"
"""Whose EC2 a bundle is for when nothing names a region."""

NO_URL = "no s3:// URL is given"
"""Why nothing is said of a bucket."""


@dataclass(slots=True, kw_only=True)
class Case:
    """A task, its arguments, and what earlier checks have found: later ones build on it."""

    task: Task
    arguments: argparse.Namespace
    console: Console
    image: Path | None
    default_name: str = ""
    """Of the bundle, as the image has it when it was opened; empty: it was not."""
    location: ImageLocation | None
    """A prefix, or a bundle's manifest where the task reads one."""
    region: str = ""
    """Empty: none is named."""
    partition: str = DEFAULT_PARTITION
    account: str = ""
    architecture: Architecture | None = None
    """What the image or manifest says; None: not known."""

    @property
    def is_account_asked(self) -> bool:
        """Whether AWS will be asked for the account that goes into the manifest."""
        return self.arguments.account is None

    @property
    def is_in_cloud(self) -> bool:
        """Whether the task has to do with AWS at all."""
        return self.task is not Task.BUNDLE or self.is_account_asked

    @property
    def bundle_name(self) -> str:
        """The bundle's, as publish and image choose it: image's --name is the bundle's."""
        name = self.arguments.name if self.task is Task.BUNDLE else ""
        default = self.default_name or (self.image.name if self.image else "")
        return self.arguments.bundle_name or name or default

    @property
    def manifest(self) -> ImageLocation | None:
        """Where the manifest will be put; None: that is not known."""
        if self.location is None or not self.bundle_name:
            return None
        return self.location.join(manifest_name(self.bundle_name))

    @property
    def is_unfinished(self) -> bool:
        """Whether an interrupted publish of this bundle has left what it remembers."""
        if self.manifest is None or self.arguments.no_resume:
            return False
        try:
            return state_path(self.arguments, self.manifest).stat().st_size > 0
        except (OSError, RuntimeError):  # the latter when there is no home directory
            return False

    @property
    def has_manifest(self) -> bool:
        """Whether the location is a manifest's."""
        return self.location is not None and self.location.key.endswith(MANIFEST_SUFFIX)
