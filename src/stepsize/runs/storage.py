"""Opening a ledger's file: what must hold before anything is read from it or written to it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import warnings
from collections.abc import Iterator
from pathlib import Path

from stepsize.runs.filesystem import network_file_system

APPLICATION = 0x53746570
"""SQLite's application_id of a ledger: "Step"."""

SCHEMA = 1
"""Version of the tables; raised when an older stepsize could no longer read them."""

PATIENCE = 60.0
"""Seconds to wait for another process to finish its transaction, which takes milliseconds."""

TABLES = """
CREATE TABLE studies (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, parts TEXT NOT NULL, versions TEXT NOT NULL,
    description TEXT NOT NULL, created REAL NOT NULL
);
CREATE TABLE calls (
    number INTEGER PRIMARY KEY, study TEXT NOT NULL REFERENCES studies(id),
    arguments TEXT NOT NULL, keys TEXT NOT NULL, started REAL NOT NULL, UNIQUE (study, arguments)
);
CREATE TABLE cells (
    key TEXT PRIMARY KEY, study TEXT NOT NULL REFERENCES studies(id), lr REAL NOT NULL,
    batch_size INTEGER NOT NULL, seed INTEGER NOT NULL, schedule TEXT NOT NULL, steps INTEGER NOT NULL,
    until INTEGER NOT NULL, status TEXT NOT NULL, updates_done INTEGER NOT NULL, epochs REAL, val_loss REAL,
    samples INTEGER NOT NULL, seconds REAL NOT NULL, threads INTEGER NOT NULL, mates INTEGER NOT NULL,
    worker TEXT NOT NULL, finished REAL NOT NULL
);
CREATE INDEX cells_by_study ON cells(study);
CREATE TABLE curves (key TEXT PRIMARY KEY REFERENCES cells(key), packed BLOB NOT NULL);
CREATE TABLE leases (key TEXT PRIMARY KEY, worker TEXT NOT NULL, until REAL NOT NULL);
"""


class LedgerError(RuntimeError):
    """A ledger that cannot be used as it is; the message says what to do."""


class DamagedLedgerError(LedgerError):
    """The file is no ledger, or a broken one. It was left as it is."""


class NewerLedgerError(LedgerError):
    """The ledger was written by a newer stepsize. It was left as it is."""


class LedgerFullError(LedgerError):
    """The ledger could not be written: what it held before is safe."""


def open_storage(path: Path) -> sqlite3.Connection:
    """Check a ledger's file without changing it, then open it for reading and writing; made if absent.

    Raises `DamagedLedgerError`, `NewerLedgerError`, or `OSError` when the folder cannot be written to.
    """
    if path.is_dir():
        raise IsADirectoryError(f"store must be a file, but {path} is a folder: pass store='{path}/runs.db'")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"store is {path}, but the folder {path.parent} does not exist: create it")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise PermissionError(f"store is {path}, which cannot be written: choose another place")
    if kind := network_file_system(path):
        warnings.warn(
            f"{path} lies on {kind}, a network file system, where SQLite's locks cannot be relied on: use it "
            "from one process only, or keep the ledger on a local disk and let one Ray driver own it",
            stacklevel=4,
        )
    check(path)
    connection = connect(path)
    try:
        _prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def connect(path: Path) -> sqlite3.Connection:
    """A connection that leaves transactions to us and waits for others."""
    connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")  # a commit survives a power failure too
    return connection


def memory_storage() -> sqlite3.Connection:
    """A ledger that lives as long as this process."""
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    _prepare(connection)
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL").fetchone()
    with transaction(connection):
        if not _tables(connection):
            for statement in TABLES.strip().split(";\n"):
                connection.execute(statement.removesuffix(";"))
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {SCHEMA}")


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """One transaction: all of it is written, or, on any exception, nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def check(path: Path) -> None:
    """Raise unless the file is absent, empty, or a sound ledger of a known version; nothing is changed."""
    backup = backup_of(path)
    if not path.exists() or path.stat().st_size == 0:
        if backup.exists():
            what = "is empty" if path.exists() else "does not exist"
            raise DamagedLedgerError(
                f"{path} {what}, but its backup {backup} is there: restore it with "
                f"`cp {backup} {path}`, or move the backup away to begin anew"
            )
        return
    trouble = _truncation(path)
    if trouble is None:
        with contextlib.closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        ) as connection:
            trouble = _trouble(connection, path)
    if trouble is not None:
        hint = (
            f"its backup {backup} was left alone: look at it with `stepsize sweep show {backup}`, and "
            f"restore it with `cp {backup} {path}`"
            if backup.exists()
            else "there is no backup: move the file away to begin anew"
        )
        raise DamagedLedgerError(f"{path} {trouble}. Nothing was changed; {hint}")


def _truncation(path: Path) -> str | None:
    """What the file's first bytes say against its length; a log beside it may hold what is missing."""
    with path.open("rb") as file:
        header = file.read(100)
    if not header.startswith(b"SQLite format 3\0"):
        return "is not a ledger: it does not begin as an SQLite database"
    if len(header) < 100:
        return "is damaged: it ends within its header"
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size:
        return None
    page = int.from_bytes(header[16:18], "big")
    size = (65536 if page == 1 else page) * int.from_bytes(header[28:32], "big")
    if path.stat().st_size < size:
        return f"is damaged: it should have {size:,} bytes, but ends after {path.stat().st_size:,}"
    return None


def _trouble(connection: sqlite3.Connection, path: Path) -> str | None:
    try:
        connection.execute(f"PRAGMA busy_timeout = {int(PATIENCE * 1000)}")
        tables = _tables(connection)
        if not tables:
            return None  # another process is about to make them
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        if application != APPLICATION:
            return (
                f"is no ledger, but an SQLite database of something else (tables {', '.join(sorted(tables))})"
            )
        (schema,) = connection.execute("PRAGMA user_version").fetchone()
        if schema > SCHEMA:
            raise NewerLedgerError(
                f"{path} has schema {schema}, written by a newer stepsize; this one reads up to schema "
                f"{SCHEMA}. Nothing was changed: upgrade stepsize, or pass another store"
            )
        (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if answer != "ok":
            return f"is damaged: {answer.splitlines()[-1]}"
        lonely = connection.execute(
            "SELECT (SELECT count(*) FROM cells), (SELECT count(*) FROM cells JOIN curves USING (key)), "
            "(SELECT count(*) FROM curves)"
        ).fetchone()
        if len(set(lonely)) != 1:
            return f"is damaged: it holds {lonely[0]:,} cells, but the curves of {lonely[2]:,}"
    except sqlite3.DatabaseError as error:
        return f"is damaged: {error}"
    return None


def _tables(connection: sqlite3.Connection) -> set[str]:
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    return {name for (name,) in rows}


def backup_of(path: Path) -> Path:
    """Where a ledger's backup lies."""
    return path.with_name(f"{path.name}.backup")


def write_backup(connection: sqlite3.Connection, path: Path) -> None:
    """Copy the ledger beside itself; an earlier backup is replaced by a whole new one or not at all."""
    target = backup_of(path)
    fresh = target.with_name(f"{target.name}.{os.getpid()}")
    try:
        with contextlib.closing(sqlite3.connect(fresh)) as copy:
            connection.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
            copy.execute("DELETE FROM leases")
            copy.commit()
        os.replace(fresh, target)
    finally:
        fresh.unlink(missing_ok=True)
