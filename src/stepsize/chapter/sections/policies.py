"""Figure 12-11: the six policies, drawn together and checked against their formulas."""

from __future__ import annotations

import numpy as np

from stepsize.chapter.lab import Lab, Section
from stepsize.chapter.result import Claim, Findings, Lines, NamedTable
from stepsize.chapter.rules import all_of, exact
from stepsize.chapter.sections.figures import line, listed, plain
from stepsize.report.numbers import number
from stepsize.report.picture import Table
from stepsize.schedules import poly
from stepsize.schedules.plot import TEXTBOOK

STEPS = 10_000
ROUNDING = 1e-12


def _formulas(t: np.ndarray) -> dict[str, np.ndarray]:
    """The textbook's formulas, written out."""
    return {
        "fixed": np.full(len(t), 0.1),
        "step": 0.1 * 0.5 ** (t // 2000),
        "multistep": 0.1 * 0.5 ** np.sum([t >= m for m in (3000, 5500, 8000)], axis=0),
        "exp": 0.1 * 0.9995**t,
        "inv": 0.1 * (1 + 1e-3 * t) ** -0.5,
        "poly": 0.1 * (1 - t / STEPS) ** 0.9,
    }


def _find(lab: Lab) -> Findings:
    del lab
    t = np.arange(STEPS, dtype=np.float64)
    formulas = _formulas(t)
    errors = {
        name: float(np.abs(TEXTBOOK[name].values(STEPS) / formulas[name] - 1).max()) for name in TEXTBOOK
    }
    middle = {power: float(poly(1.0, power=power).resolve(STEPS)(STEPS // 2)) for power in (2.0, 1.0, 0.5)}
    return Findings(
        claims=(
            Claim(
                id="fig 12-11/six",
                row="fig 12-11",
                book="Six policies: fixed, step, multistep, exp, inv and poly, with their formulas.",
                measured=f"The largest relative difference from the formulas, over {STEPS:,} updates, is "
                f"{number(max(errors.values()), 2)}.",
                verdict=all_of(exact(error, 0.0, tolerance=ROUNDING) for error in errors.values()),
                rule="None may differ by more than the rounding of float64.",
                evidence=tuple(plain(name, error) for name, error in errors.items()),
            ),
            Claim(
                id="fig 12-11/poly bends",
                row="fig 12-11",
                book=(
                    "poly: for p = 1 the rate falls in a line; for p > 1 it bulges upwards, for p < 1 it "
                    "sags downwards."
                ),
                measured=(
                    "Half-way through, "
                    + listed(
                        f"p = {power:g} stands at {number(value)} of its start"
                        for power, value in middle.items()
                    )
                    + ": with p > 1 the curve lies below the line, with p < 1 above it."
                ),
                verdict=all_of(
                    [
                        exact(middle[1.0], 0.5, tolerance=ROUNDING),
                        "holds" if middle[2.0] > middle[1.0] > middle[0.5] else "does not hold",
                    ]
                ),
                rule=(
                    "Bulging upwards is read as lying above the straight line, sagging as lying below it. "
                    "The formula says the contrary of the sentence."
                ),
                evidence=tuple(plain(f"p = {power:g}, half-way", value) for power, value in middle.items()),
            ),
        ),
        drawings=(
            Lines(
                name="policies",
                title="Figure 12-11: six policies",
                caption="All from 0.1, over 10,000 updates; multistep goes down at 3,000, 5,500 and 8,000.",
                alt="The rates of fixed, step, multistep, exp, inv and poly over 10,000 updates.",
                x_label="update",
                y_label="learning rate",
                series=tuple(
                    line(name, t, s.values(STEPS), style="steps" if name in ("step", "multistep") else "line")
                    for name, s in TEXTBOOK.items()
                ),
                x_scale="count",
            ),
            Lines(
                name="poly-bends",
                title="How poly bends",
                caption="p > 1 lies below the straight line of p = 1, p < 1 above it.",
                alt="Three curves from 1 to 0: p = 2 below, p = 1 straight, p = 0.5 above.",
                x_label="update",
                y_label="share of the first rate",
                series=tuple(
                    line(f"p = {power:g}", t, poly(1.0, power=power).values(STEPS)) for power in middle
                ),
                x_scale="count",
            ),
        ),
        tables=(
            NamedTable(
                caption="The six as schedules",
                table=Table(
                    ("policy", "schedule", "first", "half-way", "last"),
                    tuple(
                        (name, str(s), *(number(float(s.values(STEPS)[i])) for i in (0, STEPS // 2, -1)))
                        for name, s in TEXTBOOK.items()
                    ),
                ),
            ),
        ),
    )


SECTION = Section(
    slug="policies",
    title="Six ways to lower the rate",
    rows=("fig 12-11",),
    idea=(
        "Each policy is a pure function of the update; its values are compared with the book's formula at "
        "every update."
    ),
    code="""\
from stepsize.schedules.plot import TEXTBOOK, plot, save

save(plot(TEXTBOOK, 10_000), "policies.png")
""",
    find=_find,
)
