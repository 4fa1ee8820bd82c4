"""Measure in processes of their own: the peak memory is a process's, and never falls."""

from __future__ import annotations

import multiprocessing
import resource
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor


def peak_bytes() -> int:
    """The most memory that this process has held so far: its largest resident set."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def fresh_processes(preload: Sequence[str]) -> ProcessPoolExecutor:
    """One process at a time, each for one call, forked from one that has only imported `preload`."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(preload))
    return ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1)
