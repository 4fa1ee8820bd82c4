"""Figures 12-9, 12-12 and 12-13: four rates at batch 128, 32 and 16, judged by validation accuracy."""

from __future__ import annotations

from functools import partial

import numpy as np

from stepsize._words import plural
from stepsize.chapter.lab import Lab, Section, Training
from stepsize.chapter.result import Claim, Findings, Lines, NamedTable, Series
from stepsize.chapter.rules import Difference, best_of, difference, overtaken
from stepsize.chapter.sections.figures import (
    apart,
    arm_of,
    band,
    curves,
    ends,
    estimate,
    finals,
    percent,
    points,
)
from stepsize.chapter.tasks import textbook
from stepsize.report.numbers import count
from stepsize.report.picture import Table
from stepsize.runs import Runs

BEST = (
    "It must end above each other rate, the 95% interval of the difference over paired seeds above 0; it "
    "is refuted if another rate ends above it at the level that allows for several comparisons."
)
PASSED = (
    "The first must lead early and the second at the end, each by a 95% interval over paired seeds that "
    "leaves out 0."
)
EARLY = 0.1
"""Share of the run at which "at the beginning" is judged: the first epoch of ten."""

CODE = """\
import stepsize as ss

task = ss.datasets.mnist_task(epochs=10)
runs = ss.sweep(task, lr={lrs}, batch_size={size}, seeds=3, store="runs.db")
print(runs)
print(runs.compare({best}, {rival}, by="accuracy"))
runs.report("rates.html")
"""


def _training(batch_size: int, lrs: tuple[float, ...]) -> Training:
    return Training(f"batch {batch_size}: rates", textbook, lrs, batch_sizes=(batch_size,))


RATES_128 = _training(128, (0.2, 0.3, 0.5, 0.8))
RATES_32 = _training(32, (0.1, 0.3, 0.5, 0.7))
RATES_16 = _training(16, (0.1, 0.3, 0.5, 0.7))


def _find_128(lab: Lab) -> Findings:
    runs = lab.runs(RATES_128)
    high, best = arm_of(runs, 0.8), arm_of(runs, 0.5)
    updates, fast = curves(runs, high)
    _, slow = curves(runs, best)
    at = int(np.argmin(np.abs(updates - max(EARLY * updates[-1], updates[1]))))
    early, late = difference(fast[:, at], slow[:, at]), difference(fast[:, -1], slow[:, -1])
    verdict = overtaken(early, late)
    crossed = int(((fast[:, at] > slow[:, at]) & (fast[:, -1] < slow[:, -1])).sum())
    fastest = max(runs.arms, key=lambda arm: float(np.nan_to_num(curves(runs, arm)[1][:, at]).mean()))
    return Findings(
        claims=(
            _best("fig 12-9", runs, 0.5, "At batch 128 a rate of 0.5 works best."),
            Claim(
                id="fig 12-9/overtaken",
                row="fig 12-9",
                book=(
                    "0.8 rises fastest at first, but by epoch 10 the curve of 0.5 has overtaken it and "
                    "stays above."
                ),
                measured=(
                    f"0.8 − 0.5 at update {count(updates[at])}: {points(early)}; at the end: "
                    f"{points(late)}. {crossed} of {plural(early.seeds, 'seed')} show the overtaking. At "
                    f"that update {fastest.lr:g} was highest of the four."
                ),
                verdict=verdict,
                rule=PASSED,
                evidence=(
                    apart(f"0.8 − 0.5, update {count(updates[at])}", early, "accuracy"),
                    apart("0.8 − 0.5, end", late, "accuracy"),
                ),
            ),
        ),
        drawings=(_drawing(runs, 128, "Figure 12-9: four rates at batch 128"),),
        tables=(_table(runs),),
    )


def _find_small(row: str, training: Training, best: float, book: str, lab: Lab) -> Findings:
    runs = lab.runs(training)
    size = next(iter(runs.arms)).batch_size
    number = row.removeprefix("fig ")
    return Findings(
        claims=(_best(row, runs, best, book),),
        drawings=(_drawing(runs, size, f"Figure {number}: four rates at batch {size}"),),
        tables=(_table(runs),),
    )


