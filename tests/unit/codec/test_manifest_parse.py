import random

import pytest

from bundler.codec.manifest import parse_manifest
from bundler.errors import ManifestError
from bundler.model.bundle import Part
from bundler.model.digest import Digest
from bundler.model.image import ImageType
from bundler.model.manifest import Bundler, ManifestVersion, UnknownElement
from bundler.model.mapping import BlockDeviceMapping
from tests.unit.codec.vectors import (
    FULL,
    MANIFESTS,
    PLAIN,
    V3,
    V20070829,
    edited,
    expected,
    read_vector,
)


def test_every_optional_element_is_read() -> None:
    signed = parse_manifest(read_vector(FULL))
    manifest, facts = signed.manifest, expected(FULL)
    assert manifest.version is ManifestVersion.V2007_10_10
    assert manifest.bundler == Bundler(name="ec2-ami-tools", version="1.5", release="3")
    assert manifest.architecture == "i386"
    assert manifest.block_device_mappings == (
        BlockDeviceMapping(virtual="ami", device="sda1"),
        BlockDeviceMapping(virtual="ephemeral0", device="sdb"),
        BlockDeviceMapping(virtual="root", device="/dev/sda1"),
        BlockDeviceMapping(virtual="swap", device="sda3"),
    )
    assert (manifest.kernel_id, manifest.ramdisk_id) == ("aki-00806369", "ari-00806369")
    assert manifest.product_codes == ("774F4FF8",)
    assert (manifest.name, manifest.user) == ("full", "123456789012")
    assert manifest.image_type is ImageType.MACHINE
    assert (manifest.kernel_name, manifest.ancestor_ami_ids) == ("", ())
    assert manifest.digest.hexdigest == facts["tar_sha1"]
    assert (manifest.size, manifest.bundled_size) == (2097152, facts["enc_len"])
    assert manifest.user_key is not None
    lengths = {
        len(text) for key in (manifest.ec2_key, manifest.user_key) for text in (key.key, key.iv)
    }
    assert lengths == {256}
    digest = Digest(value=bytes.fromhex(str(facts["part_sha1"])))
    assert manifest.parts == (Part(index=0, filename="full.part.0", digest=digest),)
    assert manifest.unknown_elements == ()
    assert len(signed.signature) == 256


@pytest.mark.parametrize(
    ("name", "version", "architecture"),
    [
        (V3, ManifestVersion.V3, "i386"),
        (V20070829, ManifestVersion.V2007_08_29, "x86_64"),
        (PLAIN, ManifestVersion.V2007_10_10, "x86_64"),
    ],
)
def test_every_version_is_read(name: str, version: ManifestVersion, architecture: str) -> None:
    manifest = parse_manifest(read_vector(name)).manifest
    assert (manifest.version, manifest.architecture) == (version, architecture)
    assert manifest.image_type is ImageType.MACHINE


def test_other_spelling_of_20070829_is_read() -> None:
    document = edited(V20070829, "<version>20070829", "<version>2007-08-29")
    assert parse_manifest(document).manifest.version is ManifestVersion.V2007_08_29


HEX = "6340a122500540a20e4e714437074589d59df3d0"
"""The digest of plain's part."""

SAME = {
    "no declaration": ("<?xml version='1.0'?>", ""),
    "other declaration": (
        "<?xml version='1.0'?>",
        '<?xml version="1.0" encoding="UTF-8" standalone="no"?>\r\n',
    ),
    "byte order mark": ("<?xml version='1.0'?>", "\ufeff<?xml version='1.0'?>"),
    "white space before": ("<?xml version='1.0'?>", "\n <?xml version='1.0'?>"),
    "white space behind": ("</manifest>", "</manifest>\n\n"),
    "white space between": ("<parts count='1'>", "\n\t<parts\n count='1' >\r\n"),
    "white space in a number": ("<size>2097152<", "<size> 2097152\n<"),
    "white space in hexadecimal": (HEX, f"\n  {HEX}\n  "),
    "zeros before a number": ("<size>2097152<", "<size>0002097152<"),
    "double quotes": ("<parts count='1'>", '<parts count="1">'),
    "upper-case hexadecimal": (HEX, HEX.upper()),
    "CDATA": ("<name>tiny.img<", "<name><![CDATA[tiny.img]]><"),
    "character reference": ("<name>tiny.img<", "<name>tiny&#46;img<"),
    "missing type": ("<type>machine</type>", ""),
    "empty type": ("<type>machine</type>", "<type/>"),
    "empty kernel id": ("</architecture>", "</architecture><kernel_id/>"),
    "empty list": ("</architecture>", "</architecture><product_codes/>"),
    "no digest algorithm": (f"<digest algorithm='SHA1'>{HEX}", f"<digest>{HEX}"),
    "no key algorithm": ("<ec2_encrypted_key algorithm='AES-128-CBC'>", "<ec2_encrypted_key>"),
    "IV algorithm": ("<ec2_encrypted_iv>", "<ec2_encrypted_iv algorithm='AES-128-CBC'>"),
}


