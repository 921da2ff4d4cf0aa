"""The competitors of the benchmark: the standard tools' pipelines and ami-bundler's commands.

Each runs in an empty directory of its own and leaves its output there; `check` decodes that
output, with the standard tools where they are installed, and returns the SHA-256 of the image.
"""

import hashlib
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from benchmark.daemon import cpu_seconds
from benchmark.moto import Moto
from benchmark.process import BenchError, find_tool, need_tool, run

NAME = "bench"
"""Bundle name of what ami-bundler makes."""
PART_SIZE = 10 * 1024 * 1024
"""Bytes per part, as AMI Tools make them."""
OURS = (sys.executable, "-P", "-m", "bundler")
"""ami-bundler as it is installed, whatever the working directory holds."""
LEVELS = ("fast", "balanced", "small")
COMPRESSORS = ("gzip-9", "gzip-6", "pigz-9", "pigz-6")
DECOMPRESSORS = ("gzip-d", "pigz-d")

_KEY, _IV = "0123456789abcdef" * 2, "fedcba9876543210" * 2
"""AES key and IV of the standard tools' bundles, in hex; test values, not secrets."""

_BUNDLE = """set -e -o pipefail
mkfifo digest.fifo
openssl dgst -sha1 < digest.fifo > digest &
tar -c -S -h --owner 0 --group 0 -C "$1" "$2" | tee digest.fifo | "$3" "$4" |
    openssl enc -e -aes-128-cbc -K "$5" -iv "$6" | split -a 4 -d -b "$7" - "$2.part."
wait $!
"""
_UNBUNDLE = """set -e -o pipefail
decompressor=$1 key=$2 iv=$3; shift 3
cat "$@" | openssl enc -d -aes-128-cbc -K "$key" -iv "$iv" | "$decompressor" -d | tar -x -S
"""


class Task(StrEnum):
    """What is compared."""

    BUNDLE = "bundle"
    UNBUNDLE = "unbundle"
    PUBLISH = "publish"
    UPLOAD = "upload"
    DOWNLOAD = "download"


@dataclass(frozen=True, slots=True, kw_only=True)
class Competitor:
    """One command line that does a task."""

    name: str
    task: Task
    argv: tuple[str, ...]
    check: Callable[[Path], str]
    """From the directory with the output to the hex SHA-256 of the image in it; of the
    bundle, for one that moves it."""
    prepare: Callable[[], None] = lambda: None
    """What must happen before each run, not timed."""
    env: Mapping[str, str] = field(default_factory=dict)
    tools: tuple[str, ...] = ()
    """Programs that it needs."""
    server_cpu: Callable[[], float] = lambda: 0.0
    """CPU seconds that the server of its own has used so far."""

    @property
    def is_ours(self) -> bool:
        """Whether it is ami-bundler."""
        return self.argv[0] == sys.executable

    def missing(self) -> str:
        """Why it cannot run here; empty if it can."""
        absent = [tool for tool in self.tools if find_tool(tool) is None]
        return f"not installed: {', '.join(absent)}" if absent else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Paths of throw-away keys: the user's, and certificates of the user and of "EC2"."""

    private: Path
    cert: Path
    ec2_cert: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceBundle:
    """A bundle for the unbundlers to read."""

    directory: Path
    key: str
    iv: str
    """AES key and IV in hex."""


