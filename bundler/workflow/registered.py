"""AMIs by the manifests that they were registered from."""

from bundler.workflow.ports import ImageRegistry


def find_registered(registry: ImageRegistry) -> dict[str, tuple[str, ...]]:
    """Ids of this account's AMIs, by BUCKET/KEY of their manifests.

    All are listed and compared here: DescribeImages would take a filter for each manifest.

    Raises:
        AwsRefusedError: EC2 refused.
        TransferError: EC2 could not be reached.
    """
    found: dict[str, tuple[str, ...]] = {}
    for ami in registry.list_own():
        # It is shown as whoever registered it has written it, slashes around it included.
        if path := ami.location.strip("/"):
            found[path] = (*found.get(path, ()), ami.image_id)
    return found
