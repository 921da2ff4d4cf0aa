"""What a manifest's signature covers: the bytes that a verifier may try it on."""

from bundler.codec.fields import Fields
from bundler.codec.xml import Element, parse_xml, serialise_xml
from bundler.errors import ManifestError
from bundler.model.manifest import ManifestVersion


def signed_names(version: ManifestVersion) -> tuple[str, ...]:
    """The children of `manifest` that the signature covers, one behind the other."""
    if version is ManifestVersion.V3:
        return ("image",)
    return ("machine_configuration", "image")


def find_signed_texts(document: bytes, top: Fields, version: ManifestVersion) -> tuple[bytes, ...]:
    """The texts that the signature may cover, most literal first, each one once.

    First the bytes of the elements as they stand in the document, then their canonical
    form.  Whatever text verifies says exactly what was parsed: the literal one is left out
    unless it parses to the very elements in `top`.

    Raises:
        ManifestError: an element is missing.
    """
    literal: list[bytes | None] = []
    canonical: list[bytes] = []
    for name in signed_names(version):
        element = top.element(name)
        canonical.append(serialise_xml(element).encode())
        literal.append(_find_slice(document, element, canonical[-1]))
    pieces = [piece for piece in literal if piece is not None]
    if len(pieces) < len(literal) or pieces == canonical:
        return (b"".join(canonical),)
    return (b"".join(pieces), b"".join(canonical))


def _find_slice(document: bytes, element: Element, canonical: bytes) -> bytes | None:
    """The bytes of `element` in the document; None unless they are it without doubt.

    Tags may hide in CDATA or inside an unknown element, where a forger leaves the signed
    original beside his own element.  So both tags must be there once only, and what they
    enclose must parse to the same element.
    """
    start_tag, end_tag = f"<{element.tag}>".encode(), f"</{element.tag}>".encode()
    if document.count(start_tag) != 1 or document.count(end_tag) != 1:
        return None
    start, end = document.index(start_tag), document.index(end_tag) + len(end_tag)
    piece = document[start:end]
    if piece == canonical:
        return piece
    try:
        is_the_element = parse_xml(piece) == element
    except ManifestError:
        return None
    return piece if is_the_element else None
