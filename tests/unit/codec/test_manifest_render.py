import hashlib
from dataclasses import replace

import pytest

from bundler.codec.manifest import parse_manifest, render_manifest, signed_bytes
from bundler.codec.signature import sign, verify_manifest
from bundler.errors import ManifestError
from bundler.model.bundle import Part, WrappedKey
from bundler.model.digest import Digest
from bundler.model.image import ImageType
from bundler.model.manifest import Bundler, Manifest, ManifestVersion, UnknownElement
from bundler.model.mapping import BlockDeviceMapping
from tests.unit.codec.vectors import (
    FULL,
    MANIFESTS,
    PLAIN,
    expected,
    private_key,
    public_key,
    read_vector,
)


def sign_as_user(data: bytes) -> bytes:
    return sign(data, private_key())


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_of_ami_tools_are_given_back_byte_for_byte(name: str) -> None:
    signed = parse_manifest(read_vector(name))
    assert render_manifest(signed.manifest, lambda _: signed.signature) == read_vector(name)
    # PKCS#1 v1.5 signatures have no randomness, so that ours is the same too.
    assert render_manifest(signed.manifest, sign_as_user) == read_vector(name)


@pytest.mark.parametrize("name", [PLAIN, FULL])
def test_signed_bytes_are_those_of_ami_tools(name: str) -> None:
    text = signed_bytes(parse_manifest(read_vector(name)).manifest)
    facts = expected(name)
    assert len(text) == facts["signed_string_len"]
    assert hashlib.sha1(text).hexdigest() == facts["signed_string_sha1"]  # noqa: S324 - the format's


def make_manifest(part_count: int = 2) -> Manifest:
    """A manifest with a value for every field, awkward characters included."""
    return Manifest(
        bundler=Bundler(name="tool <&>", version="0'\"", release=""),
        architecture="arm64",
        block_device_mappings=(
            BlockDeviceMapping(virtual="ami", device="/dev/sda1"),
            BlockDeviceMapping(virtual="swap", device="sda3"),
        ),
        kernel_id="aki-1",
        ramdisk_id="ari-2",
        product_codes=("A", "B & C"),
        name=" n\N{SNOWMAN}'me ",
        user="123456789012",
        image_type=ImageType.KERNEL,
        kernel_name="vmlinuz <6>",
        ancestor_ami_ids=("ami-1", "ami-2"),
        digest=Digest(value=bytes(range(20))),
        size=2**63 - 1,
        bundled_size=2**40,
        ec2_key=WrappedKey(key=b"\0\1", iv=b"\2\3"),
        user_key=WrappedKey(key=b"\4\5", iv=b"\6"),
        parts=tuple(
            Part(index=index, filename=f"x'{index}", digest=Digest(value=bytes([index % 256] * 20)))
            for index in range(part_count)
        ),
        unknown_elements=(
            UnknownElement(parent="manifest", xml="<u0/>"),
            UnknownElement(parent="manifest/bundler", xml="<u1 a='&apos;'>&lt;</u1>"),
            UnknownElement(parent="manifest/image", xml="<u2><image>x</image></u2>"),
            UnknownElement(parent="manifest/image/ancestry", xml="<u3/>"),
            UnknownElement(parent="manifest/image/parts", xml="<u4/>"),
            UnknownElement(parent="manifest/image/parts", xml="<u4/>"),
            UnknownElement(parent="manifest/machine_configuration", xml="<u5/>"),
            UnknownElement(
                parent="manifest/machine_configuration/block_device_mapping", xml="<u7/>"
            ),
            UnknownElement(parent="manifest/machine_configuration/product_codes", xml="<u6/>"),
        ),
    )


MINIMAL = replace(
    make_manifest(1),
    block_device_mappings=(),
    kernel_id="",
    ramdisk_id="",
    product_codes=(),
    kernel_name="",
    ancestor_ami_ids=(),
    user_key=None,
    unknown_elements=(),
)
V3_ONE = replace(
    MINIMAL, version=ManifestVersion.V3, architecture="i386", image_type=ImageType.MACHINE
)
ROUND_TRIPS = {
    "every field": make_manifest(),
    "11 parts": make_manifest(11),
    "minimal": MINIMAL,
    "2007-08-29": replace(make_manifest(), version=ManifestVersion.V2007_08_29),
    "version 3": V3_ONE,
    "ramdisk": replace(MINIMAL, image_type=ImageType.RAMDISK),
    "list with unknown elements only": replace(
        MINIMAL,
        unknown_elements=(UnknownElement(parent="manifest/image/ancestry", xml="<u/>"),),
    ),
}


@pytest.mark.parametrize("manifest", ROUND_TRIPS.values(), ids=ROUND_TRIPS.keys())
def test_round_trip(manifest: Manifest) -> None:
    document = render_manifest(manifest, sign_as_user)
    signed = parse_manifest(document)
    by_parent = sorted(signed.manifest.unknown_elements, key=lambda element: element.parent)
    assert replace(signed.manifest, unknown_elements=tuple(by_parent)) == manifest
    assert signed.signed_texts == (signed_bytes(manifest),)
    assert verify_manifest(signed, public_key()) == signed.manifest
    assert render_manifest(signed.manifest, sign_as_user) == document