def _best(row: str, runs: Runs, lr: float, book: str) -> Claim:
    arms = list(runs.arms)
    claimed = arm_of(runs, lr)
    others = [arm for arm in arms if arm != claimed]
    found: list[Difference] = [difference(finals(runs, claimed), finals(runs, other)) for other in others]
    told = "; ".join(f"against {other.lr:g} {points(d)}" for other, d in zip(others, found, strict=True))
    top = max(arms, key=lambda arm: float(np.nan_to_num(finals(runs, arm), nan=0).mean()))
    return Claim(
        id=f"{row}/best",
        row=row,
        book=book,
        measured=f"Final accuracies: {ends(runs, arms)}; highest mean at {top.lr:g}. {lr:g} {told}.",
        verdict=best_of(finals(runs, claimed), [finals(runs, other) for other in others]),
        rule=BEST,
        evidence=(
            *(estimate(f"accuracy at {arm.lr:g}", finals(runs, arm), "accuracy") for arm in arms),
            *(apart(f"{lr:g} − {o.lr:g}", d, "accuracy") for o, d in zip(others, found, strict=True)),
        ),
    )


def _drawing(runs: Runs, size: int, title: str) -> Lines:
    arms = list(runs.arms)
    series = tuple(band(f"{arm.lr:g}", *curves(runs, arm)) for arm in arms)
    return Lines(
        name=f"rates-{size}",
        title=title,
        caption=(
            "Validation accuracy over updates, one line a rate: the mean of "
            f"{plural(runs.planned // len(arms), 'seed')}, with the lowest and the highest seed as its band."
        ),
        alt=f"Validation accuracy over updates at batch {size}. At the end: {ends(runs, arms)}.",
        x_label="update",
        y_label="validation accuracy",
        series=series,
        x_scale="count",
        y_range=zoomed(series),
    )


def zoomed(series: tuple[Series, ...]) -> tuple[float, float]:
    """A range of accuracies that shows the ends apart: from the middle of the rise on."""
    known = [v for one in series for v in one.low if v is not None]
    tops = [v for one in series for v in one.high if v is not None]
    if not known:
        return 0.0, 1.0
    top = max(tops)
    return max(min(known), top - 0.12), top + 0.005


def _table(runs: Runs) -> NamedTable:
    rows = tuple(
        (f"{arm.lr:g}", *(percent(v) for v in finals(runs, arm)), percent(float(finals(runs, arm).mean())))
        for arm in runs.arms
    )
    seeds = len(rows[0]) - 2
    return NamedTable(
        caption="Final validation accuracy, seed by seed",
        table=Table(("learning rate", *(f"seed {i}" for i in range(seeds)), "mean"), rows),
    )


FIG_9 = Section(
    slug="rates-128",
    title="Four rates at batch 128",
    rows=("fig 12-9",),
    idea=(
        "The textbook's net is trained at 0.2, 0.3, 0.5 and 0.8 with several seeds each. Runs of one seed "
        "start from the same weights and see the same batches, so that rates are compared seed by seed."
    ),
    code=CODE.format(lrs="[0.2, 0.3, 0.5, 0.8]", size=128, best=0.5, rival=0.8),
    find=_find_128,
    trainings=(RATES_128,),
)
FIG_12 = Section(
    slug="rates-32",
    title="Four rates at batch 32",
    rows=("fig 12-12",),
    idea="The same comparison at batch 32, with the rates 0.1, 0.3, 0.5 and 0.7.",
    code=CODE.format(lrs="[0.1, 0.3, 0.5, 0.7]", size=32, best=0.5, rival=0.3),
    find=partial(_find_small, "fig 12-12", RATES_32, 0.5, "At batch 32 the rate 0.5 is still the best."),
    trainings=(RATES_32,),
)
FIG_13 = Section(
    slug="rates-16",
    title="Four rates at batch 16",
    rows=("fig 12-13",),
    idea=(
        "And at batch 16, where the same epochs take twice as many updates. A small batch has a noisier "
        "gradient, so that a lower rate should win."
    ),
    code=CODE.format(lrs="[0.1, 0.3, 0.5, 0.7]", size=16, best=0.1, rival=0.3),
    find=partial(_find_small, "fig 12-13", RATES_16, 0.1, "At batch 16 the rate 0.1 has become the best."),
    trainings=(RATES_16,),
)
