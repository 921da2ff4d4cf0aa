"""Bundles made and opened without our code: other programs, and a manifest of plain text."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha1
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import padding as block_padding
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bundler.errors import HostError
from bundler.model.digest import Digest
from bundler.model.file_name import part_names
from tests.support.tools import Outcome, run_cli, use_tool

VECTORS = Path(__file__).parents[1] / "vectors" / "ec2-ami-tools-1.5.3"

USER_KEY = VECTORS / "user-pk.pem"
USER_CERT = VECTORS / "user-cert.pem"
EC2_KEY = VECTORS / "ec2-pk.pem"
EC2_CERT = VECTORS / "ec2-cert.pem"
"""Keys that play EC2."""

ACCOUNT = "123456789012"
SECRET_KEY = bytes(range(16))
SECRET_IV = bytes(range(16, 32))

PART_SIZE = 10 * 1024 * 1024


def bundle_arguments(image: Path, directory: Path, *more: str | Path) -> list[str | Path]:
    """The arguments of `ami-bundler image` with the keys above."""
    keys: list[str | Path] = ["--key", USER_KEY, "--cert", USER_CERT, "--ec2-cert", EC2_CERT]
    return ["image", image, "-d", directory, "--account", ACCOUNT, *keys, *more]


def bundle(image: Path, directory: Path, *more: str | Path) -> Path:
    """Bundle an image with our command line; the manifest's path."""
    directory.mkdir(exist_ok=True)
    outcome = run_cli(*bundle_arguments(image, directory, *more))
    assert outcome.code == 0, outcome.errors
    assert outcome.complaints == []
    return Path(outcome.text.removesuffix("\n"))


def unbundle(manifest: Path, output: Path, *more: str | Path) -> Outcome:
    """Unbundle with our command line, the signature checked."""
    keys: list[str | Path] = ["--key", USER_KEY, "--cert", USER_CERT]
    return run_cli("unbundle", manifest, "-o", output, *keys, *more)


@cache
def load_key(path: Path) -> RSAPrivateKey:
    key = load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, RSAPrivateKey)
    return key


@cache
def load_certificate(path: Path) -> RSAPublicKey:
    key = x509.load_pem_x509_certificate(path.read_bytes()).public_key()
    assert isinstance(key, RSAPublicKey)
    return key


@cache
def _wrapped(secret: bytes, certificate: Path) -> str:
    return load_certificate(certificate).encrypt(secret.hex().encode(), PKCS1v15()).hex()


def encrypted(data: bytes, key: bytes = SECRET_KEY, iv: bytes = SECRET_IV) -> bytes:
    """AES-128-CBC with PKCS#7 padding."""
    padder = block_padding.PKCS7(128).padder()
    encryptor = Cipher(AES128(key), CBC(iv)).encryptor()
    return encryptor.update(padder.update(data) + padder.finalize()) + encryptor.finalize()


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestText:
    """A manifest as text: what a test wants it to say, true or not."""

    name: str
    parts: tuple[tuple[str, str, str], ...]
    """Index, file name, digest of each."""
    size: str
    bundled_size: str
    digest: str
    count: str = ""
    user: str = ACCOUNT

    def render(self, *, quote: str = "'", declaration: str = "", signer: Path = USER_KEY) -> bytes:
        """The document, signed over its bytes as they stand."""

        def attribute(name: str, value: str) -> str:
            return f"{name}={quote}{value}{quote}"

        sha1_attribute = attribute("algorithm", "SHA1")
        aes_attribute = attribute("algorithm", "AES-128-CBC")
        machine = (
            "<machine_configuration><architecture>x86_64</architecture></machine_configuration>"
        )
        parts = "".join(
            f"<part {attribute('index', index)}><filename>{name}</filename>"
            f"<digest {sha1_attribute}>{digest}</digest></part>"
            for index, name, digest in self.parts
        )
        count = attribute("count", self.count or str(len(self.parts)))
        image = (
            f"<image><name>{self.name}</name><user>{self.user}</user><type>machine</type>"
            f"<digest {sha1_attribute}>{self.digest}</digest>"
            f"<size>{self.size}</size><bundled_size>{self.bundled_size}</bundled_size>"
            f"<ec2_encrypted_key {aes_attribute}>{_wrapped(SECRET_KEY, EC2_CERT)}"
            f"</ec2_encrypted_key>"
            f"<user_encrypted_key {aes_attribute}>{_wrapped(SECRET_KEY, USER_CERT)}"
            f"</user_encrypted_key>"
            f"<ec2_encrypted_iv>{_wrapped(SECRET_IV, EC2_CERT)}</ec2_encrypted_iv>"
            f"<user_encrypted_iv>{_wrapped(SECRET_IV, USER_CERT)}</user_encrypted_iv>"
            f"<parts {count}>{parts}</parts></image>"
        )
        signature = load_key(signer).sign((machine + image).encode(), PKCS1v15(), SHA1())  # noqa: S303 - the format's digest
        head = declaration or f"<?xml {attribute('version', '1.0')}?>"
        return (
            f"{head}<manifest><version>2007-10-10</version><bundler><name>by-hand</name>"
            f"<version>1</version><release>0</release></bundler>{machine}{image}"
            f"<signature>{signature.hex()}</signature></manifest>"
        ).encode()


