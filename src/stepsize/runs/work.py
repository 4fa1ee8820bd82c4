"""A group of cells is trained: the one function that every executor calls, here or on another machine."""

from __future__ import annotations

import numpy as np
import torch

from stepsize._result import frozen
from stepsize.runs.cell import CellRun, thinned
from stepsize.runs.plan import Job
from stepsize.schedules import Schedule
from stepsize.training import History, Member, train
from stepsize.training.engine import Progress
from stepsize.training.probed import Trainable


def train_job(task: Trainable, job: Job, progress: Progress | None = None) -> list[CellRun]:
    """Train a group of cells as one stack; `task` has the group's batch size and horizon."""
    first = job.cells[0]
    schedule, run = Schedule.parse(first.schedule), task.run
    shape = schedule.values(run)[: first.until]
    history = train(
        task,
        [Member(cell.lr, cell.seed) for cell in job.cells],
        np.array([[cell.lr] for cell in job.cells]) * shape,
        evaluate_at=job.evaluate_at,
        controls={name: values[: first.until] for name, values in schedule.controls(run).items()},
        memory=job.memory,
        progress=progress,
    )
    return [_cell_run(task, job, history, row) for row in range(len(job.cells))]


def _cell_run(task: Trainable, job: Job, history: History, row: int) -> CellRun:
    cell = job.cells[row]
    losses = history.train_loss[row]
    if job.train_points is None:
        train_at = np.arange(1, len(losses) + 1, dtype=np.float64)
    else:
        train_at, losses = thinned(losses, job.train_points)
    updates = history.updates_done[row]
    stopped = cell.until < cell.steps and history.status[row] == "ok"
    return CellRun(
        cell=cell,
        status="stopped" if stopped else history.status[row],
        updates_done=updates,
        epochs=task.epochs,
        evaluated_at=frozen(history.evaluated_at),
        val_loss=frozen(history.val_loss[row]),
        metrics={name: frozen(values[row]) for name, values in history.metrics.items()},
        train_at=frozen(train_at),
        train_loss=frozen(losses),
        samples=round(history.cost.samples * updates / max(1, history.cost.updates)),
        seconds=history.cost.seconds / len(job.cells),
        threads=torch.get_num_threads(),
        mates=len(job.cells) - 1,
    )
