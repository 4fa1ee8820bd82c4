"""The closing rule: the best rate grows in proportion to the batch, then as its root, then no more."""

from __future__ import annotations

import math

import numpy as np

from stepsize.chapter.lab import Lab, Section, Training
from stepsize.chapter.result import Claim, Estimate, Findings, Lines, NamedTable, Series
from stepsize.chapter.rules import within
from stepsize.chapter.sections.figures import arm_of, finals, interval, listed, values
from stepsize.chapter.settings import Settings
from stepsize.chapter.tasks import textbook
from stepsize.estimate.optimum import Optimum, optimum
from stepsize.estimate.rate_fits import RateFits, fit_rates
from stepsize.report.numbers import number, rate
from stepsize.report.picture import Table
from stepsize.task import Task

RATES = {
    4: (0.02, 0.04, 0.08, 0.16, 0.32),
    16: (0.08, 0.16, 0.32, 0.64, 1.28),
    64: (0.16, 0.32, 0.64, 1.28, 2.56),
    256: (0.32, 0.64, 1.28, 2.56, 5.12),
    1024: (0.32, 0.64, 1.28, 2.56, 5.12),
}
"""At each batch five rates a factor 2 apart, the best one inside on full MNIST."""

QUANTILE = 1.96


def _task(settings: Settings) -> Task:
    return textbook(settings).replace(epochs=0.5 if not settings.quick else 1)


TRAININGS = {
    size: Training(f"closing rule, batch {size}", _task, lrs, batch_sizes=(size,), evaluate="10 a run")
    for size, lrs in RATES.items()
}


def _find(lab: Lab) -> Findings:
    best = {size: _best(lab, size) for size in RATES}
    known = {size: found for size, found in best.items() if found is not None}
    sizes = np.array(list(known), dtype=np.float64)
    rates = np.array([found.lr for found in known.values()])
    spreads = np.array([found.spread for found in known.values()])
    fits = fit_rates(sizes, rates, spreads) if len(known) >= 3 else None
    return Findings(
        claims=(_online(known), *(_regimes(fits, known) if fits is not None else ())),
        drawings=(_drawing(known, fits),),
        tables=(_table(known, fits),),
    )


def _best(lab: Lab, size: int) -> Optimum | None:
    """The best rate by validation loss, (S, R) over seeds and rates; None if every rate diverged."""
    runs = lab.runs(TRAININGS[size])
    losses = np.stack([finals(runs, arm_of(runs, lr), "val_loss") for lr in RATES[size]], axis=1)
    losses = np.where(np.isfinite(losses), losses, np.inf)
    if not np.isfinite(losses.mean(axis=0)).any():
        return None
    return optimum(RATES[size], losses)


def _online(known: dict[int, Optimum]) -> Claim:
    small, large = min(known), max(known)
    gap = math.log(known[large].lr / known[small].lr)
    half = QUANTILE * math.hypot(known[small].spread, known[large].spread)
    return Claim(
        id="12.3.4/small batches",
        row="12.3.4",
        book=(
            "A single sample's gradient is noisy, so that very small batches want a very small rate, as in "
            "online learning; large batches want large rates."
        ),
        measured=(
            f"Best rate {rate(known[small].lr)} at batch {small}, {rate(known[large].lr)} at batch "
            f"{large:,}: a factor of {number(math.exp(gap))}, 95% interval "
            f"{interval(math.exp(gap - half), math.exp(gap + half))}."
        ),
        verdict=within(gap - half, gap + half, 0.0, math.inf),
        rule="The 95% interval of the factor must lie above 1.",
        evidence=(
            Estimate(
                name="best rate, largest over smallest batch",
                value=math.exp(gap),
                low=math.exp(gap - half),
                high=math.exp(gap + half),
            ),
        ),
    )


