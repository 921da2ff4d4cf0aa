"""Rebuilding a root volume from parts, by other code than made them."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from bundler.codec.keywrap import unwrap_key
from bundler.codec.manifest import parse_manifest
from bundler.embedded.root_volume import rebuild_root_volume
from bundler.errors import VerificationError
from bundler.model.bundle import BundleKey, CompressionLevel
from bundler.model.digest import Digest
from bundler.model.manifest import Manifest
from bundler.stages.pipeline import seal
from bundler.stages.split import split
from bundler.stages.tap import Tap
from bundler.stages.tar import pack
from tests.support.bundles import EC2_KEY, VECTORS, load_key
from tests.support.images import random_bytes, sha256_of, striped

SECRET = BundleKey(key=bytes(range(16)), iv=bytes(16))
LAYOUT = striped(4, run=256 * 1024)
DATA = random_bytes(LAYOUT.data_size, seed=1)


def manifest_of(directory: str = "plain") -> Manifest:
    (path,) = (VECTORS / directory).glob("*.manifest.xml")
    return parse_manifest(path.read_bytes()).manifest


def sealed(tar: list[bytes], level: CompressionLevel) -> tuple[Manifest, list[bytes]]:
    """Our own bundle of a tar stream: a manifest that fits it, and parts."""
    tap = Tap()
    parts = list(split(seal(tar, SECRET, tap, level=level, workers=2), 100_000))
    return replace(manifest_of(), size=LAYOUT.size, digest=tap.digest), parts


def tar_of() -> list[bytes]:
    return list(pack("image", LAYOUT.size, LAYOUT.extents, [DATA]))


@pytest.mark.parametrize("directory", ["plain", "full"])
def test_bundles_of_ami_tools(directory: str) -> None:
    manifest = manifest_of(directory)
    secret = unwrap_key(manifest.ec2_key, load_key(EC2_KEY))
    paths = [VECTORS / directory / part.filename for part in manifest.parts]
    volume = rebuild_root_volume(manifest, (path.read_bytes() for path in paths), secret)
    image: Path = VECTORS / "tiny.img"
    assert (volume.size, volume.sha256) == (image.stat().st_size, sha256_of(image))


@pytest.mark.parametrize("level", CompressionLevel)
def test_our_sparse_bundles(level: CompressionLevel) -> None:
    manifest, parts = sealed(tar_of(), level)
    volume = rebuild_root_volume(manifest, parts, SECRET)
    assert len(parts) > 1
    expected, start = bytearray(LAYOUT.size), 0
    for extent in LAYOUT.extents:
        expected[extent.offset : extent.end] = DATA[start : start + extent.size]
        start += extent.size
    assert volume.sha256 == sha256(expected).hexdigest()


def test_what_does_not_hold() -> None:
    manifest, parts = sealed(tar_of(), CompressionLevel.FAST)
    flipped = [parts[0][:50_000] + bytes([parts[0][50_000] ^ 1]) + parts[0][50_001:], *parts[1:]]
    other_key = BundleKey(key=bytes(16), iv=bytes(16))
    zero = Digest(value=bytes(20))
    for wrong_manifest, wrong_parts, secret in (
        (manifest, flipped, SECRET),
        (manifest, parts[:-1], SECRET),
        (manifest, parts[1:], SECRET),
        (manifest, parts, other_key),
        (replace(manifest, size=LAYOUT.size + 1), parts, SECRET),
        (replace(manifest, digest=zero), parts, SECRET),
    ):
        with pytest.raises(VerificationError, match="rebuild the root volume"):
            rebuild_root_volume(wrong_manifest, wrong_parts, secret)


def test_more_than_one_file_and_none() -> None:
    one = b"".join(pack("image", LAYOUT.size, LAYOUT.extents, [DATA]))
    two = one.rstrip(b"\0")
    two += bytes(-len(two) % 512)
    for tar, words in ((two + one, "more behind"), (bytes(10240), "got none")):
        manifest, parts = sealed([tar], CompressionLevel.FAST)
        with pytest.raises(VerificationError, match=words):
            rebuild_root_volume(manifest, parts, SECRET)
