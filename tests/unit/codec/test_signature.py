import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import cast

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    RSAPublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.hashes import SHA256
from lxml import etree

from bundler.codec.manifest import parse_manifest, render_manifest
from bundler.codec.signature import sign, verify_manifest
from bundler.errors import ManifestError, MissingError, VerificationError
from tests.unit.codec.vectors import (
    FULL,
    MANIFESTS,
    PLAIN,
    V3,
    V20070829,
    edited,
    private_key,
    public_key,
    read_vector,
)


def verifies(document: bytes) -> bool:
    try:
        verify_manifest(parse_manifest(document), public_key())
    except VerificationError:
        return False
    return True


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_of_ami_tools_verify(name: str) -> None:
    signed = parse_manifest(read_vector(name))
    assert verify_manifest(signed, public_key()) is signed.manifest


@pytest.mark.parametrize("name", MANIFESTS)
def test_wrong_key(name: str) -> None:
    with pytest.raises(VerificationError, match="the signature does not hold"):
        verify_manifest(parse_manifest(read_vector(name)), public_key("ec2"))


def test_keys_of_any_size_sign() -> None:
    manifest = parse_manifest(read_vector(PLAIN)).manifest
    for bits in (1024, 1032, 3072):
        key = generate_private_key(65537, bits)
        signed = parse_manifest(render_manifest(manifest, partial(sign, private_key=key)))
        assert verify_manifest(signed, key.public_key()) == manifest


def pretty(document: bytes) -> bytes:
    """The document as XML formatters print it: indented, in double quotes."""
    root = etree.fromstring(document)
    etree.indent(root, space="  ")
    return b'<?xml version="1.0"?>\n' + etree.tostring(root) + b"\n"


@pytest.mark.parametrize("name", MANIFESTS)
def test_pretty_printed_manifests_verify(name: str) -> None:
    document = pretty(read_vector(name))
    assert document.count(b"\n") > 15
    assert verifies(document)
    assert len(parse_manifest(document).signed_texts) == 2


def test_canonical_manifests_have_one_signed_text() -> None:
    for name in MANIFESTS:
        assert len(parse_manifest(read_vector(name)).signed_texts) == 1


def sign_literally(document: bytes) -> bytes:
    """The document, signed over its very bytes."""
    pattern = rb"<machine_configuration>.*</machine_configuration>|<image>.*</image>"
    text = b"".join(re.findall(pattern, document, re.DOTALL))
    signature = sign(text, private_key()).hex().encode()
    return re.sub(
        rb"<signature>.*</signature>", b"<signature>" + signature + b"</signature>", document
    )


def like_euca2ools(document: bytes) -> bytes:
    """The document as euca2ools write it: double quotes, product codes first, empty keys."""
    document = re.sub(rb"='([^']*)'", rb'="\1"', document)
    codes = re.search(rb"<product_codes>.*</product_codes>", document)
    if codes:
        document = document.replace(codes[0], b"").replace(
            b"<kernel_id>", codes[0] + b"<kernel_id>"
        )
    document = re.sub(rb"(<user_encrypted_key[^>]*)>.*</user_encrypted_key>", rb"\1/>", document)
    document = re.sub(
        rb"<user_encrypted_iv>.*</user_encrypted_iv>", b"<user_encrypted_iv/>", document
    )
    return document.replace(b'version="1.0"', b"version='1.0' encoding='ASCII'")


@pytest.mark.parametrize("name", [PLAIN, FULL, V20070829])
@pytest.mark.parametrize("change", [like_euca2ools, pretty], ids=["euca2ools", "indented"])
def test_manifests_signed_as_they_stand_verify(name: str, change: Callable[[bytes], bytes]) -> None:
    document = sign_literally(change(read_vector(name)))
    assert document.count(b'"') > 5
    assert verifies(document)
    signed = parse_manifest(document)
    literal = replace(signed, signed_texts=signed.signed_texts[:1])
    assert verify_manifest(literal, public_key()) == signed.manifest


