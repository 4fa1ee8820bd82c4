"""The result of `critical_batch`: updates to each target over batch sizes, the fit, and the prediction."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from stepsize._result import Provenance, Result
from stepsize._words import plural
from stepsize.estimate.critical_batch import CriticalFit
from stepsize.training.history import Cost

RowStatus = Literal["ok", "edge", "not_reached", "not_tried"]
"""`edge`: the best rate is still the last of the grid. `not_reached`: by no rate within the updates given.
`not_tried`: the budget ended, or Ctrl-C came, before."""


class BatchRow(msgspec.Struct, frozen=True, kw_only=True):
    """One batch size: its best rate, the rates from `lr_low` to `lr_high` that need at most a tenth more
    updates, and the updates to the target there.

    `updates` is the geometric mean over the seeds `by_seed`, `updates_low` and `updates_high` its 95%
    interval (None with one seed); `samples` is updates times batch size. `tried` counts the updates that runs
    were given. `lrs` are all rates that were tried, `updates_by_lr` the updates of each as a mean like the
    best one's, None where a seed did not reach the target, and `diverged` those at which a seed diverged.
    """

    batch_size: int
    status: RowStatus
    lr: float | None = None
    lr_low: float | None = None
    lr_high: float | None = None
    updates: float | None = None
    updates_low: float | None = None
    updates_high: float | None = None
    samples: float | None = None
    by_seed: tuple[float, ...] = ()
    tried: int = 0
    lrs: tuple[float, ...] = ()
    updates_by_lr: tuple[float | None, ...] = ()
    diverged: tuple[float, ...] = ()


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A held-out loss, the updates that each batch size needs to reach it, and what is fitted to them."""

    loss: float
    rows: tuple[BatchRow, ...]
    fit: CriticalFit

    def row(self, batch_size: int) -> BatchRow:
        """The row of a batch size; `KeyError` if it was not asked for."""
        for row in self.rows:
            if row.batch_size == batch_size:
                return row
        raise KeyError(batch_size)


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """The critical batch as the gradient noise scale has it: its mean over the updates to the last target.

    McCandlish et al. 2018, appendix D: each update of a well-tuned run trades off about the noise scale of
    its own moment. The interval is that of the mean; a `high` of None is open.
    """

    batch: float | None
    low: float
    high: float | None
    lowest: float | None
    highest: float | None
    why: str


class CriticalBatch(Result, frozen=True, kw_only=True, eq=False):
    """Updates that each batch size needs, the rate tuned at each, and the batch from which more gains little.

    `targets` go from the easiest to the hardest. `status` is that of the fit to the hardest: "ok",
    "no_saturation" (B_crit is at least `low`), "no_gain" (at most `high`), "undetermined",
    "too_few_batch_sizes"; or "no_answer" (no rate learns), "interrupted", "out_of_time". `agree` tells
    whether the intervals of measurement and `prediction` overlap, None without either.
    """

    status: str
    why: str
    targets: tuple[Target, ...]
    base_batch_size: int
    prediction: Prediction | None
    agree: bool | None
    loss_kind: str
    warnings: tuple[str, ...]
    task: str
    cost: Cost
    provenance: Provenance

    @property
    def fit(self) -> CriticalFit | None:
        """That of the hardest target."""
        return self.targets[-1].fit if self.targets else None

    @property
    def batch(self) -> float | None:
        """B_crit for the hardest target, in samples; None without an estimate."""
        return self.fit.batch if self.fit is not None else None

    def __str__(self) -> str:
        lines = [
            f"Critical batch of {self.task}, {plural(len(self.provenance.seeds), 'seed')}, {self.loss_kind}"
        ]
        for target in self.targets:
            lines.append(f"updates to a held-out loss of {target.loss:.4g}")
            lines.append(f"  {'batch':>7} {'rate':>8} {'(to 10% more)':>17} {'updates':>9} {'samples':>11}")
            lines += [_line(row) for row in target.rows]
            lines.append("  " + fit_text(target.fit))
        if self.prediction is not None:
            lines.append(self.prediction.why)
        lines += [self.why, *(f"warning: {warning}" for warning in self.warnings)]
        lines.append(
            f"cost {self.cost.updates:,} updates, {self.cost.seconds:.1f} s, {self.cost.runs:.2g} full runs"
        )
        return "\n".join(lines)


def _line(row: BatchRow) -> str:
    if row.updates is None or row.lr is None:
        what = row.status.replace("_", " ")
        return f"  {row.batch_size:>7,} {what}" + (f" in {row.tried:,} updates" if row.tried else "")
    rates = f"({row.lr_low:.3g} to {row.lr_high:.3g})"
    edge = "  best rate at the grid's edge" if row.status == "edge" else ""
    return (
        f"  {row.batch_size:>7,} {row.lr:>8.3g} {rates:>17} {row.updates:>9,.0f} {row.samples:>11,.0f}{edge}"
    )


def fit_text(fit: CriticalFit) -> str:
    """The fit in a sentence: both parameters with intervals, or what keeps them open."""
    if fit.status == "too_few_batch_sizes":
        return "Too few batch sizes reached the target for a fit: five are needed."
    span = interval(fit.batch_low, fit.batch_high)
    if fit.status == "ok":
        s_min = f"S_min {fit.updates_min:.3g} ({interval(fit.updates_low, fit.updates_high)})"
        return f"{s_min} updates, B_crit {fit.batch:.3g} ({span}) samples."
    if fit.status == "no_saturation":
        return f"B_crit is {span}: updates may go on falling as 1/batch beyond the sizes tried."
    if fit.status == "no_gain":
        return f"B_crit is {span}: a larger batch may have saved no updates at all."
    return "B_crit is undetermined: the updates scatter too much about any curve."


def interval(low: float, high: float | None) -> str:
    """`12 to 40`, `at least 12`, `at most 40`."""
    if high is None or math.isinf(high):
        return f"at least {low:.3g}"
    return f"at most {high:.3g}" if low == 0 else f"{low:.3g} to {high:.3g}"
