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
