"""A program: one node of OpenStack Swift with its S3 API, which lasts as long as its starter.

    python swift_node.py PROGRAMS DIRECTORY REGION USER=SECRET [GROUP ...]

It prints the URL when all servers listen, and what they said if one ends before.  When its
standard input ends, as it does when the starter is killed, it ends the servers and removes
the directory.  Needs no memcached, no syslog and no /etc/swift.
"""

import configparser
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

STORAGE = ("account", "container", "object")

FILTERS = (
    "catch_errors",
    "gatekeeper",
    "healthcheck",
    "listing_formats",
    "bulk",
    "s3api",
    "tempauth",
    "copy",
    "slo",
    "dlo",
    "versioned_writes",
    "symlink",
)
"""What S3 needs of the proxy's pipeline, in Swift's own order."""

PATIENCE = 60.0
"""Seconds that the servers may take to listen; with a processor to itself it is two."""

LOG_TAIL = 4000
"""Characters of each log that are worth showing."""

PR_SET_PDEATHSIG = 1
"""From <linux/prctl.h>."""

Sections = dict[str, dict[str, str]]


def reserve_port() -> socket.socket:
    """A port that nobody else is given, but on which a server that reuses addresses listens."""
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    return holder


def write_settings(path: Path, sections: Sections) -> None:
    """Write a file of settings."""
    settings = configparser.RawConfigParser(default_section="")
    settings.read_dict(sections)
    with path.open("w", encoding="utf-8") as stream:
        settings.write(stream)


def server_sections(directory: Path, port: int) -> Sections:
    """What all servers are told: one process each, on the loopback."""
    return {
        "DEFAULT": {
            "bind_ip": "127.0.0.1",
            "bind_port": str(port),
            "user": "root",
            "swift_dir": str(directory),
            "devices": str(directory / "devices"),
            "mount_check": "false",
            "disable_fallocate": "true",
            "workers": "0",
        }
    }


def storage_sections(name: str) -> Sections:
    """What an account, container or object server is told besides."""
    return {
        "pipeline:main": {"pipeline": f"{name}-server"},
        f"app:{name}-server": {"use": f"egg:swift#{name}"},
    }


def proxy_sections(region: str, users: dict[str, str]) -> Sections:
    """What the proxy server is told besides; users are such as test:tester, each with a secret."""
    own: Sections = {
        "s3api": {"s3_acl": "yes", "location": region, "max_upload_part_num": "10000"},
        "tempauth": {f"user_{user.replace(':', '_')}": text for user, text in users.items()},
        "versioned_writes": {"allow_object_versioning": "true"},
    }
    filters = {
        f"filter:{name}": {"use": f"egg:swift#{name}", **own.get(name, {})} for name in FILTERS
    }
    return {
        "pipeline:main": {"pipeline": " ".join((*FILTERS, "proxy-server"))},
        "app:proxy-server": {"use": "egg:swift#proxy", "account_autocreate": "true"},
        **filters,
    }


def make_rings(programs: Path, directory: Path, ports: dict[str, int]) -> None:
    """Tell the proxy where the storage servers are; the three rings side by side."""
    for words in ("create 1 1 0", "add r1z1-127.0.0.1:{port}/d1 1", "rebalance"):
        running = []
        for name in STORAGE:
            argv = [programs / "swift-ring-builder", directory / f"{name}.builder"]
            more = words.format(port=ports[name]).split()
            running.append(
                subprocess.Popen(  # noqa: S603 - our own words, and no shell
                    [*argv, *more],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                )
            )
        for name, process in zip(STORAGE, running, strict=True):
            if process.wait() != 0:
                sys.exit(f"{name} ring: {words}: exit code {process.returncode}")


def die_with_parent() -> None:
    """Let the kernel end this process when its parent ends, however that comes."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def start_server(programs: Path, directory: Path, name: str) -> "subprocess.Popen[bytes]":
    """Start a server that writes into a log."""
    with (directory / f"{name}.log").open("wb") as log:
        return subprocess.Popen(  # noqa: S603 - our own words, and no shell
            [programs / f"swift-{name}-server", directory / f"{name}-server.conf"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent,  # no threads here that it could trouble
            start_new_session=True,  # a server that ends signals its whole process group
        )


def listens(port: int) -> bool:
    """Whether somebody answers on a port of 127.0.0.1."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def await_servers(
    directory: Path, ports: dict[str, int], servers: dict[str, "subprocess.Popen[bytes]"]
) -> None:
    """Return when all servers listen; exit with what they said if they never will."""
    deadline = time.monotonic() + PATIENCE
    while not all(listens(port) for port in ports.values()):
        ended = [name for name, server in servers.items() if server.poll() is not None]
        if ended or time.monotonic() > deadline:
            for name in ended or servers:
                said = (directory / f"{name}.log").read_text(errors="backslashreplace")
                sys.stderr.write(f"{name} server: does not listen; its log:\n{said[-LOG_TAIL:]}\n")
            sys.exit(1)
        time.sleep(0.02)


def run(programs: Path, directory: Path, region: str, users: dict[str, str]) -> None:
    """Start everything, tell the URL, and wait for the end of standard input."""
    (directory / "devices" / "d1").mkdir(parents=True)
    holders = {name: reserve_port() for name in (*STORAGE, "proxy")}
    ports = {name: int(holder.getsockname()[1]) for name, holder in holders.items()}
    hashing = {"swift_hash_path_suffix": "x", "swift_hash_path_prefix": "y"}
    policy = {"name": "gold", "default": "yes"}
    sections: Sections = {"swift-hash": hashing, "storage-policy:0": policy}
    write_settings(directory / "swift.conf", sections)
    for name, port in ports.items():
        more = proxy_sections(region, users) if name == "proxy" else storage_sections(name)
        path = directory / f"{name}-server.conf"
        write_settings(path, server_sections(directory, port) | more)
    make_rings(programs, directory, ports)
    servers = {name: start_server(programs, directory, name) for name in ports}
    try:
        await_servers(directory, ports, servers)
        sys.stdout.write(f"http://127.0.0.1:{ports['proxy']}\n")
        sys.stdout.flush()
        sys.stdin.read()
    finally:
        for server in servers.values():
            server.kill()  # there is nothing to save
            server.wait()
        for holder in holders.values():
            holder.close()


def main() -> None:
    """Run, and leave nothing behind."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the starter
    programs, directory, region, *users = sys.argv[1:]
    path = Path(directory)
    os.chdir(path)
    try:
        run(Path(programs), path, region, dict(user.split("=", 1) for user in users))
    finally:
        shutil.rmtree(path, ignore_errors=True)


if __name__ == "__main__":
    main()
