"""Manifests that no honest program writes, given to every command that reads one."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import monotonic

import pytest

from tests.support.bundles import (
    USER_CERT,
    USER_KEY,
    VECTORS,
    ManifestText,
    describe_bundle,
    sha1_hex,
)
from tests.support.hostile import END, data, header, seal_archive
from tests.support.tools import check_refused, listing, run_cli

BAD_INPUT, MISSING = 3, 5
"""Exit codes."""

KEYS = ("--key", USER_KEY, "--cert", USER_CERT)

PARTS = (b"one" * 1000, b"two" * 1000, b"three")
GOOD = describe_bundle("image", PARTS, size=8192, tar_digest=sha1_hex(b"tar"))


def rewritten(**changes: object) -> bytes:
    """A manifest that says something else, signed."""
    return replace(GOOD, **changes).render()  # type: ignore[arg-type]  # any field of it


def with_parts(*indices: str) -> bytes:
    parts = tuple(
        (index, f"image.part.{position}", sha1_hex(b"")) for position, index in enumerate(indices)
    )
    return rewritten(parts=parts)


def with_part_name(name: str) -> bytes:
    first, *rest = GOOD.parts
    return rewritten(parts=((first[0], name, first[2]), *rest))


def with_declaration(text: str) -> bytes:
    return GOOD.render(declaration=f"<?xml version='1.0'?>{text}")


def entity_bomb() -> bytes:
    entities = "".join(f'<!ENTITY a{level} "{f"&a{level - 1};" * 10}">' for level in range(1, 10))
    document = with_declaration(f'<!DOCTYPE manifest [<!ENTITY a0 "aaaaaaaaaa">{entities}]>')
    return document.replace(b"<user>123456789012<", b"<user>&a9;<")


def external_entity() -> bytes:
    document = with_declaration(
        '<!DOCTYPE manifest [<!ENTITY secret SYSTEM "file:///etc/passwd">]>'
    )
    return document.replace(b"<user>123456789012<", b"<user>&secret;<")


def utf_16() -> bytes:
    return (
        GOOD.render(declaration="<?xml version='1.0' encoding='UTF-16'?>").decode().encode("utf-16")
    )


NOT_PLAIN = "is not a plain file name"
DOCTYPE = "a document type declaration is not allowed"
NO_NUMBER = r"expected a number of decimal digits below 2\^63"

BAD_MANIFESTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "the document is empty"),
    "blanks": (lambda: b" \n" * 50, "the document is empty"),
    "HTML": (lambda: b"<!DOCTYPE html><html><body>404</body></html>", DOCTYPE),
    "HTML without a DTD": (lambda: b"<html><body>404</body></html>", "expected element 'manifest'"),
    "HTML that is not XML": (lambda: b"<html><br><p>404", "not well-formed XML"),
    "S3's answer": (
        lambda: b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>",
        "expected element 'manifest', got 'Error'",
    ),
    "JSON": (lambda: b'{"name": "image"}', "not XML"),
    "random bytes": (lambda: bytes(range(1, 256)) * 10, "not XML|not UTF-8"),
    "encrypted": (lambda: b"\x8f\x12" * 100, "not XML; either no manifest at all, or"),
    "UTF-16": (utf_16, "not XML|not UTF-8"),
    "not UTF-8": (lambda: GOOD.render().replace(b"by-hand", b"by-h\xe4nd"), "not UTF-8 at byte"),
    "NUL": (lambda: GOOD.render().replace(b"by-hand", b"by\0hand"), "not well-formed XML"),
    "half of it": (lambda: GOOD.render()[:1500], "not well-formed XML"),
    "all but the last byte": (lambda: GOOD.render()[:-1], "not well-formed XML"),
    "twice": (lambda: GOOD.render() * 2, "not well-formed XML"),
    "a DTD": (lambda: with_declaration("<!DOCTYPE manifest>"), DOCTYPE),
    "a DTD elsewhere": (
        lambda: with_declaration('<!DOCTYPE manifest SYSTEM "http://127.0.0.1:1/dtd">'),
        DOCTYPE,
    ),
    "an entity bomb": (entity_bomb, DOCTYPE),
    "an external entity": (external_entity, DOCTYPE),
    "a comment": (
        lambda: GOOD.render().replace(b"<image>", b"<!-- --><image>"),
        "comments, processing instructions and entities",
    ),
    "a namespace": (
        lambda: GOOD.render().replace(b"<manifest>", b"<manifest xmlns='urn:x'>"),
        "namespaces are not allowed",
    ),
    "deep": (
        lambda: GOOD.render().replace(b"<image>", b"<a>" * 200 + b"</a>" * 200 + b"<image>"),
        "nest deeper than",
    ),
    "deeper than any stack": (
        lambda: GOOD.render().replace(b"<image>", b"<a>" * 400_000 + b"</a>" * 400_000),
        "not well-formed XML|nest deeper",
    ),
    "too many elements": (lambda: b"<manifest>" + b"<a/>" * 8_000_000, "more than [0-9]+ tags"),
    "a billion bytes of text": (
        lambda: b"<manifest>" + b"a" * 33 * 1024 * 1024 + b"</manifest>",
        "at most 33554432 bytes, got more",
    ),
    "170,000 parts": (
        lambda: rewritten(
            parts=tuple((str(index), f"p{index}", "00" * 20) for index in range(170_000))
        ),
        "more than [0-9]+ tags",
    ),
    "no parts": (lambda: with_parts(), "at least one part, got none"),
    "two parts of one index": (lambda: with_parts("0", "1", "1"), "expected index 2, got 1"),
    "a part is missing": (lambda: with_parts("0", "2"), "expected index 1, got 2"),
    "the first part is missing": (lambda: with_parts("1", "2"), "expected index 0, got 1"),
    "parts out of order": (lambda: with_parts("1", "0"), "expected index 0, got 1"),
    "negative index": (lambda: with_parts("-1"), NO_NUMBER),
    "absurd index": (lambda: with_parts("0", "99999999999999999999999"), NO_NUMBER),
    "index of letters": (lambda: with_parts("zero"), NO_NUMBER),
    "fewer parts than counted": (lambda: rewritten(count="4"), "expected 4 parts, got 3"),
    "more parts than counted": (lambda: rewritten(count="2"), "expected 2 parts, got 3"),
    "negative count": (lambda: rewritten(count="-3"), NO_NUMBER),
    "negative size": (lambda: rewritten(size="-1"), NO_NUMBER),
    "size of 0": (lambda: rewritten(size="0"), "expected more than 0 bytes, got size 0"),
    "size of 2^63": (lambda: rewritten(size=str(2**63)), NO_NUMBER),
    "size with a fraction": (lambda: rewritten(size="1.5"), NO_NUMBER),
    "size in hexadecimal": (lambda: rewritten(size="0x10"), NO_NUMBER),
    "size in other digits": (lambda: rewritten(size="\u0661\u0662"), NO_NUMBER),
    "no size": (lambda: rewritten(size=""), "manifest/image/size: is empty"),
    "size of a megabyte of digits": (lambda: rewritten(size="1" * 2**20), NO_NUMBER),
    "negative bundled size": (lambda: rewritten(bundled_size="-1"), NO_NUMBER),
    "bundled size of 0": (lambda: rewritten(bundled_size="0"), "got size 8192, bundled_size 0"),
    "bundled size of fewer bytes than parts": (
        lambda: rewritten(bundled_size="2"),
        "2 bytes cannot fill 3 parts",
    ),
    "digest of 19 bytes": (lambda: rewritten(digest="00" * 19), "expected 20 bytes, got 19"),
    "digest of an odd length": (lambda: rewritten(digest="0" * 39), "expected hexadecimal bytes"),
    "part name goes up": (lambda: with_part_name("../x"), NOT_PLAIN),
    "part name goes up at the end": (lambda: with_part_name("x/.."), NOT_PLAIN),
    "part name is absolute": (lambda: with_part_name("/etc/passwd"), NOT_PLAIN),
    "part name is a directory": (lambda: with_part_name("."), NOT_PLAIN),
    "part name is the directory above": (lambda: with_part_name(".."), NOT_PLAIN),
    "part name is empty": (lambda: with_part_name(""), NOT_PLAIN),
    "part name is blank": (lambda: with_part_name(" "), NOT_PLAIN),
    "part name has a line feed": (lambda: with_part_name("a\nb"), NOT_PLAIN),
    "part name has a NUL": (lambda: with_part_name("a\0b"), "not well-formed XML"),
    "part name has a NUL reference": (lambda: with_part_name("a&#0;b"), "not well-formed XML"),
    "part name is too long": (lambda: with_part_name("n" * 256), NOT_PLAIN),
    "two parts of one name": (lambda: with_part_name("image.part.1"), "have the same file name"),
    "image name goes up": (lambda: rewritten(name="../../etc/x"), NOT_PLAIN),
    "image name is absolute": (lambda: rewritten(name="/etc/passwd"), NOT_PLAIN),
    "image name is empty": (lambda: rewritten(name=""), NOT_PLAIN),
    "image name is dots": (lambda: rewritten(name=".."), NOT_PLAIN),
    "image name has a NUL": (lambda: rewritten(name="a&#0;b"), "not well-formed XML"),
    "no image": (
        lambda: GOOD.render().replace(b"<image>", b"<x>").replace(b"</image>", b"</x>"),
        "element 'image' is missing",
    ),
    "two images": (
        lambda: GOOD.render().replace(b"</manifest>", b"<image><name>x</name></image></manifest>"),
        "element 'image' is there twice",
    ),
    "unknown version": (
        lambda: GOOD.render().replace(b"2007-10-10", b"2099-01-01"),
        "version '2099-01-01' is not supported",
    ),
    "another digest": (
        lambda: GOOD.render().replace(b"'SHA1'", b"'MD5'"),
        "algorithm: expected SHA1, got 'MD5'",
    ),
}
"""Documents that must be refused, named by what is wrong with them, and what is said."""


@pytest.mark.parametrize("damage", BAD_MANIFESTS)
def test_a_bad_manifest_is_refused_by_unbundle(tmp_path: Path, damage: str) -> None:
    make, pattern = BAD_MANIFESTS[damage]
    manifest = tmp_path / "image.manifest.xml"
    manifest.write_bytes(make())
    before = listing(tmp_path)
    begin = monotonic()
    outcome = run_cli("unbundle", manifest, "-o", tmp_path / "out", *KEYS)
    assert monotonic() - begin < 10
    check_refused(outcome, BAD_INPUT, pattern)
    assert len(outcome.errors) < 600
    assert listing(tmp_path) == before


@pytest.mark.parametrize(
    "damage", ["HTML", "half of it", "an external entity", "part name goes up", "negative size"]
)
@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_a_bad_manifest_is_refused_by_other_commands(
    tmp_path: Path, damage: str, command: str
) -> None:
    make, pattern = BAD_MANIFESTS[damage]
    manifest = tmp_path / "image.manifest.xml"
    manifest.write_bytes(make())
    check_refused(run_cli(command, manifest), BAD_INPUT, pattern)
    check_refused(run_cli(command, manifest, "--json"), BAD_INPUT, pattern)


@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_no_manifest_is_there(tmp_path: Path, command: str) -> None:
    pattern = "read manifest .*nothing: No such file"
    check_refused(run_cli(command, tmp_path / "nothing"), MISSING, pattern)
    check_refused(run_cli(command, tmp_path), BAD_INPUT, "expected a file, got a directory")
    check_refused(run_cli(command, "/dev/zero"), BAD_INPUT, "expected at most [0-9]+ bytes")


def test_a_manifest_that_claims_an_absurd_image(tmp_path: Path) -> None:
    """Two to the 63rd less one: a number, but no file can be so big."""
    manifest = seal_archive(tmp_path / "bundle", header() + data() + END, size=2**63 - 1)
    outcome = run_cli("unbundle", manifest, "-o", tmp_path / "out", *KEYS)
    check_refused(outcome, outcome.code, "no room: File too large|expected 9223372036854775807")
    assert outcome.code in (3, 8)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "size"), [("plain/tiny.img", 2), ("full/full", 2), ("old/v3", 2), ("old/v20070829", 2)]
)
def test_inspect_shows_manifests_of_ami_tools(name: str, size: int) -> None:
    outcome = run_cli("inspect", VECTORS / f"{name}.manifest.xml")
    assert (outcome.code, outcome.errors) == (0, "")
    assert f"size: {size * 1024 * 1024}\n" in outcome.text


def test_inspect_shows_nothing_that_moves_a_cursor(tmp_path: Path) -> None:
    name = "im\u202eage\u2066"
    text = ManifestText(
        name=name,
        parts=(("0", f"{name}.part.0", sha1_hex(b"")),),
        size="1",
        bundled_size="1",
        digest=sha1_hex(b""),
    )
    (tmp_path / "m").write_bytes(text.render())
    outcome = run_cli("inspect", tmp_path / "m")
    assert outcome.code == 0
    assert outcome.text.replace("\n", "").isprintable()
    outcome = run_cli("verify", tmp_path / "m", "--cert", USER_CERT)
    check_refused(outcome, 4, r"im\?age\?\.part\.0: No such file")
