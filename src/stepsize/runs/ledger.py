"""The ledger: every finished cell of every sweep as a committed row, and who is at work on what."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from stepsize.runs.cell import Cell, CellRun, pack_curves, unpack_curves
from stepsize.runs.fingerprint import Fingerprint, digest
from stepsize.runs.storage import (
    DamagedLedgerError,
    LedgerError,
    LedgerFullError,
    connect,
    memory_storage,
    open_storage,
    transaction,
    write_backup,
)
from stepsize.runs.worker import Worker

LEASE = 60.0
"""Seconds after which the cells of a worker that no longer answers may be taken over from elsewhere."""

HEARTBEAT = 10.0
"""Seconds between two renewals: several may be missed before the lease ends."""


class TaskChangedError(LedgerError):
    """The task is not the one that the ledger knows under its name."""


class Study(msgspec.Struct, frozen=True, kw_only=True):
    """A task as the ledger knows it: a cell of one study is never taken for that of another."""

    id: str
    name: str
    fingerprint: Fingerprint
    versions: dict[str, str]
    description: dict[str, Any]


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call of sweep(): its study, its arguments, and the keys of all its cells.

    The same call made again keeps its number.
    """

    number: int
    study: str
    arguments: dict[str, Any]
    keys: tuple[str, ...]
    started: float


def study_of(
    name: str, fingerprint: Fingerprint, versions: dict[str, str], description: dict[str, Any]
) -> Study:
    """A study, named by what it consists of."""
    identity = digest(f"{name} {fingerprint.digest} {sorted(versions.items())}")
    return Study(id=identity, name=name, fingerprint=fingerprint, versions=versions, description=description)


def key_of(study: Study, cell: Cell, evaluate_at: Sequence[int], seed: int) -> str:
    """The name of what is run: the task, the cell, when it is evaluated, and the task's own seed."""
    values = (
        study.id,
        cell.lr.hex(),
        cell.batch_size,
        cell.seed,
        cell.schedule,
        cell.steps,
        cell.until,
        tuple(evaluate_at),
        seed,
    )
    return digest(repr(values))


