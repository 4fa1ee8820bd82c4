"""What the same runs would take as ordinary loops, one after another, fed by a `DataLoader`."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Sequence

import torch
from torch.utils.data import DataLoader, TensorDataset

from stepsize.chapter.lab import Training
from stepsize.chapter.result import LoopTime
from stepsize.chapter.settings import Settings
from stepsize.data import Tensors
from stepsize.runs.plan import Tasks, cells_of, evaluation_points
from stepsize.task import Task

UPDATES = 60
VALIDATION_BATCH = 1024


def loop_time(trainings: Sequence[Training], settings: Settings, updates: int = UPDATES) -> LoopTime:
    """Time some updates and one validation of each task and batch size, times those of all its runs.

    Trainings whose data are no tensors (a growing batch) are left out, and not counted among the runs.
    """
    seconds, runs = 0.0, 0
    for training in trainings:
        task = training.task(settings)
        if not isinstance(task.train, Tensors):
            continue
        grid = training.grid(task, settings)
        tasks = Tasks(task)
        cells = cells_of(grid, tasks)
        for size in grid.batch_sizes:
            mine, sized = [cell for cell in cells if cell.batch_size == size], tasks[size]
            assert isinstance(sized, Task)
            update, validation = _timed(sized, training.lrs[0], min(updates, mine[0].until))
            points = len(evaluation_points(tasks[size], grid.evaluate, mine[0].until))
            seconds += sum(cell.until for cell in mine) * update + len(mine) * points * validation
            runs += len(mine)
    return LoopTime(seconds=seconds, runs=runs)


def _timed(task: Task, lr: float, updates: int) -> tuple[float, float]:
    """Seconds of an update and of a validation; the first updates warm up."""
    model = task.make_model(task.seed)
    optimizer = task.make_optimizer(model, lr)
    batches = DataLoader(_dataset(task.train), task.batch_size, shuffle=True)
    held = DataLoader(_dataset(task.val), VALIDATION_BATCH)
    stream = itertools.chain.from_iterable(itertools.repeat(batches))
    warm = max(1, updates // 10)
    started = 0.0
    for done, batch in enumerate(itertools.islice(stream, updates + warm)):
        if done == warm:
            started = time.perf_counter()
        optimizer.zero_grad()
        task.loss(model, batch).backward()
        optimizer.step()
    update = (time.perf_counter() - started) / updates
    started = time.perf_counter()
    _validate(task, model, held)
    return update, time.perf_counter() - started


def _dataset(source: object) -> TensorDataset:
    assert isinstance(source, Tensors)
    return TensorDataset(*source.tree)


@torch.no_grad()
def _validate(task: Task, model: torch.nn.Module, held: Iterable[Sequence[torch.Tensor]]) -> None:
    model.eval()
    for batch in held:
        for measure in (task.loss, *task.metrics.values()):
            float(measure(model, batch))
    model.train()
