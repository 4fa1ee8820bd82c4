"""How long work tells that it goes on: a protocol, a silent one, and a bar in the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Reporter(Protocol):
    """Is told what happens while something is measured."""

    def expect(self, updates: int) -> None:
        """About so many member-updates are to come in all."""
        ...

    def phase(self, name: str) -> None:
        """A new part of the work begins."""
        ...

    def advance(self, updates: int) -> None:
        """So many member-updates were done since the last call."""
        ...


class Silent:
    """Tells nobody."""

    def expect(self, updates: int) -> None:
        """Nothing to do."""

    def phase(self, name: str) -> None:
        """Nothing to do."""

    def advance(self, updates: int) -> None:
        """Nothing to do."""


class Bar:
    """A rich progress bar with the phase and the time left."""

    def __init__(self, progress: object) -> None:
        from rich.progress import Progress

        assert isinstance(progress, Progress)
        self._progress = progress
        self._bar = progress.add_task("starting", total=None)
        self._done = 0
        self._expected = 0

    def expect(self, updates: int) -> None:
        self._expected = updates
        self._progress.update(self._bar, total=updates)

    def phase(self, name: str) -> None:
        self._progress.update(self._bar, description=name)

    def advance(self, updates: int) -> None:
        self._done += updates
        # Work that was not foreseen moves the end away instead of standing at 100%.
        total = max(self._expected, round(self._done * 1.02))
        self._progress.update(self._bar, completed=self._done, total=total)


@contextmanager
def reporting(progress: bool | Reporter | None) -> Iterator[Reporter]:
    """A reporter for `progress`: the one given, a bar if True (None: if stderr is a terminal), or silence."""
    if progress is None:
        progress = sys.stderr.isatty()
    if not isinstance(progress, bool):
        yield progress
        return
    if not progress:
        yield Silent()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("[progress.description]{task.description:32}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield Bar(bar)
