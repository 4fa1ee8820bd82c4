"""The rate at another batch size: what `scale_lr` predicts, against the rate tuned there.

    python -m benchmarks.scaling                       # about an hour; writes benchmarks/scaling.md
    python -m benchmarks.scaling --tasks "net, Adam"   # one of them: writes nothing
    python -m benchmarks.scaling --quick               # a short net alone: writes nothing

`scale_lr` measures at three batch sizes. At the others, which it never saw, rates a factor 1.25 apart are
then trained over the whole run with seeds that it never saw. The truth is the lowest point of curves laid
through their losses (`stepsize.estimate.optimum.optima`), and beside it that of the lowest loss alone, which
scatters more. Beside the prediction stand the linear and the square-root rule from the rate tuned at batch
128.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

import stepsize as ss
from benchmarks.clock import circumstances
from benchmarks.table import header, row
from stepsize.datasets.tasks import mnist_cnn_task, mnist_task
from stepsize.decide.best_rates import AVERAGED, with_batch_size
from stepsize.decide.rehearsal import Rehearsal, Shape, merged, rehearse
from stepsize.estimate import Regret
from stepsize.estimate.optimum import Grid, Optimum, optima, optimum

RESULTS = Path(__file__).with_name("scaling.md")
MEASURED = (16, 128, 1024)
ANCHOR = 128
PREDICTED = (32, 64, 256, 512)
GRID = 1.25
"""Factor between the rates of the truth."""

REACH = 5
"""Rates on either side of the prediction; the grid is extended while the best one stands at its edge."""

FRESH = 1000
"""First of the seeds that the prediction was not made with."""

ALLOWED = 1.5
"""Factor within which the prediction should be."""

PAGE = """\
# The rate at another batch size

<!-- --8<-- [start:table] -->
`scale_lr(task, rule="measured", batch_sizes={measured})` with three seeds; then, at the batch sizes that
it did not see, the rate tuned over the whole run with {seeds} other seeds: a grid of factor {grid:g}, the
lowest point of a curve through its losses (in brackets the standard error of its logarithm). Errors are
factors, predicted over tuned; "lost" is what the predicted rate loses of the progress on that grid; linear
and square root start from the rate tuned at batch {anchor}.

{table}

Within a factor {allowed:g}: {summary}

{circumstances}
<!-- --8<-- [end:table] -->
"""


@dataclass(frozen=True)
class Outcome:
    """A task at a batch size: the rate predicted, the one tuned, and what the two rules say."""

    task: str
    batch_size: int
    predicted: float
    low: float
    high: float
    regime: str
    tuned: Optimum
    lowest: float
    lost: float
    linear: float
    root: float

    @property
    def errors(self) -> dict[str, float]:
        """Factors by which each is off."""
        tuned = self.tuned.lr
        return {
            "stepsize": self.predicted / tuned,
            "linear": self.linear / tuned,
            "square root": self.root / tuned,
        }


def tasks(*, quick: bool) -> list[ss.Task]:
    """The textbook's net and a CNN, each with SGD and with Adam."""
    net, cnn = mnist_task(epochs=2), mnist_cnn_task().replace(epochs=8)
    if quick:
        return [mnist_task(epochs=0.25, batch_size=64).replace(name="net, SGD")]
    return [
        task.replace(optimizer=optimizer, name=f"{name}, {optimizer.__name__}")
        for name, task in (("net", net), ("CNN", cnn))
        for optimizer in (torch.optim.SGD, torch.optim.Adam)
    ]


def dense(task: ss.Task, about: float, seeds: int) -> Rehearsal:
    """Whole runs over a dense grid about a first guess, extended until the best rate is not at its edge."""
    run = partial(
        rehearse,
        task,
        Shape.of(ss.Schedule.parse("fixed"), task),
        seeds=tuple(range(FRESH, FRESH + seeds)),
        steps=task.steps,
        averaged=AVERAGED,
    )
    found = run(about * GRID ** np.arange(-REACH, REACH + 1))
    while True:
        best = optimum(found.lrs, found.losses)
        if not best.edge:
            return found
        step = GRID if best.edge == "highest" else 1 / GRID
        found = merged(found, run(best.lr * step ** np.arange(1, 4)))