TAMPERED = {
    "architecture": (PLAIN, ">x86_64<", ">arm64<"),
    "name": (PLAIN, "<name>tiny.img<", "<name>tiny.imh<"),
    "user": (PLAIN, ">123456789012<", ">123456789013<"),
    "type": (PLAIN, ">machine<", ">kernel<"),
    "size": (PLAIN, ">2097152<", ">2097153<"),
    "file name": (PLAIN, ">tiny.img.part.0<", ">tiny.img.part.1<"),
    "part digest": (PLAIN, ">6340a122", ">6340a123"),
    "tar digest": (PLAIN, ">adbc687b", ">adbc687c"),
    "ec2 key": (PLAIN, ">4fec468f", ">4fec468e"),
    "kernel": (FULL, ">aki-00806369<", ">aki-00806360<"),
    "mapping": (FULL, ">/dev/sda1<", ">/dev/sda2<"),
    "product code": (FULL, "<product_code>774F4FF8</product_code>", ""),
    "added kernel": (PLAIN, "</architecture>", "</architecture><kernel_id>a</kernel_id>"),
    "added unknown element": (PLAIN, "</image>", "<new/></image>"),
    "removed type": (PLAIN, "<type>machine</type>", ""),
    "CDATA for text": (PLAIN, ">tiny.img.part.0<", "><![CDATA[tiny.img.part.0 ]]><"),
    "signature bit": (PLAIN, "<signature>36203234", "<signature>36203235"),
    "signature cut": (PLAIN, "<signature>3620", "<signature>"),
    "signature longer": (PLAIN, "<signature>", "<signature>00"),
    "signature of another": (PLAIN, "<signature>36203234", "<signature>00000000"),
    "old file name": (V3, ">tiny.img.part.0<", ">x<"),
    "old architecture": (V20070829, ">x86_64<", ">i386<"),
}


@pytest.mark.parametrize(("name", "old", "new"), TAMPERED.values(), ids=TAMPERED.keys())
def test_tampered_manifests(name: str, old: str, new: str) -> None:
    with pytest.raises(VerificationError, match="the signature does not hold"):
        verify_manifest(parse_manifest(edited(name, old, new)), public_key())


@pytest.mark.parametrize("name", MANIFESTS)
def test_every_byte_that_means_something_is_signed(name: str) -> None:
    document = read_vector(name)
    original = parse_manifest(document).manifest
    start = document.find(b"<machine_configuration>")
    start = start if start > 0 else document.index(b"<image>")
    for position in range(start, len(document), 3):
        changed = bytearray(document)
        changed[position] ^= 1
        try:
            signed = parse_manifest(bytes(changed))
        except ManifestError:
            continue
        if verifies(bytes(changed)):
            assert signed.manifest == original


@pytest.mark.parametrize("signature", [b"", b"<signature/>", b"<signature>UNSIGNED</signature>"])
def test_unsigned_manifests(signature: bytes) -> None:
    document = re.sub(rb"<signature>.*</signature>", signature, read_vector(PLAIN))
    with pytest.raises(VerificationError, match=r"manifest of 'tiny\.img': is not signed"):
        verify_manifest(parse_manifest(document), public_key())


def test_signature_with_another_digest() -> None:
    signed = parse_manifest(read_vector(PLAIN))
    signature = private_key().sign(signed.signed_texts[0], PKCS1v15(), SHA256())
    with pytest.raises(VerificationError, match="the signature does not hold"):
        verify_manifest(replace(signed, signature=signature), public_key())


def test_version_may_not_be_taken_back_to_sign_less() -> None:
    document = read_vector(V3).replace(b"<version>3<", b"<version>2007-10-10<")
    forged = b"<machine_configuration><architecture>x86_64</architecture></machine_configuration>"
    assert not verifies(document.replace(b"<image>", forged + b"<image>"))
    with pytest.raises(ManifestError, match="version 3 has no machine_configuration"):
        parse_manifest(edited(PLAIN, "2007-10-10", "3"))


