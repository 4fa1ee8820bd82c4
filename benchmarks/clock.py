"""Time rivals side by side: a machine's slow minute then hits all of them, and ratios survive it."""

from __future__ import annotations

import datetime as dt
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Speed:
    """Work done per second in each repeat."""

    per_second: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.per_second)

    @property
    def spread(self) -> float:
        """Half the distance between the extremes, as a share of the median."""
        return (max(self.per_second) - min(self.per_second)) / (2 * self.median)

    def over(self, rival: Speed) -> Speed:
        """The ratio to a rival, repeat by repeat: both were timed within the same second or two."""
        return Speed(tuple(a / b for a, b in zip(self.per_second, rival.per_second, strict=True)))


def race(rivals: Mapping[str, tuple[Callable[[], object], int]], repeats: int) -> dict[str, Speed]:
    """Run every rival once unmeasured, then all of them in turn, `repeats` times.

    `rivals` maps a name to a callable and the units of work that one call does.
    """
    for call, _ in rivals.values():
        call()
    speeds: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(repeats):
        for name, (call, work) in rivals.items():
            start = time.perf_counter()
            call()
            speeds[name].append(work / (time.perf_counter() - start))
    return {name: Speed(tuple(values)) for name, values in speeds.items()}


def circumstances(command: str) -> str:
    """When, where and with what, as the lines of a Markdown list."""
    return "\n".join(
        [
            f"- date: {dt.datetime.now(dt.UTC):%Y-%m-%d}",
            f"- command: `{command}`",
            f"- processor: {_processor()}, {os.cpu_count()} cores",
            f"- threads used by torch: {torch.get_num_threads()}",
            f"- Python {platform.python_version()}, torch {torch.__version__}, NumPy {np.__version__}",
        ]
    )


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
