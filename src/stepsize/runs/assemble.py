"""From a ledger's rows to the table of results."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from stepsize._result import Provenance, provenance
from stepsize.runs.cell import CellRun
from stepsize.runs.halving import Halving
from stepsize.runs.ledger import Call, Ledger, Study
from stepsize.runs.plan import Grid
from stepsize.runs.storage import LedgerError
from stepsize.runs.table import Runs
from stepsize.training import Cost
from stepsize.training.probed import Trainable


def assemble(ledger: Ledger, study: Study, call: Call, warnings: tuple[str, ...] = ()) -> Runs:
    """The results of one call of sweep(), as far as they are in the ledger."""
    found = ledger.chosen(study.id, call.keys)
    arguments = call.arguments
    axes = [arguments[name] for name in ("lr", "batch_size", "seeds", "schedule")]
    planned = math.prod(len(axis) for axis in axes)
    runs = _furthest([found[key] for key in call.keys if key in found])
    known = msgspec.convert(study.description["provenance"], Provenance)
    halving = arguments["halving"]
    whole = halving is None or any(run.cell.until == run.cell.steps for run in runs)
    return Runs(
        task=study.name,
        loss_kind=study.description["loss_kind"],
        status="complete" if whole and len(runs) == planned else "interrupted",
        planned=planned,
        runs=tuple(runs),
        halving=None if halving is None else str(msgspec.convert(halving, Halving)),
        store=None if ledger.path is None else os.fspath(ledger.path),
        warnings=warnings + _thread_warnings(runs),
        cost=Cost(
            updates=sum(run.updates_done for run in found.values()),
            samples=sum(run.samples for run in found.values()),
            seconds=sum(run.seconds for run in found.values()),
            runs=sum(run.updates_done / run.cell.steps for run in found.values()),
        ),
        provenance=msgspec.structs.replace(
            known,
            seeds=tuple(arguments["seeds"]),
            threads=max([run.threads for run in runs], default=known.threads),
        ),
    )


def none_finished(name: str, task: Trainable, grid: Grid, path: Path | None) -> Runs:
    """The results of a call that Ctrl-C ended before its first cell: what a ledger holds is not touched."""
    return Runs(
        task=name,
        loss_kind=task.loss_kind,
        status="interrupted",
        planned=math.prod(map(len, (grid.lrs, grid.batch_sizes, grid.seeds, grid.schedules))),
        runs=(),
        halving=None,
        store=None if path is None else os.fspath(path),
        warnings=(),
        cost=Cost(updates=0, samples=0, seconds=0.0, runs=0.0),
        provenance=provenance(device=str(task.device), seeds=grid.seeds),
    )


def _furthest(runs: Sequence[CellRun]) -> list[CellRun]:
    """Of a cell that several rounds of a halving trained, the longest run."""
    longest: dict[tuple[float, int, int, str], CellRun] = {}
    for run in runs:
        cell = run.cell
        place = (cell.lr, cell.batch_size, cell.seed, cell.schedule)
        if place not in longest or longest[place].cell.until < cell.until:
            longest[place] = run
    return list(longest.values())


def _thread_warnings(runs: Sequence[CellRun]) -> tuple[str, ...]:
    counts = sorted({run.threads for run in runs})
    if len(counts) < 2:
        return ()
    told = " and ".join(map(str, counts))
    return (f"the runs were trained with {told} threads, on which the last bits of a number may depend",)


def open_runs(store: str | os.PathLike[str], number: int | None = None) -> Runs:
    """Read a sweep from a ledger: the one with this number, or the one that was begun last.

    Raises `LedgerError` when the file is no sound ledger or holds no such sweep, `FileNotFoundError` when
    there is none.
    """
    with existing(store) as ledger:
        calls = ledger.calls()
        found = calls[-1] if number is None else next((c for c in calls if c.number == number), None)
        if found is None:
            numbers = ", ".join(str(call.number) for call in calls)
            raise LedgerError(f"{store} holds no sweep {number}; it has {numbers}")
        study = next(study for study in ledger.studies() if study.id == found.study)
        return assemble(ledger, study, found)


class SweepLine(msgspec.Struct, frozen=True, kw_only=True):
    """A sweep in a ledger's list."""

    number: int
    task: str
    started: float
    done: int
    planned: int
    versions: str


def list_sweeps(store: str | os.PathLike[str]) -> list[SweepLine]:
    """Every sweep of a ledger, in the order in which they were last begun."""
    with existing(store) as ledger:
        studies = {study.id: study for study in ledger.studies()}
        done = {identity: ledger.done(study) for identity, study in studies.items()}
        return [
            SweepLine(
                number=call.number,
                task=studies[call.study].name,
                started=call.started,
                done=len(done[call.study].intersection(call.keys)),
                planned=len(call.keys),
                versions=", ".join(f"{k} {v}" for k, v in studies[call.study].versions.items()),
            )
            for call in ledger.calls()
        ]


def last_arguments(store: str | os.PathLike[str], name: str) -> dict[str, Any]:
    """The arguments of the last sweep of the task of this name, with those that were not given as None."""
    with existing(store) as ledger:
        names = {study.id: study.name for study in ledger.studies()}
        calls = [call for call in ledger.calls() if names[call.study] == name]
        if not calls:
            there = ", ".join(sorted(set(names.values())))
            raise LedgerError(
                f"{store} holds no sweep of {name!r}, but of {there}: pass name, or another store"
            )
        return calls[-1].arguments


@contextmanager
def existing(store: str | os.PathLike[str]) -> Iterator[Ledger]:
    """A ledger that must be there and hold a sweep."""
    path = Path(store)
    if not path.exists():
        raise FileNotFoundError(f"there is no ledger {path}")
    with Ledger(path) as ledger:
        if not ledger.calls():
            raise LedgerError(f"{path} holds no sweep yet")
        yield ledger
