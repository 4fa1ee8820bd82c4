"""Who holds a lease: one process on one machine, told apart from all others, and whether it still lives."""

from __future__ import annotations

import os
import platform
import uuid
from pathlib import Path

import msgspec

_PROC = Path("/proc")


class Worker(msgspec.Struct, frozen=True):
    """A process as the ledger names it.

    `place` is the machine since its last start, with the process table that `pid` belongs to (a container has
    its own). `born` tells two processes with the same pid apart, `token` two sweeps in one process.
    """

    place: str
    pid: int
    born: str
    token: str

    @classmethod
    def here(cls) -> Worker:
        """A new worker in this process."""
        return cls(_place(), os.getpid(), _born(os.getpid()), uuid.uuid4().hex[:8])

    def __str__(self) -> str:
        return msgspec.json.encode(self).decode()

    @staticmethod
    def read(text: str) -> Worker:
        """What `str` gave."""
        return msgspec.json.decode(text, type=Worker)

    def is_dead(self) -> bool:
        """Whether the process is known to have ended; False where that cannot be known from here."""
        return self.place == _place() and _born(self.pid) != self.born


def _place() -> str:
    boot = _read(_PROC / "sys/kernel/random/boot_id")
    try:
        table = os.readlink(_PROC / "self/ns/pid")
    except OSError:
        table = ""
    return f"{platform.node()} {boot} {table}"


def _born(pid: int) -> str:
    """When a process was started, in the kernel's ticks; empty when there is none, or it is a zombie."""
    stat = _read(_PROC / str(pid) / "stat")
    if not stat:
        return "" if _PROC.is_dir() or not _answers(pid) else "unknown"
    fields = stat.rpartition(")")[2].split()  # the name before it may hold anything, spaces too
    return "" if fields[0] in "ZX" else fields[19]


def _answers(pid: int) -> bool:
    """Whether a process exists, for systems without /proc."""
    if os.name != "posix":
        return True  # os.kill would end it
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
