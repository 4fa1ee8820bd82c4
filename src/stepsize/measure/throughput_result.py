"""The result of `throughput`."""

from __future__ import annotations

from typing import Literal

import msgspec

from stepsize._result import Provenance, Result
from stepsize.training.history import Cost

SpeedStatus = Literal["ok", "out_of_memory", "over_budget", "not_tried", "not_timed", "fails"]
"""`out_of_memory`: the allocator refused. `over_budget`: it ran, and took more than the memory budget leaves.
`not_tried`: it was reckoned to need more than that. `not_timed`: it fits, and the end came before its pace
was known. `fails`: the model or the loss raised."""

ThroughputStatus = Literal["ok", "no_answer", "interrupted", "out_of_time"]
"""`no_answer`: no batch size could be run, or none fits. The last two: not all sizes were tried and timed."""


class BatchSpeed(msgspec.Struct, frozen=True, kw_only=True):
    """One batch size: seconds per update with a 95% interval, samples per second, and the peak of memory.

    `last` is the size of an epoch's last, smaller batch, which was run too. `why` explains another status
    than "ok".
    """

    batch_size: int
    status: SpeedStatus
    seconds: float | None = None
    low: float | None = None
    high: float | None = None
    samples_per_second: float | None = None
    peak_bytes: int | None = None
    last: int | None = None
    why: str = ""


class Throughput(Result, frozen=True, kw_only=True, eq=False):
    """How fast updates are at each batch size, and the largest that fits.

    `largest` is a batch size that really ran within `memory` bytes less `margin` of it; None if none did.
    `counted` says what the peak counts. `evaluation` is the size of the held-out batch that ran beside it.
    """

    rows: tuple[BatchSpeed, ...]
    largest: int | None
    memory: int
    margin: float
    counted: str
    evaluation: int | None
    why: str
    task: str
    cost: Cost
    provenance: Provenance
    status: ThroughputStatus = "ok"

    def row(self, batch_size: int) -> BatchSpeed:
        """The row of a batch size; `KeyError` if it was not tried."""
        for row in self.rows:
            if row.batch_size == batch_size:
                return row
        raise KeyError(batch_size)

    def __str__(self) -> str:
        lines = [f"Throughput of {self.task} on {self.provenance.device}"]
        lines.append(f"  {'batch':>7} {'ms/update':>10}  {'interval':>17} {'samples/s':>11} {'peak MiB':>9}")
        lines += [_line(row) for row in self.rows]
        lines.append(self.why)
        lines.append(
            f"memory: {self.counted}; budget {self.memory / 2**20:,.0f} MiB, margin {self.margin:.0%}"
        )
        lines.append(f"cost {self.cost.updates:,} updates, {self.cost.seconds:.1f} s")
        return "\n".join(lines)


def _line(row: BatchSpeed) -> str:
    if row.seconds is None or row.low is None or row.high is None:
        return f"  {row.batch_size:>7,} {row.status.replace('_', ' ')}: {row.why}"
    span = f"{1e3 * row.low:.3g} to {1e3 * row.high:.3g}"
    peak = "" if row.peak_bytes is None else f"{row.peak_bytes / 2**20:,.1f}"
    return (
        f"  {row.batch_size:>7,} {1e3 * row.seconds:>10.3g}  {span:>17} {row.samples_per_second:>11,.0f} "
        f"{peak:>9}"
    )
