"""Which rates a round tries next: pure functions of the rates tried so far."""

from __future__ import annotations

import math

import numpy as np

from stepsize.estimate.smoothing import Floats


def spaced(low: float, high: float, factor: float) -> Floats:
    """Rates from low to high, evenly in log rate, no further apart than the factor."""
    if high <= low:
        return np.array([low])
    return np.geomspace(low, high, math.ceil(math.log(high / low) / math.log(factor) - 1e-9) + 1)


def centred(centre: float, count: int, factor: float) -> Floats:
    """So many rates around one, each `factor` times the one before.

    >>> centred(0.2, 3, 2.0).round(12).tolist()
    [0.1, 0.2, 0.4]
    """
    return np.asarray(centre * factor ** (np.arange(count) - (count - 1) / 2))


def edge(best: int | None, count: int) -> int:
    """On which side the best of `count` rates has no neighbour: −1 (below, also if all diverged), 1 or 0."""
    if best is None or best == 0:
        return -1
    return 1 if best == count - 1 else 0


def beyond(lrs: Floats, side: int, count: int, factor: float, low: float, high: float) -> Floats:
    """So many rates past the smallest (side −1) or largest (1) of the rising `lrs`, within [low, high]."""
    powers = np.arange(1, count + 1)
    wanted = lrs[-1] * factor**powers if side > 0 else lrs[0] / factor**powers
    return np.sort(wanted[(wanted >= low * (1 - 1e-9)) & (wanted <= high * (1 + 1e-9))])


def between(lrs: Floats, side: int, count: int) -> Floats:
    """So many rates half-way, in log rate, between neighbours of the rising `lrs`, from that side inwards."""
    middles = np.sqrt(lrs[1:] * lrs[:-1])
    return middles[max(0, len(middles) - count) :] if side > 0 else middles[:count]