# Signature wrapping: the signed original is hidden where a search for its tags finds it, and
# a forged element stands where the parser reads.
IMAGE = re.search(rb"<image>.*</image>", read_vector(PLAIN))
assert IMAGE is not None
REAL = IMAGE[0]
FORGED = REAL.replace(b"tiny.img.part.0", b"evil.img.part.0")
HIDDEN = {
    "unknown element before": b"<x>" + REAL + b"</x>" + FORGED,
    "unknown element behind": FORGED + b"<x>" + REAL + b"</x>",
    "unknown element in the image": FORGED.replace(b"<name>", b"<x>" + REAL + b"</x><name>"),
    "CDATA before": b"<x><![CDATA[" + REAL + b"]]></x>" + FORGED,
    "CDATA behind": FORGED + b"<x><![CDATA[" + REAL + b"]]></x>",
    "CDATA, other spelling of the real tag": (
        b"<x><![CDATA[" + REAL + b"]]></x>" + FORGED.replace(b"image>", b"image >")
    ),
    "CDATA in the image, other spelling": FORGED.replace(b"image>", b"image\n>").replace(
        b"<name>", b"<x><![CDATA[" + REAL + b"]]></x><name>"
    ),
    "unknown element, other spelling": (
        b"<x>" + REAL + b"</x>" + FORGED.replace(b"image>", b"image >")
    ),
    "start tag in CDATA": (
        b"<x><![CDATA["
        + REAL.removesuffix(b"</image>")
        + b"]]></x>"
        + FORGED.replace(b"<image>", b"<image >")
    ),
    "real one in front of a forged configuration": FORGED.replace(
        b"<image>", b"<image ><x>"
    ).replace(b"<name>", REAL.replace(b"<x>", b"") + b"</x><name>"),
}
REFUSED = {
    "comment before": b"<!--" + REAL + b"-->" + FORGED,
    "comment in the image": FORGED.replace(b"<name>", b"<!--" + REAL + b"--><name>"),
    "processing instruction": b"<?x " + REAL.replace(b"?", b"") + b"?>" + FORGED,
    "attribute": b'<x a="' + REAL + b'"/>' + FORGED,
    "escaped attribute": b'<x a="'
    + REAL.replace(b"<", b"&lt;")
    + b'"><image/></x>'
    + FORGED
    + FORGED,
    "two images": REAL + FORGED,
    "two images, forged first": FORGED + REAL,
    "entity": b'<!DOCTYPE x [<!ENTITY y "' + REAL + b'">]>' + FORGED,
    "namespace": FORGED + b"<x:image xmlns:x='y'>" + REAL[7:-8] + b"</x:image>",
}


@pytest.mark.parametrize("wrapped", HIDDEN.values(), ids=HIDDEN.keys())
def test_signature_wrapping_does_not_verify(wrapped: bytes) -> None:
    signed = parse_manifest(read_vector(PLAIN).replace(REAL, wrapped))
    assert signed.manifest.parts[0].filename == "evil.img.part.0"
    with pytest.raises(VerificationError, match="the signature does not hold"):
        verify_manifest(signed, public_key())


@pytest.mark.parametrize("wrapped", REFUSED.values(), ids=REFUSED.keys())
def test_signature_wrapping_is_refused(wrapped: bytes) -> None:
    with pytest.raises(ManifestError, match=r"^manifest"):
        parse_manifest(read_vector(PLAIN).replace(REAL, wrapped))


def test_hidden_copy_beside_the_real_one_does_no_harm() -> None:
    document = read_vector(PLAIN).replace(REAL, REAL + b"<x>" + FORGED + b"</x>")
    signed = parse_manifest(document)
    verified = verify_manifest(signed, public_key())
    assert verified.parts[0].filename == "tiny.img.part.0"


class ForbiddenKey:
    """An RSA key on a machine whose OpenSSL policy forbids SHA-1."""

    def sign(self, *_: object) -> bytes:
        raise UnsupportedAlgorithm("sha1 is not supported by this backend")

    def verify(self, *_: object) -> None:
        raise UnsupportedAlgorithm("sha1 is not supported by this backend")


def test_policy_against_sha1_is_named() -> None:
    with pytest.raises(MissingError, match="OpenSSL policy forbids SHA-1"):
        sign(b"", cast("RSAPrivateKey", ForbiddenKey()))
    with pytest.raises(MissingError, match="OpenSSL policy forbids SHA-1"):
        verify_manifest(parse_manifest(read_vector(PLAIN)), cast("RSAPublicKey", ForbiddenKey()))