def outcomes(
    task: ss.Task, measured: tuple[int, ...], predicted: tuple[int, ...], seeds: int
) -> list[Outcome]:
    """Predict, then tune at every batch size in question."""
    found = ss.scale_lr(task, measured[1], predicted[-1], "measured", batch_sizes=measured, announce=print)
    print(found, flush=True)
    at = {row.batch_size: row for row in found.regimes}
    grids = {
        size: dense(with_batch_size(task, size), at[size].lr, seeds) for size in (measured[1], *predicted)
    }
    tuned = dict(
        zip(grids, optima([Grid(one.lrs, one.losses, one.start_loss) for one in grids.values()]), strict=True)
    )
    rows = []
    for size in predicted:
        grid, said = grids[size], at[size]
        regret = Regret.measured(grid.lrs, grid.mean, grid.start_loss)
        ratio = size / measured[1]
        rows.append(
            Outcome(
                task=task.name,
                batch_size=size,
                predicted=said.lr,
                low=said.low,
                high=said.high,
                regime=said.regime,
                tuned=tuned[size],
                lowest=optimum(grid.lrs, grid.losses).lr,
                lost=float(regret(math.log(said.lr))),
                linear=tuned[measured[1]].lr * ratio,
                root=tuned[measured[1]].lr * math.sqrt(ratio),
            )
        )
        print(rows[-1], flush=True)
    return rows


def table(rows: list[Outcome]) -> str:
    """One line a task and batch size."""
    columns = ["batch", "predicted", "95% interval", "regime", "tuned", "error", "lost", "linear's", "√'s"]
    lines = [header("task", columns)]
    for outcome in rows:
        errors = outcome.errors
        lines.append(
            row(
                outcome.task,
                outcome.batch_size,
                f"{outcome.predicted:.3g}",
                f"{outcome.low:.3g} to {outcome.high:.3g}",
                outcome.regime,
                f"{outcome.tuned.lr:.3g} (±{outcome.tuned.spread:.0%})",
                f"{errors['stepsize']:.2f}",
                f"{outcome.lost:.1%}",
                *(f"{errors[name]:.2f}" for name in ("linear", "square root")),
            )
        )
    return "\n".join(lines)


def summary(rows: list[Outcome]) -> str:
    """How many of each are within the allowed factor, and the worst."""
    parts = []
    for name in ("stepsize", "linear", "square root"):
        off = [max(row.errors[name], 1 / row.errors[name]) for row in rows]
        parts.append(f"{name} {sum(o <= ALLOWED for o in off)} of {len(off)}, at worst {max(off):.2f}")
    inside = sum(row.low <= row.tuned.lr <= row.high for row in rows)
    alone = [max(row.predicted / row.lowest, row.lowest / row.predicted) for row in rows]
    lost = max(row.lost for row in rows)
    return (
        f"{'; '.join(parts)}. Against the rates of the lowest loss alone stepsize's are within it in "
        f"{sum(o <= ALLOWED for o in alone)}, at worst {max(alone):.2f}. At worst {lost:.1%} of the "
        f"progress is lost. The interval holds the tuned rate in {inside} of {len(rows)}."
    )


def main() -> None:
    """Run all tasks and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short task; writes nothing")
    parser.add_argument("--tasks", nargs="+", help="some by name, as 'net, Adam'; writes nothing")
    options = parser.parse_args()
    measured, predicted, seeds = ((16, 64, 256), (32, 128), 2) if options.quick else (MEASURED, PREDICTED, 4)
    rows = [
        outcome
        for task in tasks(quick=options.quick)
        if options.tasks is None or task.name in options.tasks
        for outcome in outcomes(task, measured, predicted, seeds)
    ]
    page = PAGE.format(
        measured=measured,
        seeds=seeds,
        grid=GRID,
        anchor=measured[1],
        table=table(rows),
        allowed=ALLOWED,
        summary=summary(rows),
        circumstances=circumstances("python -m benchmarks.scaling"),
    )
    print(page)
    if not options.quick and options.tasks is None:
        RESULTS.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