def sha1_hex(data: bytes) -> str:
    return sha1(data, usedforsecurity=False).hexdigest()


def sha1_digest(data: bytes) -> Digest:
    return Digest(value=sha1(data, usedforsecurity=False).digest())


def split_bytes(data: bytes, part_size: int) -> list[bytes]:
    return [data[start : start + part_size] for start in range(0, len(data), part_size)]


def describe_bundle(
    name: str, parts: Sequence[bytes], *, size: int, tar_digest: str
) -> ManifestText:
    """What a truthful manifest says of these parts."""
    names = part_names(name, len(parts))
    return ManifestText(
        name=name,
        parts=tuple(
            (str(index), part_name, sha1_hex(part))
            for index, (part_name, part) in enumerate(zip(names, parts, strict=True))
        ),
        size=str(size),
        bundled_size=str(sum(map(len, parts))),
        digest=tar_digest,
    )


def store_parts(directory: Path, name: str, parts: Sequence[bytes]) -> None:
    for part_name, part in zip(part_names(name, len(parts)), parts, strict=True):
        (directory / part_name).write_bytes(part)


def store_bundle(
    directory: Path,
    name: str,
    bundled: bytes,
    *,
    size: int,
    tar_digest: str,
    part_size: int = PART_SIZE,
    quote: str = "'",
) -> Path:
    """Write the parts and the manifest of an encrypted stream; the manifest's path."""
    directory.mkdir(exist_ok=True)
    parts = split_bytes(bundled, part_size)
    store_parts(directory, name, parts)
    text = describe_bundle(name, parts, size=size, tar_digest=tar_digest)
    manifest = directory / f"{name}.manifest.xml"
    manifest.write_bytes(text.render(quote=quote))
    return manifest


@dataclass(slots=True, kw_only=True)
class MemorySink:
    """A PartSink that keeps everything; `fails_at` is the part that cannot be stored."""

    name: str = "image"
    parts: list[bytes] = field(default_factory=list)
    document: bytes = b""
    fails_at: int = -1

    def put_part(self, index: int, data: bytes, digest: Digest) -> None:
        assert index == len(self.parts)
        assert digest == sha1_digest(data)
        if index == self.fails_at:
            raise HostError("no room")
        self.parts.append(bytes(data))

    def part_names(self, count: int) -> tuple[str, ...]:
        assert count == len(self.parts)
        return part_names(self.name, count)

    def put_manifest(self, document: bytes) -> None:
        self.document = document


@dataclass(slots=True, kw_only=True)
class CountingProgress:
    """A Progress that remembers what it was told."""

    totals: list[int] = field(default_factory=list)
    done: int = 0

    @contextmanager
    def task(self, label: str, total: int, *, unit: str = "B") -> Iterator[Callable[[int], None]]:
        assert label
        self.totals.append(total)

        def advance(size: int) -> None:
            self.done += size

        yield advance


def find_one(document: bytes, pattern: str) -> str:
    """What the group in a pattern that occurs once matches."""
    (text,) = re.findall(pattern.encode(), document)
    assert isinstance(text, bytes)
    return text.decode()


def element_text(document: bytes, name: str) -> str:
    """The text of the only element of that name."""
    return find_one(document, rf"<{name}(?: [^>]*)?>([^<]*)</{name}>")


def part_paths(manifest: Path) -> list[Path]:
    """The parts that a manifest names, in its order."""
    names = re.findall(rb"<filename>([^<]*)</filename>", manifest.read_bytes())
    return [manifest.parent / name.decode() for name in names]


def unwrap_with_openssl(manifest: Path, owner: str, private_key: Path) -> tuple[str, str]:
    """Key and IV in hexadecimal, as `openssl pkeyutl` decrypts them."""
    document = manifest.read_bytes()
    key, iv = (
        use_tool(
            *("openssl", "pkeyutl", "-decrypt", "-inkey", private_key),
            data=bytes.fromhex(element_text(document, f"{owner}_encrypted_{what}")),
        ).decode()
        for what in ("key", "iv")
    )
    return key, iv


def gzip_with_openssl(manifest: Path, owner: str, private_key: Path) -> bytes:
    """The bundle's gzip stream, as `openssl` decrypts it."""
    key, iv = unwrap_with_openssl(manifest, owner, private_key)
    bundled = b"".join(path.read_bytes() for path in part_paths(manifest))
    return use_tool("openssl", "enc", "-d", "-aes-128-cbc", "-K", key, "-iv", iv, data=bundled)
