"""12.3.4: for a fixed rate one batch size is best, and it grows with the rate and the training set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from stepsize.chapter.lab import Lab, Section, Training
from stepsize.chapter.result import Claim, Findings, Lines, NamedTable, Series
from stepsize.chapter.rules import Difference, Verdict, all_of, difference
from stepsize.chapter.sections.figures import apart, arm_of, finals, listed, percent, plain, points, values
from stepsize.chapter.settings import Settings
from stepsize.chapter.tasks import few_digits
from stepsize.report.picture import Table
from stepsize.runs import Runs
from stepsize.task import Task

SIZES, QUICK_SIZES = (4, 8, 16, 32, 64, 128), (4, 16, 64)
LRS = (0.05, 0.1, 0.2)
SAMPLES = (250, 1_000, 4_000)
MIDDLE = 1_000


def _task(samples: int, settings: Settings) -> Task:
    return few_digits(settings, samples)


TRAININGS = {
    samples: Training(
        f"fixed rate, {samples} digits",
        partial(_task, samples),
        LRS if samples == MIDDLE else (0.1,),
        batch_sizes=SIZES,
        quick_sizes=QUICK_SIZES,
        evaluate="4 a run",
    )
    for samples in SAMPLES
}


def _find(lab: Lab) -> Findings:
    sizes, below = (QUICK_SIZES, 0.4) if lab.settings.quick else (SIZES, 0.15)
    by_rate = {lr: _accuracies(lab.runs(TRAININGS[MIDDLE]), lr, sizes) for lr in LRS}
    by_samples = {n: _accuracies(lab.runs(TRAININGS[n]), 0.1, sizes) for n in SAMPLES}
    return Findings(
        claims=(
            _peak(by_rate[0.1]),
            _moves("12.3.4/best batch, rate", "rate", {f"{lr:g}": v for lr, v in by_rate.items()}),
            _moves(
                "12.3.4/best batch, data",
                "size of the training set",
                {f"{n:,}": v for n, v in by_samples.items()},
            ),
        ),
        drawings=(
            _drawing(
                "best-batch-rate", "Test accuracy over the batch, at three rates", by_rate, "rate {:g}", below
            ),
            _drawing(
                "best-batch-data", "At rate 0.1, with more or less data", by_samples, "{:,} samples", below
            ),
        ),
        tables=(_table(by_rate),),
    )


def _accuracies(runs: Runs, lr: float, sizes: Sequence[int]) -> dict[int, np.ndarray]:
    return {size: finals(runs, arm_of(runs, lr, size)) for size in sizes}


def _best(found: dict[int, np.ndarray]) -> int:
    return max(found, key=lambda size: float(np.nan_to_num(found[size], nan=0.0).mean()))


def _peak(found: dict[int, np.ndarray]) -> Claim:
    best = _best(found)
    ends: dict[int, Difference] = {
        size: difference(found[best], found[size]) for size in (min(found), max(found)) if size != best
    }
    at_edge: Verdict = "cannot be told" if best == max(found) else "does not hold"
    return Claim(
        id="12.3.4/best batch",
        row="12.3.4",
        book=(
            "For a fixed rate there is a batch size that maximises the test accuracy; too large a one "
            "generalises worse."
        ),
        measured=(
            f"At rate 0.1 and {MIDDLE:,} samples batch {best} is best with "
            f"{percent(float(found[best].mean()))}: "
            + listed(f"against {size} {points(d)}" for size, d in ends.items())
            + ". All batches make the same number of updates."
        ),
        verdict=at_edge if len(ends) < 2 else all_of(d.verdict for d in ends.values()),
        rule=(
            "The best of the sizes must lie inside, and above the smallest and the largest by 95% intervals. "
            "If it is the largest, still larger ones may be better, and it cannot be told."
        ),
        evidence=tuple(apart(f"{best} − {size}", d, "accuracy") for size, d in ends.items()),
    )


def _moves(identity: str, what: str, rows: dict[str, dict[int, np.ndarray]]) -> Claim:
    """Whether the best batch rises with `what`: by the mean, and seed by seed."""
    bests = {name: _best(found) for name, found in rows.items()}
    seeds = len(next(iter(next(iter(rows.values())).values())))
    alone = [
        [_best({size: ends[s : s + 1] for size, ends in found.items()}) for found in rows.values()]
        for s in range(seeds)
    ]
    up = [one[0] < one[-1] and list(one) == sorted(one) for one in alone]
    places = list(bests.values())
    return Claim(
        id=identity,
        row="12.3.4",
        book=f"That best batch size grows with the {what}.",
        measured=(
            "Best batch: "
            + listed(f"{size} at {name}" for name, size in bests.items())
            + f". Seed by seed it rises in {sum(up)} of {seeds}."
        ),
        verdict=_moved(up, places, max(next(iter(rows.values())))),
        rule=(
            "In every single seed the best batch must rise from the first to the last and never fall. "
            "Where the first one's is the largest size tried, it cannot be told."
        ),
        evidence=tuple(plain(f"best batch at {name}", size) for name, size in bests.items()),
    )


def _moved(up: list[bool], places: list[int], largest: int) -> Verdict:
    if all(up):
        return "holds"
    fell = not any(up) and places[-1] <= places[0] < largest
    return "does not hold" if fell else "cannot be told"


def _drawing(
    name: str, title: str, rows: Mapping[Any, dict[int, np.ndarray]], label: str, below: float
) -> Lines:
    """Lines down to so much `below` the highest: what the smallest batches lose would flatten the rest."""
    series = tuple(
        Series(
            label=label.format(key),
            x=values(tuple(found)),
            y=values([ends.mean() for ends in found.values()]),
            low=values([ends.min() for ends in found.values()]),
            high=values([ends.max() for ends in found.values()]),
            style="line and dots",
        )
        for key, found in rows.items()
    )
    top = max((v for one in series for v in one.high if v is not None), default=1.0)
    return Lines(
        name=name,
        title=title,
        caption=(
            "A 196-100-10 net with momentum 0.9 on small digits, every run with the same number of "
            "updates; mean of the seeds, lowest and highest."
        ),
        alt="Test accuracy over batch size: rising, a flat top, falling; the top moves to the right.",
        x_label="batch size",
        y_label="test accuracy",
        series=series,
        x_scale="batch",
        y_range=(top - below, top + 0.005),
    )


def _table(rows: dict[float, dict[int, np.ndarray]]) -> NamedTable:
    body = tuple(
        (f"{lr:g}", *(percent(float(ends.mean())) for ends in found.values()), str(_best(found)))
        for lr, found in rows.items()
    )
    sizes = next(iter(rows.values()))
    return NamedTable(
        caption=f"Test accuracy with {MIDDLE:,} samples",
        table=Table(("rate", *(f"batch {size}" for size in sizes), "best batch"), body),
    )


SECTION = Section(
    slug="fixed-rate",
    title="The best batch for a fixed rate",
    rows=("12.3.4",),
    idea=(
        "A net with momentum learns few digits for a fixed number of updates. The rate is held, the batch "
        "varied, and the test accuracy taken; then the rate and the amount of data are changed."
    ),
    code="""\
import stepsize as ss
from stepsize.chapter.settings import Settings
from stepsize.chapter.tasks import few_digits

task = few_digits(Settings(), samples=1000)
print(ss.sweep(task, [0.05, 0.1, 0.2], batch_size=[4, 8, 16, 32, 64, 128]).heatmap("accuracy"))
""",
    find=_find,
    trainings=tuple(TRAININGS.values()),
)
