"""The result of `find_warmup`."""

from __future__ import annotations

import msgspec

from stepsize._result import Provenance, Result
from stepsize.training.history import Cost


class WarmupRow(msgspec.Struct, frozen=True, kw_only=True):
    """A linear warm-up of so many updates at its best peak rate, and how much it ends above the best one.

    `loss` is the held-out loss at the end, mean over seeds, None if every rate diverged; `behind`, its
    interval and `alike` are as in a `ScheduleRow`. `rise` tells how the early updates bear the advised rate:
    how far the training loss climbs above its start in the first quarter of the run, as a share of what it
    has fallen at the end, in the worst seed; None if that rate diverged.
    """

    updates: int
    lr: float | None
    loss: float | None
    by_seed: tuple[float, ...]
    behind: float | None
    behind_low: float | None
    behind_high: float | None
    alike: bool
    rise: float | None


class WarmupComparison(Result, frozen=True, kw_only=True, eq=False):
    """Warm-ups by length, in updates; `updates` is the one advised, None without an answer.

    It is the shortest of those that end no more than 0.5% of the progress above the best, not detectably so,
    and whose early updates bear the rate `lr` (None if there was no time to find one). `status` is "ok",
    "no_answer", "interrupted" or "out_of_time". Runs of `steps` updates stand for the task's `horizon`;
    warm-ups count in real updates in both.
    """

    status: str
    why: str
    updates: int | None
    schedule: str
    lr: float | None
    rows: tuple[WarmupRow, ...]
    steps: int
    horizon: int
    start_loss: float | None
    warnings: tuple[str, ...]
    task: str
    cost: Cost
    provenance: Provenance

    def __str__(self) -> str:
        rate = "no rate" if self.lr is None else f"peak rate about {self.lr:.3g}"
        run = f"{rate}, {self.steps:,} of {self.horizon:,} updates"
        lines = [f"{self.task}: warm-up before {self.schedule}, {run}  [{self.status}]"]
        lines.append(f"  {'updates':>8} {'peak rate':>10} {'loss':>9} {'early rise':>11}   behind the best")
        lines += [_line(row) for row in self.rows]
        lines += [self.why, *(f"warning: {warning}" for warning in self.warnings)]
        lines.append(
            f"cost {self.cost.updates:,} updates, {self.cost.seconds:.1f} s, {self.cost.runs:.2g} full runs"
        )
        return "\n".join(lines)


def _line(row: WarmupRow) -> str:
    if row.lr is None or row.loss is None or row.behind is None:
        return f"  {row.updates:>8,} every rate diverged"
    rise = "diverges" if row.rise is None else f"{row.rise:.0%}"
    behind = "best" if row.behind == 0 else f"{row.behind:.3g}"
    if row.behind and row.behind_low is not None:
        behind += f" ({row.behind_low:.2g} to {row.behind_high:.2g})"
    if row.behind and row.alike:
        behind += ", no difference detected"
    return f"  {row.updates:>8,} {row.lr:>10.3g} {row.loss:>9.4g} {rise:>11}   {behind}"
