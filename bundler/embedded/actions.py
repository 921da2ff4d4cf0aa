"""What all answers of the embedded EC2 share."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.elastic_block_store import Snapshot
from moto.ec2.responses import EC2Response

from bundler.embedded.ami import AmiTraits, EmbeddedAmi
from bundler.embedded.ec2 import EmbeddedEc2
from bundler.embedded.objects import ObjectReader
from bundler.embedded.s3 import EmbeddedObjects
from bundler.errors import AwsRefusedError


class Ec2Actions(EC2Response):
    """moto's answers, with the EC2 to which they belong."""

    ec2: ClassVar[EmbeddedEc2]

    @property
    def objects(self) -> ObjectReader:
        """The S3 where bundles are."""
        return self.ec2.settings.objects or EmbeddedObjects()

    @property
    def arguments(self) -> dict[str, Any]:
        """The request's parameters."""
        return dict(self._get_params())

    def find_ami(self, image_id: str) -> EmbeddedAmi:
        """An AMI of this region.

        Raises:
            EC2ClientError: there is none.
        """
        ami = self.ec2_backend.amis.get(image_id)
        if isinstance(ami, EmbeddedAmi):
            return ami
        if image_id in self.ec2_backend.deleted_amis:
            code, words = "InvalidAMIID.Unavailable", "is no longer available"
        elif not image_id.startswith("ami-"):
            code, words = "InvalidAMIID.Malformed", "is not valid"
        else:
            code, words = "InvalidAMIID.NotFound", "does not exist"
        raise EC2ClientError(code, f"The image id '[{image_id}]' {words}")

    def find_own_ami(self, image_id: str) -> EmbeddedAmi:
        """An AMI that the caller may change.

        Raises:
            EC2ClientError: there is none, or it is another account's.
        """
        ami = self.find_ami(image_id)
        if ami.owner_id != self.current_account:
            raise EC2ClientError("AuthFailure", f"Not authorized for images: [{image_id}]")
        return ami

    def find_snapshot(self, snapshot_id: str) -> Snapshot:
        """A snapshot of this region.

        Raises:
            EC2ClientError: there is none.
        """
        snapshot: Snapshot | None = self.ec2_backend.snapshots.get(snapshot_id)
        if snapshot is None:
            raise EC2ClientError(
                "InvalidSnapshot.NotFound", f"The snapshot '{snapshot_id}' does not exist."
            )
        return snapshot

    def check_name_is_free(self, name: str) -> None:
        """Refuse a name that an AMI of this region has, or had a moment ago.

        Raises:
            AwsRefusedError: there is one.
        """
        backend, held = self.ec2_backend, self.ec2.held_names
        users = [ami.id for ami in backend.amis.values() if ami.name == name]
        if held.get((backend.region_name, name), 0):
            held[backend.region_name, name] -= 1
            users.append("that was deregistered")
        if users:
            raise AwsRefusedError(
                f"AMI name {name} is already in use by AMI {users[0]}",
                code="InvalidAMIName.Duplicate",
            )

    def add_ami(
        self, traits: AmiTraits, *, name: str, description: str, tags: dict[str, str]
    ) -> EmbeddedAmi:
        """Make an AMI and let it be seen."""
        settings = self.ec2.settings
        ami = EmbeddedAmi(
            self.ec2_backend,
            traits,
            name=name,
            description=description,
            pending_looks=settings.pending_looks,
            unseen_looks=settings.unseen_looks,
        )
        self.ec2_backend.amis[ami.id] = ami
        ami.add_tags(tags)
        return ami


@contextmanager
def answered() -> Iterator[None]:
    """Answer a refusal of ours as EC2 does."""
    try:
        yield
    except AwsRefusedError as error:
        raise EC2ClientError(error.code, str(error)) from error
