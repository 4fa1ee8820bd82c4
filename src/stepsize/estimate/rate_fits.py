"""The best learning rate as a function of the batch size: which law holds, and in which regime a batch is.

A textbook's closing rule has three regimes: at small batches the best rate grows in proportion, then as the
square root, then no more. Six laws are fitted to best rates measured at a few batch sizes and leave-one-out
chooses; what the law leaves is a Gaussian process, and draws carry what is not known.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from stepsize.estimate.smoothing import Floats

Regime = Literal["linear", "square root", "constant", "falling", "undetermined"]

BANDS: tuple[tuple[Regime, float], ...] = (
    ("linear", 0.75),
    ("square root", 0.25),
    ("constant", -0.25),
    ("falling", -math.inf),
)
"""Regimes by the elasticity d ln η / d ln B from which on they hold: half-way between 1, ½ and 0."""

SURE = 0.9
"""Share of the bootstrap's draws that must lie in one band for it to be named."""

DRAWS = 400
"""Of the bootstrap."""

FEWEST = 3
"""Batch sizes below which a law with two parameters cannot be tested on a point left out."""

REACH = 4.0
"""How far beyond the batch sizes measured knees are looked for and rates predicted, in e-foldings."""

KNEES, POINTS = 121, 161
"""Knees tried; points between which a prediction is linear."""

TIE = 1.05
"""Of laws whose leave-one-out errors differ by less than this factor, the simplest is taken."""


@dataclass(frozen=True)
class Law:
    """ln η = a + shape(b − β) with b = ln B and the knee β = ln B_noise."""

    name: str
    parameters: int
    shape: Callable[[Floats], Floats]


LAWS: tuple[Law, ...] = (
    Law("constant", 1, np.zeros_like),
    Law("sqrt", 1, lambda z: 0.5 * z),
    Law("linear", 1, lambda z: z),
    Law("saturating", 2, lambda z: -np.logaddexp(0, -z)),
    Law("root saturating", 2, lambda z: -0.5 * np.logaddexp(0, -z)),
    Law("surge", 2, lambda z: -np.logaddexp(z / 2, -z / 2)),
)
"""`saturating` is McCandlish et al. 2018, eq. 2.7; `root saturating` its square root, for optimizers that
use the sign alone; `surge` is Li et al. 2024, eq. 22. With a single parameter β is the first batch size."""


@dataclass(frozen=True)
class RateFits:
    """Best rates over batch sizes: the law chosen, bent through what was measured. Made by `fit_rates`.

    `errors` gives each law's leave-one-out error as a factor, e^rms, in the order of `LAWS`; `law` is the one
    chosen and `knee` its B_noise, None for a law without.
    """

    law: str
    knee: float | None
    errors: dict[str, float]
    _grid: Floats
    _mean: Floats
    _paths: Floats

    def rate(self, batch_size: float) -> float:
        """The best rate expected there."""
        return math.exp(float(np.interp(self._place(batch_size), self._grid, self._mean)))

    def interval(self, batch_size: float, confidence: float = 0.95) -> tuple[float, float]:
        """Of that rate."""
        at = self._place(batch_size)
        values = [float(np.interp(at, self._grid, path)) for path in self._paths]
        low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
        return math.exp(low), math.exp(high)

    def elasticity(self, batch_size: float, confidence: float = 0.95) -> tuple[float, float, float]:
        """The slope d ln η / d ln B over a factor of two about a batch size, and its interval."""
        slopes = self._slopes(batch_size, self._paths)
        low, high = np.quantile(slopes, [(1 - confidence) / 2, (1 + confidence) / 2])
        return float(self._slopes(batch_size, self._mean[None])[0]), float(low), float(high)

    def regime(self, batch_size: float) -> Regime:
        """How the best rate grows with the batch there, or "undetermined"."""
        slopes = self._slopes(batch_size, self._paths).tolist()
        names = [next(name for name, least in BANDS if slope >= least) for slope in slopes]
        name = max(set(names), key=names.count)
        return name if names.count(name) >= SURE * len(names) else "undetermined"

    def _slopes(self, batch_size: float, paths: Floats) -> Floats:
        at, half = self._place(batch_size), math.log(2) / 2
        ends = [[np.interp(at + side, self._grid, path) for side in (-half, half)] for path in paths]
        slopes: Floats = np.diff(np.array(ends), axis=1)[:, 0] / (2 * half)
        return slopes

    def _place(self, batch_size: float) -> float:
        at = math.log(batch_size)
        if not self._grid[0] + 1 <= at <= self._grid[-1] - 1:
            low, high = math.exp(self._grid[0] + 1), math.exp(self._grid[-1] - 1)
            raise ValueError(
                f"batch_size must lie within {low:.3g} and {high:.3g}, near to those measured, but is "
                f"{batch_size}: pass batch_sizes nearer to it"
            )
        return at


