"""Where the loss over rates is lowest, and how well a few seeds tell."""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from stepsize.estimate.basin import lowest, minimising_rate
from stepsize.estimate.smoothing import mean_over_seeds

LEAST_SPREAD = 0.1
"""Standard deviation, in ln(rate), of where few seeds see the best rate, however sharp it is."""


class Optimum(msgspec.Struct, frozen=True):
    """The rate with the lowest mean loss, refined between its neighbours; `spread` is the standard deviation
    of its logarithm, and `edge` says "lowest" or "highest" if no rate beyond it was tried.
    """

    lr: float
    spread: float
    edge: str


def optimum(lrs: ArrayLike, losses: ArrayLike) -> Optimum:
    """Find the best of rates (R,), rising, with losses (S, R) of S seeds.

    The spread is the jackknife's over seeds: that of the best rates with one seed left out each, and
    `LEAST_SPREAD` at least; with one seed half of the gap to its neighbours.

    Raises `ValueError` when every rate diverged for some seed.

    >>> optimum([0.1, 0.2, 0.4], [[2.0, 1.0, 2.0], [2.1, 1.0, 2.1]])
    Optimum(lr=0.2, spread=0.1, edge='')
    """
    rates = np.asarray(lrs, dtype=np.float64)
    values = np.atleast_2d(np.asarray(losses, dtype=np.float64))
    mean = mean_over_seeds(values)
    at = lowest(mean)
    lr = minimising_rate(rates, mean)
    seeds = len(values)
    if seeds > 1:
        without = [
            math.log(minimising_rate(rates, mean_over_seeds(np.delete(values, seed, axis=0))))
            for seed in range(seeds)
        ]
        spread = math.sqrt((seeds - 1) * float(np.var(without)))
    else:
        near = rates[max(at - 1, 0) : at + 2]
        spread = math.log(near[-1] / near[0]) / 4
    edge = "highest" if at == len(rates) - 1 else "lowest" if at == 0 else ""
    return Optimum(lr, max(spread, LEAST_SPREAD), edge)
