"""Figure 12-14, equations 8 and 9: a line of slope 0.5 that should lie flat, with 3 points and with 5."""

from __future__ import annotations

from fractions import Fraction

from stepsize.chapter.lab import Lab, Section
from stepsize.chapter.result import Claim, Findings, Lines, NamedTable, Series
from stepsize.chapter.rules import all_of, exact
from stepsize.chapter.sections.figures import line, plain, values
from stepsize.report.picture import Table

SLOPE = Fraction(1, 2)
THREE = (Fraction(-2), Fraction(0), Fraction(2))
FIVE = (Fraction(-2), Fraction(-1), Fraction(0), Fraction(1), Fraction(2))


def loss(points: tuple[Fraction, ...], slope: Fraction = SLOPE) -> Fraction:
    """1/(2m) Σ (z − y)² with z = slope · x and y = 0."""
    return sum(((slope * x) ** 2 for x in points), Fraction(0)) / (2 * len(points))


def book_rate(points: tuple[Fraction, ...]) -> Fraction:
    """The η with slope − η · loss = 0, as the book reckons."""
    return SLOPE / loss(points)


def descent_rate(points: tuple[Fraction, ...]) -> Fraction:
    """The η with slope − η · gradient = 0: the gradient is slope · mean x²."""
    return SLOPE / (SLOPE * sum((x**2 for x in points), Fraction(0)) / len(points))


def evenly(count: int) -> tuple[Fraction, ...]:
    """So many points between −2 and 2."""
    return tuple(Fraction(-2) + Fraction(4 * i, count - 1) for i in range(count))


def _find(lab: Lab) -> Findings:
    del lab
    first, second = book_rate(THREE), book_rate(FIVE)
    counts = [3, 5, 9, 17, 33, 65, 129, 1_025]
    limit = SLOPE / (SLOPE**2 * Fraction(4, 3) / 2)
    return Findings(
        claims=(
            Claim(
                id="fig 12-14/losses",
                row="fig 12-14",
                book="Residuals 1, 0, 1 give a loss of 0.333; residuals 1, 0.5, 0, 0.5, 1 give 0.25.",
                measured=f"The losses are {loss(THREE)} and {loss(FIVE)}.",
                verdict=all_of(
                    [exact(loss(THREE), 0.333, tolerance=0.0005), exact(loss(FIVE), 0.25, tolerance=0)]
                ),
                rule="Exact in fractions.",
                evidence=(plain("3 points", float(loss(THREE))), plain("5 points", float(loss(FIVE)))),
            ),
            Claim(
                id="eq 8/1.5",
                row="eq 8",
                book="0.5 − η · 0.333 = 0 gives η = 1.5.",
                measured=f"η = {first}.",
                verdict=exact(first, 1.5, tolerance=0),
                rule="Exact in fractions.",
                evidence=(plain("η with 3 points", float(first)),),
            ),
            Claim(
                id="eq 9/2",
                row="eq 9",
                book="0.5 − η · 0.25 = 0 gives η = 2: more samples need a higher rate.",
                measured=(
                    f"η = {second}. With ever more points between the same ends it grows no further than "
                    f"{limit}: the example has its own saturation. Gradient descent itself, whose step is η "
                    f"times the gradient and not the loss, reaches slope 0 with {descent_rate(THREE)} and "
                    f"{descent_rate(FIVE)}: the same ratio, {descent_rate(FIVE) / descent_rate(THREE)}."
                ),
                verdict=exact(second, 2, tolerance=0),
                rule="Exact in fractions. The book says itself that the reckoning is an illustration.",
                evidence=(
                    plain("η with 5 points", float(second)),
                    plain("η with 1,025 points", float(book_rate(evenly(1_025)))),
                ),
            ),
        ),
        drawings=(
            Lines(
                name="worked-example",
                title="Figure 12-14: a line of slope 0.5 against one of slope 0",
                caption="Dots are the samples: first the outer three, then two more between them.",
                alt="A line of slope one half and a flat line with five points on it.",
                x_label="x",
                y_label="y",
                series=(
                    line("now: slope 0.5", [-2, 2], [-1, 1]),
                    line("wanted: slope 0", [-2, 2], [0, 0]),
                    Series(label="3 samples", x=values([-2, 0, 2]), y=values([0, 0, 0]), style="dots"),
                    Series(label="2 more", x=values([-1, 1]), y=values([0, 0]), style="dots"),
                ),
            ),
            Lines(
                name="worked-limit",
                title="And with more samples between the same ends",
                caption=f"The rate by the book's reckoning grows from 1.5 to 2 and no further than {limit}.",
                alt="The rate over the number of samples: 1.5, 2, and levelling out at 3.",
                x_label="samples",
                y_label="η",
                series=(
                    line("η", counts, [float(book_rate(evenly(n))) for n in counts], style="line and dots"),
                ),
                x_scale="batch",
            ),
        ),
        tables=(
            NamedTable(
                caption="Residuals, loss and rate",
                table=Table(
                    ("samples", "residuals", "loss", "η = 0.5 / loss", "η of gradient descent"),
                    tuple(
                        (
                            str(len(points)),
                            ", ".join(f"{float(abs(SLOPE * x)):g}" for x in points),
                            str(loss(points)),
                            str(book_rate(points)),
                            str(descent_rate(points)),
                        )
                        for points in (THREE, FIVE)
                    ),
                ),
            ),
        ),
    )


SECTION = Section(
    slug="worked-example",
    title="The worked example",
    rows=("fig 12-14", "eq 8", "eq 9"),
    idea=(
        "The arithmetic is done again in exact fractions, and then carried on: what happens with still "
        "more samples?"
    ),
    code="""\
from stepsize.chapter.sections.worked_example import FIVE, THREE, book_rate, loss

for points in (THREE, FIVE):
    print(len(points), loss(points), book_rate(points))
""",
    find=_find,
)
