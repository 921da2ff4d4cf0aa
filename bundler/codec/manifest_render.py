"""Manifests: model to bytes."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from bundler.codec.manifest_parse import AES_ATTRIBUTE, SHA1_ATTRIBUTE, parse_manifest
from bundler.codec.xml import Element, parse_xml, serialise_xml
from bundler.errors import ManifestError
from bundler.model.bundle import Part
from bundler.model.digest import Digest
from bundler.model.image import ImageType
from bundler.model.manifest import Manifest, ManifestVersion, UnknownElement

_DECLARATION = "<?xml version='1.0'?>"


def signed_bytes(manifest: Manifest) -> bytes:
    """What the signature of render_manifest()'s document covers.

    Raises:
        ManifestError: a text has a character that XML cannot hold.
    """
    return "".join(serialise_xml(element) for element in _signed_elements(manifest)).encode()


def render_manifest(manifest: Manifest, sign: Callable[[bytes], bytes]) -> bytes:
    """Write a manifest, byte for byte as AMI Tools do; `sign` gives the signature of bytes.

    Unknown elements stand at the end of their parents, mappings in the order of their
    virtual names.  The document is read back before it is returned.

    Raises:
        ManifestError: the manifest says what no document can hold.
    """
    text = signed_bytes(manifest)
    signature = sign(text)
    if not signature:
        raise ValueError("manifest: the signer gave no signature")
    bundler = manifest.bundler
    head = (
        Element("version", text=manifest.version),
        _element(
            manifest,
            "manifest/bundler",
            (
                Element("name", text=bundler.name),
                Element("version", text=bundler.version),
                Element("release", text=bundler.release),
            ),
        ),
    )
    tail = (Element("signature", text=signature.hex()), *_unknown(manifest, "manifest"))
    document = b"".join(
        (
            f"{_DECLARATION}<manifest>".encode(),
            *(serialise_xml(element).encode() for element in head),
            text,
            *(serialise_xml(element).encode() for element in tail),
            b"</manifest>",
        )
    )
    _check_reads_back(document, manifest, text)
    return document


def _check_reads_back(document: bytes, manifest: Manifest, text: bytes) -> None:
    """Refuse to write what would be read as something else."""
    signed = parse_manifest(document)
    if _normalised(signed.manifest) != _normalised(manifest) or signed.signed_texts != (text,):
        raise ManifestError(
            f"manifest of {manifest.name!r}: has a text, list or unknown element that no "
            "document can hold"
        )


def _normalised(manifest: Manifest) -> Manifest:
    """The manifest without the freedoms that the document does not keep."""
    return replace(
        manifest,
        block_device_mappings=tuple(sorted(manifest.block_device_mappings)),
        unknown_elements=tuple(
            sorted(manifest.unknown_elements, key=lambda element: element.parent)
        ),
    )


def _signed_elements(manifest: Manifest) -> Iterable[Element]:
    if manifest.version is not ManifestVersion.V3:
        yield _machine_configuration(manifest)
    yield _image(manifest)


def _machine_configuration(manifest: Manifest) -> Element:
    path = "manifest/machine_configuration"
    mappings = (
        Element(
            "mapping",
            children=(
                Element("virtual", text=mapping.virtual),
                Element("device", text=mapping.device),
            ),
        )
        for mapping in sorted(manifest.block_device_mappings)
    )
    codes = (Element("product_code", text=code) for code in manifest.product_codes)
    return _element(
        manifest,
        path,
        (
            Element("architecture", text=manifest.architecture),
            *_optional(_element(manifest, f"{path}/block_device_mapping", mappings)),
            *_optional(Element("kernel_id", text=manifest.kernel_id)),
            *_optional(Element("ramdisk_id", text=manifest.ramdisk_id)),
            *_optional(_element(manifest, f"{path}/product_codes", codes)),
        ),
    )


def _image(manifest: Manifest) -> Element:
    path = "manifest/image"
    ancestors = (Element("ancestor_ami_id", text=ami) for ami in manifest.ancestor_ami_ids)
    return _element(
        manifest,
        path,
        (
            Element("name", text=manifest.name),
            Element("user", text=manifest.user),
            *_image_type(manifest),
            *_optional(Element("kernel_name", text=manifest.kernel_name)),
            *_optional(_element(manifest, f"{path}/ancestry", ancestors)),
            _digest(manifest.digest),
            Element("size", text=str(manifest.size)),
            Element("bundled_size", text=str(manifest.bundled_size)),
            *_wrapped_keys(manifest),
            _element(
                manifest,
                f"{path}/parts",
                (_part(part) for part in manifest.parts),
                (("count", str(len(manifest.parts))),),
            ),
        ),
    )


def _image_type(manifest: Manifest) -> tuple[Element, ...]:
    """The type element; versions before 2007-10-10 do not have it for machines."""
    is_old = manifest.version is not ManifestVersion.V2007_10_10
    if is_old and manifest.image_type is ImageType.MACHINE:
        return ()
    return (Element("type", text=manifest.image_type),)


def _wrapped_keys(manifest: Manifest) -> tuple[Element, ...]:
    """The four elements of the two wrapped keys; the user's are empty if there is none."""
    ec2, user = manifest.ec2_key, manifest.user_key
    return (
        Element("ec2_encrypted_key", (AES_ATTRIBUTE,), ec2.key.hex()),
        Element("user_encrypted_key", (AES_ATTRIBUTE,), user.key.hex() if user else ""),
        Element("ec2_encrypted_iv", text=ec2.iv.hex()),
        Element("user_encrypted_iv", text=user.iv.hex() if user else ""),
    )


def _part(part: Part) -> Element:
    return Element(
        "part",
        (("index", str(part.index)),),
        children=(Element("filename", text=part.filename), _digest(part.digest)),
    )


def _digest(digest: Digest) -> Element:
    return Element("digest", (SHA1_ATTRIBUTE,), digest.hexdigest)


def _element(
    manifest: Manifest,
    path: str,
    children: Iterable[Element],
    attributes: tuple[tuple[str, str], ...] = (),
) -> Element:
    """The element at `path`: the children given, then the unknown ones of that parent."""
    return Element(
        path.rpartition("/")[2],
        attributes,
        children=(*children, *_unknown(manifest, path)),
    )


def _unknown(manifest: Manifest, path: str) -> tuple[Element, ...]:
    elements: tuple[UnknownElement, ...] = manifest.unknown_elements
    return tuple(parse_xml(element.xml.encode()) for element in elements if element.parent == path)


def _optional(element: Element) -> tuple[Element, ...]:
    """The element if it holds anything."""
    return (element,) if element.text or element.children else ()
