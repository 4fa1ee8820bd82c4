"""The ledger's file: what is refused, what is left alone, and who may work on what."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import stepsize as ss
from stepsize.runs import DamagedLedgerError, LedgerError, NewerLedgerError
from stepsize.runs.filesystem import network_file_system
from stepsize.runs.ledger import LEASE, Ledger
from stepsize.runs.worker import Worker


@pytest.fixture
def store(stored: Path, tmp_path: Path) -> Path:
    """A copy of a whole ledger and its backup, to be spoilt."""
    for path in (stored, stored.with_name("runs.db.backup")):
        shutil.copy(path, tmp_path)
    return tmp_path / "runs.db"


def assert_refused(store: Path, error: type[LedgerError], message: str) -> None:
    """Opening raises, and neither the file nor its backup changes."""
    backup = store.with_name("runs.db.backup")
    before = store.read_bytes(), backup.read_bytes()
    with pytest.raises(error, match=message):
        Ledger(store)
    assert (store.read_bytes(), backup.read_bytes()) == before


def test_a_truncated_ledger_is_refused_and_its_backup_is_whole(store: Path, runs: ss.Runs) -> None:
    size = store.stat().st_size
    os.truncate(store, size - 5000)
    assert_refused(store, DamagedLedgerError, f"should have {size:,} bytes.*left alone.*restore it with `cp")
    backup = store.with_name("runs.db.backup")
    assert len(ss.Runs.open(backup)) == len(runs)
    shutil.copy(backup, store)
    assert len(ss.Runs.open(store)) == len(runs)


@pytest.mark.parametrize("size", [1, 50, 99])
def test_a_ledger_cut_within_its_header_is_refused(store: Path, size: int) -> None:
    os.truncate(store, size)
    assert_refused(store, DamagedLedgerError, "is damaged|is not a ledger")


def test_an_empty_file_beside_a_backup_is_not_taken_for_a_new_ledger(store: Path) -> None:
    os.truncate(store, 0)
    assert_refused(store, DamagedLedgerError, "is empty, but its backup")


def test_a_page_of_noise_is_found(store: Path) -> None:
    with store.open("r+b") as file:
        file.seek(5 * 4096)
        file.write(bytes(range(256)) * 16)
    assert_refused(store, DamagedLedgerError, "is damaged")


def test_a_cell_without_its_curves_is_found(store: Path) -> None:
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.execute("DELETE FROM curves WHERE rowid = 1")
    assert_refused(store, DamagedLedgerError, "holds 24 cells, but the curves of 23")


def test_damaged_curves_are_named(store: Path) -> None:
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.execute("UPDATE curves SET packed = x'00' WHERE rowid = 1")
    with pytest.raises(DamagedLedgerError, match=r"cell \w{32}: damaged curves"):
        ss.Runs.open(store)


def test_a_newer_ledger_is_refused(store: Path) -> None:
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("PRAGMA user_version = 99")
    assert_refused(store, NewerLedgerError, "has schema 99, written by a newer stepsize.*upgrade")


def test_another_programs_database_is_refused(store: Path) -> None:
    store.unlink()
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("CREATE TABLE holidays (day TEXT)")
    assert_refused(store, DamagedLedgerError, r"an SQLite database of something else \(tables holidays\)")


def test_another_file_is_refused(store: Path) -> None:
    store.write_text("lr,loss\n0.1,2.3\n" * 100)
    assert_refused(store, DamagedLedgerError, "is not a ledger")


def test_there_is_no_such_ledger_or_sweep(stored: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no ledger"):
        ss.Runs.open(tmp_path / "none.db")
    with pytest.raises(LedgerError, match="holds no sweep 7; it has 1"):
        ss.Runs.open(stored, 7)
    with Ledger(tmp_path / "empty.db"), pytest.raises(LedgerError, match="holds no sweep yet"):
        ss.Runs.open(tmp_path / "empty.db")


# -- leases ----------------------------------------------------------------------------------------
def elsewhere() -> Worker:
    """A worker on a machine that cannot be asked whether it lives."""
    return Worker("another machine", 1, "0", "abc")


def ended() -> Worker:
    """A worker whose process has been here and is gone."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        here = Worker.here()
        stat = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        worker = Worker(here.place, process.pid, stat[19], "abc")
        assert not worker.is_dead()
    return worker


def test_a_cell_is_leased_to_one_worker_only(tmp_path: Path) -> None:
    with Ledger(tmp_path / "runs.db") as ledger:
        me, other = Worker.here(), elsewhere()
        assert ledger.claim(["a", "b"], me) == ("a", "b")
        assert ledger.claim(["b", "c"], other) is None
        assert ledger.claim(["c"], other) == ("c",)
        ledger.release(me)
        assert ledger.claim(["b"], other) == ("b",)


def test_the_cells_of_a_worker_that_ended_are_taken_over_at_once(tmp_path: Path) -> None:
    with Ledger(tmp_path / "runs.db") as ledger:
        assert ledger.claim(["a"], ended()) == ("a",)
        assert ledger.claim(["a"], Worker.here()) == ("a",)


def test_a_lease_that_nobody_renews_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Ledger(tmp_path / "runs.db") as ledger:
        now = time.time()
        assert ledger.claim(["a"], elsewhere()) == ("a",)
        monkeypatch.setattr(time, "time", lambda: now + LEASE - 5)
        assert ledger.claim(["a"], Worker.here()) is None
        monkeypatch.setattr(time, "time", lambda: now + LEASE + 5)
        assert ledger.claim(["a"], Worker.here()) == ("a",)


def test_the_heartbeat_renews_a_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepsize.runs.ledger.HEARTBEAT", 0.01)
    store, worker = tmp_path / "runs.db", Worker.here()

    def ends() -> float:
        with closing(sqlite3.connect(store)) as connection:
            return float(connection.execute("SELECT until FROM leases").fetchone()[0])

    with Ledger(store) as ledger:
        ledger.claim(["a"], worker)
        first = ends()
        with ledger.heartbeat(worker):
            while ends() == first:
                time.sleep(0.01)
    assert ends() > first


@given(st.text(), st.integers(0), st.text(), st.text())
def test_a_worker_reads_back(place: str, pid: int, born: str, token: str) -> None:
    worker = Worker(place, pid, born, token)
    assert Worker.read(str(worker)) == worker


def test_this_process_lives() -> None:
    me = Worker.here()
    assert not me.is_dead()
    assert msgspec.structs.replace(me, born="1").is_dead()
    assert not msgspec.structs.replace(me, place="elsewhere", born="1").is_dead()


# -- file systems ----------------------------------------------------------------------------------
MOUNTS = r"""
/dev/vda / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/vdb /home/fast xfs rw 0 0
//server/share /mnt/with\040space cifs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/me/runs.db", "nfs4"),
        ("/home/fast/runs.db", None),
        ("/homely/runs.db", None),
        ("/mnt/with space/runs.db", "cifs"),
        ("/var/runs.db", None),
    ],
)
def test_a_network_file_system_is_recognised(tmp_path: Path, path: str, kind: str | None) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS.strip())
    assert network_file_system(Path(path), mounts) == kind


def test_where_the_system_does_not_tell_nothing_is_said(tmp_path: Path) -> None:
    assert network_file_system(Path("/home/me/runs.db"), tmp_path / "none") is None


def test_a_ledger_on_a_network_file_system_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stepsize.runs.storage.network_file_system", lambda path: "nfs4")
    with pytest.warns(UserWarning, match="lies on nfs4, a network file system"):
        Ledger(tmp_path / "runs.db")
