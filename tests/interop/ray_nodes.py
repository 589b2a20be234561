"""A real Ray cluster on loopback: `python -m tests.interop.ray_nodes N FOLDER` prints what it is and ends with stdin.

Its N nodes, with one CPU each, are processes of this machine as `ray.cluster_utils` starts them for Ray's own tests. It
writes below FOLDER only, whose path must be short: there are sockets in it.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, Popen
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

ROOT = Path(__file__).resolve().parents[2]

QUICK_TO_NOTICE = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 5000,
    "health_check_failure_threshold": 2,
}
"""When the head takes a silent node for dead."""

_MOST_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class RayNodes:
    """A running cluster: the head's address, the main process of each node, the head's first, and variables for it."""

    address: str
    raylets: tuple[int, ...]
    environment: Mapping[str, str]


def variables(folder: Path) -> dict[str, str]:
    """What Ray's processes need to know to keep to loopback and to the folder."""
    return {
        "RAY_TMPDIR": str(folder),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # else Ray takes 127.0.0.1 for the address of the network card
        "RAY_USAGE_STATS_ENABLED": "0",
    }


@contextmanager
def ray_nodes(n: int) -> Iterator[RayNodes]:
    """Start a cluster of n nodes, and end it."""
    with TemporaryDirectory(prefix="ray-") as folder:
        environment = variables(Path(folder))
        python_path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        with Popen(
            [sys.executable, "-m", "tests.interop.ray_nodes", str(n), folder],
            stdin=PIPE,
            stdout=PIPE,
            env={**os.environ, **environment, "PYTHONPATH": python_path},
            start_new_session=True,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                found = msgspec.json.decode(process.stdout.readline(), type=dict[str, Any])
                yield RayNodes(address=found["address"], raylets=tuple(found["raylets"]), environment=environment)
            finally:
                process.stdin.close()
                process.wait(_MOST_S)


def main() -> None:
    """Run the nodes until stdin ends."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("n", type=int)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    (given.folder / "ray").mkdir()  # where Ray remembers the newest cluster
    from ray.cluster_utils import Cluster  # noqa: PLC0415 - heavy, and reads the variables

    cluster = Cluster()
    node: dict[str, Any] = {"num_cpus": 1, "node_ip_address": "127.0.0.1", "object_store_memory": 100 * 2**20}
    nodes = [cluster.add_node(include_dashboard=False, _system_config=QUICK_TO_NOTICE, **node)]
    nodes += [cluster.add_node(**node) for _ in range(given.n - 1)]
    raylets = [node.all_processes["raylet"][0].process.pid for node in nodes]
    sys.stdout.buffer.write(msgspec.json.encode({"address": cluster.address, "raylets": raylets}) + b"\n")
    sys.stdout.flush()
    sys.stdin.read()
    cluster.shutdown()


if __name__ == "__main__":
    main()