@pytest.mark.parametrize(("old", "new"), SAME.values(), ids=SAME.keys())
def test_other_spellings_say_the_same(old: str, new: str) -> None:
    plain = parse_manifest(read_vector(PLAIN))
    assert parse_manifest(edited(PLAIN, old, new)).manifest == plain.manifest


def test_elements_may_have_any_order() -> None:
    document = read_vector(PLAIN).decode()
    chance = random.Random(7)
    head, image = document.split("<image>")
    image, tail = image.split("</image>")
    names = ["name", "user", "type", "digest", "size", "bundled_size", "ec2_encrypted_key"]
    names += ["user_encrypted_key", "ec2_encrypted_iv", "user_encrypted_iv", "parts"]
    pieces = [
        image[image.index(f"<{name}") : image.index(f"</{name}>") + len(name) + 3]
        for name in names
        if name != "digest"
    ]
    pieces.append(image[image.index("<digest") : image.index("</digest>") + 9])
    assert sum(map(len, pieces)) == len(image)
    for _ in range(20):
        chance.shuffle(pieces)
        shuffled = f"{head}<image>{''.join(pieces)}</image>{tail}".encode()
        assert parse_manifest(shuffled).manifest == parse_manifest(document.encode()).manifest


def test_names_keep_their_blanks() -> None:
    document = edited(PLAIN, "<name>tiny.img<", "<name> tiny &amp; img <")
    assert parse_manifest(document).manifest.name == " tiny & img "


def cut(name: str, start: str, end: str) -> bytes:
    """A vector without the text from `start` to `end`."""
    before, _, rest = read_vector(name).partition(start.encode())
    _, found, after = rest.partition(end.encode())
    assert found
    return before + after


NO_SIGNATURE = {
    "missing": cut(PLAIN, "<signature>", "</signature>"),
    "empty": cut(PLAIN, "<signature>", "</signature>").replace(
        b"</manifest>", b"<signature/></manifest>"
    ),
    "white space": cut(PLAIN, "<signature>", "</signature>").replace(
        b"</manifest>", b"<signature> \n </signature></manifest>"
    ),
    "UNSIGNED": cut(PLAIN, "<signature>", "</signature>").replace(
        b"</manifest>", b"<signature>UNSIGNED</signature></manifest>"
    ),
}


@pytest.mark.parametrize("document", NO_SIGNATURE.values(), ids=NO_SIGNATURE.keys())
def test_manifests_without_a_signature(document: bytes) -> None:
    signed = parse_manifest(document)
    assert signed.signature == b""
    assert signed.manifest == parse_manifest(read_vector(PLAIN)).manifest


def without_user_key() -> bytes:
    """The plain vector without the user's wrapped key."""
    document = cut(PLAIN, "<user_encrypted_key", "</user_encrypted_key>")
    before, _, rest = document.partition(b"<user_encrypted_iv>")
    return before + rest.partition(b"</user_encrypted_iv>")[2]


@pytest.mark.parametrize(
    "elements",
    [
        b"",
        b"<user_encrypted_key/><user_encrypted_iv/>",
        b"<user_encrypted_key algorithm='AES-128-CBC'></user_encrypted_key>",
        b"<user_encrypted_iv>\n</user_encrypted_iv>",
    ],
)
def test_bundles_without_a_users_certificate(elements: bytes) -> None:
    document = without_user_key().replace(b"<parts", elements + b"<parts")
    assert parse_manifest(document).manifest.user_key is None


UNKNOWN = {
    "manifest": ("</manifest>", "manifest"),
    "bundler": ("</bundler>", "manifest/bundler"),
    "machine_configuration": ("</machine_configuration>", "manifest/machine_configuration"),
    "mappings": ("</block_device_mapping>", "manifest/machine_configuration/block_device_mapping"),
    "codes": ("</product_codes>", "manifest/machine_configuration/product_codes"),
    "image": ("</image>", "manifest/image"),
    "parts": ("</parts>", "manifest/image/parts"),
}


