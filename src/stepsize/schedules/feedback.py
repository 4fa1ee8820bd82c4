"""Plateau feedback as data: a loss curve in, the updates of the cuts out."""

from __future__ import annotations

import math
from collections.abc import Iterable

from stepsize.schedules.annealing import plateau
from stepsize.schedules.schedule import Schedule
from stepsize.schedules.units import positive, real


def watch_plateau(
    losses: Iterable[tuple[int, float]],
    lr: float = 1.0,
    *,
    factor: float = 0.1,
    patience: int = 10,
    threshold: float = 1e-4,
    cooldown: int = 0,
    floor: float = 0.0,
) -> Schedule:
    """Replay a record of (updates done, loss) and get the `plateau` schedule with its cuts as events.

    A check improves on the best loss so far, b, when it is below b − `threshold`·|b|, which also works
    for negative losses, where torch's b·(1 − threshold) never fires. After more than `patience` checks
    without improvement the rate is cut from that update on; then `cooldown` checks do not count. A
    non-finite loss counts as no improvement. The same record gives the same schedule at any time, so a
    run is resumed by replaying what it has logged.

    Raises `ValueError` when the updates do not rise or a parameter is out of range.
    """
    for name, value in (("patience", patience), ("cooldown", cooldown)):
        if not (real(name, value) >= 0 and value == int(value)):
            raise ValueError(f"{name} must be a whole number from 0, but got {value!r}")
    if real("threshold", threshold) < 0:
        raise ValueError(f"threshold must not be negative, but got {threshold!r}")
    positive("lr", lr)
    best, waited, resting, last = math.inf, 0, 0, -1
    cuts: list[int] = []
    for update, loss in losses:
        if update <= last:
            raise ValueError(f"the updates of the checks must rise, but {update} follows {last}")
        last = update
        better = math.isfinite(loss) and (math.isinf(best) or loss < best - threshold * abs(best))
        best, waited = (float(loss), 0) if better else (best, waited + 1)
        if resting > 0:
            resting, waited = resting - 1, 0
        if waited > patience:
            cuts.append(int(update))
            resting, waited = cooldown, 0
    return plateau(lr, factor=factor, cuts=cuts, floor=floor)
