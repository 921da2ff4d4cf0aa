"""What S3 tells of an object, and when that proves a copy."""

import pytest

from bundler.model.stored import StoredObject

SHA1, OTHER_SHA1 = b"1" * 20, b"2" * 20
MD5, OTHER_MD5 = "a" * 32, "b" * 32


def stored(size: int = 5, etag: str = "", sha1: bytes = b"", *, kms: bool = False) -> StoredObject:
    return StoredObject(name="part", size=size, etag=etag, sha1=sha1, is_kms_encrypted=kms)


COPIES = {
    "SHA-1": (stored(sha1=SHA1), stored(), True),
    "SHA-1 and no common MD5": (stored(etag=MD5, sha1=SHA1), stored(etag=f"{MD5}-2"), True),
    "MD5": (stored(etag=MD5), stored(etag=MD5), True),
    "MD5, and the source's SHA-1": (stored(etag=MD5), stored(etag=MD5, sha1=SHA1), True),
    "another SHA-1": (stored(sha1=OTHER_SHA1), stored(), False),
    "another SHA-1, the same MD5": (stored(etag=MD5, sha1=OTHER_SHA1), stored(etag=MD5), False),
    "the SHA-1, another MD5": (stored(etag=MD5, sha1=SHA1), stored(etag=OTHER_MD5), False),
    "another MD5": (stored(etag=MD5), stored(etag=OTHER_MD5), False),
    "nothing to compare": (stored(), stored(), False),
    "in pieces": (stored(etag=f"{MD5}-2"), stored(etag=f"{MD5}-2"), False),
    "encrypted": (stored(etag=MD5, kms=True), stored(etag=MD5), False),
    "another size": (stored(size=4, etag=MD5, sha1=SHA1), stored(etag=MD5), False),
}


@pytest.mark.parametrize(("there", "source", "expected"), COPIES.values(), ids=COPIES.keys())
def test_what_proves_a_copy(there: StoredObject, source: StoredObject, *, expected: bool) -> None:
    assert there.is_copy_of(source, sha1=SHA1) is expected
