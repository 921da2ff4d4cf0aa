"""Thirty kinds of secrets and as many files that look like them; all keys are made here."""

import base64
import struct
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs12,
)

_RSA = rsa.generate_private_key(65537, 1024)  # noqa: S505  small keys are quickly made
_EC = ec.generate_private_key(ec.SECP256R1())
_DSA = dsa.generate_private_key(1024)  # noqa: S505
_ED = ed25519.Ed25519PrivateKey.generate()
_PASSWORD = BestAvailableEncryption(b"password")
_WORD = "0123456789abcdefghijklmnopqrstuvwxyzABCD"  # no token, but as long as one
_NOTHING = NoEncryption()
PEM, DER = Encoding.PEM, Encoding.DER
PKCS8, OLD = PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL
_KEY = _RSA.private_bytes(PEM, PKCS8, _NOTHING)


def _pem(words: str, body: bytes) -> bytes:
    text = base64.encodebytes(body).decode()
    return f"-----BEGIN {words}-----\n{text}-----END {words}-----\n".encode()


_CERTIFICATE = _pem("CERTIFICATE", bytes(600))
_PUBLIC = _RSA.public_key().public_bytes(PEM, PublicFormat.SubjectPublicKeyInfo)


def _java_store(tag: int) -> bytes:
    """A JKS key store of one entry: 1 a private key, 2 a trusted certificate."""
    name = b"alias"
    head = struct.pack(">IIII", 0xFEEDFEED, 2, 1, tag) + struct.pack(">H", len(name)) + name
    body = struct.pack(">Q", 0)
    if tag == 2:
        body += struct.pack(">H", 5) + b"X.509"
    return head + body + struct.pack(">I", 100) + bytes(100) + bytes(20)


def _openpgp(tag: int) -> bytes:
    """An OpenPGP packet of an old format: 5 a secret key, 6 a public one."""
    body = (
        b"\x04" + struct.pack(">I", 1_500_000_000) + b"\x01" + struct.pack(">H", 1024) + bytes(130)
    )
    return bytes((0x80 | tag << 2 | 1,)) + struct.pack(">H", len(body)) + body


def _armored(words: str) -> bytes:
    body = base64.encodebytes(_openpgp(5)).decode()
    return f"-----BEGIN {words}-----\n\n{body}=abcd\n-----END {words}-----\n".encode()


SECRETS: dict[str, bytes] = {
    "etc/ssl/private/server.key": _KEY,
    "etc/ssl/odd.name": _RSA.private_bytes(PEM, OLD, _NOTHING),
    "etc/ssl/ec": _EC.private_bytes(PEM, OLD, _NOTHING),
    "etc/ssl/dsa": _DSA.private_bytes(PEM, OLD, _NOTHING),
    "etc/ssl/locked": _RSA.private_bytes(PEM, PKCS8, _PASSWORD),
    "etc/ssl/old-locked": _RSA.private_bytes(PEM, OLD, _PASSWORD),
    "etc/haproxy/site.pem": _CERTIFICATE + _KEY + _CERTIFICATE,
    "etc/ssl/windows.txt": _KEY.replace(b"\n", b"\r\n"),
    "srv/key.der": _RSA.private_bytes(DER, PKCS8, _NOTHING),
    "srv/key.bin": _RSA.private_bytes(DER, OLD, _NOTHING),
    "root/.ssh/id_ed25519": _ED.private_bytes(PEM, PrivateFormat.OpenSSH, _NOTHING),
    "root/.ssh/work": _RSA.private_bytes(PEM, PrivateFormat.OpenSSH, _NOTHING),
    "root/.ssh/authorized_keys": b"ssh-ed25519 AAAA me\n",
    "etc/ssh/ssh_host_rsa_key.pub": b"ssh-rsa AAAA host\n",
    "root/.putty/key.ppk": b"PuTTY-User-Key-File-3: ssh-rsa\nPrivate-Lines: 1\nAA\n",
    "srv/keystore": _java_store(1),
    "root/.gnupg/secring.gpg": _openpgp(5),
    "root/exported.asc": _armored("PGP PRIVATE KEY BLOCK"),
    "root/.bash_history": b"mysql -psecret\n",
    "home/user/.python_history": b"password = 1\n",
    "root/.aws/credentials": b"[default]\naws_access_key_id = x\n",
    "srv/app/settings.ini": f"aws_secret_access_key = {_WORD}\n".encode(),
    "root/.netrc": b"machine example.com login me password secret\n",
    "root/.docker/config.json": b'{"auths": {}}\n',
    "root/.git-credentials": b"https://me:secret@example.com\n",
    "home/user/.npmrc": f"//registry.example.com/:_authToken={_WORD}\n".encode(),
    "etc/wireguard/wg0.conf": b"[Interface]\nPrivateKey = "
    + base64.b64encode(_ED.private_bytes_raw())
    + b"\n",
    "var/lib/cloud/instances/i-1/user-data.txt": b"#cloud-config\npassword: secret\n",
    "etc/ssl/.server.key.swp": b"b0VIM",
    "var/lib/systemd/random-seed": bytes(range(256)) * 2,
    "home/user/notes~": b"old notes\n",
    "root/.kube/config": b"apiVersion: v1\n",
}
"""What must not be in an image."""

