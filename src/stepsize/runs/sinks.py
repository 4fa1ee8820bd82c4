"""A sweep's curves for the trackers that people have open anyway: one of their runs for each cell."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stepsize.runs.cell import CellRun
from stepsize.runs.table import Runs
from stepsize.trackers import MLflow, TensorBoard, Tracker, Value, WandB

ARGUMENTS = ("lr", "batch_size", "schedule", "seed", "steps", "status")
"""Columns of the table that tell one run from another, and how it ended."""


def run_name(run: CellRun) -> str:
    """A cell as a name that may stand in a path."""
    cell = run.cell
    return f"lr={cell.lr:g},batch={cell.batch_size},{cell.schedule},seed={cell.seed}".replace("/", "÷")


def _tell(tracker: Tracker, run: CellRun) -> None:
    """Every finite value of a run's curves."""
    for name, (at, values) in run.curves.items():
        finite = np.isfinite(values)
        tracker.curve(name, at[finite].astype(int).tolist(), values[finite].tolist())


def _with_arguments(runs: Runs) -> Iterator[tuple[CellRun, dict[str, Value]]]:
    for run, row in zip(runs.runs, runs.rows(), strict=True):
        yield run, {name: row[name] for name in ARGUMENTS}


def to_tensorboard(runs: Runs, folder: str | os.PathLike[str]) -> None:
    """One TensorBoard run a cell, in a folder of its own."""
    for run in runs.runs:
        with TensorBoard.in_folder(Path(folder) / run_name(run)) as writer:
            _tell(TensorBoard(writer), run)


def to_mlflow(runs: Runs, experiment: str | None, *, tracking_uri: str | None) -> None:
    """One MLflow run a cell, in an experiment called like the task unless told otherwise."""
    client = MLflow.client(tracking_uri)
    name = experiment or runs.task
    known = client.get_experiment_by_name(name)
    number = client.create_experiment(name) if known is None else known.experiment_id
    for run, arguments in _with_arguments(runs):
        begun = client.create_run(number, run_name=run_name(run))
        tracker = MLflow(client, begun.info.run_id)
        tracker.values("", arguments)
        _tell(tracker, run)
        client.set_terminated(begun.info.run_id, "FAILED" if run.status == "diverged" else "FINISHED")


def to_wandb(runs: Runs, project: str | None, **options: Any) -> None:
    """One run of Weights & Biases a cell, in a project called like the task unless told otherwise."""
    init = WandB.init()
    for run, arguments in _with_arguments(runs):
        named = {"project": project or runs.task, "name": run_name(run), "reinit": "create_new", **options}
        with init(**named) as begun:
            tracker = WandB(begun)
            tracker.values("", arguments)
            _tell(tracker, run)
