"""From the arguments of a sweep to its cells, and from cells to the groups that train as one stack."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec

from stepsize._check_task import integer, positive_rate
from stepsize.runs.cell import Cell
from stepsize.schedules import Schedule
from stepsize.training.probed import ProbeRun, Trainable

GROUP = 64
"""Rates that train as one stack at most. More cost as much each, and a lost stack would lose more work."""

FULL = 16
"""Members up to which a stack gets much cheaper for each; a smaller one takes in further seeds."""

EVALUATED, PROBE_EVALUATED = "twice an epoch", "8 a run"
"""When the held-out loss is taken unless told otherwise; a probe's epoch is not known."""

_WORDS = {"every epoch": "1 an epoch", "once an epoch": "1 an epoch", "twice an epoch": "2 an epoch"}


class Grid(msgspec.Struct, frozen=True, kw_only=True):
    """A sweep's arguments, checked: every combination of them is a cell."""

    lrs: tuple[float, ...]
    batch_sizes: tuple[int, ...]
    seeds: tuple[int, ...]
    schedules: tuple[str, ...]
    evaluate: str


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Cells that differ only in rate and seed: the unit of work, trained as one stack and committed whole.

    Whoever gets the task can run it: `schedule` is a text, and nothing here is tied to a process.
    """

    cells: tuple[Cell, ...]
    keys: tuple[str, ...]
    evaluate_at: tuple[int, ...]
    memory: int | None
    train_points: int | None

    @property
    def updates(self) -> int:
        """Member-updates of the whole group."""
        return sum(cell.until for cell in self.cells)


class Tasks:
    """One task for each batch size, made of a first one when needed; a probe has one batch size alone."""

    def __init__(self, task: Trainable) -> None:
        self._tasks = {task.batch_size: task}
        self.base = task

    def __getitem__(self, batch_size: int) -> Trainable:
        if batch_size not in self._tasks:
            assert not isinstance(self.base, ProbeRun)
            self._tasks[batch_size] = self.base.replace(batch_size=batch_size)
        return self._tasks[batch_size]


def grid_of(
    task: Trainable,
    lr: float | Iterable[float],
    batch_size: Any,
    seeds: int | Iterable[int],
    schedule: Schedule | str | Iterable[Schedule | str],
    evaluate: int | str | None,
) -> Grid:
    """Check a sweep's arguments; every error names the argument and shows a right call."""
    lrs = tuple(_rate(rate) for rate in _listed("lr", lr, "lr=[0.1, 0.3]"))
    if isinstance(task, ProbeRun) and batch_size is not None:
        raise ValueError(
            f"batch_size={batch_size!r} goes with a Task: a probe trains on the batches that its loader "
            f"gives, {task.batch_size:,} samples an update; sweep one with another loader under another "
            "name="
        )
    sizes = task.batch_size if batch_size is None else batch_size
    batch_sizes = tuple(
        _batch_size(task, size) for size in _listed("batch_size", sizes, "batch_size=[16, 32]")
    )
    if isinstance(seeds, int) and not isinstance(seeds, bool):
        seeds = [task.seed + i for i in range(integer("seeds", seeds, at_least=1))]
    numbers = tuple(integer("seeds", seed, at_least=0) for seed in _listed("seeds", seeds, "seeds=3"))
    texts = tuple(_schedule(one) for one in _listed("schedule", schedule, "schedule=['fixed', 'cosine']"))
    for name, values in (("lr", lrs), ("batch_size", batch_sizes), ("seeds", numbers), ("schedule", texts)):
        twice = [value for i, value in enumerate(values) if value in values[:i]]
        if twice:
            raise ValueError(f"{name} must hold no value twice, but holds {twice[0]!r} more than once")
    return Grid(
        lrs=lrs, batch_sizes=batch_sizes, seeds=numbers, schedules=texts, evaluate=_rhythm(task, evaluate)
    )


def _listed(name: str, value: Any, example: str) -> list[Any]:
    values = [value] if isinstance(value, (str, Schedule)) or not isinstance(value, Iterable) else list(value)
    if not values:
        raise ValueError(f"{name} must not be empty: pass {example}")
    return values


def _rate(value: Any) -> float:
    positive_rate("lr", value)
    return float(value)