@pytest.mark.parametrize(("end", "parent"), UNKNOWN.values(), ids=UNKNOWN.keys())
def test_unknown_elements_are_kept(end: str, parent: str) -> None:
    elements = '<new a="1"> <b>&gt;</b> </new><new/>'
    manifest = parse_manifest(edited(FULL, end, elements + end)).manifest
    assert manifest.unknown_elements == (
        UnknownElement(parent=parent, xml="<new a='1'><b>&gt;</b></new>"),
        UnknownElement(parent=parent, xml="<new/>"),
    )


PART = (
    "<part index='0'><filename>tiny.img.part.0</filename>"
    f"<digest algorithm='SHA1'>{HEX}</digest></part>"
)
SECOND = PART.replace("part.0", "part.1").replace("index='0'", "index='1'")

BAD_EDITS = {
    "version missing": ("<version>2007-10-10</version>", "", "'version' is missing"),
    "version unknown": (">2007-10-10<", ">2038-01-19<", "version '2038-01-19' is not supported"),
    "version empty": (">2007-10-10<", "><", "manifest/version: is empty"),
    "version 3 with configuration": (">2007-10-10<", ">3<", "has no machine_configuration"),
    "other root": ("<manifest>", "<manifest a='1'>", "unknown attribute 'a'"),
    "architecture missing": (
        "<architecture>x86_64</architecture>",
        "",
        "'architecture' is missing",
    ),
    "architecture twice": (
        "</architecture>",
        "</architecture><architecture>i386</architecture>",
        "manifest/machine_configuration: element 'architecture' is there twice",
    ),
    "image twice": ("</manifest>", "<image/></manifest>", "element 'image' is there twice"),
    "signature twice": ("</manifest>", "<signature/></manifest>", "'signature' is there twice"),
    "parts twice": ("</image>", "<parts count='0'/></image>", "'parts' is there twice"),
    "image with an attribute": ("<image>", "<image id='1'>", "unknown attribute 'id'"),
    "text in image": ("<image>", "<image>hello", "text between elements"),
    "text for a list": (
        "</architecture>",
        "</architecture><product_codes>A</product_codes>",
        "got text",
    ),
    "elements for a text": (">tiny.img<", "><b/><", "manifest/image/name: expected text"),
    "attribute of a text": ("<user>", "<user id='1'>", "unknown attribute 'id'"),
    "type unknown": (">machine<", ">machines<", "not machine, kernel or ramdisk"),
    "user empty": (">123456789012<", "> <", "manifest/image/user: is empty"),
    "name empty": ("<name>tiny.img<", "<name><", "not a plain file name"),
    "name with a directory": ("<name>tiny.img<", "<name>../tiny.img<", "not a plain file name"),
    "name absolute": ("<name>tiny.img<", "<name>/etc/passwd<", "not a plain file name"),
    "name with a line feed": ("<name>tiny.img<", "<name>a\nb<", "not a plain file name"),
    "name too long": ("<name>tiny.img<", f"<name>{'x' * 256}<", "not a plain file name"),
    "file name with a directory": (">tiny.img.part.0<", ">../x<", "part 0: .*plain file name"),
    "file name of dots": (">tiny.img.part.0<", ">..<", "part 0: .*not a plain file name"),
    "file name empty": (">tiny.img.part.0<", "><", "part 0: .*not a plain file name"),
    "file name missing": ("<filename>tiny.img.part.0</filename>", "", "'filename' is missing"),
    "digest algorithm": (
        f"<digest algorithm='SHA1'>{HEX}",
        f"<digest algorithm='SHA256'>{HEX}",
        "part 0/digest: algorithm: expected SHA1, got 'SHA256'",
    ),
    "digest attribute": (
        f"<digest algorithm='SHA1'>{HEX}",
        f"<digest type='SHA1'>{HEX}",
        "unknown attribute 'type'",
    ),
    "digest short": (HEX, HEX[:-2], "part 0/digest: .*expected 20 bytes, got 19"),
    "digest long": (HEX, HEX + "00", "part 0/digest: .*expected 20 bytes, got 21"),
    "digest odd": (HEX, HEX[:-1], "part 0/digest: expected hexadecimal bytes"),
    "digest not hexadecimal": (HEX, "g" + HEX[1:], "expected hexadecimal bytes"),
    "digest with blanks": (HEX, "63 " + HEX[2:], "expected hexadecimal bytes"),
    "digest of other digits": (HEX, "\u0661" * 40, "expected hexadecimal bytes"),
    "digest empty": (HEX, "", "part 0/digest: is empty"),
    "key algorithm": (
        "<ec2_encrypted_key algorithm='AES-128-CBC'>",
        "<ec2_encrypted_key algorithm='AES-256-CBC'>",
        "algorithm: expected AES-128-CBC, got 'AES-256-CBC'",
    ),
    "user's key algorithm": (
        "<user_encrypted_key algorithm='AES-128-CBC'>",
        "<user_encrypted_key algorithm='DES'>",
        "algorithm: expected AES-128-CBC, got 'DES'",
    ),
    "key too long": (
        "<ec2_encrypted_iv>",
        "<ec2_encrypted_iv>" + "00" * 4096,
        "at most 4096 bytes",
    ),
    "signature not hexadecimal": (
        "<signature>",
        "<signature>0x",
        "manifest/signature: expected hex",
    ),
    "size zero": (">2097152<", ">0<", "expected more than 0 bytes"),
    "size negative": (">2097152<", ">-1<", "image/size: expected a number"),
    "size with a plus": (">2097152<", ">+5<", "image/size: expected a number"),
    "size with an underscore": (">2097152<", ">1_0<", "image/size: expected a number"),
    "size of other digits": (">2097152<", ">\u0661\u0662<", "image/size: expected a number"),
    "size hexadecimal": (">2097152<", ">0x10<", "image/size: expected a number"),
    "size with a fraction": (">2097152<", ">1.5<", "image/size: expected a number"),
    "size empty": (">2097152<", "><", "image/size: is empty"),
    "size 2^63": (">2097152<", f">{2**63}<", "below 2\\^63, got '9223372036854775808'"),
    "size of 10,000 digits": (">2097152<", f">{'9' * 10_000}<", "image/size: expected a number"),
    "bundled size zero": (">597200<", ">0<", "expected more than 0 bytes"),
    "count missing": ("<parts count='1'>", "<parts>", "parts count: expected a number"),
    "count too low": ("<parts count='1'>", "<parts count='0'>", "expected 0 parts, got 1"),
    "count too high": ("<parts count='1'>", "<parts count='2'>", "expected 2 parts, got 1"),
    "count no number": ("<parts count='1'>", "<parts count='one'>", "expected a number"),
    "parts with an attribute": ("<parts count='1'>", "<parts count='1' a='2'>", "attribute 'a'"),
    "no part": ("<parts count='1'>" + PART, "<parts count='0'>", "at least one part, got none"),
    "index missing": ("<part index='0'>", "<part>", "part index: expected a number"),
    "index negative": ("<part index='0'>", "<part index='-1'>", "index: expected a number"),
    "index from 1": ("<part index='0'>", "<part index='1'>", "expected index 0, got 1"),
    "index twice": ("'1'>" + PART, "'2'>" + PART + PART, "expected index 1, got 0"),
    "index missing between": (
        "'1'>" + PART,
        "'2'>" + PART + SECOND.replace("'1'", "'2'"),
        "expected index 1, got 2",
    ),
    "parts out of order": ("'1'>" + PART, "'2'>" + SECOND + PART, "expected index 0, got 1"),
    "file name twice": (
        "'1'>" + PART,
        "'2'>" + PART + SECOND.replace("part.1", "part.0"),
        "two parts have the same file name",
    ),
    "more parts than bytes": (
        "<bundled_size>597200</bundled_size>",
        "<bundled_size>0</bundled_size>",
        "expected more than 0 bytes",
    ),
    "unknown element in a part": ("</part>", "<new/></part>", "part 0: unknown element '<new/>'"),
    "part with an attribute": ("<part index='0'>", "<part index='0' a='1'>", "attribute 'a'"),
    "comment in a name": (">tiny.img<", ">tiny<!-- -->.img<", "comments"),
    "DOCTYPE": ("<manifest>", "<!DOCTYPE manifest><manifest>", "document type declaration"),
    "namespace": ("<manifest>", "<manifest xmlns='http://ec2'>", "namespaces"),
}


