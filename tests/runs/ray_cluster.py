"""A two-node Ray cluster in a network of its own, one node killed mid-sweep; run by test_ray.py.

    unshare --net python -m tests.runs.ray_cluster FOLDER

Ray's agents listen on the host's own interface even when told a loopback address. In a fresh network
namespace the only interface is the loopback one, brought up first, so that nothing can leave this machine.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import struct
import sys
import threading
from pathlib import Path
from typing import Any

import torch

import stepsize as ss
from tests.runs.grids import RATES, SEEDS, assert_same, small_task

UP, SET_FLAGS = 0x1, 0x8914
"""IFF_UP and SIOCSIFFLAGS, from <linux/if.h> and <linux/sockios.h>."""


def loopback_only() -> None:
    """Bring the loopback interface up, and refuse to go on where there is any other."""
    names = [name for _, name in socket.if_nameindex()]
    if names != ["lo"]:
        raise SystemExit(f"this network has interfaces {names}: run it under `unshare --net`")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sh", b"lo", UP))


class KillerAfter:
    """Silent, until so many member-updates are done: then a whole node dies, all its processes by SIGKILL."""

    def __init__(self, updates: int, node: object) -> None:
        self._left, self._node = updates, node
        self.killed = threading.Event()

    def expect(self, updates: int) -> None: ...

    def phase(self, name: str) -> None: ...

    def advance(self, updates: int) -> None:
        self._left -= updates
        if self._left <= 0 and not self.killed.is_set():
            raylet = self._node.all_processes["raylet"][0].process.pid  # type: ignore[attr-defined]
            for child in children(raylet):
                os.kill(child, signal.SIGKILL)
            os.kill(raylet, signal.SIGKILL)
            self.killed.set()


def children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(child) for child in listed.split()]


def main(folder: Path) -> None:
    loopback_only()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_DISABLE_IMPORT_WARNING"] = "1"
    import ray as untyped
    from ray.cluster_utils import Cluster

    from stepsize.runs.ray_executor import RayExecutor

    ray: Any = untyped
    store = {"object_store_memory": 100 * 2**20}
    cluster: Any = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "node_ip_address": "127.0.0.1", "include_dashboard": False, **store},
    )
    doomed = cluster.add_node(num_cpus=1, node_ip_address="127.0.0.1", **store)
    ray.init(address=cluster.address, log_to_driver=False)
    nodes = sum(node["Alive"] for node in ray.nodes())
    reporter = KillerAfter(600, doomed)
    runs = ss.sweep(
        small_task(),
        RATES,
        seeds=SEEDS,
        batch_size=[30, 50],
        store=folder / "ray.db",
        executor=RayExecutor(),
        progress=reporter,
    )
    raylet = doomed.all_processes["raylet"][0].process
    ended = raylet.wait() if reporter.killed.is_set() else None
    ray.shutdown()
    cluster.shutdown()
    torch.set_num_threads(1)  # as many as a Ray task of one CPU has
    local = ss.sweep(small_task(), RATES, seeds=SEEDS, batch_size=[30, 50])
    assert_same(runs, local)
    sys.stdout.write(
        f"{nodes} nodes, one ended with {ended}, {len(runs)} of {runs.planned} cells, as local ones\n"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
