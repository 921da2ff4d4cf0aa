"""Fields of a manifest: checked access to the children of one element."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from bundler.codec.xml import XML_SPACE, Element, serialise_xml
from bundler.errors import ManifestError
from bundler.model.manifest import UnknownElement

MAX_NUMBER = 2**63 - 1
"""Largest number that a manifest may hold; file offsets end there."""

MAX_HEX_SIZE = 4096
"""Most bytes of a value in hexadecimal: the ciphertext of a 32768-bit RSA key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """The children of one element by name, each there once; the unknown ones apart.

    `path` names the element in messages, such as "manifest/image".
    """

    path: str
    known: Mapping[str, Element]
    unknown: tuple[UnknownElement, ...] = ()

    def element(self, name: str) -> Element:
        """The child `name`.

        Raises:
            ManifestError: it is missing.
        """
        if name not in self.known:
            raise ManifestError(f"{self.path}: element {name!r} is missing")
        return self.known[name]

    def text(self, name: str, *, attribute: tuple[str, str] | None = None) -> str:
        """The child's text as it stands; it may carry `attribute` (name, only value).

        Raises:
            ManifestError: missing, with elements inside, or with other attributes.
        """
        element = self.element(name)
        check_attributes(element, f"{self.path}/{name}", attribute)
        if element.children:
            raise ManifestError(f"{self.path}/{name}: expected text, got elements")
        return element.text

    def word(self, name: str, *, attribute: tuple[str, str] | None = None) -> str:
        """The child's text without the white space around it; never empty.

        Raises:
            ManifestError: as text(), or empty.
        """
        word = self.text(name, attribute=attribute).strip(XML_SPACE)
        if not word:
            raise ManifestError(f"{self.path}/{name}: is empty")
        return word

    def optional_word(self, name: str, *, attribute: tuple[str, str] | None = None) -> str:
        """The child's word, or nothing when it is missing or empty.

        Raises:
            ManifestError: as text(), but for a missing child.
        """
        if name not in self.known:
            return ""
        return self.text(name, attribute=attribute).strip(XML_SPACE)

    def number(self, name: str) -> int:
        """The child's value: decimal digits.

        Raises:
            ManifestError: as word(), or not a number.
        """
        return parse_number(self.word(name), f"{self.path}/{name}")

    def hex_bytes(self, name: str, *, attribute: tuple[str, str] | None = None) -> bytes:
        """The bytes that the child holds in hexadecimal, of either case.

        Raises:
            ManifestError: as word(), or not hexadecimal.
        """
        return parse_hex(self.word(name, attribute=attribute), f"{self.path}/{name}")


def read_fields(
    element: Element,
    path: str,
    names: Collection[str],
    *,
    attribute: tuple[str, str] | None = None,
) -> Fields:
    """Sort the children of `element` into known ones and unknown ones.

    Raises:
        ManifestError: a known child is there twice; text or attributes where none belong.
    """
    _check_container(element, path, attribute)
    known: dict[str, Element] = {}
    unknown: list[UnknownElement] = []
    for child in element.children:
        if child.tag not in names:
            unknown.append(UnknownElement(parent=path, xml=serialise_xml(child)))
        elif child.tag in known:
            raise ManifestError(f"{path}: element {child.tag!r} is there twice")
        else:
            known[child.tag] = child
    return Fields(path=path, known=known, unknown=tuple(unknown))


def read_list(
    element: Element | None, path: str, name: str, *, attribute: tuple[str, str] | None = None
) -> tuple[tuple[Element, ...], tuple[UnknownElement, ...]]:
    """The children called `name`, and the others; none of either without an element.

    Raises:
        ManifestError: text or attributes where none belong.
    """
    if element is None:
        return (), ()
    _check_container(element, path, attribute)
    return (
        tuple(child for child in element.children if child.tag == name),
        tuple(
            UnknownElement(parent=path, xml=serialise_xml(child))
            for child in element.children
            if child.tag != name
        ),
    )


def _check_container(element: Element, path: str, attribute: tuple[str, str] | None) -> None:
    """Refuse text where elements belong, and every attribute but the one given."""
    check_attributes(element, path, attribute)
    if element.text:
        raise ManifestError(f"{path}: expected elements, got text")


def check_no_unknown(fields: Fields) -> Fields:
    """Refuse unknown children where they could not be told apart when written back.

    Raises:
        ManifestError: there is one.
    """
    for element in fields.unknown:
        raise ManifestError(f"{fields.path}: unknown element {element.xml[:80]!r}")
    return fields


def check_attributes(element: Element, path: str, allowed: tuple[str, str] | None) -> None:
    """Refuse every attribute but `allowed`: (name, the only value or "" for any).

    Raises:
        ManifestError: there is another attribute, or another value.
    """
    for name, value in element.attributes:
        if allowed is None or name != allowed[0]:
            raise ManifestError(f"{path}: unknown attribute {name[:80]!r}")
        if allowed[1] and value != allowed[1]:
            raise ManifestError(f"{path}: {name}: expected {allowed[1]}, got {value[:80]!r}")


def parse_number(text: str, path: str) -> int:
    """A number of at most MAX_NUMBER in ASCII decimal digits, nothing else.

    Raises:
        ManifestError: it is not one.
    """
    if not re.fullmatch(r"[0-9]{1,19}", text) or int(text) > MAX_NUMBER:
        raise ManifestError(
            f"{path}: expected a number of decimal digits below 2^63, got {text[:40]!r}"
        )
    return int(text)


def parse_hex(text: str, path: str) -> bytes:
    """The bytes of hexadecimal text of either case.

    Raises:
        ManifestError: not hexadecimal, of odd length, or longer than MAX_HEX_SIZE bytes.
    """
    if not re.fullmatch(r"(?:[0-9A-Fa-f]{2})*", text):
        raise ManifestError(f"{path}: expected hexadecimal bytes, got {text[:40]!r}")
    if len(text) > 2 * MAX_HEX_SIZE:
        raise ManifestError(f"{path}: expected at most {MAX_HEX_SIZE} bytes, got {len(text) // 2}")
    return bytes.fromhex(text)