@pytest.mark.parametrize(("old", "new", "message"), BAD_EDITS.values(), ids=BAD_EDITS.keys())
def test_bad_manifests(old: str, new: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message) as caught:
        parse_manifest(edited(PLAIN, old, new))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


REQUIRED = ["bundler", "machine_configuration", "image", "name", "release", "user", "size"]
REQUIRED += ["digest", "bundled_size", "ec2_encrypted_key", "ec2_encrypted_iv", "parts"]


@pytest.mark.parametrize("name", REQUIRED)
def test_missing_elements(name: str) -> None:
    with pytest.raises(ManifestError, match=f"element '{name}' is missing"):
        parse_manifest(cut(PLAIN, f"<{name}", f"</{name}>"))


@pytest.mark.parametrize("name", ["user_encrypted_key", "user_encrypted_iv"])
def test_half_of_the_users_key(name: str) -> None:
    with pytest.raises(ManifestError, match=f"element '{name}' is missing"):
        parse_manifest(cut(PLAIN, f"<{name}", f"</{name}>"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<virtual>ami</virtual>", "", "mapping: element 'virtual' is missing"),
        (">sda1<", "><", "mapping/device: is empty"),
        ("<virtual>ami<", "<new/><virtual>ami<", "mapping: unknown element '<new/>'"),
        ("<product_code>774F4FF8<", "<product_code> <", "product_code: is empty"),
        ("<product_code>774F4FF8<", "<product_code><b/><", "product_code: expected text"),
    ],
)
def test_bad_lists(old: str, new: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        parse_manifest(edited(FULL, old, new))


def test_more_parts_than_bytes() -> None:
    document = edited(PLAIN, "'1'>" + PART, "'2'>" + PART + SECOND)
    document = document.replace(b">597200<", b">1<")
    with pytest.raises(ManifestError, match="1 bytes cannot fill 2 parts"):
        parse_manifest(document)


NO_MANIFESTS = {
    "empty": (b"", "the document is empty"),
    "white space": (b" \r\n", "the document is empty"),
    "byte order mark": (b"\xef\xbb\xbf", "the document is empty"),
    "encrypted": (b"\x8a\x01\xfe" * 100, "the manifest itself is encrypted .*not supported"),
    "text": (b"hello", "not XML"),
    "JSON": (b'{"manifest": 1}', "not XML"),
    "gzip": (b"\x1f\x8b\x08\0", "not XML"),
    "UTF-16": ("<?xml version='1.0'?><manifest/>".encode("utf-16"), "not XML"),
    "UTF-16 without mark": ("<manifest/>".encode("utf-16-le"), "not well-formed"),
    "HTML": (b"<html><body></body></html>", "expected element 'manifest', got 'html'"),
    "HTML 5": (b"<!DOCTYPE html><html></html>", "document type declaration"),
    "S3's error": (
        b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>",
        "expected element 'manifest', got 'Error'",
    ),
    "hollow": (b"<manifest/>", "element 'version' is missing"),
}


@pytest.mark.parametrize(("document", "message"), NO_MANIFESTS.values(), ids=NO_MANIFESTS.keys())
def test_other_documents(document: bytes, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        parse_manifest(document)


@pytest.mark.parametrize("name", MANIFESTS)
def test_truncated_manifests(name: str) -> None:
    document = read_vector(name)
    for size in [*range(0, len(document), 97), len(document) - 1]:
        with pytest.raises(ManifestError, match=r"empty|not well-formed"):
            parse_manifest(document[:size])


PIECES = [b"<", b">", b"</", b"/>", b"'", b'"', b"&", b"]]>", b"<![CDATA[", b"<!--", b"-->", b"<?"]
PIECES += [b"&#0;", b"&#xffff;", b"\0", b"\xff", b"\xc3\xa9", b"\r\n", b"-1", b"9" * 30, b"<a/>"]
PIECES += [b"<image>", b"</image>", b"xmlns='a'", b"a:", b"../", b"<!DOCTYPE a>", b"\xef\xbb\xbf"]


def mutate(document: bytes, chance: random.Random) -> bytes:
    """Damage a document in one to four places."""
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(len(document) + 1)
        end = min(len(document), start + chance.choice([0, 1, 1, 2, 8, 300]))
        source = chance.randrange(len(document) + 1)
        pieces = (chance.choice(PIECES), chance.randbytes(1), document[source : source + 60], b"")
        document = document[:start] + chance.choice(pieces) + document[end:]
    return document


@pytest.mark.parametrize("name", MANIFESTS)
def test_damaged_manifests_parse_or_are_refused(name: str) -> None:
    chance = random.Random(name)
    parsed = 0
    for _ in range(500):
        document = mutate(read_vector(name), chance)
        try:
            parse_manifest(document)
        except ManifestError as error:
            assert "\n" not in str(error)  # noqa: PT017 - both outcomes are right
        else:
            parsed += 1
    assert 10 < parsed < 490
