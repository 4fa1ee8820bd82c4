"""Runs: the results of a sweep as a table of rate × batch size × schedule × seed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from stepsize._result import Provenance, Result, frozen
from stepsize.runs.cell import CellRun
from stepsize.runs.statistics import (
    Arm,
    ArmCurve,
    ArmSummary,
    Comparison,
    Crossings,
    Heatmap,
    compare,
    crossings,
    mean_interval,
)
from stepsize.training import Cost

if TYPE_CHECKING:
    import pandas as pd

ArmLike = float | Mapping[str, Any] | Arm
"""A rate, or what of an arm tells it from the others: `{"lr": 0.5, "batch_size": 16}`."""

ROWS = 24
"""Arms that are printed at most."""


class Runs(Result, frozen=True, kw_only=True, eq=False):
    """What a sweep measured.

    `runs` holds a `CellRun` for each finished cell, in the order of the grid, and `planned` says how many
    there are to be; `status` is "interrupted" while some are missing. An arm is a rate at a batch size and a
    schedule, over all seeds. `by` is "val_loss", the held-out loss, or the name of a metric; values are taken
    at the end of the run. `cost.seconds` adds up the time of training, also of cells trained side by side.
    """

    task: str
    loss_kind: str
    status: Literal["complete", "interrupted"]
    planned: int
    runs: tuple[CellRun, ...]
    halving: str | None
    store: str | None
    warnings: tuple[str, ...]
    cost: Cost
    provenance: Provenance

    @staticmethod
    def open(store: str | os.PathLike[str], number: int | None = None) -> Runs:
        """Read a sweep from a ledger: the one with this number, or the one that was begun last.

        Raises `FileNotFoundError`, or `LedgerError` when the file is no sound ledger or holds no such sweep.
        """
        from stepsize.runs.assemble import open_runs

        return open_runs(store, number)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that were taken beside the held-out loss."""
        return tuple(self.runs[0].metrics) if self.runs else ()

    @property
    def arms(self) -> dict[Arm, tuple[CellRun, ...]]:
        """The finished runs of each arm, one a seed."""
        arms: dict[Arm, list[CellRun]] = {}
        for run in self.runs:
            cell = run.cell
            arm = Arm(lr=cell.lr, batch_size=cell.batch_size, schedule=cell.schedule)
            arms.setdefault(arm, []).append(run)
        return {arm: tuple(runs) for arm, runs in arms.items()}

    # -- ends --------------------------------------------------------------------------------------
    def rows(self) -> list[dict[str, Any]]:
        """The table, a dict for each finished cell: its coordinates, what became of it, and its final values.

        A value is None where the run diverged.
        """
        return [
            {
                "lr": run.cell.lr,
                "batch_size": run.cell.batch_size,
                "schedule": run.cell.schedule,
                "seed": run.cell.seed,
                "steps": run.cell.steps,
                "epochs": run.epochs,
                "status": run.status,
                "updates_done": run.updates_done,
                **{
                    by: None if np.isnan(run.final(by)) else run.final(by)
                    for by in ("val_loss", *self.metrics)
                },
            }
            for run in self.runs
        ]

    def summary(self, by: str = "val_loss") -> list[ArmSummary]:
        """Each arm's mean over seeds with its bootstrap interval, in the order of the grid."""
        self._check(by)
        return [_summary(arm, by, runs) for arm, runs in self.arms.items()]

    def best(
        self,
        by: str = "val_loss",
        *,
        batch_size: int | None = None,
        schedule: str | None = None,
        lower_is_better: bool | None = None,
    ) -> ArmSummary | None:
        """The arm with the best mean over seeds, among those of one batch size or schedule if given.

        The lowest held-out loss is the best, and the highest metric unless `lower_is_better`. An arm of
        which a seed diverged, was stopped by a halving, or is missing while others have it, is never the
        best; None if there is no other.
        """
        lower = self._lower(by, lower_is_better)
        found = [
            summary
            for summary in self.summary(by)
            if summary.mean is not None
            and not summary.stopped
            and batch_size in (None, summary.arm.batch_size)
            and schedule in (None, summary.arm.schedule)
        ]
        most = max((summary.seeds for summary in found), default=0)
        whole = [summary for summary in found if summary.seeds == most]
        return min(whole, key=lambda s: (s.mean or 0.0) * (1 if lower else -1), default=None)

    def heatmap(self, by: str = "val_loss", *, schedule: str | None = None) -> Heatmap:
        """Mean final values over rate (columns) and batch size (rows) of one schedule."""
        self._check(by)
        schedules = sorted({arm.schedule for arm in self.arms})
        if schedule is None and len(schedules) == 1:
            schedule = schedules[0]
        if schedule not in schedules:
            raise ValueError(f"schedule must be one of {schedules}, but is {schedule!r}")
        ends = {s.arm: s for s in self.summary(by) if s.arm.schedule == schedule}
        lrs = tuple(sorted({arm.lr for arm in ends}))
        sizes = tuple(sorted({arm.batch_size for arm in ends}))
        values = np.full((len(sizes), len(lrs)), np.nan)
        diverged = np.zeros_like(values)
        for arm, end in ends.items():
            place = sizes.index(arm.batch_size), lrs.index(arm.lr)
            values[place] = np.nan if end.mean is None else end.mean
            diverged[place] = end.diverged / end.seeds
        return Heatmap(
            schedule=schedule,
            by=by,
            lrs=lrs,
            batch_sizes=sizes,
            values=frozen(values),
            diverged=frozen(diverged),
        )

    def compare(
        self,
        first: ArmLike,
        second: ArmLike,
        *,
        by: str = "val_loss",
        batch_size: int | None = None,
        schedule: str | None = None,
        lower_is_better: bool | None = None,
    ) -> Comparison:
        """Whether one arm ends better than another, paired over the seeds that both have.

        Says "not distinguishable" where the 95% interval of the difference holds 0. Comparing many pairs
        makes some look different by chance: name the pair before looking.
        """
        lower = self._lower(by, lower_is_better)
        a, b = (self._arm(arm, batch_size, schedule) for arm in (first, second))
        self._refuse_halved("compared")
        pairs = np.array([(one.final(by), two.final(by)) for one, two in self._pairs(a, b)]).reshape(-1, 2).T
        return compare(a, b, by, pairs, lower_is_better=lower)

    # -- curves ------------------------------------------------------------------------------------
    def curves(
        self, by: str = "val_loss", *, batch_size: int | None = None, schedule: str | None = None
    ) -> list[ArmCurve]:
        """Each arm over the run, mean over seeds with its bootstrap interval.

        Raises `ValueError` for a sweep with halving, whose curves are of different lengths for a reason.
        """
        self._check(by)
        self._refuse_halved("drawn together")
        return [
            _curve(arm, by, runs)
            for arm, runs in self.arms.items()
            if batch_size in (None, arm.batch_size) and schedule in (None, arm.schedule)
        ]

    def crossings(
        self,
        first: ArmLike,
        second: ArmLike,
        *,
        by: str = "val_loss",
        batch_size: int | None = None,
        schedule: str | None = None,
        lower_is_better: bool | None = None,
    ) -> Crossings:
        """Which of two arms leads when: "0.8 leads until update 1,900, then 0.5".

        Both must have been evaluated at the same updates. Raises `ValueError` otherwise, and for a halving.
        """
        lower = self._lower(by, lower_is_better)
        a, b = (self._arm(arm, batch_size, schedule) for arm in (first, second))
        self._refuse_halved("compared")
        pairs = self._pairs(a, b)
        if not pairs:
            raise ValueError(f"{a} and {b} have no seed in common")
        updates = pairs[0][0].evaluated_at
        if any(not np.array_equal(run.evaluated_at, updates) for pair in pairs for run in pair):
            raise ValueError(
                f"{a} and {b} must have been evaluated at the same updates: compare rates at one batch size"
            )
        values = np.array([[_values(run, by) for run in side] for side in zip(*pairs, strict=True)])
        return crossings(a, b, by, updates, values, lower_is_better=lower)

    # -- elsewhere ---------------------------------------------------------------------------------
    def to_pandas(self) -> pd.DataFrame:
        """The table as a pandas DataFrame, NaN where a run diverged; pandas must be installed."""
        from stepsize.runs.export import to_pandas

        return to_pandas(self)

    def export(self, path: str | os.PathLike[str]) -> None:
        """Write the table as CSV or Parquet, or with all curves as JSONL, by the ending of `path`.

        Raises `ValueError` for another ending, `ImportError` when Parquet is asked for without pyarrow.
        """
        from stepsize.runs.export import export

        export(self, path)

    def to_tensorboard(self, folder: str | os.PathLike[str]) -> None:
        """Write each run's curves as a TensorBoard run in `folder`; tensorboard must be installed."""
        from stepsize.runs.sinks import to_tensorboard

        to_tensorboard(self, folder)

    def to_mlflow(self, experiment: str | None = None, *, tracking_uri: str | None = None) -> None:
        """Write each run's arguments, curves and end to MLflow; mlflow must be installed."""
        from stepsize.runs.sinks import to_mlflow

        to_mlflow(self, experiment, tracking_uri=tracking_uri)

    def to_wandb(self, project: str | None = None, **options: Any) -> None:
        """Write each run's arguments and curves to Weights & Biases; wandb must be installed.

        `options` go to `wandb.init`, such as `mode="offline"`.
        """
        from stepsize.runs.sinks import to_wandb

        to_wandb(self, project, **options)

    def __len__(self) -> int:
        return len(self.runs)

    def __str__(self) -> str:
        from stepsize.runs.text import told

        return told(self, ROWS)

    def __repr__(self) -> str:
        return str(self)

    # -- inside ------------------------------------------------------------------------------------
    def _check(self, by: str) -> None:
        if by != "val_loss" and by not in self.metrics:
            raise ValueError(f"by must be one of {['val_loss', *self.metrics]}, but is {by!r}")

    def _lower(self, by: str, lower_is_better: bool | None) -> bool:
        self._check(by)
        return by == "val_loss" if lower_is_better is None else lower_is_better

    def _refuse_halved(self, what: str) -> None:
        if self.halving is not None:
            raise ValueError(
                f"the runs of a sweep with halving must not be {what}, since {self.halving}: "
                "sweep without halving, or ask for .best()"
            )

    def _arm(self, like: ArmLike, batch_size: int | None, schedule: str | None) -> Arm:
        """The one arm that is meant; an error lists the choice."""
        if isinstance(like, Arm):
            wanted: dict[str, Any] = {"lr": like.lr, "batch_size": like.batch_size, "schedule": like.schedule}
        else:
            wanted = {"batch_size": batch_size, "schedule": schedule}
            wanted |= dict(like) if isinstance(like, Mapping) else {"lr": like}
        if unknown := sorted(set(wanted) - {"lr", "batch_size", "schedule"}):
            raise ValueError(f"an arm has lr, batch_size and schedule, but got {unknown[0]!r}")
        arms = self.arms
        fits = [arm for arm in arms if all(v in (None, getattr(arm, k)) for k, v in wanted.items())]
        if len(fits) != 1:
            shown = "; ".join(str(arm) for arm in (fits or list(arms))[:8])
            raise ValueError(
                f"{like!r} must name one arm, but fits {len(fits)} of {len(arms)}: give lr, batch_size and "
                f"schedule of one of these: {shown}"
            )
        return fits[0]

    def _pairs(self, a: Arm, b: Arm) -> list[tuple[CellRun, CellRun]]:
        arms = self.arms
        others = {run.cell.seed: run for run in arms[b]}
        return [(run, others[run.cell.seed]) for run in arms[a] if run.cell.seed in others]


