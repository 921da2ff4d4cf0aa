"""Parts that are another bundle's too, whatever they are called."""

from collections.abc import Collection

from bundler.errors import InputError
from bundler.model.file_name import MANIFEST_SUFFIX, parse_part_name
from bundler.workflow.manifest_file import fetch_manifest
from bundler.workflow.ports import BundleReader


def find_claims(store: BundleReader, name: str, parts: Collection[str]) -> dict[str, str]:
    """Which of `parts` the manifest of another bundle than `name` names, and that manifest.

    Of the manifests beside them only those are read that have no part of their own name: a
    manifest that was renamed, or whose maker named parts otherwise.  All others name their own.

    Raises:
        AwsRefusedError, TransferError: S3 refuses, or cannot be reached.
    """
    manifests: set[str] = set()
    owners: set[str] = set()
    for stored in store.list("", is_deep=False):
        if stored.name.endswith(MANIFEST_SUFFIX):
            manifests.add(stored.name.removesuffix(MANIFEST_SUFFIX))
        elif part := parse_part_name(stored.name):
            owners.add(part[0])
    claims: dict[str, str] = {}
    for other in sorted(manifests - owners - {name, ""}):
        file_name = other + MANIFEST_SUFFIX
        try:
            signed, _ = fetch_manifest(store, file_name)
        except InputError:  # it names nothing that can be read
            continue
        named = {part.filename for part in signed.manifest.parts}
        claims.update(dict.fromkeys(named.intersection(parts), file_name))
    return claims
