"""12.3.4: decaying the rate is nearly the same as growing the batch."""

from __future__ import annotations

import numpy as np

from stepsize.chapter.lab import Lab, Section, Training
from stepsize.chapter.result import Claim, Findings, Lines, Series
from stepsize.chapter.rules import difference, same
from stepsize.chapter.sections.decay import DECAYED, HALVED, HIGH
from stepsize.chapter.sections.figures import apart, band, curves, estimate, finals, line, percent, points
from stepsize.chapter.sections.rates import zoomed
from stepsize.chapter.settings import Settings
from stepsize.chapter.tasks import growing
from stepsize.report.numbers import count
from stepsize.schedules.growth import GrowthPlan
from stepsize.task import Task

START = 128
MARGIN = 0.005
"""Half a point of accuracy: less than most differences between neighbouring rates in figure 12-9."""


def _plan(settings: Settings) -> tuple[Task, GrowthPlan]:
    return growing(settings, f"{HIGH} * {HALVED}", START, 16 * START)


def _task(settings: Settings) -> Task:
    return _plan(settings)[0]


GROWN = Training("0.8 with a growing batch", _task, (HIGH,), evaluate="20 a run")


def _find(lab: Lab) -> Findings:
    decayed, grown = lab.runs(DECAYED), lab.runs(GROWN)
    _, plan = _plan(lab.settings)
    down, up = next(iter(decayed.arms)), next(iter(grown.arms))
    apart_at_end = difference(finals(grown, up), finals(decayed, down))
    series = _curves(lab)
    return Findings(
        claims=(
            Claim(
                id="12.3.4/decay is growth",
                row="12.3.4",
                book=(
                    "Decaying the rate can be had by growing the batch instead: by the update formula they "
                    "are equivalent."
                ),
                measured=(
                    f"0.8 halved every fifth of the run at batch {START} ends at "
                    f"{percent(float(finals(decayed, down).mean()))} after {count(plan.run.steps)} updates; "
                    f"the batch doubled instead, to {count(plan.batches.max())}, at "
                    f"{percent(float(finals(grown, up).mean()))} after {count(plan.steps)}. Growing − "
                    f"decaying: {points(apart_at_end)}."
                ),
                verdict=same(apart_at_end, margin=MARGIN),
                rule=(
                    "The 95% interval of the difference over paired seeds must lie within half a point of 0."
                ),
                evidence=(
                    estimate("accuracy, decayed rate", finals(decayed, down), "accuracy"),
                    estimate("accuracy, grown batch", finals(grown, up), "accuracy"),
                    apart("growing − decaying", apart_at_end, "accuracy"),
                ),
            ),
        ),
        drawings=(
            Lines(
                name="growth",
                title="A decaying rate and its twin with a growing batch",
                caption=(
                    "Validation accuracy over the share of samples seen; mean of the seeds, lowest and "
                    "highest."
                ),
                alt="Two curves of validation accuracy over samples that lie on one another.",
                x_label="share of the samples",
                y_label="validation accuracy",
                series=series,
                y_range=zoomed(series),
            ),
            Lines(
                name="growth-plan",
                title="The two plans",
                caption=(
                    "Where the rate would be halved, the batch is doubled; the rate over the batch stays "
                    "the same."
                ),
                alt="Batch sizes over samples seen: a staircase up from 128, and a flat line.",
                x_label="samples",
                y_label="batch size",
                series=(
                    line("grown batch", plan.starts, plan.batches, style="steps"),
                    line("decayed rate", [0, plan.starts[-1]], [START, START]),
                ),
                x_scale="count",
                y_scale="log",
            ),
        ),
    )


def _curves(lab: Lab) -> tuple[Series, ...]:
    decayed, grown = lab.runs(DECAYED), lab.runs(GROWN)
    _, plan = _plan(lab.settings)
    updates, rows = curves(decayed, next(iter(decayed.arms)))
    at, grown_rows = curves(grown, next(iter(grown.arms)))
    seen = np.concatenate([plan.starts, [plan.batches.sum()]])[at.astype(int)]
    return (
        band("rate halved", updates / updates[-1], rows),
        band("batch doubled", seen / plan.batches.sum(), grown_rows),
    )


SECTION = Section(
    slug="growth",
    title="Decaying the rate or growing the batch",
    rows=("12.3.4",),
    idea=(
        "A run at 0.8 whose rate is halved every fifth is set against one that keeps 0.8 and doubles the "
        "batch at the same samples. Rate over batch, and with it the noise of the updates, is the same in "
        "both."
    ),
    code="""\
from stepsize.schedules import Run, Schedule

plan = Schedule.parse("0.8 * step(gamma=0.5, every='20%')").as_batch_growth(
    Run(steps=4300, samples=55_000, batch_size=128), max_batch=2048
)
print(plan)
""",
    find=_find,
    trainings=(DECAYED, GROWN),
)
