"""How long work tells that it goes on: a protocol, a silent one, and a bar in the terminal."""

from __future__ import annotations

import sys
import time
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


class OutOfTimeError(Exception):
    """The budget in seconds is used up."""


class Deadline:
    """A reporter that passes everything on and raises `OutOfTimeError` after `deadline`.

    That is a time of `time.perf_counter`.
    """

    def __init__(self, reporter: Reporter, deadline: float) -> None:
        self._reporter, self._deadline = reporter, deadline

    def expect(self, updates: int) -> None:
        self._reporter.expect(updates)

    def phase(self, name: str) -> None:
        self._check()
        self._reporter.phase(name)

    def advance(self, updates: int) -> None:
        self._reporter.advance(updates)
        self._check()

    def _check(self) -> None:
        from stepsize._ranks import current  # brings torch, which the command line does without at its start

        if current().first(time.perf_counter() > self._deadline):
            raise OutOfTimeError


class Onward:
    """A reporter for the parts of a longer work: what a part expects is added to what is done."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter, self._done = reporter, 0

    @classmethod
    def of(cls, reporter: Reporter) -> Onward:
        """Itself, if it is one already."""
        return reporter if isinstance(reporter, cls) else cls(reporter)

    def expect(self, updates: int) -> None:
        self._reporter.expect(self._done + updates)

    def phase(self, name: str) -> None:
        self._reporter.phase(name)

    def advance(self, updates: int) -> None:
        self._done += updates
        self._reporter.advance(updates)


@contextmanager
def reporting(progress: bool | Reporter | None) -> Iterator[Reporter]:
    """A reporter for `progress`: the one given, a bar if True (None: if stderr is a terminal), or silence.

    Of the ranks of a session the first one alone reports.
    """
    from stepsize._ranks import current

    if current().rank > 0:
        progress = False
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
