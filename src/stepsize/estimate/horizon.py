"""How the best rate moves with the length of the run."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def horizon_trend(horizons: ArrayLike, rates: ArrayLike) -> float:
    """The slope of ln(best rate) over ln(horizon), by least squares.

    `horizons` (H,) in updates and `rates` (H,), H ≥ 2. A slope far from zero warns that a short rehearsal's
    best rate is not the long run's; it is too noisy to be carried further.

    >>> round(horizon_trend([100, 200, 400], [0.4, 0.2, 0.1]), 12)
    -1.0
    """
    x, y = np.log(np.asarray(horizons, dtype=np.float64)), np.log(np.asarray(rates, dtype=np.float64))
    if x.shape != y.shape or x.ndim != 1 or np.unique(x).size < 2:
        raise ValueError(
            f"horizons and rates must hold at least 2 different horizons, but got {horizons!r} and {rates!r}"
        )
    x = x - x.mean()
    return float(x @ y / (x @ x))
