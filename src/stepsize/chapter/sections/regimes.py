"""12.3.1-1 and figure 12-5: diverging, oscillating, good and too slow, named by the classifier."""

from __future__ import annotations

import numpy as np

from stepsize._words import plural
from stepsize.chapter.lab import Lab, Section, Training
from stepsize.chapter.result import Claim, Findings, Lines, NamedTable
from stepsize.chapter.rules import share
from stepsize.chapter.sections.figures import line, listed
from stepsize.chapter.settings import Settings
from stepsize.chapter.tasks import first_images
from stepsize.measure.diagnosis import Diagnosis, diagnose
from stepsize.report.numbers import rate
from stepsize.report.picture import Table
from stepsize.runs.cell import CellRun
from stepsize.task import Task

ORDER = ("too_slow", "converging", "oscillating", "diverging")
"""The four regimes as the rate rises."""

COLOURS = {"too_slow": "blue", "converging": "green", "oscillating": "red", "diverging": "yellow"}
"""Of the lines in the textbook's figure."""

LRS = (0.001, 0.01, 0.1, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0)


def _task(settings: Settings) -> Task:
    """Few images, all of them in every update: what swings is the descent, not the batches."""
    task = first_images(settings, settings.pick(500, 50))
    return task.replace(batch_size="full", steps=80)


RATES = Training("four regimes", _task, LRS, evaluate="4 a run", keep="all")


def _find(lab: Lab) -> Findings:
    runs = lab.runs(RATES)
    by_seed: dict[int, list[tuple[CellRun, Diagnosis]]] = {}
    for run in runs.runs:
        by_seed.setdefault(run.cell.seed, []).append((run, diagnose(run.train_loss)))
    all_four = sum({d.verdict for _, d in rows} >= set(ORDER) for rows in by_seed.values())
    in_order = sum(_rises(rows) for rows in by_seed.values())
    first = next(iter(by_seed.values()))
    shown = [(name, next((row for row in first if row[1].verdict == name), None)) for name in ORDER]
    spans = listed(
        f"{name.replace('_', ' ')} at {listed(rate(run.cell.lr) for run, d in first if d.verdict == name)}"
        for name, row in shown
        if row is not None
    )
    seeds = len(by_seed)
    return Findings(
        claims=(
            Claim(
                id="12.3.1-1/order",
                row="12.3.1-1",
                book=(
                    "Too small a rate converges too slowly; too large a one oscillates around the minimum "
                    "or diverges."
                ),
                measured=(
                    f"As the rate rises the verdicts never go back in {in_order} of "
                    f"{plural(seeds, 'seed')}. Seed {first[0][0].cell.seed}: {spans}."
                ),
                verdict=share(in_order, seeds),
                rule="For every seed, the classifier's verdicts must follow that order as the rate rises.",
            ),
            Claim(
                id="fig 12-5/four",
                row="fig 12-5",
                book="Four curves: diverging (yellow), oscillating (red), good (green) and too slow (blue).",
                measured=f"The classifier finds all four in {all_four} of {plural(seeds, 'seed')}.",
                verdict=share(all_four, seeds),
                rule=(
                    "All four verdicts must come up for every seed, given by `diagnose` from the training "
                    "loss alone."
                ),
            ),
        ),
        drawings=(_drawing([(name, row) for name, row in shown if row is not None]),),
        tables=(_table(first),),
    )


def _rises(rows: list[tuple[CellRun, Diagnosis]]) -> bool:
    places = [
        ORDER.index(d.verdict) for _, d in sorted(rows, key=lambda row: row[0].cell.lr) if d.verdict in ORDER
    ]
    return places == sorted(places)


def _drawing(shown: list[tuple[str, tuple[CellRun, Diagnosis]]]) -> Lines:
    series, top = [], 1.0
    for name, (run, _) in shown:
        losses = np.asarray(run.train_loss)
        series.append(line(f"{name.replace('_', ' ')} ({run.cell.lr:g})", np.arange(len(losses)), losses))
        if np.isfinite(losses).all():
            top = max(top, float(losses.max()))
    return Lines(
        name="regimes",
        title="Figure 12-5: four rates, named by the classifier",
        caption=(
            "Training loss over updates, every image in each batch. The words are the "
            "classifier's verdicts, not ours."
        ),
        alt=f"Training loss over updates for {listed(s.label for s in series)}.",
        x_label="update",
        y_label="training loss",
        series=tuple(series),
        x_scale="count",
        y_range=(0.0, 1.05 * top),
    )


def _table(rows: list[tuple[CellRun, Diagnosis]]) -> NamedTable:
    body = tuple(
        (rate(run.cell.lr), d.verdict.replace("_", " "), COLOURS.get(d.verdict, "–"), d.why)
        for run, d in rows
    )
    return NamedTable(
        caption=f"Verdicts of seed {rows[0][0].cell.seed}",
        table=Table(("learning rate", "verdict", "line in the book", "grounds"), body),
    )


SECTION = Section(
    slug="regimes",
    title="Too slow, good, oscillating, diverging",
    rows=("12.3.1-1", "fig 12-5"),
    idea=(
        "The textbook's net is trained at rates from 0.001 to 10 on full batches. `diagnose` reads each "
        "loss curve and says what it is and on what grounds."
    ),
    code="""\
import stepsize as ss

digits = ss.datasets.mnist_task()
x, y = (part[:500] for part in digits.train.tree)
task = digits.replace(train=(x, y), batch_size="full", steps=80)
for run in ss.sweep(task, [0.01, 0.5, 3, 10], seeds=1, keep="all", evaluate=4).runs:
    print(run.cell.lr, ss.diagnose(run.train_loss).why)
""",
    find=_find,
    trainings=(RATES,),
)
