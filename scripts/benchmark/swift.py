"""OpenStack Swift with its S3 interface, in four processes beside the benchmark."""

import getpass
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmark.daemon import ADDRESS, free_ports, running
from benchmark.process import run
from benchmark.toolbox import install

ACCESS_KEY, SECRET_KEY = "test:tester", "testing"
"""Made up; Swift's tempauth wants the form ACCOUNT:USER."""
_SERVICES = ("account", "container", "object")
_HASH = {
    "swift-hash": {"swift_hash_path_prefix": "bench", "swift_hash_path_suffix": "bench"},
    "storage-policy:0": {"name": "only", "default": "yes"},
}
_FILTERS: Mapping[str, Mapping[str, str]] = {
    "catch_errors": {},
    "gatekeeper": {},
    "listing_formats": {},
    "bulk": {},
    "s3api": {"s3_acl": "yes", "location": "us-east-1"},
    "tempauth": {f"user_{ACCESS_KEY.replace(':', '_')}": f"{SECRET_KEY} .admin"},
    "slo": {},
}
"""What a request passes on its way to the proxy; slo is S3's multipart upload."""


@contextmanager
def swift_servers(
    directory: Path, work_dir: Path
) -> Iterator[tuple[str, Sequence["subprocess.Popen[bytes]"]]]:
    """Start Swift on an empty directory; its URL and its processes.

    Raises:
        BenchError: it cannot be installed or configured.
    """
    programs = install("swift", "swift-proxy-server", work_dir).parent
    (directory / "devices" / "d1").mkdir(parents=True)
    ports = dict(zip((*_SERVICES, "proxy"), free_ports(4), strict=True))
    _write_config(directory / "swift.conf", _HASH)
    for service in _SERVICES:
        builder = str(directory / f"{service}.builder")
        _build_ring(str(programs / "swift-ring-builder"), builder, ports[service])
        name = f"{service}-server"
        server = {"pipeline:main": {"pipeline": name}, f"app:{name}": _egg(service)}
        default = {"devices": str(directory / "devices"), "mount_check": "false"}
        default |= {"disable_fallocate": "true"}
        _write_server(directory, service, ports[service], default, server)
    proxy = {
        "pipeline:main": {"pipeline": " ".join((*_FILTERS, "proxy-server"))},
        "app:proxy-server": {**_egg("proxy"), "account_autocreate": "true"},
        **{f"filter:{name}": {**_egg(name), **more} for name, more in _FILTERS.items()},
    }
    _write_server(directory, "proxy", ports["proxy"], {}, proxy)
    with ExitStack() as stack:
        servers = [
            stack.enter_context(
                running(
                    (
                        str(programs / f"swift-{service}-server"),
                        str(directory / f"{service}.conf"),
                    ),
                    log=directory / f"{service}.log",
                )
            )
            for service in ports
        ]
        yield f"http://{ADDRESS}:{ports['proxy']}", servers


def _build_ring(builder: str, path: str, port: int) -> None:
    """One device that has everything once."""
    run((builder, path, "create", "1", "1", "0"))
    run((builder, path, "add", f"r1z1-{ADDRESS}:{port}/d1", "1"))
    run((builder, path, "rebalance"))


def _egg(name: str) -> dict[str, str]:
    return {"use": f"egg:swift#{name}"}


def _write_server(
    directory: Path,
    service: str,
    port: int,
    default: Mapping[str, str],
    sections: Mapping[str, Mapping[str, str]],
) -> None:
    common = {
        "bind_ip": ADDRESS,
        "bind_port": str(port),
        "user": getpass.getuser(),
        "swift_dir": str(directory),
        # All in the one process whose CPU time is read.
        "workers": "0",
    }
    _write_config(directory / f"{service}.conf", {"DEFAULT": {**common, **default}, **sections})


def _write_config(path: Path, sections: Mapping[str, Mapping[str, str]]) -> None:
    lines = []
    for section, values in sections.items():
        lines.append(f"[{section}]")
        lines += [f"{name} = {value}" for name, value in values.items()]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
