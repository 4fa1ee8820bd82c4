"""The result of `compare_schedules`."""

from __future__ import annotations

import msgspec

from stepsize._result import Provenance, Result
from stepsize.training.history import Cost


class ScheduleRow(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule at its best peak rate: the held-out loss, and how much it ends above the best schedule.

    `loss` is the mean over seeds. `behind` is the mean over seeds of its loss less the best schedule's with
    the same seed, between `behind_low` and `behind_high` (Student's t, 95% for all comparisons together;
    None with one seed). `alike` says that the interval holds 0: no difference was detected. `lr` is None if
    every rate diverged or none learns. `lrs` are all the peak rates tried, with their mean `losses` over
    the seeds that tried them, None where one diverged.
    """

    schedule: str
    lr: float | None
    loss: float | None
    by_seed: tuple[float, ...]
    behind: float | None
    behind_low: float | None
    behind_high: float | None
    alike: bool
    lrs: tuple[float, ...]
    losses: tuple[float | None, ...]


class ScheduleComparison(Result, frozen=True, kw_only=True, eq=False):
    """Schedules by their held-out loss after `steps` updates, the lowest first.

    `best` is the first one's text, None if nothing learned; `alike` those that cannot be told from it.
    `advised` is what to take in the real run: the best, or where that one hardly decays and runs were
    shortened, the first of those alike that does, since what a decay gains grows with the length.
    `status` is "ok", "no_answer", "interrupted" or "out_of_time" (schedules not tried are left out). `steps`
    updates stand for the task's `horizon`, with each shape compressed into them.
    """

    status: str
    why: str
    best: str | None
    rows: tuple[ScheduleRow, ...]
    steps: int
    horizon: int
    warnings: tuple[str, ...]
    task: str
    cost: Cost
    provenance: Provenance
    advised: str | None = None

    @property
    def alike(self) -> tuple[str, ...]:
        """Schedules that no difference was detected of to the best one."""
        return tuple(row.schedule for row in self.rows if row.alike and row.schedule != self.best)

    def __str__(self) -> str:
        lines = [f"{self.task}: schedules after {self.steps:,} of {self.horizon:,} updates  [{self.status}]"]
        width = max([8, *(len(row.schedule) for row in self.rows)])
        lines.append(f"  {'schedule':{width}} {'peak rate':>10} {'loss':>9}   behind the best")
        lines += [_line(row, width, row.schedule == self.best) for row in self.rows]
        lines += [self.why, *(f"warning: {warning}" for warning in self.warnings)]
        lines.append(
            f"cost {self.cost.updates:,} updates, {self.cost.seconds:.1f} s, {self.cost.runs:.2g} full runs"
        )
        return "\n".join(lines)


def _line(row: ScheduleRow, width: int, best: bool) -> str:
    if row.lr is None or row.loss is None:
        return f"  {row.schedule:{width}} no rate learns"
    behind = "best" if best else f"{row.behind:.3g}"
    if row.behind_low is not None and not best:
        behind += f" ({row.behind_low:.2g} to {row.behind_high:.2g})"
    if row.alike and not best:
        behind += ", no difference detected"
    return f"  {row.schedule:{width}} {row.lr:>10.3g} {row.loss:>9.4g}   {behind}"
