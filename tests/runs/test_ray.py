"""Sweeps on a Ray cluster."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed"),
]


def own_network() -> list[str] | None:
    """A command that runs another one in a network namespace of its own, where the system allows it."""
    if shutil.which("unshare") is None:
        return None
    flags = ["--net"] if os.geteuid() == 0 else ["--net", "--map-root-user"]
    allowed = subprocess.run(["unshare", *flags, "true"], capture_output=True).returncode == 0
    return ["unshare", *flags] if allowed else None


def test_a_cluster_of_two_nodes_of_which_one_is_killed_finishes_every_cell_as_a_local_sweep_does(
    tmp_path: Path,
) -> None:
    prefix = own_network()
    if prefix is None:
        pytest.skip(
            "needs a network namespace of its own (Linux, unshare): Ray listens on the host's interface"
        )
    done = subprocess.run(
        [*prefix, sys.executable, "-m", "tests.runs.ray_cluster", str(tmp_path)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.splitlines()[-1] == "2 nodes, one ended with -9, 24 of 24 cells, as local ones"
