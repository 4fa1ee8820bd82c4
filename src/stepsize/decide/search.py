"""The search for a rate: a range test brackets, short rehearsals weed out, longer ones decide.

Measurements and their order only; what they mean is read in `verdict`. After an interruption everything
measured until then is still there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from stepsize._progress import Reporter
from stepsize.decide.rehearsal import Rehearsal, Shape, merged, rehearse
from stepsize.estimate import basin
from stepsize.measure.curve import Curve
from stepsize.measure.range_test import spaced_plan
from stepsize.measure.rising import measure_curve
from stepsize.task import Task
from stepsize.training import Cost

BRACKET_STEPS = 100
"""Updates of the range test: ten per decade over its ten decades."""

BELOW_CEILING = 3e4
"""The first grid reaches this far below the rate at which the range test broke down."""

COARSE_FACTOR = 10 ** (1 / 3)
"""Spacing of the first grid: three rates a decade."""

FINE_FACTOR = 1.5
"""Largest spacing of the rates that the last round decides between."""

CLIFF_FACTOR = 1.25
"""Spacing at which a cliff above the best rate is located well enough."""

ROUNDS = ((16, 32), (8, 64), (4, 128))
"""Rehearsal lengths: the real horizon divided by the first number, but at least the second in updates."""

KEEP_SHARE = (0.5, 0.8)
"""Share of the best rate's progress that a rate must reach to stay after the first and second round."""

KEEP_BELOW, KEEP_ABOVE = (12.0, 5.0), (2.2, 1.6)
"""How far below and above the best rate a rate may lie and stay: longer runs prefer the lower side."""

SHARE = 0.01
"""The interval holds the rates that lose at most this share of the progress."""

EXTENSIONS = 4
"""How often a round goes on past an edge of its grid that turned out best."""


