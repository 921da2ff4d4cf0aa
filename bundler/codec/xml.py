"""XML of manifests: a small, suspicious parser and the canonical serialiser.

The parser takes the part of XML that manifests use: elements, attributes, text and CDATA.
What readers disagree on (DTDs, entities, namespaces, comments, mixed content) is refused,
because a signature that another program reads differently protects nobody.
"""

import re
from dataclasses import dataclass
from typing import Any

from lxml import etree

from bundler.errors import ManifestError

MAX_DOCUMENT_SIZE = 32 * 1024 * 1024
"""Most bytes of a document; our choice, several times what 100,000 parts need."""

MAX_TAG_COUNT = 1_000_000
"""Most `<` of a document, to bound memory before parsing; 100,000 parts need 600,000."""

MAX_ATTRIBUTE_COUNT = 16
"""Most attributes of an element; our choice: known elements have one."""

MAX_DEPTH = 32
"""Most levels of nested elements; our choice, manifests have 5."""

XML_SPACE = " \t\r\n"
"""The characters that XML calls white space."""


@dataclass(frozen=True, slots=True)
class Element:
    """An XML element: attributes in the order of the document, and text or children.

    `text` is empty when the element has children: white space between them is dropped.
    """

    tag: str
    attributes: tuple[tuple[str, str], ...] = ()
    text: str = ""
    children: tuple["Element", ...] = ()


def parse_xml(document: bytes) -> Element:
    """Parse a document into its root element.

    Raises:
        ManifestError: not well-formed, too big, or with something that this module refuses.
    """
    _check_bytes(document)
    # The encoding is checked above; given here, no declaration can change it.
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        no_network=True,
        huge_tree=False,
        recover=False,
        remove_comments=False,
        remove_pis=False,
    )
    try:
        root = etree.fromstring(document, parser)
    except etree.XMLSyntaxError as error:
        reason = " ".join(str(error).split())
        raise ManifestError(f"manifest: not well-formed XML: {reason[:200]}") from error
    # A DTD is refused above, but this is the parser's own word on it.
    if root.getroottree().docinfo.internalDTD is not None:
        raise ManifestError("manifest: a document type declaration is not allowed")
    if root.getprevious() is not None or root.getnext() is not None:
        raise ManifestError("manifest: comments and processing instructions are not allowed")
    return _convert(root, 1)


def _check_bytes(document: bytes) -> None:
    """Refuse what must not reach the parser."""
    if len(document) > MAX_DOCUMENT_SIZE:
        raise ManifestError(
            f"manifest: expected at most {MAX_DOCUMENT_SIZE} bytes, got {len(document)}"
        )
    if document.count(b"<") > MAX_TAG_COUNT:
        raise ManifestError(f"manifest: more than {MAX_TAG_COUNT} tags")
    if b"<!DOCTYPE" in document or b"<!ENTITY" in document:
        raise ManifestError("manifest: a document type declaration is not allowed")
    declared = re.match(rb"<\?xml\s[^>]*?encoding\s*=\s*[\"']([^\"'>]*)", document)
    if declared and declared[1].upper() not in (b"UTF-8", b"UTF8", b"US-ASCII", b"ASCII"):
        raise ManifestError(f"manifest: encoding {_shown(declared[1])}: expected UTF-8")
    try:
        document.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ManifestError(f"manifest: not UTF-8 at byte {error.start}") from error


def _shown(value: bytes) -> str:
    """Hostile bytes as one short line."""
    return repr(value[:40].decode("ascii", "replace"))


def _convert(node: "etree._Element", depth: int) -> Element:
    """The parser's tree as ours; refuses nodes that are not plain elements."""
    # The parser gives comments, processing instructions and entities a function as tag.
    tag: Any = node.tag
    if not isinstance(tag, str):
        raise ManifestError(
            "manifest: comments, processing instructions and entities are not allowed"
        )
    if len(node.attrib) > MAX_ATTRIBUTE_COUNT:  # lxml takes quadratic time to list them
        raise ManifestError(f"manifest: element {tag[:80]!r}: too many attributes")
    attributes = tuple((str(name), str(value)) for name, value in node.attrib.items())
    if node.nsmap or any("{" in name for name in (tag, *dict(attributes))):
        raise ManifestError(f"manifest: element {tag[:80]!r}: XML namespaces are not allowed")
    if depth > MAX_DEPTH:
        raise ManifestError(f"manifest: elements nest deeper than {MAX_DEPTH} levels")
    children = tuple(_convert(child, depth + 1) for child in node)
    text = _significant(node.text)
    if children and (text or any(_significant(child.tail) for child in node)):
        raise ManifestError(f"manifest: element {tag[:80]!r}: text between elements")
    return Element(tag, attributes, text, children)


def _significant(text: str | None) -> str:
    """The text, or nothing when it is white space only."""
    return text if text and text.strip(XML_SPACE) else ""


_ESCAPES = {
    ord("&"): "&amp;",
    ord("<"): "&lt;",
    ord(">"): "&gt;",
    ord('"'): "&quot;",
    ord("'"): "&apos;",
    # Not of AMI Tools: a parser would turn these into line feed or space if written plainly.
    ord("\r"): "&#13;",
}
_ATTRIBUTE_ESCAPES = {**_ESCAPES, ord("\t"): "&#9;", ord("\n"): "&#10;"}
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def serialise_xml(element: Element) -> str:
    """The canonical form of an element, as AMI Tools write it: parse_xml()'s inverse.

    Single-quoted attributes, no white space between elements, ``<a/>`` when empty.

    Raises:
        ManifestError: a text has a character that XML cannot hold.
    """
    pieces: list[str] = []
    _serialise(element, pieces)
    return "".join(pieces)


def _serialise(element: Element, pieces: list[str]) -> None:
    """Append the canonical form of `element` to `pieces`."""
    pieces.append(f"<{element.tag}")
    for name, value in element.attributes:
        pieces.append(f" {name}='{_escape(value, _ATTRIBUTE_ESCAPES)}'")
    if not element.text and not element.children:
        pieces.append("/>")
        return
    pieces.append(f">{_escape(element.text, _ESCAPES)}")
    for child in element.children:
        _serialise(child, pieces)
    pieces.append(f"</{element.tag}>")


def _escape(text: str, escapes: dict[int, str]) -> str:
    """Text with its markup escaped."""
    if _NOT_XML.search(text):
        raise ManifestError(f"manifest: {text[:80]!r} has characters that XML cannot hold")
    return text.translate(escapes)
