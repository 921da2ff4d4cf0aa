import random

import pytest

from bundler.codec.xml import MAX_DEPTH, MAX_DOCUMENT_SIZE, Element, parse_xml, serialise_xml
from bundler.errors import ManifestError

BILLION_LAUGHS = (
    b"<!DOCTYPE a [<!ENTITY x 'ha'><!ENTITY y '&x;&x;'><!ENTITY z '&y;&y;'>]><a>&z;</a>"
)

BAD_DOCUMENTS = {
    "empty": (b"", "not well-formed"),
    "text": (b"hello", "not well-formed"),
    "cut short": (b"<a><b></b>", "not well-formed"),
    "cut in a tag": (b"<a><b", "not well-formed"),
    "crossed tags": (b"<a><b></a></b>", "not well-formed"),
    "two roots": (b"<a/><b/>", "not well-formed"),
    "text behind": (b"<a/>x", "not well-formed"),
    "NUL behind": (b"<a/>\0", "not well-formed"),
    "NUL inside": (b"<a>\0</a>", "not well-formed"),
    "control character": (b"<a>&#1;</a>", "not well-formed"),
    "surrogate": (b"<a>&#xD800;</a>", "not well-formed"),
    "attribute twice": (b"<a b='1' b='2'/>", "not well-formed"),
    "attribute without quotes": (b"<a b=1/>", "not well-formed"),
    "unknown entity": (b"<a>&nbsp;</a>", "not well-formed"),
    "XML version 2": (b"<?xml version='2.0'?><a/>", "not well-formed"),
    "undeclared prefix": (b"<a><p:b/></a>", "not well-formed"),
    "DOCTYPE": (b"<!DOCTYPE a><a/>", "document type"),
    "DOCTYPE of HTML": (b"<!DOCTYPE html><html></html>", "document type"),
    "external DTD": (b"<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>", "document type"),
    "external entity": (
        b"<!DOCTYPE a [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><a>&e;</a>",
        "document type",
    ),
    "billion laughs": (BILLION_LAUGHS, "document type"),
    "comment": (b"<a><!-- b --></a>", "comments"),
    "comment in text": (b"<a>b<!-- -->c</a>", "comments"),
    "comment before": (b"<!-- b --><a/>", "comments"),
    "comment behind": (b"<a/><!-- b -->", "comments"),
    "processing instruction": (b"<a><?b c?></a>", "comments"),
    "processing instruction before": (b"<?b c?><a/>", "comments"),
    "mixed content": (b"<a>b<c/></a>", "text between elements"),
    "mixed content behind": (b"<a><c/>b</a>", "text between elements"),
    "namespace": (b"<a xmlns='u'/>", "namespaces"),
    "empty namespace": (b"<a xmlns=''/>", "namespaces"),
    "unused namespace": (b"<a><b xmlns:c='u'/></a>", "namespaces"),
    "namespace of an attribute": (b"<a xml:lang='en'/>", "namespaces"),
    "UTF-16": ("<a/>".encode("utf-16"), "not UTF-8"),
    "UTF-16 without mark": ("<a/>".encode("utf-16-le"), "not well-formed"),
    "declared UTF-16": (b"<?xml version='1.0' encoding='UTF-16'?><a/>", "expected UTF-8"),
    "declared UTF-7": (b"<?xml version='1.0' encoding='UTF-7'?><a/>", "expected UTF-8"),
    "declared Latin-1": (b"<?xml version='1.0' encoding=\"latin1\"?><a/>", "expected UTF-8"),
    "not UTF-8": (b"<a>\xe9</a>", "not UTF-8 at byte 3"),
    "overlong UTF-8": (b"<a>\xc0\xbc</a>", "not UTF-8"),
    "deep": (b"<a>" * (MAX_DEPTH + 1) + b"</a>" * (MAX_DEPTH + 1), "nest deeper"),
    "very deep": (b"<a>" * 100_000 + b"</a>" * 100_000, "not well-formed"),
    "too many tags": (b"<a>" + b"<b/>" * 1_000_000 + b"</a>", "more than 1000000 tags"),
    "too big": (b"<a>" + b" " * MAX_DOCUMENT_SIZE + b"</a>", "at most 33554432 bytes"),
    "long text": (b"<a>" + b"x" * 10_000_001 + b"</a>", "not well-formed"),
}


@pytest.mark.parametrize(("document", "message"), BAD_DOCUMENTS.values(), ids=BAD_DOCUMENTS.keys())
def test_bad_documents(document: bytes, message: str) -> None:
    with pytest.raises(ManifestError, match=f"^manifest: .*{message}") as caught:
        parse_xml(document)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


GOOD_DOCUMENTS = {
    "declaration": (b"<?xml version='1.0'?><a/>", Element("a")),
    "encoding": (b'<?xml version="1.0" encoding="utf-8"?><a>\xc3\xa9</a>', Element("a", (), "é")),
    "ASCII": (b"<?xml version='1.0' encoding='ASCII'?><a>&#233;</a>", Element("a", (), "é")),
    "white space behind": (b"<a/>\r\n\n", Element("a")),
    "white space only": (b"<a> \n\t</a>", Element("a")),
    "double quotes": (b'<a b="\'"/>', Element("a", (("b", "'"),))),
    "entities": (b"<a b='&amp;&#10;'>&lt;&amp;</a>", Element("a", (("b", "&\n"),), "<&")),
    "CDATA": (b"<a>x<![CDATA[<b>]]>y</a>", Element("a", (), "x<b>y")),
    "line ends": (b"<a>x\r\ny&#13;</a>", Element("a", (), "x\ny\r")),
    "children": (
        b"<a>\n  <b/>\n  <c>d</c>\n</a>",
        Element("a", children=(Element("b"), Element("c", text="d"))),
    ),
    "deepest": (
        b"<a>" * MAX_DEPTH + b"</a>" * MAX_DEPTH,
        parse_xml(b"<a>" * MAX_DEPTH + b"</a>" * MAX_DEPTH),
    ),
}


@pytest.mark.parametrize(("document", "element"), GOOD_DOCUMENTS.values(), ids=GOOD_DOCUMENTS)
def test_good_documents(document: bytes, element: Element) -> None:
    assert parse_xml(document) == element


def test_canonical_form() -> None:
    element = Element(
        "a",
        (("b", "&<>\"'"), ("c", "\t\r\n")),
        children=(Element("d"), Element("e", text="&<>\"'\t\r\né")),
    )
    assert serialise_xml(element) == (
        "<a b='&amp;&lt;&gt;&quot;&apos;' c='&#9;&#13;&#10;'><d/>"
        "<e>&amp;&lt;&gt;&quot;&apos;\t&#13;\né</e></a>"
    )


@pytest.mark.parametrize("character", ["\0", "\x1b", "\x0b", "\ud800", "\ufffe", "\uffff"])
def test_characters_that_xml_cannot_hold(character: str) -> None:
    for element in (Element("a", text=character), Element("a", (("b", character),))):
        with pytest.raises(ManifestError, match="characters that XML cannot hold"):
            serialise_xml(element)


def test_canonical_form_parses_to_the_same_element() -> None:
    chance = random.Random(1)
    alphabet = "&<>\"'\t\r\n aé\N{SNOWMAN}\U0001f600]"
    for _ in range(300):
        text = "".join(chance.choices(alphabet, k=chance.randrange(12)))
        value = "".join(chance.choices(alphabet, k=chance.randrange(12)))
        child = Element("b", (("c", value),), text if text.strip(" \t\r\n") else "")
        element = Element("a", (("d", text),), children=(child, Element("e")))
        assert parse_xml(serialise_xml(element).encode()) == element
