"""What needs an AMI, for commands that take it away."""

from bundler.aws.ec2_api import Ec2Api
from bundler.aws.image_uses import find_uses
from bundler.aws.scaling_groups import find_scaling_uses
from bundler.aws.session import Cloud


def uses_of(cloud: Cloud, image_id: str) -> tuple[str, ...]:
    """Whoever refers to an AMI of this account, such as ``instance/i-1``.

    Raises:
        AwsRefusedError: EC2 or Auto Scaling refused.
        TransferError: one of them could not be reached.
    """
    uses = find_uses(Ec2Api(cloud.ec2(), cloud.transport), image_id)
    return (*uses, *find_scaling_uses(cloud.autoscaling(), cloud.transport, image_id, uses))
