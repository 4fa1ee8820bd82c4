"""Equation 4, figure 12-10 and table 12-5: staircase decay; and what a high rate that decays is worth."""

from __future__ import annotations

import numpy as np

from stepsize.chapter.lab import Lab, Section, Training
from stepsize.chapter.result import Claim, Findings, Lines, NamedTable
from stepsize.chapter.rules import all_of, difference, exact
from stepsize.chapter.sections.figures import (
    apart,
    arm_of,
    band,
    curves,
    estimate,
    finals,
    line,
    percent,
    plain,
    points,
)
from stepsize.chapter.sections.rates import RATES_128, zoomed
from stepsize.chapter.tasks import textbook
from stepsize.report.picture import Table
from stepsize.schedules import step

STATED = {0: "0.1", 50: "0.09", 100: "0.081", 150: "0.073", 200: "0.065", 250: "0.059", 300: "0.053"}
"""Table 12-5 as printed."""

HALVED = "step(gamma=0.5, every='20%')"
HIGH = 0.8
DECAYED = Training("batch 128: 0.8 decayed", textbook, (HIGH,), batch_sizes=(128,), schedules=(HALVED,))


def _find(lab: Lab) -> Findings:
    schedule = step(0.1, gamma=0.9, every=50)
    updates = np.array(list(STATED))
    rates = schedule.resolve()(updates)
    formula = 0.1 * 0.9 ** (updates // 50)
    differing = [
        f"0.0656 at {at} is printed as {text}, cut off instead of rounded to {value:.3f}"
        for at, text, value in zip(updates, STATED.values(), rates, strict=True)
        if exact(value, float(text), tolerance=0.0005 + 1e-12) != "holds"
    ]
    runs, decayed = lab.runs(RATES_128), lab.runs(DECAYED)
    down = finals(decayed, next(iter(decayed.arms)))
    same, best = finals(runs, arm_of(runs, HIGH)), finals(runs, arm_of(runs, 0.5))
    against_same, against_best = difference(down, same), difference(down, best)
    return Findings(
        claims=(
            Claim(
                id="eq 4/formula",
                row="eq 4",
                book="lr = lr0 · DecayRate^⌊step/DecaySteps⌋.",
                measured="The schedule gives these rates exactly, at every one of the first 1,000 updates.",
                verdict=exact(
                    float(np.abs(schedule.values(1_000) - 0.1 * 0.9 ** (np.arange(1_000) // 50)).max()),
                    0.0,
                    tolerance=1e-15,
                ),
                rule="No rate may differ from the formula by more than the rounding of float64.",
            ),
            Claim(
                id="fig 12-10/stairs",
                row="fig 12-10",
                book="The rate goes down in stairs, one every 50 iterations.",
                measured=(
                    f"Over 350 updates the rate takes {len(np.unique(schedule.values(350)))} values, 50 "
                    "updates each."
                ),
                verdict=exact(len(np.unique(schedule.values(350))), 7, tolerance=0),
                rule="Seven stairs of 50 updates in 350.",
            ),
            Claim(
                id="table 12-5/values",
                row="table 12-5",
                book=", ".join(STATED.values()) + " at 0, 50, …, 300.",
                measured="All are right to three digits."
                if not differing
                else f"All but one: {differing[0]}.",
                verdict=all_of(
                    exact(float(value), float(text), tolerance=0.001)
                    for value, text in zip(formula, STATED.values(), strict=True)
                ),
                rule="Each value must be that of the formula to a unit of its last digit.",
                evidence=tuple(
                    plain(f"rate at {at}", float(value)) for at, value in zip(updates, rates, strict=True)
                ),
            ),
            Claim(
                id="12.3.3/high, then lower",
                row="12.3.3",
                book=(
                    "So begin with a high rate, for a fast rise, and go on with a smaller one after some "
                    "time."
                ),
                measured=(
                    f"0.8, halved every fifth of the run, ends at {percent(float(down.mean()))}: against "
                    f"0.8 throughout {points(against_same)}, against 0.5 throughout {points(against_best)}."
                ),
                verdict=all_of([against_same.verdict, against_best.verdict]),
                rule="It must end above both by a 95% interval over paired seeds.",
                evidence=(
                    estimate("accuracy, 0.8 decayed", down, "accuracy"),
                    apart("decayed − 0.8 throughout", against_same, "accuracy"),
                    apart("decayed − 0.5 throughout", against_best, "accuracy"),
                ),
            ),
        ),
        drawings=(_stairs(), _against(lab)),
        tables=(
            NamedTable(
                caption="Table 12-5: the decayed rates",
                table=Table(
                    ("update", *(str(at) for at in STATED)),
                    (
                        ("in the book", *STATED.values()),
                        ("by the formula", *(f"{value:.6f}".rstrip("0") for value in rates)),
                    ),
                ),
            ),
        ),
    )


def _stairs() -> Lines:
    rates = step(0.1, gamma=0.9, every=50).values(350)
    return Lines(
        name="stairs",
        title="Figure 12-10: decay in stairs",
        caption="lr0 = 0.1, DecayRate = 0.9, DecaySteps = 50.",
        alt="A staircase from 0.1 down to 0.053 over 350 updates.",
        x_label="update",
        y_label="learning rate",
        series=(line("step", np.arange(350), rates, style="steps"),),
        x_scale="count",
    )


def _against(lab: Lab) -> Lines:
    runs, decayed = lab.runs(RATES_128), lab.runs(DECAYED)
    series = (
        band("0.5 throughout", *curves(runs, arm_of(runs, 0.5))),
        band("0.8 throughout", *curves(runs, arm_of(runs, HIGH))),
        band("0.8, halved every fifth", *curves(decayed, next(iter(decayed.arms)))),
    )
    return Lines(
        name="decay-worth",
        title="A high rate that decays",
        caption="Validation accuracy at batch 128, mean of the seeds with the lowest and the highest one.",
        alt="Validation accuracy over updates for 0.5, 0.8, and 0.8 halved every fifth of the run.",
        x_label="update",
        y_label="validation accuracy",
        series=series,
        x_scale="count",
        y_range=zoomed(series),
    )


SECTION = Section(
    slug="decay",
    title="Decay in stairs",
    rows=("eq 4", "fig 12-10", "table 12-5", "12.3.3"),
    idea=(
        "The rate is multiplied by 0.9 after every 50 updates. The formula and the table are checked "
        "number by number; and the advice that they illustrate, to begin high and go on lower, is tried on "
        "the textbook's net."
    ),
    code="""\
import stepsize as ss
from stepsize.schedules import step

print(step(0.1, gamma=0.9, every=50).resolve()(range(0, 301, 50)))
task = ss.datasets.mnist_task(epochs=10)
runs = ss.sweep(task, 0.8, schedule=["fixed", "step(gamma=0.5, every='20%')"], seeds=3)
print(runs)
""",
    find=_find,
    trainings=(DECAYED, RATES_128),
)
