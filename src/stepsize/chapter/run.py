"""run: the chapter's experiments, from their settings to the result with every verdict."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from stepsize._progress import Onward, Reporter, reporting
from stepsize._result import provenance
from stepsize.chapter.crew import crew
from stepsize.chapter.lab import Lab, Section
from stepsize.chapter.loops import loop_time
from stepsize.chapter.registry import chosen, trainings_of
from stepsize.chapter.result import Chapter, SectionResult
from stepsize.chapter.settings import Settings
from stepsize.runs.ledger import Ledger
from stepsize.training.history import Cost

WORKERS = 4
"""Processes at most, unless told otherwise: there are only some long trainings to share."""


def run(
    sections: Sequence[str] = (),
    *,
    settings: Settings | None = None,
    store: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    loops: bool = False,
    each: Callable[[SectionResult], object] | None = None,
    progress: bool | Reporter | None = None,
) -> Chapter:
    """Run the experiments of the source chapter and decide which of its statements hold.

    Every training is a cell of the ledger `store`: the same call goes on where it was stopped or killed, and
    sections share runs. Ctrl-C returns the sections that are done, with status "interrupted".

    Args:
        sections: names as `SECTIONS` has them; by default all.
        settings: seeds, epochs and size; by default 3 seeds and 10 epochs on full MNIST.
        store: the ledger's file, made if absent; without one, nothing is kept.
        workers: processes that train, each with one thread: nets this small gain nothing from a second one.
            By default as many as there are processors, 4 at most.
        loops: also time the same runs as DataLoader loops, for comparison.
        each: called with every section as soon as it is done, in no fixed order.
        progress: True for a bar on stderr, False for silence, or a `Reporter`; by default a bar if stderr is
            a terminal.

    Raises:
        ValueError: an unknown section, which the message lists; or `workers` below 1.
    """
    wanted = chosen(sections)
    size = Settings() if settings is None else settings
    processes = min(os.cpu_count() or 1, WORKERS) if workers is None else workers
    if processes < 1:
        raise ValueError(f"workers must be at least 1, but is {processes}")
    started = time.perf_counter()
    with _kept(store) as path, _one_thread(), reporting(progress) as reporter:
        lab, before = Lab(size, path, Onward(reporter)), _stored(path)
        trainings = trainings_of(wanted)
        helpers = min(processes - 1, len(trainings))
        done: list[SectionResult] = []
        with crew(size, path, [section.slug for section in wanted], helpers):
            reporter.phase("planning")
            reporter.expect(sum(training.updates(size) for training in trainings))
            # Further processes train the longest first; this one begins where there is least to train.
            order = sorted(wanted, key=lambda section: sum(t.updates(size) for t in section.trainings))
            complete = _through(order, lab, done, each)
        found = {section.slug: section for section in done}
        seconds = time.perf_counter() - started
        reused = max(0, sum(len(runs.runs) for runs in lab.trained) - (_stored(path) - before))
        timed = loop_time(trainings, size) if loops and complete else None
    return Chapter(
        status="complete" if complete else "interrupted",
        asked=tuple(section.slug for section in wanted),
        settings=size,
        sections=tuple(found[section.slug] for section in wanted if section.slug in found),
        cost=Cost(
            updates=lab.cost.updates,
            samples=lab.cost.samples,
            seconds=seconds,
            runs=lab.cost.runs,
        ),
        reused=reused,
        loops=timed,
        provenance=provenance(device="cpu", seeds=tuple(range(size.seeds))),
    )


def _through(
    wanted: Sequence[Section],
    lab: Lab,
    done: list[SectionResult],
    each: Callable[[SectionResult], object] | None,
) -> bool:
    """Work through the sections, those that other processes have trained for first; False if interrupted."""
    waiting = list(wanted)
    try:
        while waiting:
            section = lab.next(waiting)
            waiting.remove(section)
            begun = time.perf_counter()
            findings = section.find(lab)
            done.append(
                SectionResult(
                    slug=section.slug,
                    title=section.title,
                    rows=section.rows,
                    idea=section.idea,
                    code=section.code,
                    findings=findings,
                    seconds=time.perf_counter() - begun,
                )
            )
            if each is not None:
                each(done[-1])
    except KeyboardInterrupt:
        return False
    return True


def _stored(path: Path) -> int:
    """Runs that the ledger holds; an absent one holds none, and is not made."""
    if not path.exists():
        return 0
    with Ledger(path) as ledger:
        return ledger.count()


@contextlib.contextmanager
def _kept(store: str | os.PathLike[str] | None) -> Iterator[Path]:
    """The ledger's path; a passing one if none was given."""
    if store is not None:
        yield Path(store)
        return
    with tempfile.TemporaryDirectory(prefix="stepsize-") as folder:
        yield Path(folder) / "chapter.db"


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
