"""A ledger for ranks in step: the first one alone reads and writes it, and tells the others what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from stepsize._ranks import Group, current
from stepsize.runs.ledger import Ledger

ALONE = ("release", "heartbeat")
"""What rank 0 does for itself: leases are given back also where the ranks are no longer in step."""


@contextmanager
def ledger_of_ranks(path: Path | None) -> Iterator[Ledger]:
    """The ledger itself in a single process; what stands for it on every rank of a session."""
    ranks = current()
    if ranks.size == 1:
        with Ledger(path) as ledger:
            yield ledger
        return
    with Ledger(path if ranks.rank == 0 else None) as ledger:
        yield cast(Ledger, _Told(ledger, path, ranks))


class _Told:
    """Gives on every rank what the methods of rank 0's ledger give there, exceptions included."""

    def __init__(self, ledger: Ledger, path: Path | None, ranks: Group) -> None:
        self._ledger, self.path, self._ranks = ledger, path, ranks

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method: Callable[..., Any] = getattr(self._ledger, name)
        if name in ALONE:
            return method

        def told(*args: Any) -> Any:
            value, error = self._ranks.first(self._asked(method, args), name)
            if error is not None:
                raise error
            return value

        return told

    def _asked(self, method: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, Exception | None]:
        if self._ranks.rank > 0:
            return None, None
        try:
            return method(*args), None
        except Exception as error:  # noqa: BLE001 - it is raised on all ranks
            return None, error
