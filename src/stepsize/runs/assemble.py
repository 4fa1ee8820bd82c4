"""From a ledger's rows to the table of results."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from stepsize._result import Provenance
from stepsize.runs.cell import CellRun
from stepsize.runs.halving import Halving
from stepsize.runs.ledger import Call, Ledger, Study
from stepsize.runs.storage import LedgerError
from stepsize.runs.table import Runs
from stepsize.training import Cost


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
    return (
        f"the runs were trained with {' and '.join(map(str, counts))} threads: their last bits may differ from those "
        "of one number of threads",
    )


def open_runs(store: str | os.PathLike[str], number: int | None = None) -> Runs:
    """Read a sweep from a ledger: the one with this number, or the one that was begun last.

    Raises `LedgerError` when the file is no sound ledger or holds no such sweep, `FileNotFoundError` when
    there is none.
    """
    path = Path(store)
    if not path.exists():
        raise FileNotFoundError(f"there is no ledger {path}")
    with Ledger(path) as ledger:
        calls = ledger.calls()
        if not calls:
            raise LedgerError(f"{path} holds no sweep yet")
        found = calls[-1] if number is None else next((c for c in calls if c.number == number), None)
        if found is None:
            numbers = ", ".join(str(call.number) for call in calls)
            raise LedgerError(f"{path} holds no sweep {number}; it has {numbers}")
        study = next(study for study in ledger.studies() if study.id == found.study)
        return assemble(ledger, study, found)