def test_order_and_form_of_every_element() -> None:
    document = render_manifest(replace(make_manifest(), unknown_elements=()), lambda _: b"\xab")
    digest = bytes(range(20)).hex()
    assert document.decode() == (
        "<?xml version='1.0'?><manifest><version>2007-10-10</version>"
        "<bundler><name>tool &lt;&amp;&gt;</name><version>0&apos;&quot;</version><release/>"
        "</bundler>"
        "<machine_configuration><architecture>arm64</architecture><block_device_mapping>"
        "<mapping><virtual>ami</virtual><device>/dev/sda1</device></mapping>"
        "<mapping><virtual>swap</virtual><device>sda3</device></mapping></block_device_mapping>"
        "<kernel_id>aki-1</kernel_id><ramdisk_id>ari-2</ramdisk_id><product_codes>"
        "<product_code>A</product_code><product_code>B &amp; C</product_code></product_codes>"
        "</machine_configuration><image><name> n\N{SNOWMAN}&apos;me </name>"
        "<user>123456789012</user><type>kernel</type><kernel_name>vmlinuz &lt;6&gt;</kernel_name>"
        "<ancestry><ancestor_ami_id>ami-1</ancestor_ami_id>"
        "<ancestor_ami_id>ami-2</ancestor_ami_id></ancestry>"
        f"<digest algorithm='SHA1'>{digest}</digest>"
        "<size>9223372036854775807</size><bundled_size>1099511627776</bundled_size>"
        "<ec2_encrypted_key algorithm='AES-128-CBC'>0001</ec2_encrypted_key>"
        "<user_encrypted_key algorithm='AES-128-CBC'>0405</user_encrypted_key>"
        "<ec2_encrypted_iv>0203</ec2_encrypted_iv><user_encrypted_iv>06</user_encrypted_iv>"
        f"<parts count='2'><part index='0'><filename>x&apos;0</filename>"
        f"<digest algorithm='SHA1'>{'00' * 20}</digest></part>"
        f"<part index='1'><filename>x&apos;1</filename>"
        f"<digest algorithm='SHA1'>{'01' * 20}</digest></part></parts></image>"
        "<signature>ab</signature></manifest>"
    )


def test_unknown_elements_stand_at_the_end_of_their_parents() -> None:
    document = render_manifest(make_manifest(), sign_as_user).decode()
    for ending in (
        "<u0/></manifest>",
        "<u1 a='&apos;'>&lt;</u1></bundler>",
        "<u2><image>x</image></u2></image>",
        "<u3/></ancestry>",
        "</part><u4/><u4/></parts>",
        "<u5/></machine_configuration>",
        "<u6/></product_codes>",
        "</mapping><u7/></block_device_mapping>",
    ):
        assert ending in document


def test_mappings_are_sorted_by_virtual_name() -> None:
    manifest = make_manifest()
    reversed_mappings = tuple(reversed(manifest.block_device_mappings))
    document = render_manifest(
        replace(manifest, block_device_mappings=reversed_mappings), sign_as_user
    )
    assert document == render_manifest(manifest, sign_as_user)


def unknown(parent: str, xml: str) -> tuple[UnknownElement, ...]:
    return (UnknownElement(parent=parent, xml=xml),)


UNWRITABLE = {
    "control character": (replace(MINIMAL, user="\x1b"), "XML cannot hold"),
    "surrogate": (replace(MINIMAL, name="\ud800"), "XML cannot hold"),
    "blank around a word": (replace(MINIMAL, kernel_id=" aki-1"), "no document can hold"),
    "empty word": (replace(MINIMAL, product_codes=("",)), "product_code: is empty"),
    "white space only": (replace(MINIMAL, kernel_name=" "), "no document can hold"),
    "size over 2^63": (replace(MINIMAL, size=2**63), "expected a number"),
    "version 3 of another architecture": (
        replace(V3_ONE, architecture="x86_64"),
        "no document can hold",
    ),
    "version 3 with a kernel": (replace(V3_ONE, kernel_id="aki-1"), "no document can hold"),
    "half of a key": (replace(MINIMAL, user_key=WrappedKey(key=b"\1", iv=b"")), "is empty"),
    "no key at all": (
        replace(MINIMAL, user_key=WrappedKey(key=b"", iv=b"")),
        "no document can hold",
    ),
    "unknown element of no parent": (
        replace(MINIMAL, unknown_elements=unknown("manifest/elsewhere", "<a/>")),
        "no document can hold",
    ),
    "unknown element that is known": (
        replace(MINIMAL, unknown_elements=unknown("manifest/image", "<size>1</size>")),
        "'size' is there twice",
    ),
    "unknown element that adds a kernel": (
        replace(
            MINIMAL,
            unknown_elements=unknown(
                "manifest/machine_configuration", "<kernel_id>aki-1</kernel_id>"
            ),
        ),
        "no document can hold",
    ),
    "unknown element that breaks out": (
        replace(MINIMAL, unknown_elements=unknown("manifest/image", "</image><image>")),
        "not well-formed",
    ),
    "unknown element not canonical": (
        replace(MINIMAL, unknown_elements=unknown("manifest/image", "<a></a>")),
        "no document can hold",
    ),
}


@pytest.mark.parametrize(("manifest", "message"), UNWRITABLE.values(), ids=UNWRITABLE.keys())
def test_what_no_document_can_hold_is_not_written(manifest: Manifest, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        render_manifest(manifest, sign_as_user)


def test_no_manifest_is_written_without_a_signature() -> None:
    with pytest.raises(ValueError, match="the signer gave no signature"):
        render_manifest(MINIMAL, lambda _: b"")


def test_many_parts_fit() -> None:
    manifest = make_manifest(10_000)
    assert len(parse_manifest(render_manifest(manifest, sign_as_user)).manifest.parts) == 10_000
