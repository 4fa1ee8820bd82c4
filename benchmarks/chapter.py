"""The source chapter in full, against a DataLoader loop that trains the same runs; and what it found.

python -m benchmarks.chapter            # some 8 minutes; writes benchmarks/chapter.md
python -m benchmarks.chapter --quick    # the quick look alone, for CI: writes nothing
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import torch

from benchmarks.clock import circumstances
from benchmarks.table import header, row
from benchmarks.targets import HEADER, Target
from stepsize.chapter import Chapter, Settings, quick
from stepsize.chapter.loops import loop_time
from stepsize.chapter.registry import chosen, trainings_of
from stepsize.chapter.result import LoopTime

RESULTS = Path(__file__).with_name("chapter.md")
UPDATES = 430
"""Of the loop, timed for each task and batch size: an epoch at batch 128."""

REPEATS = 3
FULL = Target("`stepsize chapter`, seconds", 300, at_most=True)
QUICK = Target("`stepsize chapter --quick`, seconds", 30, at_most=True)

PAGE = """\
# The chapter's experiments

What [`stepsize chapter`](../chapter/index.md) finds in full, with {seeds} seeds, {epochs:g} epochs and
{images:,} images of MNIST, and how long that takes.

{tally}

{verdicts}

## Time

{targets}

{times}

- **`stepsize chapter`**: the whole command in a new process, from its start to the page on disk:
  {updates:,} updates, with the range tests, curvatures and other measurements that are no runs. Measured
  once, with a process for each of the machine's processors.
- **DataLoader loops**: the same {runs:,} runs, one after the other in one thread, each fed by a shuffling
  `DataLoader` without workers and validated as often. Reckoned: for each task and batch size {timed} updates
  and a validation are timed, times those of all its runs. Median of {repeats} turns. The other measurements,
  and the runs with a growing batch, are left out.

## Measured

{circumstances}
"""


def command(folder: str, *options: str) -> tuple[float, Chapter]:
    """Seconds of `stepsize chapter` in a process of its own, and what it found."""
    result = Path(folder) / "chapter.json"
    words = ["chapter", *options, "--out", str(result.with_suffix(".html")), "--json", str(result), "--quiet"]
    start = time.perf_counter()
    subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from stepsize.cli import main; sys.exit(main(sys.argv[1:]))",
            *words,
        ],
        check=True,
    )
    return time.perf_counter() - start, Chapter.load(result)


def loops(settings: Settings, updates: int, repeats: int) -> list[LoopTime]:
    """The time of the same runs as DataLoader loops, `repeats` times, in one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [loop_time(trainings_of(chosen(())), settings, updates) for _ in range(repeats)]
    finally:
        torch.set_num_threads(threads)


def verdicts(found: Chapter) -> str:
    """Every statement with its verdict, as a table."""
    lines = ["| in the book | it says | measured | verdict |", "|:--|:--|:--|:--|"]
    for claim in found.claims:
        cells = (claim.row, claim.book, claim.measured, claim.verdict.replace(" ", "\N{NO-BREAK SPACE}"))
        lines.append(row(*(cell.replace("|", "\\|") for cell in cells)))
    return "\n".join(lines)


def page(found: Chapter, full: float, look: float, theirs: Sequence[LoopTime]) -> str:
    """The page, as Markdown."""
    seconds = [one.seconds for one in theirs]
    middle = median(seconds)
    spread = (max(seconds) - min(seconds)) / (2 * middle)
    return PAGE.format(
        seeds=found.settings.seeds,
        epochs=found.settings.epochs,
        images=55_000,
        tally=str(found).splitlines()[0] + ".",
        verdicts=verdicts(found),
        targets="\n".join([HEADER, FULL.row(full), QUICK.row(look)]),
        times="\n".join(
            [
                header("", ["seconds", "times as long"]),
                row("`stepsize chapter`", f"{full:,.0f}", "1"),
                row(
                    "DataLoader loops",
                    f"{middle:,.0f} ±\N{NO-BREAK SPACE}{spread:.0%}",
                    f"{middle / full:.1f}",
                ),
            ]
        ),
        updates=found.cost.updates,
        runs=theirs[0].runs,
        timed=UPDATES,
        repeats=len(theirs),
        circumstances=circumstances("python -m benchmarks.chapter"),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the chapter against DataLoader loops.")
    parser.add_argument("--quick", action="store_true", help="the quick look alone; writes nothing")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        look, small = command(folder, "--quick")
    print(f"stepsize chapter --quick: {look:.1f} s", flush=True)
    if arguments.quick:
        print(page(small, look, look, loops(quick(), 20, 1)))
        return
    with tempfile.TemporaryDirectory() as folder:
        full, found = command(folder)
    print(f"stepsize chapter: {full:.1f} s", flush=True)
    text = page(found, full, look, loops(Settings(), UPDATES, REPEATS))
    print("", text, sep="\n")
    RESULTS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