class Search:
    """Runs the rounds; `bracket` and `rehearsals` hold what has been measured so far."""

    def __init__(
        self,
        task: Task,
        shape: Shape,
        *,
        seeds: Sequence[int],
        lr_min: float,
        lr_max: float,
        reporter: Reporter,
    ) -> None:
        self._task, self._shape, self._seeds, self._reporter = task, shape, tuple(seeds), reporter
        self.lr_min, self.lr_max = lr_min, lr_max
        self.bracket: Curve | None = None
        self.rehearsals: list[Rehearsal] = []

    @property
    def cost(self) -> Cost:
        total = Cost(updates=0, samples=0, seconds=0.0, runs=0.0)
        if self.bracket is not None:
            total = total + self.bracket.cost
        return sum((rehearsal.cost for rehearsal in self.rehearsals), total)

    def run(self) -> None:
        """Bracket, weed, decide."""
        self._reporter.expect(self._expected_updates())
        steps = [min(self._task.steps, max(self._task.steps // part, least)) for part, least in ROUNDS]
        grid = self._first_grid()
        for number, (length, seeds) in enumerate(zip(steps[:-1], (1, 2), strict=True)):
            if length == steps[-1]:
                continue  # a short run is rehearsed once, at full length
            round_ = self._round(
                grid, length, self._seeds[:seeds], COARSE_FACTOR, f"weeding, {length:,} updates"
            )
            if round_.best is None or not np.isfinite(round_.start_loss):
                return
            grid = _kept(round_, KEEP_SHARE[number], KEEP_BELOW[number], KEEP_ABOVE[number])
        self._decide(grid, steps[-1])

    def _decide(self, grid: np.ndarray, steps: int) -> None:
        fine = _refined(grid, FINE_FACTOR)
        last = self._round(fine, steps, self._seeds, FINE_FACTOR, f"deciding, {steps:,} updates")
        for _ in range(EXTENSIONS):
            outside = self._past_open_end(last)
            if not outside.size:
                break
            last = self._add(last, outside, "closing the interval")
        for _ in range(2):
            between = _below_cliff(last)
            if between is None:
                break
            last = self._add(last, np.array([between]), "refining below the cliff")

    def full_length(self) -> None:
        """Rehearse the rates of the last round once more over the whole horizon."""
        last = self.rehearsals[-1]
        self._round(last.lrs, self._task.steps, self._seeds, FINE_FACTOR, "no progress yet: full length")

    def _expected_updates(self) -> int:
        """Member-updates that a search without surprises takes, for the progress display."""
        grid = math.log(BELOW_CEILING) / math.log(COARSE_FACTOR)
        rounds = (grid, 6 * min(2, len(self._seeds)), 6 * len(self._seeds))
        steps = self._task.steps
        return BRACKET_STEPS + round(
            sum(
                n * min(steps, max(steps // part, least))
                for n, (part, least) in zip(rounds, ROUNDS, strict=True)
            )
        )

    def _first_grid(self) -> np.ndarray:
        self._reporter.phase("bracketing with a range test")
        plan = spaced_plan(self.lr_min, self.lr_max, BRACKET_STEPS)
        self.bracket = measure_curve(
            self._task, plan, seeds=self._seeds[:1], loss="train", progress=self._reporter.advance
        )
        high = min(_ceiling(self.bracket), self.lr_max)
        low = max(high / BELOW_CEILING, self.lr_min)
        return _spaced(low, high, COARSE_FACTOR)

    def _round(
        self, grid: np.ndarray, steps: int, seeds: Sequence[int], factor: float, phase: str
    ) -> Rehearsal:
        """Rehearse a grid, and go on past an edge for as long as the best rate stands there."""
        self._reporter.phase(phase)
        result = rehearse(
            self._task, self._shape, grid, seeds=seeds, steps=steps, progress=self._reporter.advance
        )
        self.rehearsals.append(result)
        for _ in range(EXTENSIONS):
            more = self._past_edge(result, factor)
            if not more.size:
                break
            result = self._add(result, more, phase)
        return result

    def _add(self, result: Rehearsal, lrs: np.ndarray, phase: str) -> Rehearsal:
        self._reporter.phase(phase)
        more = rehearse(
            self._task,
            self._shape,
            lrs,
            seeds=result.seeds,
            steps=result.steps,
            progress=self._reporter.advance,
        )
        self.rehearsals[-1] = merged(result, more)
        return self.rehearsals[-1]

    def _past_edge(self, result: Rehearsal, factor: float) -> np.ndarray:
        if not np.isfinite(result.start_loss):
            return np.array([])
        if result.best is None or result.best == 0:
            below = result.lrs[0] / factor ** np.arange(1, 4)
            return np.asarray(below[below >= self.lr_min * (1 - 1e-9)])
        if result.best == len(result.lrs) - 1:
            above = result.lrs[-1] * factor ** np.arange(1, 3)
            return np.asarray(above[above <= self.lr_max * (1 + 1e-9)])
        return np.array([])

    def _past_open_end(self, result: Rehearsal) -> np.ndarray:
        """The next rate beyond an end of the grid that still loses too little to bound the interval."""
        if result.best is None or not result.mean[result.best] < result.start_loss:
            return np.array([])
        found = basin(result.lrs, result.losses, result.start_loss, share=SHARE)
        beyond = [result.lrs[0] / FINE_FACTOR] if found.low_open else []
        beyond += [result.lrs[-1] * FINE_FACTOR] if found.high_open else []
        return np.array([lr for lr in beyond if self.lr_min <= lr <= self.lr_max])


def _ceiling(curve: Curve) -> float:
    """Where the range test broke down: diverged, or lost most of the progress it had made."""
    if np.isfinite(curve.diverged_at).any():
        return float(np.nanmin(curve.diverged_at))
    smoothed = curve.smoothed
    if curve.start_loss is None:
        return float(curve.lrs[-1])
    lowest = int(np.nanargmin(smoothed))
    lost = smoothed > smoothed[lowest] + 0.9 * (curve.start_loss - smoothed[lowest])
    after = np.flatnonzero(lost & (np.arange(len(lost)) > lowest))
    return float(curve.lrs[after[0]]) if after.size else float(curve.lrs[-1])


def _spaced(low: float, high: float, factor: float) -> np.ndarray:
    """Rates from low to high, evenly in log rate, no further apart than the factor."""
    if high <= low:
        return np.array([low])
    return np.geomspace(low, high, math.ceil(math.log(high / low) / math.log(factor) - 1e-9) + 1)


def _kept(result: Rehearsal, share: float, below: float, above: float) -> np.ndarray:
    """The rates that may still win: enough progress, near enough to the best, and its two neighbours."""
    best = result.best
    assert best is not None
    mean, lrs = result.mean, result.lrs
    progress = result.start_loss - mean[best]
    near = (lrs >= lrs[best] / below) & (lrs <= lrs[best] * above)
    enough = mean <= result.start_loss - share * progress if progress > 0 else np.isfinite(mean)
    keep = near & enough
    keep[max(0, best - 1) : best + 2] = True
    return np.asarray(lrs[keep])


def _refined(grid: np.ndarray, factor: float) -> np.ndarray:
    """The grid with points put in evenly until neighbours are no further apart than the factor."""
    pieces = [_spaced(a, b, factor)[:-1] for a, b in pairwise(grid)]
    return np.concatenate([*pieces, grid[-1:]])


def _below_cliff(result: Rehearsal) -> float | None:
    """A rate half-way up to a cliff right above the best rate; None if there is none, or it is near."""
    best = result.best
    if best is None or best + 1 >= len(result.lrs):
        return None
    mean, lrs = result.mean, result.lrs
    next_loses = result.start_loss - mean[best + 1] < 0.5 * (result.start_loss - mean[best])
    if next_loses and lrs[best + 1] / lrs[best] > CLIFF_FACTOR:
        return float(math.sqrt(lrs[best] * lrs[best + 1]))
    return None
