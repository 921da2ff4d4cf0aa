"""What in a file's text is a secret: private keys and credentials, by what they are.

A key counts if it is whole: a header at the start of a line, base64 that is a key, and an end.
Programs, libraries and manuals that have but the words, or an example with its middle left
out, are none.  Binary formats are in codec/secret_formats.py.
"""

import binascii
import re
from dataclasses import dataclass

from bundler.codec.der import is_whole_sequence
from bundler.codec.secret_formats import is_openpgp_secret

MAX_BLOCK_SIZE = 64 * 1024
"""Most bytes of one private key as text; our choice: RSA with 16384 bits has 13 KiB."""

MAX_BLOCK_COUNT = 100
"""Most beginnings of a key that are looked at in one file; our choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """What a file is taken for."""

    reason: str
    is_certain: bool = True
    """Else it is suspicious: copied, and told."""


_BEGIN = re.compile(
    rb"^[ \t>|]*-{4,5} ?BEGIN (?P<kind>[A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?) ?-{4,5}", re.MULTILINE
)
_ESCAPED_KEY = re.compile(
    rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----(?:\\r)?\\n(?P<body>[A-Za-z0-9+/=\\nr]{64,20000})"
    rb"-----END"
)
_HEADER = re.compile(rb"[A-Za-z][A-Za-z0-9-]*: ")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """An expression, looked for where one of the words is, which is fast to find out."""

    reason: str
    words: tuple[bytes, ...]
    expression: "re.Pattern[bytes]"


def _rule(reason: str, words: tuple[bytes, ...], expression: bytes) -> _Rule:
    flags = re.MULTILINE | re.DOTALL
    return _Rule(reason=reason, words=words, expression=re.compile(expression, flags))


_RULES = (
    _rule(
        "private key of PuTTY",
        (b"PuTTY-User-Key-File-",),
        rb"\APuTTY-User-Key-File-[123]: .*^Private-Lines: \d",
    ),
    _rule(
        "private key of age",
        (b"AGE-SECRET-KEY-",),
        rb"^[ \t]*AGE-SECRET-KEY-(?:PQ-)?1[AC-HJ-NP-Z02-9]{58}",
    ),
    _rule(
        "private key of DNSSEC",
        (b"Private-key-format:",),
        rb"^Private-key-format: v1\..*^(?:PrivateKey|PrivateExponent): [\w+/=]{40}",
    ),
    _rule(
        "private key of WireGuard",
        (b"PrivateKey",),
        rb"^[ \t]*PrivateKey[ \t]*=[ \t]*(?P<value>[A-Za-z0-9+/]{43}=)[ \t\r]*$",
    ),
    _rule(
        "kubeconfig with a private key",
        (b"client-key-data",),
        rb"client-key-data[\"']?:\s{0,8}[\"']?(?P<value>LS0tLS1CRUdJTi[A-Za-z0-9+/=]{60})",
    ),
    _rule(
        "private key of GnuPG",
        (b"private-key",),
        rb"\A(?:Created: [^\n]*\n|Key: ?)*\((?:\d\d:)?(?:protected-|shadowed-)?private-key",
    ),
    _rule(
        "AWS secret access key",
        (b"ecret", b"ECRET"),
        rb"(?i:aws_?secret_?(?:access_?)?key|secretaccesskey)[\"']?\s{0,8}[=:]\s{0,8}[\"']?"
        rb"(?P<value>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])",
    ),
    _rule(
        "token of GitHub",
        (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"github_pat_"),
        rb"(?<![A-Za-z0-9_])(?P<value>gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{82})"
        rb"(?![A-Za-z0-9_])",
    ),
    _rule("token of GitLab", (b"glpat-",), rb"(?<![\w-])(?P<value>glpat-[\w-]{20,})"),
    _rule(
        "token of Slack",
        (b"xox",),
        rb"(?<![\w-])(?P<value>xox[abeprs]-\d{6,}-[A-Za-z0-9-]{16,})",
    ),
    _rule(
        "token of npm",
        (b":_authToken",),
        rb"^//[^\s=]+:_authToken[ \t]*=[ \t]*\"?(?P<value>[A-Za-z0-9_.-]{20,})",
    ),
)
_ACCESS_KEY_ID = re.compile(rb"(?<![A-Za-z0-9])A[KS]IA[A-Z2-7]{16}(?![A-Za-z0-9])")
_LEAST_LETTERS = 10


def find_secret_text(text: bytes) -> Secret | None:
    """What secret there is in a file that is text."""
    if b"PRIVATE KEY" in text:
        block = _find_block(text)
        if block is not None:
            return block
    for rule in _RULES:
        if any(word in text for word in rule.words) and _is_found(rule.expression, text):
            return Secret(reason=rule.reason)
    if (b"AKIA" in text or b"ASIA" in text) and _is_found(_ACCESS_KEY_ID, text):
        return Secret(reason="AWS access key id", is_certain=False)
    return None


def _is_found(expression: "re.Pattern[bytes]", text: bytes) -> bool:
    """Whether it is there with a value that is no placeholder or AWS's documented example."""
    for found in expression.finditer(text):
        value = found.groupdict().get("value") or found.group()
        if b"EXAMPLE" not in value.upper() and len(set(value)) >= _LEAST_LETTERS:
            return True
    return False


def _find_block(text: bytes) -> Secret | None:
    for index, found in enumerate(_BEGIN.finditer(text)):
        if index >= MAX_BLOCK_COUNT:
            return Secret(reason="very many private keys, or their beginnings", is_certain=False)
        kind = found["kind"]
        rest = text[found.end() : found.end() + MAX_BLOCK_SIZE]
        end = re.search(rb"-{4,5} ?END " + re.escape(kind) + rb" ?-{4,5}", rest)
        if end is not None and _is_key(kind, rest[: end.start()]):
            return Secret(reason=f"private key ({kind.decode()})")
    for found in _ESCAPED_KEY.finditer(text):
        body = found["body"].replace(rb"\n", b"\n").replace(rb"\r", b"")
        if _is_key(b"PRIVATE KEY", body):
            return Secret(reason="private key (in quotes)")
    return None


def _is_key(kind: bytes, body: bytes) -> bool:
    """Whether the lines between header and end are what a private key of that kind has."""
    lines = [line.strip(b" \t\r>|") for line in body.split(b"\n")]
    is_encrypted = b"ENCRYPTED" in body or b"ENCRYPTED" in kind or kind.startswith(b"SSH2")
    words = list[bytes]()
    is_continued = False
    for line in lines:
        is_header = is_continued or _HEADER.match(line) is not None
        is_continued = is_header and line.endswith(b"\\")
        if line and not is_header and not line.startswith(b"="):  # OpenPGP's checksum
            words.append(line)
    try:
        data = binascii.a2b_base64(b"".join(words), strict_mode=True)
    except binascii.Error:
        return False
    if kind.endswith(b"BLOCK"):
        return is_openpgp_secret(data)
    if kind.startswith(b"OPENSSH"):
        return data.startswith(b"openssh-key-v1\0")
    if kind.startswith(b"SSH2"):
        return data.startswith(b"\x3f\x6f\xf9\xeb")  # the format's magic number
    if is_encrypted and not kind.startswith(b"ENCRYPTED"):
        return len(data) >= 48 and len(data) % 8 == 0  # whole blocks of the cipher
    return len(data) >= 32 and is_whole_sequence(data)