class Ledger:
    """An open ledger; a context manager. `path=None` keeps it in memory."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._connection = memory_storage() if path is None else open_storage(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        try:
            with transaction(self._connection):
                yield self._connection
        except sqlite3.DatabaseError as error:
            # The low byte is the kind of error, the rest says where it arose.
            if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
                raise LedgerFullError(
                    f"cannot write {self.path}: {error}. The {self.count():,} cells in it are safe; free "
                    "some space or move it to another disk, and the same call goes on from there"
                ) from error
            raise LedgerError(
                f"cannot write {self.path}: {error}. What was written before is safe"
            ) from error

    def count(self) -> int:
        """Finished cells, of all studies."""
        (number,) = self._connection.execute("SELECT count(*) FROM cells").fetchone()
        return int(number)

    # -- studies and calls -----------------------------------------------------------------------
    def studies(self) -> list[Study]:
        """Every study, the oldest first."""
        rows = self._connection.execute(
            "SELECT id, name, parts, versions, description FROM studies ORDER BY created, rowid"
        )
        return [
            Study(
                id=identity,
                name=name,
                fingerprint=Fingerprint(msgspec.json.decode(parts)),
                versions=msgspec.json.decode(versions),
                description=msgspec.json.decode(description),
            )
            for identity, name, parts, versions, description in rows
        ]

    def begin(self, study: Study, arguments: dict[str, Any], keys: Sequence[str]) -> None:
        """Write down a call before its first cell.

        Raises `TaskChangedError` when the same name and versions stand for another task.
        """
        for other in self.studies():
            if other.name != study.name or other.versions != study.versions:
                continue
            if differs := study.fingerprint.differences(other.fingerprint):
                verb = "differs" if len(differs) == 1 else "differ"
                raise TaskChangedError(
                    f"the task {study.name!r} in {self.path} was another one: {', '.join(differs)} {verb}. "
                    f"Pass name='{study.name}-2' to keep both, or another store; nothing was changed"
                )
        now = time.time()
        encode = msgspec.json.encode
        with self._writing() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO studies VALUES (?, ?, ?, ?, ?, ?)",
                (
                    study.id,
                    study.name,
                    encode(study.fingerprint.parts).decode(),
                    encode(study.versions).decode(),
                    encode(study.description).decode(),
                    now,
                ),
            )
            connection.execute(
                "INSERT INTO calls (study, arguments, keys, started) VALUES (?, ?, ?, ?) ON CONFLICT (study, "
                "arguments) DO UPDATE SET keys = excluded.keys, started = excluded.started",
                (study.id, encode(arguments).decode(), " ".join(keys), now),
            )

    def calls(self, study: str | None = None) -> list[Call]:
        """Every call, of one study or of all, in the order in which they were last made."""
        rows = self._connection.execute(
            "SELECT number, study, arguments, keys, started FROM calls WHERE study = coalesce(?, study) "
            "ORDER BY started, number",
            (study,),
        )
        return [
            Call(
                number=number,
                study=of,
                arguments=msgspec.json.decode(arguments),
                keys=tuple(keys.split()),
                started=started,
            )
            for number, of, arguments, keys, started in rows
        ]

    # -- leases ----------------------------------------------------------------------------------
    def claim(self, keys: Sequence[str], worker: Worker) -> tuple[str, ...] | None:
        """Lease those of the cells that are not finished; none if all are, None if another is at work on one.

        The cells of a worker that is known to be dead, or whose lease has ended, are taken over.
        """
        now = time.time()
        marks = ", ".join("?" * len(keys))
        with self._writing() as connection:
            done = {
                key for (key,) in connection.execute(f"SELECT key FROM cells WHERE key IN ({marks})", keys)
            }
            todo = tuple(key for key in keys if key not in done)
            leases = connection.execute(
                f"SELECT DISTINCT worker, until FROM leases WHERE key IN ({marks})", keys
            ).fetchall()
            for holder, until in leases:
                if until > now and not Worker.read(holder).is_dead():
                    return None
            connection.executemany(
                "INSERT OR REPLACE INTO leases VALUES (?, ?, ?)",
                [(key, str(worker), now + LEASE) for key in todo],
            )
        return todo

    def release(self, worker: Worker) -> None:
        """Give back what a worker has not finished."""
        with self._writing() as connection:
            connection.execute("DELETE FROM leases WHERE worker = ?", (str(worker),))

    @contextmanager
    def heartbeat(self, worker: Worker) -> Iterator[None]:
        """Keep a worker's leases alive meanwhile, from a thread of its own."""
        if self.path is None:
            yield
            return
        stop = threading.Event()
        thread = threading.Thread(target=_renew, args=(self.path, worker, stop), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    # -- cells -----------------------------------------------------------------------------------
    def commit(self, study: Study, keys: Sequence[str], runs: Sequence[CellRun], worker: Worker) -> None:
        """Write down a finished group, all of it or nothing; a cell that is already there stays."""
        now = time.time()
        rows = [
            (
                key,
                study.id,
                *msgspec.structs.astuple(run.cell),
                run.status,
                run.updates_done,
                run.epochs,
                run.final(),
                run.samples,
                run.seconds,
                run.threads,
                run.mates,
                str(worker),
                now,
            )
            for key, run in zip(keys, runs, strict=True)
        ]
        curves = [(key, pack_curves(run)) for key, run in zip(keys, runs, strict=True)]
        with self._writing() as connection:
            marks = ", ".join("?" * len(rows[0]))
            connection.executemany(f"INSERT OR IGNORE INTO cells VALUES ({marks})", rows)
            connection.executemany("INSERT OR IGNORE INTO curves VALUES (?, ?)", curves)
            connection.executemany("DELETE FROM leases WHERE key = ?", [(key,) for key in keys])

    def done(self, study: Study) -> set[str]:
        """Keys of the finished cells of a study."""
        rows = self._connection.execute("SELECT key FROM cells WHERE study = ?", (study.id,))
        return {key for (key,) in rows}

    def runs(self, study: str) -> Iterator[tuple[str, CellRun]]:
        """The finished cells of a study by key, in the order in which they were finished.

        Raises `DamagedLedgerError` when a cell's curves cannot be read.
        """
        rows = self._connection.execute(
            "SELECT key, lr, batch_size, seed, schedule, steps, until, status, updates_done, epochs, "
            "samples, seconds, threads, mates, packed FROM cells JOIN curves USING (key) WHERE study = ? "
            "ORDER BY cells.rowid",
            (study,),
        )
        for row in rows:
            key, lr, batch_size, seed, schedule, steps, until, *rest, packed = row
            status, updates_done, epochs, samples, seconds, threads, mates = rest
            try:
                evaluated_at, val_loss, metrics, train_at, train_loss = unpack_curves(packed)
            except ValueError as error:
                raise DamagedLedgerError(f"{self.path}, cell {key}: {error}") from error
            yield (
                key,
                CellRun(
                    cell=Cell(
                        lr=lr, batch_size=batch_size, seed=seed, schedule=schedule, steps=steps, until=until
                    ),
                    status=status,
                    updates_done=updates_done,
                    epochs=epochs,
                    evaluated_at=evaluated_at,
                    val_loss=val_loss,
                    metrics=metrics,
                    train_at=train_at,
                    train_loss=train_loss,
                    samples=samples,
                    seconds=seconds,
                    threads=threads,
                    mates=mates,
                ),
            )

    def chosen(self, study: str, keys: Iterable[str]) -> dict[str, CellRun]:
        """The finished ones among these cells."""
        wanted = set(keys)
        return {key: run for key, run in self.runs(study) if key in wanted}

    def back_up(self) -> None:
        """Copy the ledger to its backup file, once it is known to be sound."""
        if self.path is None:
            return
        try:
            write_backup(self._connection, self.path)
        except (sqlite3.Error, OSError) as error:
            raise LedgerFullError(
                f"the {self.count():,} cells in {self.path} are safe, but its backup could not be written: "
                f"{error}"
            ) from error


def _renew(path: Path, worker: Worker, stop: threading.Event) -> None:
    """Push the end of a worker's leases on, again and again; a beat that fails is made up for by the next."""
    while not stop.wait(HEARTBEAT):
        try:
            connection = connect(path)
            try:
                connection.execute(
                    "UPDATE leases SET until = ? WHERE worker = ?", (time.time() + LEASE, str(worker))
                )
            finally:
                connection.close()
        except sqlite3.Error:
            continue