def _regimes(fits: RateFits, known: dict[int, Optimum]) -> tuple[Claim, ...]:
    slopes = {size: fits.elasticity(size) for size in known}
    regimes = {size: fits.regime(size) for size in known}
    first, last = min(known), max(known)
    inner = [regimes[size] for size in known if size not in (first, last)]
    wanted = {
        "linear": (
            "1. The rate grows in proportion to the batch",
            slopes[first],
            regimes[first],
            "linear",
            first,
        ),
        "none": ("3. At last it grows no more", slopes[last], regimes[last], "constant", last),
    }
    claims = []
    for name, (book, (slope, low, high), found, regime, size) in wanted.items():
        claims.append(
            Claim(
                id=f"closing rule/{name}",
                row="closing rule",
                book=f"{book}.",
                measured=(
                    f"At batch {size:,} the slope d ln η / d ln B is {number(slope, 2)}, 95% interval "
                    f"{interval(low, high)}: {found}."
                ),
                verdict="holds"
                if found == regime
                else "cannot be told"
                if found == "undetermined"
                else "does not hold",
                rule=(
                    f"The fitted law must be {regime} at the "
                    f"{'smallest' if name == 'linear' else 'largest'} batch with 90% of the bootstrap's "
                    "draws."
                ),
                evidence=(Estimate(name=f"slope at batch {size}", value=slope, low=low, high=high),),
            )
        )
    claims.insert(
        1,
        Claim(
            id="closing rule/root",
            row="closing rule",
            book="2. Then it grows as the square root.",
            measured=(
                "Between them: "
                + listed(
                    f"{regimes[s]} at {s:,} (slope {number(slopes[s][0], 2)})"
                    for s in known
                    if s not in (first, last)
                )
                + f'. Of the six laws "{fits.law}" predicts a batch left out best.'
            ),
            verdict="holds"
            if "square root" in inner
            else "cannot be told"
            if "undetermined" in inner
            else "does not hold",
            rule="At some batch between them the law must be the square root with 90% of the draws.",
            evidence=tuple(
                Estimate(name=f"slope at batch {s}", value=slopes[s][0], low=slopes[s][1], high=slopes[s][2])
                for s in known
            ),
        ),
    )
    return tuple(claims)


def _drawing(known: dict[int, Optimum], fits: RateFits | None) -> Lines:
    sizes = list(known)
    rates = [found.lr for found in known.values()]
    half = [math.exp(QUANTILE * found.spread) for found in known.values()]
    series = [
        Series(
            label="best rate",
            x=values(sizes),
            y=values(rates),
            low=values([lr / h for lr, h in zip(rates, half, strict=True)]),
            high=values([lr * h for lr, h in zip(rates, half, strict=True)]),
            style="dots",
        )
    ]
    if fits is not None:
        grid = np.geomspace(sizes[0], sizes[-1], 40)
        series.append(
            Series(label=f"law: {fits.law}", x=values(grid), y=values([fits.rate(b) for b in grid]))
        )
    for label, power in (("∝ B", 1.0), ("∝ √B", 0.5)):
        line = [rates[0] * (b / sizes[0]) ** power for b in sizes]
        series.append(Series(label=label, x=values(sizes), y=values(line)))
    return Lines(
        name="closing-rule",
        title="The best rate over the batch size",
        caption=(
            "Best rate by validation loss after the same samples at each batch, 95% intervals; the law "
            "fitted, and the two simple rules from the smallest batch on."
        ),
        alt="Best rate over batch size in log-log: "
        + ", ".join(f"{s:,}: {rate(f.lr)}" for s, f in known.items()),
        x_label="batch size",
        y_label="best learning rate",
        series=tuple(series),
        x_scale="batch",
        y_scale="log",
        y_range=(min(rates) / 3, max(rates) * 6),
    )


def _table(known: dict[int, Optimum], fits: RateFits | None) -> NamedTable:
    rows = []
    for size, found in known.items():
        slope = fits.elasticity(size) if fits is not None else None
        rows.append(
            (
                f"{size:,}",
                rate(found.lr) + (f" ({found.edge} tried)" if found.edge else ""),
                interval(
                    found.lr * math.exp(-QUANTILE * found.spread),
                    found.lr * math.exp(QUANTILE * found.spread),
                ),
                "–" if slope is None else f"{number(slope[0], 2)} {interval(slope[1], slope[2])}",
                "–" if fits is None else fits.regime(size),
            )
        )
    return NamedTable(
        caption="Best rates, slopes and regimes",
        table=Table(("batch", "best rate", "95% interval", "slope", "regime"), tuple(rows)),
    )


SECTION = Section(
    slug="closing-rule",
    title="The closing rule: in proportion, as the root, no more",
    rows=("closing rule", "12.3.4"),
    idea=(
        "At five batch sizes from 4 to 1,024 the best of five rates is found after the same number of "
        "samples. Six laws are fitted to these best rates; the slope at each batch, with its interval, "
        "names the regime."
    ),
    code="""\
import stepsize as ss

task = ss.datasets.mnist_task(epochs=0.5)
found = ss.scale_lr(task, 16, 256, "measured", batch_sizes=[4, 16, 64, 256, 1024])
print(found)
found.report("scaling.html")
""",
    find=_find,
    trainings=tuple(TRAININGS.values()),
)
