"""What one round's outcome says to the next one."""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from stepsize.decide.rehearsal import Rehearsal
from stepsize.estimate import basin

KEPT = 0.5
"""Share of a shorter rehearsal's progress that a longer one makes at the least, unless it breaks down."""

FAR_APART = 100.0
"""Factor between the outermost rates of a round that all fare alike, from which on that says that something
else than the rate made them so: nets whose units have died, or an optimizer that bounds its own rate."""

MOVED = 1e-3
"""Change of the held-out loss, as a share of it, up to which a run has left it as it was."""

LEVEL = 0.05
"""Chance of calling luck on the held-out data progress, over all rates together."""


def learns(rehearsal: Rehearsal) -> bool:
    """Whether some rate makes the held-out loss fall by more than the luck of which samples were held out.

    A paired t-test over the folds, each the mean over seeds of its loss before less its loss after training,
    one-sided, at the level `LEVEL` divided by the decades that the rates span, since the best one is picked
    and rates closer than that fare alike.
    """
    best = rehearsal.best
    if best is None or not np.isfinite(rehearsal.start_loss):
        return False
    gains = (rehearsal.start_folds - rehearsal.folds[:, best]).mean(axis=0)
    if len(gains) < 2:
        return bool(gains.mean() > 0)
    error = gains.std(ddof=1) / np.sqrt(len(gains))
    decades = 1 + math.log10(rehearsal.lrs[-1] / rehearsal.lrs[0])
    needed = -special.stdtrit(len(gains) - 1, LEVEL / decades) * error
    return bool(gains.mean() > needed)


def too_high(result: Rehearsal, before: Rehearsal | None) -> bool:
    """Whether all rates of a round are too high, though its best one may stand amid the others by luck.

    Even that one ends above the start, or in a first round no further below it than luck has it, though
    larger rates were tried too; or all fare alike though they are far apart, or none gets anywhere near what
    a round before came to.
    """
    if result.best is not None:
        if result.mean[result.best] > result.start_loss:
            return True
        if before is None and result.best < len(result.lrs) - 1 and not learns(result):
            return True
    if result.lrs[-1] >= FAR_APART * result.lrs[0] and alike(result):
        return True
    return before is not None and collapsed(result, before)


def collapsed(longer: Rehearsal, shorter: Rehearsal) -> bool:
    """Whether no rate of the longer rehearsal gets anywhere near what the shorter one came to.

    Then all of them are too high for it: what they learn breaks down later on. Luck is not come to again.
    """
    if shorter.best is None or longer.best is None or not learns(shorter):
        return False
    gained = shorter.start_loss - shorter.mean[shorter.best]
    return bool(gained > 0 and shorter.start_loss - longer.mean[longer.best] < KEPT * gained)


def idle(result: Rehearsal) -> bool:
    """Whether the smallest rate leaves the loss as it was, with no cliff above it: smaller ones do too."""
    left = abs(result.mean[:2] - result.start_loss)
    return bool(np.isfinite(left).all() and left[0] <= MOVED * abs(result.start_loss))


def gains(result: Rehearsal) -> bool:
    """Whether some rate makes the loss fall at all; where none does, which one is best means nothing."""
    if result.best is None:
        return False
    return bool(result.start_loss - result.mean[result.best] > MOVED * abs(result.start_loss))


def alike(result: Rehearsal) -> bool:
    """Whether all rates of a round lose next to nothing against its best one, of which that tells little."""
    if result.best is None or not result.mean[result.best] < result.start_loss:
        return False
    found = basin(result.lrs, result.losses, result.start_loss)
    return found.low_open and found.high_open


def best_words(result: Rehearsal) -> str:
    """What a round has found, for the log."""
    if result.best is None:
        return "every rate diverged"
    loss, place = result.mean[result.best], result.best
    start = f"{result.start_loss:.4g} at the start"
    return f"lowest held-out loss {loss:.4g} at rate {result.lrs[place]:.3g}, {start}"


def centre(result: Rehearsal) -> float:
    """The middle, in log rate, of the rates that lose at most 2%, or the best one if nothing was learned."""
    assert result.best is not None
    if not result.mean[result.best] < result.start_loss:
        return float(result.lrs[result.best])
    near = basin(result.lrs, result.losses, result.start_loss, share=0.02)
    return math.sqrt(near.low * near.high)
