"""Equations 2 and 3: which schedules satisfy the Robbins-Monro conditions, and what that is worth."""

from __future__ import annotations

import numpy as np

from stepsize.chapter.lab import Lab, Section
from stepsize.chapter.result import Claim, Findings, Lines, NamedTable, Series
from stepsize.chapter.rules import Verdict, all_of, exact
from stepsize.chapter.sections.figures import listed, plain, values
from stepsize.report.numbers import number
from stepsize.report.picture import Table
from stepsize.schedules import Schedule, cosine, exp, fixed, inv, poly, step

SHOWN: dict[str, Schedule] = {
    "fixed": fixed(0.5),
    "inv, p = 0.5": inv(0.5, gamma=0.1, power=0.5),
    "inv, p = 0.75": inv(0.5, gamma=0.1, power=0.75),
    "inv, p = 1": inv(0.5, gamma=0.1, power=1.0),
    "inv, p = 2": inv(0.5, gamma=0.1, power=2.0),
    "step": step(0.5, gamma=0.9, every=50),
    "exp": exp(0.5, gamma=0.9),
    "poly": poly(0.5, power=0.9),
    "cosine": cosine(0.5),
}
STATED = {"inv, p = 0.75": True, "inv, p = 1": True}
"""By the sums of powers and of geometric sequences, these satisfy both conditions; the others do not."""

DRAWN = ("fixed", "inv, p = 0.75", "inv, p = 2", "exp")
START = 10.0


def _distances(schedule: Schedule, updates: int) -> np.ndarray:
    """Root mean square distance (T+1,) from the minimum of w²/2, its gradient seen with noise of deviation 1.

    The mean over walks follows without drawing any: E[w²] ← (1−η)² E[w²] + η².
    """
    square, squares = START**2, [START**2]
    for lr in schedule.resolve()(np.arange(updates, dtype=np.float64)).tolist():
        square = (1 - lr) ** 2 * square + lr**2
        squares.append(square)
    return np.sqrt(squares)


def _find(lab: Lab) -> Findings:
    verdicts = {name: schedule.robbins_monro() for name, schedule in SHOWN.items()}
    satisfied = [name for name, verdict in verdicts.items() if verdict.satisfied]
    updates = lab.settings.pick(100_000, 10_000)
    tracks = {name: _distances(SHOWN[name], updates) for name in DRAWN}
    ends = {name: float(track[-1]) for name, track in tracks.items()}
    rows = tuple(
        (
            str(SHOWN[name]),
            _word(verdict.sum_diverges),
            _word(verdict.squares_converge),
            f"{'satisfied' if verdict.satisfied else 'not satisfied'}: {verdict.reason}",
        )
        for name, verdict in verdicts.items()
    )
    columns = ("schedule", "Σ η = ∞", "Σ η² < ∞", "both")
    at = np.unique(np.geomspace(1, updates, 120).round().astype(int))
    return Findings(
        claims=(
            Claim(
                id="eq 2, 3/verdicts",
                row="eq 2, 3",
                book="Σ η = ∞ and Σ η² < ∞ are sufficient for SGD to converge.",
                measured=(
                    f"Of {len(SHOWN)} schedules only {listed(satisfied)} satisfy both. On w²/2 with "
                    f"gradient noise of deviation 1, the distance from the minimum after {updates:,} "
                    "updates is "
                    + listed(f"{number(value, 2)} with {name}" for name, value in ends.items())
                    + "."
                ),
                verdict=all_of(
                    [
                        *(
                            exact(verdict.satisfied, STATED.get(name, False), tolerance=0)
                            for name, verdict in verdicts.items()
                        ),
                        *(_goes_on(track, name in STATED) for name, track in tracks.items()),
                    ]
                ),
                rule=(
                    "The verdicts must be those of the sums of powers; and on the example only the "
                    "schedule that satisfies both may go on coming closer: from a tenth of the updates to "
                    "the end its distance must halve, and that of the others change by less than 5%."
                ),
                evidence=tuple(plain(f"distance at the end, {name}", value) for name, value in ends.items()),
            ),
        ),
        drawings=(
            Lines(
                name="robbins-monro",
                title="What the two conditions are worth",
                caption=(
                    "Root mean square distance from the minimum of w²/2 under noisy gradients, exact over "
                    "all walks. A fixed rate stops where its noise holds it; a rate that falls too fast "
                    "stops before it arrives."
                ),
                alt=f"Distance over updates for {listed(DRAWN)}; only inv with p = 0.75 goes on falling.",
                x_label="update",
                y_label="distance from the minimum",
                series=tuple(
                    Series(label=name, x=values(at), y=values(track[at])) for name, track in tracks.items()
                ),
                x_scale="log",
                y_scale="log",
            ),
        ),
        tables=(NamedTable(caption="Verdicts on the endless extension", table=Table(columns, rows)),),
    )


def _goes_on(track: np.ndarray, should: bool) -> Verdict:
    """Whether the distance goes on falling as it should; `track` is (T+1,)."""
    ratio = float(track[-1] / track[len(track) // 10])
    return "holds" if (ratio < 0.5 if should else abs(ratio - 1) < 0.05) else "does not hold"


def _word(value: bool | None) -> str:
    return "ends by design" if value is None else "yes" if value else "no"


SECTION = Section(
    slug="robbins-monro",
    title="The Robbins-Monro conditions",
    rows=("eq 2, 3",),
    idea=(
        "Each schedule is extended without end, and both sums are decided from how it falls: a power of "
        "the update, or a geometric sequence. A noisy parabola shows what each condition is for."
    ),
    code="""\
from stepsize.schedules import exp, fixed, inv, step

falling = inv(0.5, gamma=0.1, power=0.75)
for schedule in [fixed(0.5), falling, step(0.5, gamma=0.9, every=50), exp(0.5, gamma=0.9)]:
    print(schedule, schedule.robbins_monro())
""",
    find=_find,
)
