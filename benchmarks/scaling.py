"""The rate at another batch size: what `scale_lr` predicts, against the rate tuned there.

    python -m benchmarks.scaling                       # about three hours; writes benchmarks/scaling.md
    python -m benchmarks.scaling --tasks "net, Adam"   # one of them: writes nothing
    python -m benchmarks.scaling --quick               # a short net alone: writes nothing

What was trained is kept in out/scaling/, so the same command goes on where it was stopped, and tasks can be
run side by side before it writes the page.

`scale_lr` measures at three batch sizes. At the others, which it never saw, rates a factor 1.25 apart are
then trained over the whole run with seeds that it never saw. The truth is the lowest point of a cubic through
the mean losses of those that lose little; these are trained with more seeds, up to 32, until it is known to
10%. Beside it stands the rate of the lowest mean loss alone, which scatters more. Beside the prediction stand
the linear and the square-root rule from the rate tuned at batch 128.
"""

from __future__ import annotations

import argparse
import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

import stepsize as ss
from benchmarks.clock import circumstances
from benchmarks.regret.oracle import code_digest, training_code
from benchmarks.table import header, row
from stepsize._result import Result
from stepsize.datasets.tasks import mnist_cnn_task, mnist_task
from stepsize.decide.best_rates import AVERAGED, with_batch_size
from stepsize.decide.rehearsal import Rehearsal, Shape, at_rates, merged, rehearse, with_more_seeds
from stepsize.estimate import Regret
from stepsize.runs.fingerprint import fingerprint

RESULTS = Path(__file__).with_name("scaling.md")
OUT = Path("out/scaling")
MEASURED = (16, 128, 1024)
ANCHOR = 128
PREDICTED = (32, 64, 256, 512)
GRID = 1.25
"""Factor between the rates of the truth."""

REACH = 5
"""Rates on either side of the prediction; the grid is extended while the best one stands at its edge."""

FRESH = 1000
"""First of the seeds that the prediction was not made with."""

SEEDS = 4, 32
"""Seeds that every rate of the grid is trained with, and those near the best at most."""

NEAR, FEWEST = 0.005, 5
"""Share of the progress up to which a rate that loses it is near the best; so many of them at least."""

SETTLED = 0.1
"""Standard error of the logarithm of the best rate up to which it is known."""

RESAMPLED = 200
"""Draws of the seeds, with replacement, that this error is taken from."""

ALLOWED = 1.5
"""Factor within which the prediction should be."""

PAGE = """\
# The rate at another batch size

<!-- --8<-- [start:table] -->
`scale_lr(task, rule="measured", batch_sizes={measured})` with three seeds; then, at the batch sizes that
it did not see, the rate tuned over the whole run with {few} to {most} other seeds: a grid of factor {grid:g},
the lowest point of a cubic through the mean losses of the rates that lose at most {near:.1%} of the progress
and their neighbours, whose seeds are doubled until the standard error of its logarithm (in brackets) is
{settled:.0%}. Errors are factors, predicted over tuned; "lost" is what the predicted rate loses of the
progress on that grid; linear and square root start from the rate tuned at batch {anchor}.

{table}

Within a factor {allowed:g}: {summary}

{circumstances}
<!-- --8<-- [end:table] -->
"""

R = TypeVar("R", bound=Result)


@dataclass(frozen=True)
class Outcome:
    """A task at a batch size: the rate predicted, the one tuned, and what the two rules say."""

    task: str
    batch_size: int
    predicted: float
    low: float
    high: float
    regime: str
    tuned: Truth
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


@dataclass(frozen=True)
class Truth:
    """The best rate, the standard error of its logarithm, and the rate of the lowest mean loss.

    `grid` holds the rates near the best, with all seeds; `whole` all of them, with the first few.
    """

    lr: float
    error: float
    lowest: float
    grid: Rehearsal
    whole: Rehearsal

    @classmethod
    def of(cls, grid: Rehearsal, whole: Rehearsal) -> Truth:
        at, losses, mean = np.log(grid.lrs), grid.losses, grid.mean
        weights = 1 / (NEAR + (mean - mean.min()) / (grid.start_loss - mean.min()))
        draws = np.random.default_rng(0).integers(0, len(losses), (RESAMPLED, len(losses)))
        found = [_lowest_point(at, losses[draw].mean(axis=0), weights) for draw in draws]
        best = math.exp(_lowest_point(at, mean, weights))
        return cls(best, float(np.std(found)), float(grid.lrs[np.argmin(mean)]), grid, whole)

    def lost(self, lr: float) -> float:
        """The share of the progress that a rate loses."""
        grid = self.grid if self.grid.lrs[0] <= lr <= self.grid.lrs[-1] else self.whole
        return float(Regret.measured(grid.lrs, grid.mean, grid.start_loss)(math.log(lr)))