def _batch_size(task: Trainable, size: Any) -> int:
    if size == "full":
        if task.samples is None:
            raise ValueError("batch_size='full' needs data of known length, but train is a stream")
        return task.samples
    return integer("batch_size", size, at_least=1)


def _schedule(value: Any) -> str:
    if not isinstance(value, (str, Schedule)):
        raise TypeError(
            f"schedule must be a Schedule or its text, but is a {type(value).__name__}: pass "
            "schedule='cosine'"
        )
    schedule = Schedule.parse(value) if isinstance(value, str) else value
    return str(schedule.at(1.0))


def _rhythm(task: Trainable, evaluate: int | str | None) -> str:
    """When the held-out loss is taken, as one of the texts that `evaluation_points` reads."""
    if evaluate is None:
        evaluate = PROBE_EVALUATED if isinstance(task, ProbeRun) else EVALUATED
    if not isinstance(evaluate, str):
        return f"{integer('evaluate', evaluate, at_least=1)} a run"
    text = _WORDS.get(evaluate, evaluate)
    if not re.fullmatch(r"[1-9]\d* (an epoch|a run)|every [1-9]\d* updates", text):
        raise ValueError(
            "evaluate must be a number of times a run, 'twice an epoch', '4 an epoch', '20 a run' or "
            f"'every 500 updates', but is {evaluate!r}"
        )
    if text.endswith("an epoch") and task.samples is None:
        raise ValueError(
            f"evaluate={evaluate!r} needs data of known length, which {task.name} does not have: pass "
            "evaluate=20"
        )
    return text


def evaluation_points(task: Trainable, rhythm: str, until: int) -> tuple[int, ...]:
    """Updates done when the held-out loss is taken, rising, from 0 to `until`."""
    words = rhythm.split()
    if words[0] == "every":
        every = float(words[1])
    elif words[-1] == "run":
        every = task.steps / int(words[0])
    else:
        assert task.samples is not None
        every = math.ceil(task.samples / task.batch_size) / int(words[0])
    points = {round(i * every) for i in range(int(until / every) + 1)}
    return tuple(sorted({0, until} | {point for point in points if point <= until}))


def cells_of(
    grid: Grid,
    tasks: Tasks,
    *,
    share: float = 1.0,
    lrs: Mapping[tuple[int, str], Sequence[float]] | None = None,
) -> list[Cell]:
    """The cells of a grid, those of one stack side by side; `share` of each horizon is trained.

    `lrs` gives the rates for each batch size and schedule, where they are not all the grid's.
    """
    cells = []
    for batch_size in grid.batch_sizes:
        task = tasks[batch_size]
        for schedule in grid.schedules:
            Schedule.parse(schedule).resolve(task.run)  # says now what does not fit
            rates = grid.lrs if lrs is None else lrs[batch_size, schedule]
            cells += [
                Cell(
                    lr=lr,
                    batch_size=batch_size,
                    seed=seed,
                    schedule=schedule,
                    steps=task.steps,
                    until=max(1, round(share * task.steps)),
                )
                for seed in grid.seeds
                for lr in rates
            ]
    return cells


def groups_of(
    cells: Sequence[tuple[str, Cell]], size: int = GROUP, full: int = FULL
) -> list[list[tuple[str, Cell]]]:
    """Keyed cells in groups that differ only in rate and seed, in order.

    The rates of a seed go together, `size` at most; whole seeds are put together up to `full` cells. Groups
    are cut at whole multiples of both, so that leaving out finished groups never moves a cell to other mates.
    """
    alike: dict[tuple[Any, ...], dict[int, list[tuple[str, Cell]]]] = {}
    for key, cell in cells:
        seeds = alike.setdefault((cell.batch_size, cell.schedule, cell.steps, cell.until), {})
        seeds.setdefault(cell.seed, []).append((key, cell))
    groups = []
    for seeds in alike.values():
        together = max(1, full // max(len(rows) for rows in seeds.values()))
        for several in batched(seeds.values(), together):
            rows = [row for seed in several for row in seed]
            groups += [rows[i : i + size] for i in range(0, len(rows), size)]
    return groups


def batched(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Lists of `size` items, the last one shorter: `itertools.batched` of Python 3.12."""
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part