LOOK_ALIKES: dict[str, bytes] = {
    "etc/ssl/certs/ca-certificates.crt": _CERTIFICATE * 20,
    "etc/ssl/certs/one.pem": _CERTIFICATE,
    "etc/ssl/public.key": _PUBLIC,
    "etc/ssl/dhparam.pem": _pem("DH PARAMETERS", bytes(70)),
    "etc/ssl/request.csr": _CERTIFICATE.replace(b"CERTIFICATE", b"CERTIFICATE REQUEST"),
    "usr/share/keyrings/archive.gpg": _openpgp(6),
    "etc/apt/trusted.gpg.d/vendor.gpg": _openpgp(6),
    "etc/apt/trusted.gpg.d/vendor.asc": _armored("PGP PUBLIC KEY BLOCK").replace(
        base64.encodebytes(_openpgp(5)), base64.encodebytes(_openpgp(6))
    ),
    "etc/ssl/certs/java/cacerts": _java_store(2),
    "srv/certificates.p12": pkcs12.serialize_key_and_certificates(
        b"name", _RSA, None, None, BestAvailableEncryption(b"password")
    ),
    "root/.ssh/id_ed25519.pub": b"ssh-ed25519 AAAA me\n",
    "root/.ssh/known_hosts": b"example.com ssh-ed25519 AAAA\n",
    "root/.ssh/config": b"Host *\n  IdentityFile ~/.ssh/id_rsa\n",
    "etc/ssh/sshd_config": b"HostKey /etc/ssh/ssh_host_rsa_key\n",
    "etc/ssh/moduli": b"20200101000000 2 6 100 2047 5 FFFF\n",
    "usr/lib/libcrypto.so": b"\x7fELF\0\0-----BEGIN RSA PRIVATE KEY-----\0-----END\0" + bytes(99),
    "usr/share/doc/openssl/README": b"It begins with\n-----BEGIN PRIVATE KEY-----\nand so on.\n",
    "usr/share/man/pkcs8.1": b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n...\n-----END ENCRYPTED\n",
    "usr/lib/python3/pem.py": b'HEADER = "-----BEGIN PRIVATE KEY-----"\nEND = "-----END"\n',
    "usr/bin/keytool.sh": b"grep -- '-----BEGIN OPENSSH PRIVATE KEY-----' \"$1\"\n",
    "root/.aws/config": b"[default]\nregion = eu-west-1\n",
    "srv/app/example.ini": b"aws_secret_access_key = YOUR-SECRET-KEY-HERE\n",
    "home/user/.npmrc-example": b"//registry.example.com/:_authToken=${NPM_TOKEN}\n",
    "home/user/.gitconfig": b"[credential]\n\thelper = store\n",
    "home/user/.bashrc": b"HISTFILE=~/.bash_history\n",
    "home/user/.docker/daemon.json": b"{}\n",
    "etc/wireguard/README": b"[Interface]\nPrivateKey = <paste it here>\n",
    "etc/machine-info": b"DEPLOYMENT=test\n",
    "var/lib/cloud/README": b"instance data goes below\n",
    "etc/cloud/cloud.cfg": b"users: [default]\n",
    "home/user/draft.swpx": b"no leftover\n",
    "etc/netrc.d/README": b"machine example.com\n",
}
"""What must be in an image all the same."""


def seed_tree(root: Path) -> Path:
    """Write all of them below a directory."""
    for name, data in (SECRETS | LOOK_ALIKES).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root
