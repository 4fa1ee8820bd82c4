"""Real crashes: SIGKILL, two processes at once, a full disk."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import stepsize as ss
from stepsize.runs import LedgerFullError
from stepsize.runs.ledger import Ledger
from tests.runs.grids import assert_same, small_task

resource = pytest.importorskip("resource", reason="processes are forked and limited as POSIX does")


@pytest.mark.slow
def test_a_sweep_killed_twenty_times_and_two_at_once_give_what_one_left_alone_gives(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.runs.killing", str(tmp_path)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.splitlines()[-1] == "all the same, bit for bit"
    assert done.stdout.count("killed with") == 20


NINE = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0]
"""Too many for two seeds to share a stack: each seed is a group of its own."""


def sweep_to(store: Path) -> ss.Runs:
    return ss.sweep(small_task(epochs=2), NINE, seeds=4, store=store, keep="all")


def test_a_file_that_cannot_grow_is_a_clear_error_and_loses_nothing(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, hard))
    try:
        with pytest.raises(LedgerFullError, match=r"cells in it are safe; free some space"):
            sweep_to(store)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    with Ledger(store) as ledger:
        kept = ledger.count()
    assert 0 < kept < 36
    assert_same(sweep_to(store), sweep_to(tmp_path / "fresh.db"))


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0 or shutil.which("mount") is None, reason="needs to mount a tmpfs"
)
def test_a_full_disk_is_a_clear_error_and_loses_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        with pytest.raises(LedgerFullError, match="disk is full"):
            sweep_to(disk / "runs.db")
        with Ledger(disk / "runs.db") as ledger:
            assert 0 < ledger.count() < 36
        subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
        assert_same(sweep_to(disk / "runs.db"), sweep_to(tmp_path / "fresh.db"))
    finally:
        subprocess.run(["umount", str(disk)], check=True)