def make_keys(directory: Path, *, with_ours: bool) -> Keys:
    """Make the keys, with ami-bundler or else with openssl, or find those made before.

    Raises:
        BenchError: openssl is missing, or the program failed.
    """
    keys = Keys(
        private=directory / "user-key.pem",
        cert=directory / "user-cert.pem",
        ec2_cert=directory / "ec2-cert.pem",
    )
    for key, cert in ((directory / "ec2-key.pem", keys.ec2_cert), (keys.private, keys.cert)):
        if key.exists() and cert.exists():
            continue
        if with_ours:
            run((*OURS, "keygen", "--key", str(key), "--cert", str(cert), "--force"))
        else:
            argv = [need_tool("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes"]
            argv += ["-days", "3650", "-subj", "/CN=bench"]
            run((*argv, "-keyout", str(key), "-out", str(cert)))
    return keys


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# Bundle


def standard_bundler(image: Path, compressor: str) -> Competitor:
    """tar, gzip or pigz at a level ("gzip-9"), openssl and split in a pipeline."""
    program, level = compressor.split("-")
    arguments = (str(image.parent), image.name, program, f"-{level}", _KEY, _IV, str(PART_SIZE))
    return Competitor(
        name=compressor,
        task=Task.BUNDLE,
        argv=("bash", "-c", _BUNDLE, "bench", *arguments),
        check=lambda directory: _decode(directory, _KEY, _IV),
        tools=("bash", "tar", "openssl", "split", "tee", "mkfifo", program),
    )


def our_bundler(image: Path, keys: Keys, level: str) -> Competitor:
    """`ami-bundler image` at a level."""
    return Competitor(
        name=f"ours-{level}",
        task=Task.BUNDLE,
        argv=(
            *(*OURS, "image", str(image), "-d", ".", "--name", NAME),
            *_bundle_options(keys, level),
        ),
        check=lambda directory: _decode_ours(directory, keys),
    )


def our_publisher(image: Path, keys: Keys, level: str, moto: Moto) -> Competitor:
    """`ami-bundler publish` at a level, to an emptied moto server."""
    location = f"s3://{moto.bucket}/p"
    return Competitor(
        name=f"publish-{level}",
        task=Task.PUBLISH,
        argv=(
            *(*OURS, "publish", str(image), location, "--name", NAME),
            *("--bundle-name", NAME, "--endpoint-url", moto.url, "--region", "us-east-1"),
            *_bundle_options(keys, level),
        ),
        check=lambda directory: _decode_published(directory, keys, moto),
        prepare=moto.reset,
        env=moto.client_environment(),
        server_cpu=lambda: cpu_seconds((moto.pid,)),
    )


def _bundle_options(keys: Keys, level: str) -> tuple[str, ...]:
    return (
        *("--key", str(keys.private), "--cert", str(keys.cert), "--ec2-cert", str(keys.ec2_cert)),
        *("--account", "123456789012", "--arch", "x86_64", "--level", level, "--quiet"),
    )


# Unbundle


def make_source_bundle(bundler: Competitor, directory: Path, keys: Keys) -> SourceBundle:
    """Bundle into `directory`, for the unbundlers to read."""
    run(bundler.argv, cwd=directory)
    key, iv = (_KEY, _IV)
    if bundler.is_ours and find_tool("openssl"):
        key, iv = _unwrap(directory, keys)
    return SourceBundle(directory=directory, key=key, iv=iv)


def standard_unbundler(bundle: SourceBundle, decompressor: str) -> Competitor:
    """The cat, openssl, gzip or pigz ("gzip-d") and tar pipeline."""
    program = decompressor.removesuffix("-d")
    arguments = (program, bundle.key, bundle.iv, *_parts(bundle.directory))
    return Competitor(
        name=decompressor,
        task=Task.UNBUNDLE,
        argv=("bash", "-c", _UNBUNDLE, "bench", *arguments),
        check=_sha256_of_only_file,
        tools=("bash", "cat", "openssl", "tar", program),
    )


def our_unbundler(bundle: SourceBundle, keys: Keys) -> Competitor:
    """`ami-bundler unbundle`, all checks included."""
    manifest = bundle.directory / f"{NAME}.manifest.xml"
    options = ("-k", str(keys.private), "--cert", str(keys.cert), "-o", "unbundled.img", "--quiet")
    return Competitor(
        name="ours-unbundle",
        task=Task.UNBUNDLE,
        argv=(*OURS, "unbundle", str(manifest), *options),
        check=_sha256_of_only_file,
    )


# Checks


def _parts(directory: Path) -> list[str]:
    return sorted(str(path) for path in directory.glob("*.part.*"))


def _decode(directory: Path, key: str, iv: str) -> str:
    """Unbundle the parts in `directory` with the standard tools."""
    decoded = directory / "decoded"
    decoded.mkdir()
    try:
        argv = ("bash", "-c", _UNBUNDLE, "bench", "gzip", key, iv, *_parts(directory))
        run(argv, cwd=decoded)
        return _sha256_of_only_file(decoded)
    finally:
        shutil.rmtree(decoded)


def _decode_ours(directory: Path, keys: Keys) -> str:
    """Unbundle with the standard tools; without openssl, with ami-bundler."""
    if find_tool("openssl") is None:
        image = directory / "decoded.img"
        manifest = directory / f"{NAME}.manifest.xml"
        run((*OURS, "unbundle", str(manifest), "-k", str(keys.private), "-o", str(image)))
        return sha256_of(image)
    return _decode(directory, *_unwrap(directory, keys))


def _decode_published(directory: Path, keys: Keys, moto: Moto) -> str:
    moto.fetch_all(directory)
    return _decode_ours(directory, keys)


def _unwrap(directory: Path, keys: Keys) -> tuple[str, str]:
    """The AES key and IV, in hex, of a bundle of ours."""
    manifest = (directory / f"{NAME}.manifest.xml").read_bytes()
    wrapped = directory / "wrapped"
    secrets = []
    for element in (b"user_encrypted_key", b"user_encrypted_iv"):
        found = re.search(rb"<%b\b[^>]*>([0-9a-f]+)<" % element, manifest)
        if found is None:
            raise BenchError(f"{directory}: no {element.decode()} in the manifest")
        wrapped.write_bytes(bytes.fromhex(found[1].decode()))
        argv = ("openssl", "pkeyutl", "-decrypt", "-inkey", str(keys.private), "-in", str(wrapped))
        secrets.append(run(argv).decode("ascii"))
    wrapped.unlink()
    key, iv = secrets
    return key, iv


def _sha256_of_only_file(directory: Path) -> str:
    (image,) = directory.iterdir()
    return sha256_of(image)
