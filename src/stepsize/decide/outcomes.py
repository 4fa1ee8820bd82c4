"""What one round's outcome says to the next one."""

from __future__ import annotations

import math

from stepsize.decide.rehearsal import Rehearsal
from stepsize.estimate import basin

KEPT = 0.5
"""Share of a shorter rehearsal's progress that a longer one makes at the least, unless it breaks down."""


def collapsed(longer: Rehearsal, shorter: Rehearsal) -> bool:
    """Whether no rate of the longer rehearsal gets anywhere near what the shorter one came to.

    Then all of them are too high for it: what they learn breaks down later on.
    """
    if shorter.best is None or longer.best is None:
        return False
    gained = shorter.start_loss - shorter.mean[shorter.best]
    return bool(gained > 0 and shorter.start_loss - longer.mean[longer.best] < KEPT * gained)


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
