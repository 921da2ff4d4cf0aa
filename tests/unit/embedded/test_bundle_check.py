"""What the embedded EC2 refuses of a bundle, one fault at a time."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from bundler.embedded.bundle_check import check_bundle
from bundler.embedded.objects import FoundObject
from bundler.errors import AwsRefusedError, MissingError
from bundler.model.image import ImageLocation
from tests.support.bundles import EC2_KEY, USER_KEY, load_key
from tests.support.small_bundles import small_bundle

REGION = "eu-west-1"
MANIFEST = "web/a.manifest.xml"


@dataclass(slots=True, kw_only=True)
class MemoryObjects:
    """An ObjectReader of one bucket; a key in `private` cannot be read by EC2."""

    objects: dict[str, bytes]
    private: set[str] = field(default_factory=set)
    region: str = REGION

    def find(self, location: ImageLocation) -> FoundObject | None:
        data = self.objects.get(location.key) if location.bucket == "images" else None
        if data is None:
            return None
        is_readable = location.key not in self.private
        return FoundObject(region=self.region, size=len(data), is_readable=is_readable)

    def read(self, location: ImageLocation) -> bytes:
        if location.key not in self.objects:
            raise MissingError(f"{location.url} is gone")
        return self.objects[location.key]


def check(
    objects: MemoryObjects,
    *,
    path: str = f"images/{MANIFEST}",
    key: bool = True,
    checks_acl: bool = True,
) -> int:
    """The number of parts of what is accepted."""
    manifest = check_bundle(
        objects,
        path,
        region=REGION,
        private_key=load_key(EC2_KEY) if key else None,
        checks_acl=checks_acl,
    )
    return len(manifest.parts)


def bundle() -> MemoryObjects:
    return MemoryObjects(objects=small_bundle("a", 3, folder="web/"))


def changed(pattern: str, replacement: str) -> Callable[[], MemoryObjects]:
    """A bundle whose manifest is another in one place."""

    def make() -> MemoryObjects:
        objects = bundle()
        text, count = re.subn(pattern, replacement, objects.objects[MANIFEST].decode(), count=1)
        assert count == 1
        objects.objects[MANIFEST] = text.encode()
        return objects

    return make


def without(key: str) -> Callable[[], MemoryObjects]:
    def make() -> MemoryObjects:
        objects = bundle()
        del objects.objects[key]
        return objects

    return make


def private(key: str) -> Callable[[], MemoryObjects]:
    return lambda: MemoryObjects(objects=bundle().objects, private={key})


def resized() -> MemoryObjects:
    objects = bundle()
    objects.objects["web/a.part.1"] += b"."
    return objects


REFUSED: dict[str, tuple[Callable[[], MemoryObjects], str]] = {
    "no manifest": (without(MANIFEST), r"HTTP 404 .*images/web/a\.manifest\.xml"),
    "no part": (without("web/a.part.2"), r"HTTP 404 .*images/web/a\.part\.2"),
    "a part of another size": (resized, r"31 bytes and not 30"),
    "another region": (
        lambda: MemoryObjects(objects=bundle().objects, region="us-east-1"),
        r"HTTP 301 .*region",
    ),
    "a private manifest": (private(MANIFEST), r"HTTP 403 .*a\.manifest\.xml: check your S3 ACLs"),
    "a private part": (private("web/a.part.1"), r"HTTP 403 .*a\.part\.1"),
    "not XML": (changed(r"(?s).*", "<html>"), r"XML"),
    "no declaration": (changed(r"<\?xml[^>]*>", ""), r"no XML declaration"),
    "type after digest": (
        changed(r"(<type>machine</type>)(<digest[^>]*>[0-9a-f]*</digest>)(?=<size>)", r"\2\1"),
        r"element image: expected name, user, type, digest",
    ),
    "product codes before the kernel": (
        changed(
            r"</architecture>",
            "</architecture><product_codes><product_code>1</product_code></product_codes>"
            "<kernel_id>aki-1</kernel_id>",
        ),
        r"expected architecture, kernel_id, product_codes",
    ),
    "no user key": (
        changed(r"<user_encrypted_key.*?</user_encrypted_key>", ""),
        r"element image: expected .*user_encrypted_key",
    ),
    "an element of nobody's": (changed(r"<type>", "<x/><type>"), r"element image: expected"),
    "digest before the file name": (
        changed(r"(<filename>[^<]*</filename>)(<digest[^>]*>[^<]*</digest>)", r"\2\1"),
        r"element part: expected filename, digest",
    ),
    "no signature": (changed(r"<signature>.*</signature>", ""), r"element manifest: expected"),
    "an empty signature": (changed(r"<signature>[0-9a-f]*", "<signature>"), "signature is empty"),
    "an account with hyphens": (changed(r"123456789012", "1234-5678-9012"), "hyphens"),
    "a key for somebody else": (
        changed(
            r"(<ec2_encrypted_key[^>]*>)[0-9a-f]*(<.*<user_encrypted_key[^>]*>)([0-9a-f]*)",
            r"\1\3\2\3",
        ),
        r"ec2_encrypted_key: .*wrong private key",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    make, pattern = REFUSED[name]
    with pytest.raises(AwsRefusedError, match=pattern) as caught:
        check(make())
    assert caught.value.code == "InvalidManifest"


@pytest.mark.parametrize(
    "path", ["images", "images/", "s3://images/web/a.manifest.xml", "/x", "?/x"]
)
def test_a_path_that_is_none(path: str) -> None:
    with pytest.raises(AwsRefusedError) as caught:
        check(bundle(), path=path)
    assert caught.value.code == "InvalidManifest"


def test_what_is_accepted() -> None:
    assert check(bundle()) == 3
    assert check(private("web/a.part.1")(), checks_acl=False) == 3
    # Without its key EC2 does not know for whom the bundle is.
    assert check(REFUSED["a key for somebody else"][0](), key=False) == 3


def test_the_vectors_key_is_not_the_users() -> None:
    assert load_key(EC2_KEY).public_key() != load_key(USER_KEY).public_key()