def _values(run: CellRun, by: str) -> np.ndarray:
    return run.val_loss if by == "val_loss" else run.metrics[by]


def _summary(arm: Arm, by: str, runs: tuple[CellRun, ...]) -> ArmSummary:
    values = np.array([run.final(by) for run in runs])
    diverged = int(np.isnan(values).sum())
    mean, low, high = None, None, None
    if not diverged:
        mean = float(values.mean())
        if len(values) > 1:
            low, high = (float(end) for end in mean_interval(values))
    return ArmSummary(
        arm=arm,
        by=by,
        updates=runs[0].cell.until,
        stopped=runs[0].cell.until < runs[0].cell.steps,
        seeds=len(values),
        diverged=diverged,
        mean=mean,
        low=low,
        high=high,
    )


def _curve(arm: Arm, by: str, runs: tuple[CellRun, ...]) -> ArmCurve:
    values = np.array([_values(run, by) for run in runs])
    low, high = mean_interval(values) if len(runs) > 1 else (values[0], values[0])
    gone = np.isnan(values).any(axis=0)
    return ArmCurve(
        arm=arm,
        by=by,
        seeds=len(runs),
        updates=runs[0].evaluated_at,
        mean=frozen(values.mean(axis=0)),
        low=frozen(np.where(gone, np.nan, low)),
        high=frozen(np.where(gone, np.nan, high)),
    )
