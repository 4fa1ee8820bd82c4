"""The truth: every rate of a dense grid trained to the full horizon with the real schedule, kept on disk.

The grid is made of powers of 1.3. Every fourth, from 1e-6 to 1e3, is tried with one seed; between the last
that loses more than half of the progress on either side all are trained with four seeds, further out for as
long as an end loses less. Rates near the best get more seeds until what they lose is known, each against the
best with the same seeds. A rate that a finder proposes is trained too, with the seeds of its neighbours.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

import stepsize as ss
import stepsize.training
from benchmarks.regret.scores import Coverage, coverage, regret
from benchmarks.regret.tasks import Case
from stepsize._result import write_atomically
from stepsize.runs.fingerprint import fingerprint

OUT = Path("out/regret")
RATIO = 1.3
"""Between neighbours of the grid; issue 5 asks for at most 1.5."""

COARSE = 4
"""Grid steps between the rates of the first look: a factor of 2.9."""

LOWEST, HIGHEST = -53, 27
"""Powers of `RATIO` that are looked at: 9e-7 to 1,193."""

SEEDS = tuple(range(900_001, 900_033))
"""Seeds that no finder sees: theirs count up from multiples of 1,000."""

FIRST_SEEDS = 4
"""With so many every rate of the dense grid is trained."""

NEAR = 0.1
"""Regret up to which a rate is near the best, and trained with as many seeds as the case takes."""

SETTLED = 0.003
"""Standard error, in the median over the rates near the best, up to which what they lose is known."""

EDGE = 0.5
"""The dense grid reaches to rates that lose this share of the progress on either side."""

AT_ONCE = 6
"""Rates per call of `train`: what an interruption can lose."""

Progress = Callable[[str], None]


def grid_rate(power: int) -> float:
    """The grid's rate at a whole power of `RATIO`, rounded so that its text is short."""
    return float(f"{RATIO**power:.6g}")


