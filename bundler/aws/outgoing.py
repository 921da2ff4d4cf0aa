"""An object on its way to S3, and what proves that S3 has it."""

from dataclasses import dataclass
from hashlib import md5
from typing import BinaryIO

from bundler.errors import ExistsError
from bundler.model.bundle import MIB
from bundler.model.image import ImageLocation
from bundler.model.stored import StoredObject


def in_the_way(subject: str) -> ExistsError:
    """The error for another object under a name that should have been free."""
    return ExistsError(
        f"{subject}: somebody else has put it there meanwhile, or it is another bundle's; verify "
        "what is there; --force replaces it"
    )


@dataclass(slots=True, kw_only=True)
class Outgoing:
    """One object to send."""

    location: ImageLocation
    body: BinaryIO
    size: int
    sha1: bytes
    only_new: bool
    is_damaged: bool = False
    """Whether a server that does not check has stored it as it did not leave us."""
    _md5: str = ""

    def agrees(self, stored: StoredObject, *, trusted: bool) -> bool:
        """Whether nothing that S3 says of the object speaks against its having this content.

        Servers that are not `trusted` were seen to store damaged bytes and to repeat the SHA-1
        that was sent; the ETag, the MD5 of what they store, tells.  To compute it costs more
        than the SHA-1.
        """
        if stored.sha1 and stored.sha1 != self.sha1:
            return False
        needs_md5 = stored.md5 and not (trusted and stored.sha1)
        return not needs_md5 or stored.md5 == self._content_md5()

    def is_proven_by(self, stored: StoredObject, *, trusted: bool) -> bool:
        """Whether what S3 says of an object proves that it has this content."""
        return bool(stored.sha1 or stored.md5) and self.agrees(stored, trusted=trusted)

    def _content_md5(self) -> str:
        if not self._md5:
            digest = md5(usedforsecurity=False)
            self.body.seek(0)
            while chunk := self.body.read(MIB):
                digest.update(chunk)
            self._md5 = digest.hexdigest()
        return self._md5