def fit_rates(
    batch_sizes: Floats, rates: Floats, spreads: Floats, *, draws: int = DRAWS, seed: int = 0
) -> RateFits:
    """Fit every law by weighted least squares in ln η, choose by leave-one-out, and bend it to the data.

    What the law leaves of ln η is a Gaussian process: its standard deviation is the law's leave-one-out
    error, its length the mean gap between batch sizes. So a law that is off passes near the measured rates
    nevertheless, and counts for itself far from them. Draws take measured rates anew from their errors,
    choose and fit a law to them, and take the bend from its posterior.

    Args:
        batch_sizes: (n,), rising, at least three.
        rates: best rates, (n,), above 0.
        spreads: standard deviation of each ln(rate), (n,), above 0.
        draws, seed: of the errors.

    Raises:
        ValueError: shapes differ, fewer than three batch sizes, or values not finite and above 0.
    """
    B, lr, sd = (np.asarray(a, dtype=np.float64) for a in (batch_sizes, rates, spreads))
    if not (B.ndim == 1 and B.shape == lr.shape == sd.shape and len(B) >= FEWEST):
        raise ValueError(
            f"batch_sizes, rates and spreads must be (n,) alike with n >= {FEWEST}, "
            f"but are {B.shape}, {lr.shape} and {sd.shape}"
        )
    if not all(np.isfinite(a).all() and (a > 0).all() for a in (B, lr, sd)) or (np.diff(B) <= 0).any():
        raise ValueError("batch_sizes must rise, and rates and spreads be finite and above 0")
    b, y = np.log(B), np.log(lr)
    random = np.random.default_rng(seed)
    errors = _left_out(b, y[None], sd)[:, 0]
    chosen = _choose(b, y[None], sd, errors[:, None])[0]
    noisy = y + sd * random.standard_normal((draws, len(y)))
    drawn = _choose(b, noisy, sd, _left_out(b, noisy, sd))
    grid = np.linspace(b[0] - REACH, b[-1] + REACH, POINTS)
    bend = _Bend(b, sd, grid, float(errors[chosen[0]]))
    law = LAWS[chosen[0]]
    return RateFits(
        law=law.name,
        knee=math.exp(chosen[2]) if law.parameters > 1 else None,
        errors={law.name: math.exp(error) for law, error in zip(LAWS, errors.tolist(), strict=True)},
        _grid=grid,
        _mean=_values(chosen, grid) + bend.mean(y - _values(chosen, b)),
        _paths=np.array(
            [
                _values(fit, grid) + bend.mean(row - _values(fit, b)) + bend.sample(random)
                for fit, row in zip(drawn, noisy, strict=True)
            ]
        ),
    )


class _Bend:
    """The Gaussian process of what a law leaves, given the residuals at b (n,), on a grid (m,)."""

    def __init__(self, b: Floats, sd: Floats, grid: Floats, size: float) -> None:
        length = float(np.diff(b).mean())

        def kernel(x: Floats, z: Floats) -> Floats:
            values: Floats = size**2 * np.exp(-0.5 * ((x[:, None] - z) / length) ** 2)
            return values

        within = kernel(b, b) + np.diag(sd**2)
        self._weights = np.linalg.solve(within, kernel(b, grid)).T
        left = kernel(grid, grid) - self._weights @ kernel(b, grid)
        values, vectors = np.linalg.eigh(left)
        self._root = vectors * np.sqrt(np.clip(values, 0, None))

    def mean(self, residuals: Floats) -> Floats:
        expected: Floats = self._weights @ residuals
        return expected

    def sample(self, random: np.random.Generator) -> Floats:
        """One deviation from the mean."""
        drawn: Floats = self._root @ random.standard_normal(len(self._root))
        return drawn


def _fitted(law: Law, b: Floats, y: Floats, sd: Floats) -> tuple[Floats, Floats]:
    """Offset a and knee β of the law for each row of y (D, n): (D,) each."""
    knees = (
        np.linspace(b.min() - REACH, b.max() + REACH, KNEES) if law.parameters > 1 else np.array([b.min()])
    )
    weights = 1 / sd**2
    weights = weights / weights.sum()
    rest = y[:, None, :] - law.shape(b - knees[:, None])  # (D, knees, n)
    offsets = rest @ weights
    squares = np.square(rest - offsets[:, :, None]) @ weights
    at = squares.argmin(axis=1)
    rows = np.arange(len(y))
    return offsets[rows, at], knees[at]


def _left_out(b: Floats, y: Floats, sd: Floats) -> Floats:
    """Root mean square error of each law at the points left out, (laws, D)."""
    errors = []
    for law in LAWS:
        squares = np.zeros(len(y))
        for i in range(len(b)):
            others = np.arange(len(b)) != i
            offset, knee = _fitted(law, b[others], y[:, others], sd[others])
            squares += (y[:, i] - offset - law.shape(b[i] - knee)) ** 2
        errors.append(np.sqrt(squares / len(b)))
    return np.array(errors)


def _choose(b: Floats, y: Floats, sd: Floats, errors: Floats) -> list[tuple[int, float, float]]:
    """The law, its offset and knee, for each row of y."""
    fits = [_fitted(law, b, y, sd) for law in LAWS]
    within = errors <= errors.min(axis=0) * TIE + 1e-12
    parameters = np.array([law.parameters for law in LAWS])[:, None]
    # The fewest parameters, then the smallest error.
    rank = np.where(within, parameters + errors / (1 + errors), np.inf)
    laws = rank.argmin(axis=0)
    return [
        (int(law), float(fits[law][0][row]), float(fits[law][1][row]))
        for row, law in enumerate(laws.tolist())
    ]


def _values(fit: tuple[int, float, float], b: Floats) -> Floats:
    law, offset, knee = fit
    values: Floats = offset + LAWS[law].shape(b - knee)
    return values
