"""The result of `find_batch_size`: a batch size for each objective, and the times that they rest on."""

from __future__ import annotations

from typing import Literal

import msgspec

from stepsize._result import Provenance, Result
from stepsize.decide.critical_batch_result import CriticalBatch
from stepsize.measure.throughput_result import Throughput
from stepsize.training.history import Cost

Objective = Literal["time", "compute", "budget"]

BatchStatus = Literal["ok", "edge", "no_answer", "interrupted", "out_of_time"]
"""`edge`: the answer is the largest or the smallest that was tried, and one beyond it may be better."""


class BatchTime(msgspec.Struct, frozen=True, kw_only=True):
    """One batch size: seconds to the hardest target, updates times seconds per update, at its best rate.

    `updates` are those measured, drawn towards the fitted curve as far as the seeds scatter; or, for a size
    close to the best, the geometric mean of those of further runs at that rate, one for each `fresh` seed.
    `low` and `high` are the 95% interval, from those of both factors.
    """

    batch_size: int
    lr: float
    updates: float
    seconds_per_update: float
    seconds: float
    low: float
    high: float
    samples: float
    fresh: tuple[float, ...] = ()


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """The batch size for an objective, None without one; `alike` are those that cannot be told from it."""

    objective: Objective
    batch_size: int | None
    lr: float | None
    edge: bool
    alike: tuple[int, ...]
    why: str


class BatchAdvice(Result, frozen=True, kw_only=True, eq=False):
    """Which batch size to use, for the objective asked for and for the two others beside it.

    `choices` are those for "time" (fewest seconds to the hardest target), "compute" (fewest samples), and
    "budget": within `limit_seconds` of training the hardest target that can be reached, then the fewest
    samples. Every one was trained at, and fits in memory. `critical` and `throughput` are the evidence.
    """

    status: BatchStatus
    objective: Objective
    batch_size: int | None
    lr: float | None
    why: str
    choices: tuple[Choice, ...]
    times: tuple[BatchTime, ...]
    limit_seconds: float | None
    critical: CriticalBatch
    throughput: Throughput
    warnings: tuple[str, ...]
    task: str
    cost: Cost
    provenance: Provenance

    def __str__(self) -> str:
        size = "no batch size" if self.batch_size is None else f"batch size {self.batch_size:,}"
        lines = [f"{self.task}: {size} for {self.objective}  [{self.status}]"]
        if self.times:
            loss = self.critical.targets[-1].loss
            lines.append(f"to a held-out loss of {loss:.4g}, the rate tuned at each size:")
            lines.append(
                f"  {'batch':>7} {'rate':>8} {'updates':>9} {'ms/update':>10} {'seconds':>9} {'interval':>18}"
            )
            lines += [_line(row) for row in self.times]
        lines += [f"{choice.objective:8} {choice.why}" for choice in self.choices]
        lines += [self.why, *(f"warning: {warning}" for warning in self.warnings)]
        lines.append(f"cost {self.cost.updates:,} updates, {self.cost.seconds:.1f} s")
        return "\n".join(line for line in lines if line)


def _line(row: BatchTime) -> str:
    return (
        f"  {row.batch_size:>7,} {row.lr:>8.3g} {row.updates:>9,.0f} {1e3 * row.seconds_per_update:>10.3g} "
        f"{row.seconds:>9.3g} {f'{row.low:.3g} to {row.high:.3g}':>18}"
    )