class Oracle:
    """Losses of one case by rate and seed, from disk or trained when asked for."""

    def __init__(
        self,
        case: Case,
        *,
        seeds: Sequence[int] = SEEDS[:FIRST_SEEDS],
        folder: Path = OUT,
        keep: bool = False,
        lattice: tuple[int, int] = (LOWEST, HIGHEST),
        progress: Progress | None = None,
    ) -> None:
        """`keep` takes losses that another version of the training code left, which differ by rounding.

        `seeds` are those of the whole grid; `sharpened` adds more.
        """
        self.case, self.seeds, self._lattice = case, tuple(seeds), lattice
        self._first = self.seeds
        self.task = case.task(self.seeds[0])
        self._progress = progress or (lambda _: None)
        self.path = folder / "oracle" / f"{case.name}-{oracle_key(case, self.seeds)}.json"
        self._engine = training_code()
        self._start: dict[int, float] = {}
        self._losses: dict[float, dict[int, float]] = {}
        self._grid: list[float] = []
        self._read(keep)

    def _read(self, keep: bool) -> None:
        if not self.path.exists():
            return
        stored = json.loads(self.path.read_text(encoding="utf-8"))
        if stored["engine"] != self._engine and not keep:
            return
        self._engine = stored["engine"]  # so that what is kept is never taken for the new code's
        self._start |= {int(seed): value for seed, value in stored["start"].items()}
        self._grid = stored["grid"]
        for rate, losses in stored["losses"].items():
            known = self._losses.setdefault(float(rate), {})
            known |= {int(s): math.inf if value is None else value for s, value in losses.items()}

    def _write(self) -> None:
        grid = self._grid
        self._read(keep=False)  # what another process found meanwhile
        self._grid = grid or self._grid
        losses = {
            repr(rate): {str(s): value if math.isfinite(value) else None for s, value in known.items()}
            for rate, known in sorted(self._losses.items())
        }
        document = {
            "case": self.case.name,
            "engine": self._engine,
            "start": self._start,
            "grid": self._grid,
            "losses": losses,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path, json.dumps(document, indent=1))

    def train(self, rates: Iterable[float], seeds: Sequence[int] | None = None) -> None:
        """See to it that these rates are known for these seeds (all unless told), each trained for real."""
        wanted = self.seeds if seeds is None else tuple(seeds)
        missing = [rate for rate in sorted(set(rates)) if set(wanted) - set(self._losses.get(rate, {}))]
        run = ss.Run(steps=self.task.steps, samples=self.task.samples, batch_size=self.task.batch_size)
        shape = ss.Schedule.parse(self.case.schedule).at(1.0)
        for first in range(0, len(missing), AT_ONCE):
            part = missing[first : first + AT_ONCE]
            self._progress(f"{self.case.name}: {len(part)} rates from {part[0]:.3g}, {len(wanted)} seeds")
            members = [
                ss.Member(rate, s) for s in wanted for rate in part if s not in self._losses.get(rate, {})
            ]
            history = ss.train(
                self.task,
                members,
                np.array([[member.lr] for member in members]) * shape.values(run),
                evaluate_at=[0, self.task.steps],
                controls=shape.controls(run),
            )
            for member, (start, end) in zip(members, history.val_loss.tolist(), strict=True):
                self._start[member.seed] = start
                self._losses.setdefault(member.lr, {})[member.seed] = end if math.isfinite(end) else math.inf
            self._write()
            self.__dict__.pop("best_rate", None)

    def dense(self) -> Oracle:
        """Train the dense grid, extended while an end is too good; at once when it is known already."""
        if self._grid:
            self.train(self._grid)
            return self
        lowest, highest = self._lattice
        coarse = list(range(lowest, highest + 1, COARSE))
        self.train(map(grid_rate, coarse), self.seeds[:1])
        ends = [self._losses[grid_rate(k)][self.seeds[0]] for k in coarse]
        start = self._start[self.seeds[0]]
        good = [k for k, end in zip(coarse, ends, strict=True) if self._progresses(end, min(ends), start)]
        low, high = (good[0] - COARSE, good[-1] + COARSE) if good else (lowest, highest)
        while True:
            low, high = max(low, lowest), min(high, highest)
            powers = range(low, high + 1)
            self.train(map(grid_rate, powers))
            means = [self.mean(grid_rate(k)) for k in powers]
            wider = (
                low - COARSE if self._progresses(means[0], min(means), self.start) else low,
                high + COARSE if self._progresses(means[-1], min(means), self.start) else high,
            )
            wider = max(wider[0], lowest), min(wider[1], highest)
            if wider == (low, high):
                break
            low, high = wider
        self._grid = [grid_rate(k) for k in powers]
        self._write()
        return self

    def sharpened(self, seeds: Sequence[int] = SEEDS) -> Oracle:
        """Twice as many of these seeds, again and again, at the rates near the best, until it is settled."""
        more = [seed for seed in seeds if seed not in self.seeds]
        while more and not self.noise <= SETTLED:
            count = len(self.seeds)
            self.seeds, more = (*self.seeds, *more[:count]), more[count:]
            self.__dict__.pop("best_rate", None)
            while missing := [rate for rate in self._near if set(self.seeds) - set(self._losses[rate])]:
                self.train(missing)
        return self

    @property
    def _near(self) -> list[float]:
        """The grid's rates near the best, the best one among them."""
        return [rate for rate in self._grid if self._lost(rate) <= NEAR]

    @property
    def noise(self) -> float:
        """Standard error of what the rates near the best lose, the median over them.

        Each is compared with the best on the same seeds. Infinite with one seed, 0 where no other is near.
        """
        best, seeds = self._losses[self.best_rate], self.seeds
        if len(seeds) < 2:
            return math.inf
        errors = []
        for rate in self._near:
            known = [seed for seed in seeds if seed in self._losses[rate] and seed in best]
            apart = [self._losses[rate][seed] - best[seed] for seed in known]
            if rate != self.best_rate and len(known) > 1:
                errors.append(float(np.std(apart, ddof=1)) / math.sqrt(len(known)))
        return float(np.median(errors)) / (self.start - self.best) if errors else 0.0

    @staticmethod
    def _progresses(loss: float, best: float, start: float) -> bool:
        return best < start and regret(loss, best=best, start=start) < EDGE

    def mean(self, rate: float, seeds: Sequence[int] | None = None) -> float:
        """Mean held-out loss at the horizon over the seeds, by default all; infinite when one diverged."""
        return float(np.mean([self._losses[rate][seed] for seed in (seeds or self.seeds)]))

    @property
    def start(self) -> float:
        """Mean held-out loss before the first update."""
        return float(np.mean([self._start[seed] for seed in self.seeds]))

    @cached_property
    def best_rate(self) -> float:
        """The rate of the dense grid with the lowest mean loss, of those that were trained with all seeds."""
        whole = [rate for rate in self._grid if set(self.seeds) <= set(self._losses[rate])]
        return min(whole or self._grid, key=lambda rate: self.mean(rate, None if whole else self._first))

    @property
    def best(self) -> float:
        """The lowest mean loss on the dense grid."""
        return self.mean(self.best_rate)

    @property
    def rates(self) -> np.ndarray:
        """The dense grid (n,)."""
        return np.array(self._grid)

    @property
    def regrets(self) -> np.ndarray:
        """What each rate of the dense grid loses (n,)."""
        return np.array([self._lost(rate) for rate in self._grid])

    def judge(self, rates: Sequence[float]) -> None:
        """See to it that what these rates lose is known as well as for those of the grid."""
        self.train(rates, self._first)
        self.train([rate for rate in rates if self._lost(rate) <= NEAR])

    def regret(self, rate: float) -> float:
        """What any rate loses; trained now if it was not before."""
        self.judge([rate])
        return self._lost(rate)

    def _lost(self, rate: float) -> float:
        """Against the best rate with the same seeds, of those that the rate is known for."""
        best = self._losses[self.best_rate]
        seeds = [seed for seed in self.seeds if seed in self._losses[rate] and seed in best]
        return self._against_best(self.mean(rate, seeds), seeds)

    def _against_best(self, loss: float, seeds: Sequence[int]) -> float:
        start = float(np.mean([self._start[seed] for seed in seeds]))
        return regret(loss, best=self.mean(self.best_rate, seeds), start=start)

    def coverage(self, low: float, high: float) -> Coverage:
        """How [low, high] compares with the grid's rates that lose at most 1%."""
        return coverage(low, high, self.rates, self.regrets)

    def regret_of_loss(self, loss: float) -> float:
        """What a final loss reached by other means, mean over the first seeds, loses."""
        return self._against_best(loss, self._first)

    @property
    def clear(self) -> bool:
        """Whether there is a clear best: off the grid's ends, and progress beyond 4 standard errors."""
        if self.best_rate in (self._grid[0], self._grid[-1]):
            return False
        gains = [self._start[s] - self._losses[self.best_rate][s] for s in self.seeds]
        return bool(np.mean(gains) > 4 * np.std(gains, ddof=1) / math.sqrt(len(gains)))


def oracle_key(case: Case, seeds: Sequence[int]) -> str:
    """A digest of all that a loss depends on but the training code, which the file itself names.

    The task counts by its content: weights, data, code of the model, optimizer, horizon, schedule.
    """
    task = case.task(seeds[0])
    parts: list[Any] = [
        fingerprint(task).digest,
        task.steps,
        task.batch_size,
        case.schedule,
        list(seeds),
        str(torch.__version__),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


def training_code() -> str:
    """A digest of the source that trains."""
    return code_digest(Path(stepsize.training.__file__).parent)


def code_digest(folder: Path) -> str:
    """A digest of all Python source in a folder."""
    state = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        state.update(path.read_bytes())
    return state.hexdigest()[:12]
