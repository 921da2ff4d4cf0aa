"""What S3 tells of an object without sending it."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """One object (HeadObject, or an entry of ListObjectsV2)."""

    name: str
    """Below the store's prefix."""
    size: int
    """Bytes."""
    etag: str = ""
    """Without quotes."""
    sha1: bytes = b""
    """SHA-1 of the whole object, 20 bytes, which S3 checked or computed itself; empty when it
    knows none.  A listing never tells it."""
    storage_class: str = "STANDARD"
    is_kms_encrypted: bool = False
    """Then the ETag says nothing of the content."""

    @property
    def md5(self) -> str:
        """MD5 of the content in hexadecimal, by the ETag; empty when the ETag is none."""
        is_md5 = re.fullmatch(r"[0-9a-f]{32}", self.etag) and not self.is_kms_encrypted
        return self.etag if is_md5 else ""

    def is_copy_of(self, source: "StoredObject", *, sha1: bytes) -> bool:
        """Whether nothing but a copy of `source`, an object with that SHA-1, can be here.

        Sizes must agree, and what both tell of their MD5; then this object's SHA-1 decides, or
        the MD5 where this one has no SHA-1.
        """
        if self.size != source.size:
            return False
        if self.md5 and source.md5 and self.md5 != source.md5:
            return False
        return self.sha1 == sha1 if self.sha1 else bool(self.md5 and source.md5)
