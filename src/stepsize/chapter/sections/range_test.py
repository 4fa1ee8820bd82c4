"""Table 12-2: Smith's range test, as two pictures: the rate over updates, and the loss over the rate."""

from __future__ import annotations

import math

import numpy as np

from stepsize._words import plural
from stepsize.chapter.lab import Lab, Section
from stepsize.chapter.result import Claim, Findings, Lines, Mark, Series
from stepsize.chapter.rules import share, within
from stepsize.chapter.sections.figures import estimate, interval, line, values
from stepsize.chapter.tasks import textbook
from stepsize.estimate import smooth, suggest
from stepsize.measure.curve import Curve
from stepsize.measure.range_test import range_test
from stepsize.report.numbers import rate

STATED, ROOM = 0.3, 1.5
"""The textbook reads 0.3 from its picture; a factor of 1.5 either way counts as "about"."""


def turns(curve: Curve) -> np.ndarray:
    """The rate at which each seed's own curve turns, (S,); NaN where it does not."""
    found = []
    for losses in curve.losses:
        lr = suggest(curve.lrs, losses)["turn"].lr
        found.append(math.nan if lr is None else lr)
    return np.array(found)


def _find(lab: Lab) -> Findings:
    lab.phase("range test")
    task = textbook(lab.settings)
    curve = range_test(
        task, lr_min=1e-5, lr_max=10.0, steps=lab.settings.pick(430, 120), seeds=lab.settings.seeds
    )
    lab.spend(curve.cost)
    found = turns(curve)
    turned, seeds = int(np.isfinite(found).sum()), len(found)
    told = estimate("log10 of the turn", np.log10(found))
    low, high = (math.nan if v is None else 10**v for v in (told.low, told.high))
    known = told.value is not None and math.isfinite(low) and math.isfinite(high)
    middle = rate(10**told.value) if told.value is not None else "nowhere"
    suggestions = ", ".join(
        f"{name} {rate(s.lr) if s.lr is not None else s.status}" for name, s in curve.suggestions.items()
    )
    return Findings(
        claims=(
            Claim(
                id="table 12-2/shape",
                row="table 12-2",
                book=(
                    "Start at a very small rate, raise it after every batch, and draw the loss over the "
                    "rate: it falls, turns and rises, and shows which rate is best."
                ),
                measured=(
                    f"{turned} of {plural(seeds, 'seed')} fall and turn within 1e-5 to 10. Rules: "
                    f"{suggestions}."
                ),
                verdict=share(turned, seeds),
                rule="Every seed's curve must have a turn by the rule of that name.",
            ),
            Claim(
                id="table 12-2/best",
                row="table 12-2",
                book="In the picture a rate of about 0.3 does best; larger ones may diverge.",
                measured=(
                    f"On this task the loss turns at {middle}"
                    + (f", 95% interval {interval(low, high)}." if known else ", without an interval.")
                ),
                verdict=within(low, high, STATED / ROOM, STATED * ROOM) if known else "cannot be told",
                rule=(
                    "The interval of the turn over seeds, in log rate, must lie within a factor of 1.5 of "
                    "0.3. The textbook calls its picture ideal: it is not of this task."
                ),
                evidence=(told,),
            ),
        ),
        drawings=(_rising(curve), _loss(curve, found)),
    )


def _rising(curve: Curve) -> Lines:
    return Lines(
        name="range-rates",
        title="Table 12-2, left: the rate rises with every batch",
        caption="Evenly in log rate, from 1e-5 to 10.",
        alt="A straight line on a logarithmic axis, from 1e-5 to 10.",
        x_label="update",
        y_label="learning rate",
        series=(line("rate", np.arange(len(curve.lrs)), curve.lrs),),
        x_scale="count",
        y_scale="log",
    )


def _loss(curve: Curve, found: np.ndarray) -> Lines:
    start = curve.start_loss or 1.0
    seeds = tuple(
        Series(label=f"seed {i}", x=values(curve.lrs), y=values(smooth(row)))
        for i, row in enumerate(curve.losses[:3])
    )
    known = found[np.isfinite(found)]
    marks = (
        (
            Mark(
                x=float(np.exp(np.log(known).mean())),
                label=f"turn {rate(float(np.exp(np.log(known).mean())))}",
            ),
        )
        if known.size
        else ()
    )
    return Lines(
        name="range-loss",
        title="Table 12-2, right: the loss over the rate",
        caption="Training loss just before the update at each rate, smoothed, one line a seed.",
        alt=(
            "The smoothed loss over the rate on a logarithmic axis: flat, falling, and rising steeply at "
            "the end."
        ),
        x_label="learning rate",
        y_label="training loss",
        series=seeds,
        x_scale="rate",
        y_range=(0.0, 1.6 * start),
        marks=marks,
    )


SECTION = Section(
    slug="range-test",
    title="The range test",
    rows=("table 12-2",),
    idea=(
        "Smith's method of 2015: while the net trains, the rate rises after every batch from 1e-5 to 10. "
        "The loss over the rate shows where training begins, where it is fastest, and where it breaks."
    ),
    code="""\
import stepsize as ss

curve = ss.range_test(ss.datasets.mnist_task(), lr_min=1e-5, lr_max=10, steps=430, seeds=3)
print(curve)
curve.plot("range.png")
""",
    find=_find,
)
