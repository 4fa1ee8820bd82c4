"""Time rivals side by side: a machine's slow minute then hits all of them, and ratios survive it."""

from __future__ import annotations

import datetime as dt
import gc
import importlib.metadata
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

    @property
    def microseconds(self) -> float:
        """What one unit of work takes, at the median speed."""
        return 1e6 / self.median

    def over(self, rival: Speed) -> Speed:
        """The ratio to a rival, turn by turn; turns that only one of them took are left out."""
        return Speed(tuple(a / b for a, b in zip(self.per_second, rival.per_second, strict=False)))

    def after(self, other: Speed) -> Speed:
        """The speed at which a unit of the other's work and then a unit of this one's is done."""
        pairs = zip(self.per_second, other.per_second, strict=True)
        return Speed(tuple(1 / (1 / a + 1 / b) for a, b in pairs))


@dataclass(frozen=True)
class Rival:
    """`seconds()` does `work` units once and says how long it took; `prepare()` is run before, untimed.

    A rival with `turns` sits out after so many. `warm_up()` stands for the first, untimed call.
    """

    seconds: Callable[[], float]
    work: float
    turns: int | None = None
    warm_up: Callable[[], object] | None = None
    prepare: Callable[[], object] | None = None


def stopwatch(call: Callable[[], object]) -> Callable[[], float]:
    """A call that says how many seconds it took."""

    def timed() -> float:
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    return timed


def race(rivals: Mapping[str, Rival], repeats: int) -> dict[str, Speed]:
    """Run every rival once unmeasured, then all of them in turn, `repeats` times."""
    for rival in rivals.values():
        (rival.warm_up or rival.seconds)()
    gc.collect()
    gc.freeze()  # else a collection, in whoever's turn, reads through all modules: a third of a second
    try:
        return _turns(rivals, repeats)
    finally:
        gc.unfreeze()


def _turns(rivals: Mapping[str, Rival], repeats: int) -> dict[str, Speed]:
    speeds: dict[str, list[float]] = {name: [] for name in rivals}
    for turn in range(repeats):
        for name, rival in rivals.items():
            if rival.turns is not None and turn >= rival.turns:
                continue
            if rival.prepare is not None:
                rival.prepare()
            gc.collect()  # what the one before left
            speeds[name].append(rival.work / rival.seconds())
    return {name: Speed(tuple(values)) for name, values in speeds.items()}


def circumstances(command: str, *packages: str) -> str:
    """When, where and with what, as the lines of a Markdown list; versions of `packages` too."""
    versions = [f"{name} {importlib.metadata.version(name)}" for name in packages]
    return "\n".join(
        [
            f"- date: {dt.datetime.now(dt.UTC):%Y-%m-%d}",
            f"- command: `{command}`",
            f"- processor: {_processor()}, {os.cpu_count()} cores",
            f"- threads used by torch: {torch.get_num_threads()}",
            "- "
            + ", ".join(
                [
                    f"Python {platform.python_version()}",
                    f"torch {torch.__version__}",
                    f"NumPy {np.__version__}",
                    *versions,
                ]
            ),
        ]
    )


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