def _lowest_point(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> float:
    """Of a cubic laid through the points by least squares, between the first and the last."""
    fine = np.linspace(x[0], x[-1], 1001)
    fit = np.polyfit(x - x.mean(), y, min(3, len(x) - 1), w=weights)
    return float(fine[np.argmin(np.polyval(fit, fine - x.mean()))])


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


@cache
def package_code() -> str:
    """A digest of the package's source."""
    return code_digest(Path(ss.__file__).parent)


def kept(task: ss.Task, kind: type[R], make: Callable[[], R], *settings: object) -> R:
    """What was found on a task with these settings, from disk or made now.

    Runs are taken as long as the code that trains is the same, predictions if the whole package is.
    """
    code = training_code() if kind is Rehearsal else package_code()
    key = hashlib.sha256(repr((fingerprint(task).digest, code, settings)).encode()).hexdigest()[:12]
    path = OUT / f"{task.name.replace(', ', '-')}-{task.batch_size}-{kind.__name__}-{key}.json"
    if path.exists():
        return kind.load(path)
    found = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    found.save(path)
    return found


def whole_runs(task: ss.Task, lrs: np.ndarray, seeds: Sequence[int]) -> Rehearsal:
    """Every rate with every seed over the whole run."""
    print(f"{task.name}, batch {task.batch_size}: {len(lrs)} rates, {len(seeds)} seeds", flush=True)
    shape = Shape.of(ss.Schedule.parse("fixed"), task)
    return rehearse(task, shape, lrs, seeds=seeds, steps=task.steps, averaged=AVERAGED)


def truth(task: ss.Task, about: float, few: int, most: int) -> Truth:
    """The rate tuned at a batch size: once found, it serves every prediction."""
    whole = kept(task, Rehearsal, lambda: dense(task, about, few), "whole", few)
    near = kept(task, Rehearsal, lambda: sharpened(task, whole, most), "near", few, most)
    found = Truth.of(near, whole)
    print(f"{task.name}, batch {task.batch_size}: {found.lr:.3g} (±{found.error:.0%})", flush=True)
    return found


def dense(task: ss.Task, about: float, few: int) -> Rehearsal:
    """A grid about a first guess with a few seeds, extended until the best rate is not at its edge."""
    grid = whole_runs(task, about * GRID ** np.arange(-REACH, REACH + 1), range(FRESH, FRESH + few))
    while grid.best in (None, 0, len(grid.lrs) - 1):
        side, step = (-1, GRID) if grid.best == len(grid.lrs) - 1 else (0, 1 / GRID)
        grid = merged(grid, whole_runs(task, grid.lrs[side] * step ** np.arange(1, 4), grid.seeds))
    return grid


def sharpened(task: ss.Task, whole: Rehearsal, most: int) -> Rehearsal:
    """The rates near the best, with twice as many seeds again and again until it is known."""
    near = near_best(whole)
    while Truth.of(near, whole).error > SETTLED and len(near.seeds) < most:
        known = len(near.seeds)
        more = whole_runs(task, near.lrs, range(FRESH + known, FRESH + 2 * known))
        near = with_more_seeds(near, more)
    return near


def near_best(grid: Rehearsal) -> Rehearsal:
    """The rates from the first to the last that lose at most `NEAR`, with one more on either side.

    At least `FEWEST`; none that diverged.
    """
    mean = grid.mean
    assert grid.best is not None
    close = np.flatnonzero(mean <= mean.min() + NEAR * (grid.start_loss - mean.min()))
    low, high = int(close[0]), int(close[-1])
    reach = 1
    while reach or high - low + 1 < FEWEST:
        below = low > 0 and mean[low - 1] < grid.start_loss
        above = high + 1 < len(mean) and mean[high + 1] < grid.start_loss
        if not (below or above):
            break
        low, high, reach = low - below, high + above, 0
    return at_rates(grid, range(low, high + 1))


def outcomes(
    task: ss.Task, measured: tuple[int, ...], predicted: tuple[int, ...], seeds: tuple[int, int]
) -> list[Outcome]:
    """Predict, then tune at every batch size in question."""
    anchor, last = measured[1], predicted[-1]
    found = kept(
        task,
        ss.RateScaling,
        lambda: ss.scale_lr(task, anchor, last, "measured", batch_sizes=measured, announce=print),
        measured,
    )
    print(found, flush=True)
    at = {row.batch_size: row for row in found.regimes}
    tuned = {size: truth(with_batch_size(task, size), at[size].lr, *seeds) for size in (anchor, *predicted)}
    rows = []
    for size in predicted:
        said, ratio = at[size], size / anchor
        rows.append(
            Outcome(
                task=task.name,
                batch_size=size,
                predicted=said.lr,
                low=said.low,
                high=said.high,
                regime=said.regime,
                tuned=tuned[size],
                lost=tuned[size].lost(said.lr),
                linear=tuned[anchor].lr * ratio,
                root=tuned[anchor].lr * math.sqrt(ratio),
            )
        )
    return rows


def table(rows: list[Outcome]) -> str:
    """One line a task and batch size."""
    columns = ["batch", "predicted", "95% interval", "regime", "tuned", "seeds", "error", "lost"]
    columns += ["linear's", "√'s"]
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
                f"{outcome.tuned.lr:.3g} (±{outcome.tuned.error:.0%})",
                len(outcome.tuned.grid.seeds),
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
    alone = [math.exp(abs(math.log(row.predicted / row.tuned.lowest))) for row in rows]
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
    measured, predicted, seeds = (
        ((16, 64, 256), (32, 128), (2, 4)) if options.quick else (MEASURED, PREDICTED, SEEDS)
    )
    rows = [
        outcome
        for task in tasks(quick=options.quick)
        if options.tasks is None or task.name in options.tasks
        for outcome in outcomes(task, measured, predicted, seeds)
    ]
    page = PAGE.format(
        measured=measured,
        few=seeds[0],
        most=seeds[1],
        near=NEAR,
        settled=SETTLED,
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
