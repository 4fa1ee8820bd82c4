"""Range-test curves with known answers."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LRS = np.geomspace(1e-5, 10, 100)


def sigmoid_fall(lrs: Floats, turn: float = 0.74) -> Floats:
    """Falls from 2.3 to 0.3, fastest at 0.03, and turns up at `turn` as (20 decades²)."""
    x = np.log10(lrs)
    fall: Floats = 2.3 - 2.0 / (1 + np.exp(-4 * (x + 1.5)))
    rise: Floats = 20 * np.maximum(x - np.log10(turn), 0) ** 2
    return fall + rise
