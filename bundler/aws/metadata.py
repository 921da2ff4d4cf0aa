"""Instance metadata: what EC2 tells an instance about itself (IMDSv2 only)."""

import json
from collections.abc import Callable

from bundler.aws.metadata_client import MetadataClient
from bundler.aws.metadata_endpoint import MetadataEndpoint, MetadataPatience
from bundler.errors import InputError
from bundler.model.image import Architecture
from bundler.model.instance_metadata import InstanceMetadata, is_bundled_mapping
from bundler.model.mapping import BlockDeviceMapping

Reader = Callable[[str], str | None]
"""The text of a path below /latest/; None where there is none."""


def read_instance_metadata(
    endpoint: MetadataEndpoint, patience: MetadataPatience | None = None
) -> InstanceMetadata:
    """Ask the server for all that a bundle inherits, over one connection.

    Source: EC2 user guide, instance metadata categories; instance identity documents.

    Raises:
        AwsRefusedError: metadata are switched off, or the server knows no IMDSv2.
        TransferError: no answer, or none that can be instance metadata.
    """
    with MetadataClient(endpoint, patience or MetadataPatience()) as client:
        document = _read_document(client)
        try:
            return _build(client.get, document)
        except InputError as error:
            raise client.rubbish(str(error)) from error


def _build(read: Reader, document: dict[str, object]) -> InstanceMetadata:
    architecture = _text(document, "architecture")
    return InstanceMetadata(
        instance_id=_read_word(read, "instance-id"),
        ami_id=_read_word(read, "ami-id"),
        ancestor_ami_ids=_read_words(read, "ancestor-ami-ids"),
        kernel_id=_read_word(read, "kernel-id"),
        ramdisk_id=_read_word(read, "ramdisk-id"),
        product_codes=_read_words(read, "product-codes"),
        block_device_mappings=_read_mappings(read),
        region=_text(document, "region"),
        account=_text(document, "accountId"),
        architecture=next((known for known in Architecture if known == architecture), None),
    )


def _read_word(read: Reader, name: str) -> str:
    return (read(f"meta-data/{name}") or "").strip(" \r\n")


def _read_words(read: Reader, name: str) -> tuple[str, ...]:
    """Values of a list, which stand on a line each."""
    lines = (read(f"meta-data/{name}") or "").split("\n")
    return tuple(dict.fromkeys(word for line in lines if (word := line.strip(" \r"))))


def _read_mappings(read: Reader) -> tuple[BlockDeviceMapping, ...]:
    # EBS volumes are not asked for, nor is what is no name: it would be part of a path.
    names = filter(is_bundled_mapping, _read_words(read, "block-device-mapping/"))
    found = ((name, _read_word(read, f"block-device-mapping/{name}")) for name in names)
    return tuple(
        BlockDeviceMapping(virtual=name, device=device) for name, device in found if device
    )


def _read_document(client: MetadataClient) -> dict[str, object]:
    """The instance identity document; empty where a private cloud has none."""
    text = client.get("dynamic/instance-identity/document")
    if text is None:
        return {}
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise client.rubbish("instance identity document: expected JSON, got none") from error
    if not isinstance(document, dict):
        raise client.rubbish("instance identity document: expected a JSON object, got another")
    return document


def _text(document: dict[str, object], name: str) -> str:
    value = document.get(name)
    if value is not None and not isinstance(value, str):
        raise InputError(f"{name}: expected a text, got {type(value).__name__}")
    return value or ""
