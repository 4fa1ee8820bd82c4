"""sweep: every combination of rates, batch sizes, seeds and schedules, trained once and never lost."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from stepsize._progress import Reporter, reporting
from stepsize._ranks import current
from stepsize._result import provenance
from stepsize._untouched import untouched
from stepsize.probe import Probe
from stepsize.runs.assemble import assemble, none_finished
from stepsize.runs.cell import TRAIN_POINTS, Cell
from stepsize.runs.drive import Drive, Tally
from stepsize.runs.executor import Executor, LocalExecutor
from stepsize.runs.fingerprint import fingerprint, versions
from stepsize.runs.halving import Halving
from stepsize.runs.ledger import Ledger, Study, key_of, study_of
from stepsize.runs.ledger_of_ranks import ledger_of_ranks
from stepsize.runs.plan import FULL, GROUP, Grid, Job, Tasks, cells_of, evaluation_points, grid_of, groups_of
from stepsize.runs.probe_fingerprint import probe_fingerprint
from stepsize.runs.storage import LedgerFullError
from stepsize.runs.table import Runs
from stepsize.runs.worker import Worker
from stepsize.schedules import Schedule
from stepsize.task import Task
from stepsize.training.probed import ProbeRun, Trainable, trainable
from stepsize.training.ranks import collective

_log = logging.getLogger("stepsize")


@untouched
@collective
def sweep(
    task: Task | Probe,
    lr: float | Iterable[float],
    *,
    batches: Any = None,
    val: Any = None,
    steps: int | None = None,
    batch_size: int | Literal["full"] | Iterable[int | Literal["full"]] | None = None,
    seeds: int | Iterable[int] = 3,
    schedule: Schedule | str | Iterable[Schedule | str] = "fixed",
    store: str | os.PathLike[str] | None = None,
    evaluate: int | str | None = None,
    executor: Literal["local", "ray"] | Executor = "local",
    halving: Halving | None = None,
    keep: Literal["thinned", "all"] = "thinned",
    name: str | None = None,
    identity: str | None = None,
    memory: int | None = None,
    progress: bool | Reporter | None = None,
) -> Runs:
    """Train every combination of rate, batch size, seed and schedule to the task's horizon.

    The rates of one batch size and schedule are one computation, several seeds together where the rates are
    few. Each such group is written to the ledger when it is finished, in one transaction: whatever happens to
    the process or the machine, only the groups in flight are lost, and the same call goes on from there. What
    is finished is never trained again, and an interrupted sweep gives the numbers of one that was not, bit
    for bit, on the same machine with as many threads. Several processes may work on one ledger at once.
    Ctrl-C returns what is finished, with status "interrupted".

    Args:
        task: what to train; a task made with `epochs` sees the same samples at every batch size. Or a
            `Probe`, a training loop of one's own, whose cells train one after another in this process.
        lr: the rates, at the schedule's peak.
        batches, val, steps: with a probe, its loader, one of held-out batches where it has `evaluate`, and
            the updates of a run.
        batch_size: samples per update, one or several, or "full"; by default the task's. A probe's is that
            of its loader.
        seeds: how many, counting up from the task's, or which.
        schedule: one or several, as a `Schedule` or its text; the peak of each is replaced by the rates.
        store: the ledger's file, made if absent; without one, the results are in what is returned alone.
        evaluate: when the held-out loss and metrics are taken besides the start and the end: "4 an epoch",
            "20 a run", "every 500 updates", or a number of times a run; by default twice an epoch, and with a
            probe 8 times a run.
        executor: "local" for this process, "ray" for a Ray cluster, or an `Executor`; a probe's step trains
            the objects of this process.
        halving: leave out the worst rates after early rounds; then no curves can be compared.
        keep: "thinned" keeps the training loss as means over at most 200 stretches of a run, "all" as it is.
        name: how the ledger calls the task; by default the task's own name.
        identity: stands for the task instead of its code and data, where those change without a meaning, such
            as a Dataset that counts its reads, or a trainer that a probe's step belongs to.
        memory: bytes that a stack may use; by default half of what is available. A group that does not fit
            trains in waves, and only with a fixed number are these always the same ones.
        progress: True for a bar on stderr, False for silence, or a `Reporter`; by default a bar if stderr
            is a terminal.

    Raises:
        ValueError: an empty list, a value given twice, a rate or size that cannot work.
        TypeError: `task` is neither a Task nor a Probe, or an argument has a type that cannot work.
        TaskChangedError: the ledger knows another task under this name; the message says what differs.
        LedgerError: the ledger is damaged, was written by a newer stepsize, or cannot be written.
    """
    if keep not in ("thinned", "all"):
        raise ValueError(f"keep must be 'thinned' or 'all', but is {keep!r}")
    trained = trainable(task, batches=batches, val=val, steps=steps)
    grid = grid_of(trained, lr, batch_size, seeds, schedule, evaluate)
    chosen = _executor(executor, trained)
    tasks = Tasks(trained)
    path = None if store is None else Path(store)
    try:
        cells_of(grid, tasks)  # every batch size and schedule is checked before any work
        if isinstance(trained, ProbeRun):
            known = probe_fingerprint(trained, identity)
        else:
            known = fingerprint(trained, identity)
        study = study_of(name or task.name, known, versions(trained), _description(trained, grid.seeds))
        study = current().first(study, "study")
    except KeyboardInterrupt:
        return none_finished(name or task.name, trained, grid, path)
    with ledger_of_ranks(path) as ledger, reporting(progress) as reporter:
        planner = _Planner(study, grid, tasks, memory, TRAIN_POINTS if keep == "thinned" else None)
        with contextlib.suppress(KeyboardInterrupt):  # what is finished is there, and the rest is missing
            for share, rates in _rounds(ledger, planner, halving):
                _train_round(ledger, planner, share, rates, halving, chosen, reporter)
        noticed = trained.warnings if isinstance(trained, ProbeRun) else ()
        runs = assemble(ledger, study, ledger.calls(study.id)[-1], (*noticed, *_backed_up(ledger)))
    _log.info("%s: sweep %s, %d of %d cells", task.name, runs.status, len(runs), runs.planned)
    return runs


def _executor(executor: Literal["local", "ray"] | Executor, task: Trainable) -> Executor:
    if executor == "local":
        return LocalExecutor()
    if isinstance(task, ProbeRun) and not isinstance(executor, LocalExecutor):
        raise ValueError(
            f"executor must be 'local' with a probe, whose step trains the objects of this process, but is "
            f"{executor!r}: for a cluster make a Task"
        )
    if executor == "ray":
        from stepsize.runs.ray_executor import RayExecutor

        return RayExecutor()
    if isinstance(executor, str):
        raise ValueError(f"executor must be 'local', 'ray' or an Executor, but is {executor!r}")
    return executor


def _description(task: Trainable, seeds: tuple[int, ...]) -> dict[str, Any]:
    known: dict[str, Any] = msgspec.to_builtins(provenance(device=str(task.device), seeds=seeds))
    return {
        "loss_kind": task.loss_kind,
        "optimizer": task.optimizer_name,
        "metrics": list(task.metrics),
        "samples": task.samples,
        "provenance": known,
    }


class _Planner:
    """What the rounds of a sweep have in common."""

    def __init__(
        self, study: Study, grid: Grid, tasks: Tasks, memory: int | None, train_points: int | None
    ) -> None:
        self.study, self.grid, self.tasks = study, grid, tasks
        self._memory, self._train_points = memory, train_points
        self._alone = isinstance(tasks.base, ProbeRun)  # then nothing is gained by training cells together
        self.keys: list[str] = []

    def keyed(self, cells: Sequence[Cell]) -> list[tuple[str, Cell]]:
        """Each cell with its key."""
        seed = self.tasks.base.seed
        return [(key_of(self.study, cell, self._points(cell), seed), cell) for cell in cells]

    def jobs(self, cells: Sequence[tuple[str, Cell]]) -> list[Job]:
        """The groups that these cells train in."""
        return [
            Job(
                keys=tuple(key for key, _ in rows),
                cells=tuple(cell for _, cell in rows),
                evaluate_at=self._points(rows[0][1]),
                memory=self._memory,
                train_points=self._train_points,
            )
            for rows in groups_of(cells, *((1, 1) if self._alone else (GROUP, FULL)))
        ]

    def _points(self, cell: Cell) -> tuple[int, ...]:
        return evaluation_points(self.tasks[cell.batch_size], self.grid.evaluate, cell.until)

    def arguments(self, halving: Halving | None) -> dict[str, Any]:
        """The call as the ledger keeps it: enough to make it again."""
        grid, task = self.grid, self.tasks.base
        epochs = None if isinstance(task, ProbeRun) else task._arguments["epochs"]
        return {
            "lr": list(grid.lrs),
            "batch_size": list(grid.batch_sizes),
            "seeds": list(grid.seeds),
            "schedule": list(grid.schedules),
            "evaluate": grid.evaluate,
            "epochs": epochs,
            "steps": task.steps if epochs is None else None,
            "halving": None if halving is None else msgspec.to_builtins(halving),
        }


Rates = dict[tuple[int, str], list[float]] | None


def _rounds(ledger: Ledger, planner: _Planner, halving: Halving | None) -> Iterator[tuple[float, Rates]]:
    """The share of the horizon and the rates of each round; later ones depend on what earlier ones left."""
    rates: Rates = None
    for share in halving.shares if halving else ():
        yield share, rates
        cells = planner.keyed(cells_of(planner.grid, planner.tasks, share=share, lrs=rates))
        assert halving is not None
        rates = halving.survivors(list(ledger.chosen(planner.study.id, [key for key, _ in cells]).values()))
    yield 1.0, rates


def _train_round(
    ledger: Ledger,
    planner: _Planner,
    share: float,
    rates: Rates,
    halving: Halving | None,
    executor: Executor,
    reporter: Reporter,
) -> None:
    cells = planner.keyed(cells_of(planner.grid, planner.tasks, share=share, lrs=rates))
    planner.keys += [key for key, _ in cells]
    ledger.begin(planner.study, planner.arguments(halving), planner.keys)
    done = ledger.chosen(planner.study.id, [key for key, _ in cells])
    jobs = planner.jobs([(key, cell) for key, cell in cells if key not in done])
    missing = sum(len(job.cells) for job in jobs)
    _log.info("%s: sweep of %d cells, %d of them to be trained", planner.tasks.base.name, len(cells), missing)
    if not jobs:
        return
    reporter.expect(sum(job.updates for job in jobs))
    worker = Worker.here()
    drive = Drive(
        ledger=ledger,
        study=planner.study,
        executor=executor,
        worker=worker,
        tally=Tally(reporter, len(cells), list(done.values())),
        reporter=reporter,
    )
    with ledger.heartbeat(worker), _released(ledger, worker), _running(executor, planner.tasks, reporter):
        drive.run(jobs)


@contextlib.contextmanager
def _released(ledger: Ledger, worker: Worker) -> Iterator[None]:
    """Leases are given back whatever happens; an error of the work is never hidden by one of that."""
    try:
        yield
    except BaseException as error:
        try:
            ledger.release(worker)
        except Exception as second:  # noqa: BLE001 - the lease ends by itself
            error.add_note(f"the leases could not be given back: {second}")
        raise


@contextlib.contextmanager
def _running(executor: Executor, tasks: Tasks, reporter: Reporter) -> Iterator[None]:
    try:
        executor.start(tasks, reporter.advance)
        yield
    finally:
        executor.close()


def _backed_up(ledger: Ledger) -> tuple[str, ...]:
    """Copy the ledger; a backup that fails is no reason to withhold the results."""
    try:
        ledger.back_up()
    except LedgerFullError as error:
        return (str(error),)
    return ()
