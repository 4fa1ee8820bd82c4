"""A sweep's curves for the viewers that people have open anyway: TensorBoard and MLflow."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stepsize.runs.cell import CellRun
from stepsize.runs.table import Runs


def run_name(run: CellRun) -> str:
    """A cell as a name that may stand in a path."""
    cell = run.cell
    return f"lr={cell.lr:g},batch={cell.batch_size},{cell.schedule},seed={cell.seed}".replace("/", "÷")


def _points(run: CellRun) -> Iterator[tuple[str, int, float]]:
    """Every finite value of a run's curves: name, update, value."""
    curves = {"val_loss": run.val_loss, **run.metrics}
    series = [(name, run.evaluated_at, values) for name, values in curves.items()]
    series.append(("train_loss", run.train_at, run.train_loss))
    for name, at, values in series:
        for update, value in zip(at, values, strict=True):
            if np.isfinite(value):
                yield name, int(update), float(value)


def to_tensorboard(runs: Runs, folder: str | os.PathLike[str]) -> None:
    """One TensorBoard run a cell, in a folder of its own."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ImportError("to_tensorboard() needs tensorboard: pip install stepsize[tensorboard]") from error
    for run in runs.runs:
        with SummaryWriter(str(Path(folder) / run_name(run))) as writer:
            for name, update, value in _points(run):
                writer.add_scalar(name, value, update)


def to_mlflow(runs: Runs, experiment: str | None, *, tracking_uri: str | None) -> None:
    """One MLflow run a cell, in an experiment called like the task unless told otherwise."""
    try:
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param
    except ImportError as error:
        raise ImportError("to_mlflow() needs mlflow: pip install stepsize[mlflow]") from error
    client = MlflowClient(tracking_uri)
    name = experiment or runs.task
    known = client.get_experiment_by_name(name)
    number = client.create_experiment(name) if known is None else known.experiment_id
    for run, row in zip(runs.runs, runs.rows(), strict=True):
        begun = client.create_run(number, run_name=run_name(run))
        metrics = [Metric(what, value, 0, update) for what, update, value in _points(run)]
        params = [
            Param(key, str(row[key])) for key in ("lr", "batch_size", "schedule", "seed", "steps", "status")
        ]
        for i in range(0, max(1, len(metrics)), 1000):  # MLflow's limit for one request
            client.log_batch(begun.info.run_id, metrics[i : i + 1000], params if i == 0 else [])
        client.set_terminated(begun.info.run_id, "FAILED" if run.status == "diverged" else "FINISHED")
