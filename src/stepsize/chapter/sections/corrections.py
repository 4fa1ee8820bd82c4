"""Corrections: a rate may exceed 1, its ceiling is set by curvature; and one run a curve tells little."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import torch
from torch import nn

from stepsize.chapter.lab import Lab, Section, Training
from stepsize.chapter.result import Claim, Findings, Lines, NamedTable, Series
from stepsize.chapter.rules import Verdict, difference
from stepsize.chapter.sections.figures import (
    apart,
    arm_of,
    band,
    curves,
    estimate,
    finals,
    percent,
    plain,
    points,
    values,
)
from stepsize.chapter.sections.rates import RATES_16, RATES_32, RATES_128, zoomed
from stepsize.chapter.settings import Settings
from stepsize.chapter.tasks import textbook
from stepsize.measure.sharpness import SUBSET, sharpness
from stepsize.report.numbers import count, number, rate
from stepsize.report.picture import Table
from stepsize.runs import Runs
from stepsize.schedules import inv
from stepsize.task import Task

HIGH = 1.5
TENTH = 0.1
ABOVE = Training("batch 128: above 1", textbook, (HIGH,), batch_sizes=(128,))


def _scaled_loss(scale: float, loss: object, model: nn.Module, batch: object) -> torch.Tensor:
    return scale * loss(model, batch)  # type: ignore[operator, no-any-return]


def _tenth(settings: Settings) -> Task:
    """The same task with its loss divided by ten; the validation loss too, and nothing else."""
    task = textbook(settings)
    return task.replace(
        loss=partial(_scaled_loss, TENTH, task.loss),
        epochs=min(1.0, settings.epochs),
        name=f"{task.name}, a tenth",
    )


def _whole(settings: Settings) -> Task:
    return textbook(settings).replace(epochs=min(1.0, settings.epochs))


WHOLE = Training("loss as it is, 0.5", _whole, (0.5,), batch_sizes=(128,), evaluate="4 a run")
TENFOLD = Training(
    "loss divided by 10, rate 5", _tenth, (0.5 / TENTH,), batch_sizes=(128,), evaluate="4 a run"
)


def _find(lab: Lab) -> Findings:
    lab.phase("curvature along a run")
    task = textbook(lab.settings)
    epoch = math.ceil((task.samples or 1) / task.batch_size)
    stops = sorted({0, min(100, task.steps), min(epoch, task.steps), task.steps // 2})
    subset = lab.settings.pick(SUBSET, 256)
    curvature = sharpness(task, 0.5, checkpoints=stops, subset=subset, progress=False)
    lab.spend(curvature.cost)
    runs, above = lab.runs(RATES_128), lab.runs(ABOVE)
    ceilings = [(p.update, p.ceiling) for p in curvature.points if p.ceiling is not None]
    return Findings(
        claims=(_above_one(runs, above, ceilings), _unit(lab), _one_run(lab)),
        drawings=(_drawing(runs, above), _ceiling(ceilings)),
        tables=(
            NamedTable(
                caption="Curvature along a run at rate 0.5",
                table=Table(
                    ("update", "loss", "λ max", "ceiling 2/λ"),
                    tuple(
                        (count(p.update), number(p.loss), number(p.largest), number(p.ceiling))
                        for p in curvature.points
                    ),
                ),
            ),
        ),
    )


def _above_one(runs: Runs, above: Runs, ceilings: list[tuple[int, float]]) -> Claim:
    arm = next(iter(above.arms))
    high, good = finals(above, arm), finals(runs, arm_of(runs, 0.5))
    apart_by = difference(high, good)
    schedule = inv(5.0, gamma=1.0, power=1.0)
    told = ", ".join(f"{number(value)} at update {count(update)}" for update, value in ceilings)
    trains = bool(np.isfinite(high).all() and high.min() > 0.9)
    return Claim(
        id="correction/above 1",
        row="correction: above 1",
        book=(
            "The rate has an upper bound: from equations 2 and 3 it follows that it cannot be greater than "
            "1.0."
        ),
        measured=(
            f"It does not follow: {schedule} starts at 5 and satisfies both (its verdict: "
            f"{'satisfied' if schedule.robbins_monro().satisfied else 'not satisfied'}). At batch 128 a "
            f"rate of {HIGH:g} ends at {percent(float(high.mean()))}, against 0.5 {points(apart_by)}. What "
            f"bounds the rate locally is the curvature, 2/λ for gradient descent: {told}."
        ),
        verdict=_refuted(trains and schedule.robbins_monro().satisfied),
        rule=(
            "A run above 1 that ends above 90% with every seed, and a schedule above 1 that satisfies "
            "both, refute it."
        ),
        evidence=(
            estimate(f"accuracy at {HIGH:g}", high, "accuracy"),
            apart(f"{HIGH:g} − 0.5", apart_by, "accuracy"),
            *(plain(f"2/λ at update {update}", value) for update, value in ceilings),
        ),
    )


def _refuted(counterexample: bool) -> Verdict:
    """One counterexample is enough; a run above 1 that did not train would prove nothing either way."""
    return "does not hold" if counterexample else "cannot be told"


def _unit(lab: Lab) -> Claim:
    whole, tenth = lab.runs(WHOLE), lab.runs(TENFOLD)
    a = np.array([run.val_loss for run in whole.runs])
    b = np.array([run.val_loss for run in tenth.runs]) / TENTH
    gap = float(np.abs(a - b).max() / np.abs(a).max())
    return Claim(
        id="correction/unit of the loss",
        row="correction: above 1",
        book="The rate has an upper bound of 1.0, whatever the problem.",
        measured=(
            "A bound on the rate cannot be a number without a unit: with the loss divided by 10, rate 5 "
            "does what 0.5 did before. The largest relative difference of any validation loss over an "
            f"epoch is {number(gap, 2)}."
        ),
        verdict=_refuted(gap < 1e-2),
        rule="Curves that agree to 1% refute it; they differ by rounding alone, which training makes larger.",
        evidence=(plain("largest relative difference", gap),),
    )


def _one_run(lab: Lab) -> Claim:
    """Of all pairs of rates in figures 12-9, 12-12 and 12-13: which differ, where seeds disagree."""
    pairs = told = contradicted = 0
    rows = []
    for training in (RATES_128, RATES_32, RATES_16):
        runs = lab.runs(training)
        arms = list(runs.arms)
        for i, first in enumerate(arms):
            for second in arms[i + 1 :]:
                found = difference(finals(runs, first), finals(runs, second))
                pairs += 1
                told += found.verdict != "cannot be told"
                contradicted += 0 < found.ahead < found.seeds
                if found.verdict == "cannot be told":
                    rows.append(f"{first.lr:g}/{second.lr:g} at {first.batch_size}")
    return Claim(
        id="correction/one run a curve",
        row="correction: one run",
        book="Each curve of figures 12-9, 12-12 and 12-13 is one run, and their order is read from it.",
        measured=(
            f"Of the {pairs} pairs of rates in the three figures {told} differ by a 95% interval over "
            f"{lab.settings.seeds} seeds; in {contradicted} single seeds disagree about the order. Not told "
            f"apart: {', '.join(rows) or 'none'}."
        ),
        verdict="holds" if told == pairs else "does not hold" if contradicted else "cannot be told",
        rule=(
            "The order can be read from one run if every pair differs by its interval; where seeds "
            "disagree, it cannot."
        ),
        evidence=(plain("pairs", pairs), plain("told apart", told), plain("seeds disagree", contradicted)),
    )


def _drawing(runs: Runs, above: Runs) -> Lines:
    arm = next(iter(above.arms))
    series = (
        band("0.5", *curves(runs, arm_of(runs, 0.5))),
        band("0.8", *curves(runs, arm_of(runs, 0.8))),
        band(f"{HIGH:g}", *curves(above, arm)),
    )
    return Lines(
        name="above-one",
        title="A rate above 1",
        caption="Validation accuracy at batch 128, mean of the seeds with the lowest and the highest.",
        alt="Validation accuracy over updates at 0.5, 0.8 and 1.5, all above 95% at the end.",
        x_label="update",
        y_label="validation accuracy",
        series=series,
        x_scale="count",
        y_range=zoomed(series),
    )


def _ceiling(ceilings: list[tuple[int, float]]) -> Lines:
    updates = [update for update, _ in ceilings]
    return Lines(
        name="ceiling",
        title="What bounds the rate: curvature",
        caption=(
            "2/λ along a run at rate 0.5, λ the largest eigenvalue of the Hessian on 1,024 training images."
        ),
        alt="The ceiling 2/λ over updates: " + ", ".join(f"{rate(c)} at {count(u)}" for u, c in ceilings),
        x_label="update",
        y_label="learning rate",
        series=(
            Series(
                label="ceiling 2/λ",
                x=values(updates),
                y=values([c for _, c in ceilings]),
                style="line and dots",
            ),
            Series(label="the run's rate", x=values(updates), y=values([0.5 for _ in ceilings])),
            Series(label="the book's bound", x=values(updates), y=values([1.0 for _ in ceilings])),
        ),
        x_scale="count",
    )


SECTION = Section(
    slug="corrections",
    title="Where the chapter is loose",
    rows=("correction: above 1", "correction: one run"),
    idea=(
        "Two things in the chapter do not follow from what it shows. A rate of 1.5 is trained beside 0.5 "
        "and 0.8; the curvature along a run says what really bounds the rate; and all pairs of rates in "
        "its figures are compared over seeds. (A third, the 10 or 100 iterations of table 12-3, stands in "
        "the section on the staged design.)"
    ),
    code="""\
import stepsize as ss

task = ss.datasets.mnist_task(epochs=10)
print(ss.sweep(task, [0.5, 1.5], seeds=3).compare(1.5, 0.5, by="accuracy"))
print(ss.sharpness(task, 0.5, checkpoints=[0, 100, 430, 2150]))
""",
    find=_find,
    trainings=(RATES_128, RATES_32, RATES_16, ABOVE, WHOLE, TENFOLD),
)
