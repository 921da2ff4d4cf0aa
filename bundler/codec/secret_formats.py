"""Files that are secrets as a whole: key stores, key rings, and keys in DER."""

from bundler.codec.der import (
    INTEGER,
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    SEQUENCE,
    read_element,
    read_members,
)

MAX_DER_SIZE = 64 * 1024
"""Most bytes of a private key in DER; our choice."""

_JKS = b"\xfe\xed\xfe\xed"
_JCEKS = b"\xce\xce\xce\xce"
_MAX_ENTRY_COUNT = 10_000
_CERTIFICATE_ENTRY = 2
_PUBLIC_ALGORITHMS = frozenset((1, 2, 3, 16, 17, 18, 19, 20, 22, 25, 26, 27, 28))
"""Of OpenPGP.  Source: RFC 9580, section 9.1."""

_SECRET_KEY_TAGS = (5, 7)
_PBES = (bytes.fromhex("2a864886f70d0105"), bytes.fromhex("2a864886f70d010c01"))
"""PKCS#5 and PKCS#12: how a private key is encrypted with a password."""

_PKCS7_DATA = bytes.fromhex("2a864886f70d0107")


def describe_secret_format(data: bytes) -> str:
    """What kind of secret the bytes of a whole file are; empty: none that is known."""
    if data[:4] in (_JKS, _JCEKS):
        return "key store of Java with a private key" if _has_private_entry(data) else ""
    if len(data) <= MAX_DER_SIZE and data[:1] == b"\x30" and is_private_der(data):
        return "private key (DER)"
    if is_openpgp_secret(data):
        return "secret key ring of OpenPGP"
    return ""


def is_pkcs12(head: bytes) -> bool:
    """Whether a file that begins so is a PKCS#12 store, of keys or of certificates alone."""
    outer = read_element(head, 0)
    if outer is None or outer[0] != SEQUENCE:
        return False
    version = read_element(head, outer[1])
    if version is None or head[outer[1] : version[2]] != b"\x02\x01\x03":
        return False
    return _PKCS7_DATA in head[version[2] : version[2] + 32]


def is_private_der(data: bytes) -> bool:
    """Whether the bytes are PKCS#8 (encrypted, too), PKCS#1, or an EC or DSA key as OpenSSL's."""
    members = read_members(data, limit=9)
    if members is None or len(members) < 2:
        return False
    tags = [tag for tag, _ in members]
    first = members[0][1]
    if tags[0] == INTEGER and first in (b"\0", b"\1"):
        if tags[1:3] == [SEQUENCE, OCTET_STRING]:
            return members[1][1][:1] == bytes((OBJECT_IDENTIFIER,))
        if first == b"\1" and tags[1] == OCTET_STRING:  # RFC 5915
            return len(members[1][1]) >= 20
        return len(tags) in (6, 9) and set(tags) == {INTEGER}
    if tags == [SEQUENCE, OCTET_STRING]:
        algorithm = read_element(first, 0)
        return (
            algorithm is not None
            and algorithm[0] == OBJECT_IDENTIFIER
            and first[algorithm[1] : algorithm[2]].startswith(_PBES)
        )
    return False


def is_openpgp_secret(data: bytes) -> bool:
    """Whether the bytes begin with a secret key or secret subkey.  Source: RFC 9580, 4 and 5.5."""
    if len(data) < 12 or not data[0] & 0x80:
        return False
    if data[0] & 0x40:
        tag = data[0] & 0x3F
        size = 1 if data[1] < 192 else 2 if data[1] < 224 else 5
        length = int.from_bytes(data[1 : 1 + size], "big")
        length -= {1: 0, 2: 0xC000 - 192, 5: 0xFF << 32}[size]
    else:
        tag = (data[0] >> 2) & 0x0F
        size = (1, 2, 4, 0)[data[0] & 3]
        length = int.from_bytes(data[1 : 1 + size], "big")
    end = 1 + size + length
    body = data[1 + size : 1 + size + 8]
    if tag not in _SECRET_KEY_TAGS or len(body) < 8 or not 8 < length <= len(data) - 1 - size:
        return False
    if end < len(data) and not data[end] & 0x80:  # no packet follows
        return False
    version = body[0]
    if version in (4, 5, 6):
        return body[5] in _PUBLIC_ALGORITHMS
    return version in (2, 3) and body[7] in _PUBLIC_ALGORITHMS


def _has_private_entry(data: bytes) -> bool:
    """Whether a JKS or JCEKS store has any entry that is no certificate.

    Source: OpenJDK, sun.security.provider.JavaKeyStore, engineStore().
    """
    version = int.from_bytes(data[4:8], "big")
    count = int.from_bytes(data[8:12], "big")
    offset = 12
    for _ in range(min(count, _MAX_ENTRY_COUNT)):
        tag = int.from_bytes(data[offset : offset + 4], "big")
        if offset + 4 > len(data):
            return False
        if tag != _CERTIFICATE_ENTRY:
            return tag in (1, 3)
        offset += 4
        offset += 2 + int.from_bytes(data[offset : offset + 2], "big") + 8  # alias, date
        if version == 2:
            offset += 2 + int.from_bytes(data[offset : offset + 2], "big")
        offset += 4 + int.from_bytes(data[offset : offset + 4], "big")
    return False
