"""Where sections get their runs: each training is done once, kept in the ledger, and shared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from stepsize._progress import Reporter
from stepsize.chapter.result import Findings
from stepsize.chapter.settings import Settings
from stepsize.runs import Runs, sweep
from stepsize.runs.cell import Cell
from stepsize.runs.ledger import Ledger
from stepsize.runs.plan import Grid, Tasks, cells_of, grid_of
from stepsize.task import Task
from stepsize.training.history import Cost


@dataclass(frozen=True)
class Training:
    """A sweep that sections rest on; `task` makes what is trained for the settings.

    `keep="all"` keeps every update's training loss, where a curve is to be judged. `quick_sizes` are the
    batch sizes of a quick look, if not the same.
    """

    name: str
    task: Callable[[Settings], Task]
    lrs: tuple[float, ...]
    batch_sizes: tuple[int | Literal["full"], ...] | None = None
    schedules: tuple[str, ...] = ("fixed",)
    evaluate: str = "twice an epoch"
    keep: Literal["thinned", "all"] = "thinned"
    quick_sizes: tuple[int, ...] | None = None

    def grid(self, task: Task, settings: Settings) -> Grid:
        """Its arms and seeds on the task made for these settings."""
        return grid_of(task, self.lrs, self.sizes(settings), settings.seeds, self.schedules, self.evaluate)

    def sizes(self, settings: Settings) -> tuple[int | Literal["full"], ...] | None:
        """The batch sizes that it trains at; None for the task's own."""
        return self.quick_sizes if settings.quick and self.quick_sizes else self.batch_sizes

    def run(self, settings: Settings, store: Path, progress: bool | Reporter) -> Runs:
        """Train what the ledger does not hold yet.

        Each training has a name of its own there, so that processes at work on different ones never meet.
        """
        task = _task(self.task, settings)
        return sweep(
            task,
            self.lrs,
            batch_size=self.sizes(settings),
            seeds=settings.seeds,
            schedule=self.schedules,
            evaluate=self.evaluate,
            keep=self.keep,
            store=store,
            name=self.study(settings),
            progress=progress,
        )

    def study(self, settings: Settings) -> str:
        """Its name in the ledger."""
        return f"{self.name} ({_task(self.task, settings).name})"

    def updates(self, settings: Settings) -> int:
        """Member-updates of all its runs."""
        return sum(cell.until for cell in _cells(self, settings))


@lru_cache(maxsize=64)
def _task(make: Callable[[Settings], Task], settings: Settings) -> Task:
    """Made once, checks and all: trainings are planned before they are run, and some share a task."""
    return make(settings)


@lru_cache(maxsize=64)
def _cells(training: Training, settings: Settings) -> tuple[Cell, ...]:
    task = _task(training.task, settings)
    return tuple(cells_of(training.grid(task, settings), Tasks(task)))


@dataclass(frozen=True, kw_only=True)
class Section:
    """An experiment of the chapter.

    `rows` are the items of the chapter that it answers, `idea` says what is done, `code` is how a reader does
    it, `trainings` its runs, and `find` makes its findings.
    """

    slug: str
    title: str
    rows: tuple[str, ...]
    idea: str
    code: str
    find: Callable[[Lab], Findings]
    trainings: tuple[Training, ...] = ()


class Lab:
    """Hands out runs by training; each is asked of the ledger once."""

    def __init__(self, settings: Settings, store: Path, reporter: Reporter) -> None:
        self.settings, self._store, self._reporter = settings, store, reporter
        self._known: dict[str, Runs] = {}
        self.cost = Cost(updates=0, samples=0, seconds=0.0, runs=0.0)

    def runs(self, training: Training) -> Runs:
        """The finished runs of a training. Raises `KeyboardInterrupt` where they were interrupted."""
        if training.name not in self._known:
            counting = _Counting(self._reporter, training.name)
            runs = training.run(self.settings, self._store, counting)
            if runs.status == "interrupted":
                raise KeyboardInterrupt
            planned = sum(run.cell.until for run in runs.runs)
            self._reporter.advance(max(0, planned - counting.done))
            self.spend(runs.cost)
            self._known[training.name] = runs
        return self._known[training.name]

    def next(self, waiting: Sequence[Section]) -> Section:
        """The first whose runs are all in the ledger, else the first: other processes train meanwhile."""
        with Ledger(self._store) as ledger:
            held = {study.name: len(ledger.done(study)) for study in ledger.studies()}
        return next((section for section in waiting if self._is_ready(section, held)), waiting[0])

    def _is_ready(self, section: Section, held: dict[str, int]) -> bool:
        return all(
            held.get(training.study(self.settings), 0) >= len(_cells(training, self.settings))
            for training in section.trainings
        )

    def spend(self, cost: Cost) -> None:
        """Count a measurement that is no training of the ledger."""
        self.cost = self.cost + cost

    def phase(self, name: str) -> None:
        """A measurement begins."""
        self._reporter.phase(name)

    @property
    def trained(self) -> tuple[Runs, ...]:
        """All runs that were asked for."""
        return tuple(self._known.values())


class _Counting:
    """Passes on what one training does, without its own idea of the whole."""

    def __init__(self, reporter: Reporter, name: str) -> None:
        self._reporter, self._name, self.done = reporter, name, 0

    def expect(self, updates: int) -> None:
        """The whole chapter's updates were announced before."""

    def phase(self, name: str) -> None:
        self._reporter.phase(self._name)

    def advance(self, updates: int) -> None:
        self.done += updates
        self._reporter.advance(updates)
