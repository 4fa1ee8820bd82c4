"""diagnose: the verdict on a loss curve, kept together with the curve, so that it can be drawn and saved."""

from __future__ import annotations

import numpy as np
from msgspec import structs
from numpy.typing import ArrayLike

from stepsize._result import Result, frozen
from stepsize.estimate.diagnosis import Reading, read_curve


class Diagnosis(Reading, Result, frozen=True, kw_only=True, eq=False):
    """The verdict on the curve `losses` (T,), with the figures that it rests on.

    `verdict` is "too_slow", "converging", "oscillating", "diverging" or "undetermined", and `why` gives the
    grounds in a sentence. `fall` is the share of the start's loss that is gone at the end, negative if it
    rose; `fall_error` its standard error. `late_fall` is the fall of the second half as a share of that of
    the first. `fluctuation` is the standard deviation about the trend in the second half, as a share of the
    start's loss, and `neighbours` the correlation of successive losses there. What the curve is too short
    for, or has no fall for, is None. `first_not_finite` is the first update without a finite loss, None if
    there is none. `plateaus` are where the loss stood still.
    """

    losses: np.ndarray

    def __str__(self) -> str:
        lines = [f"{self.verdict.replace('_', ' ')}: {self.why}"]
        lines += [
            f"stood still at {one.level:.4g} from update {one.start:,} to {one.end:,}"
            for one in self.plateaus
        ]
        return "\n".join(lines)


def diagnose(losses: ArrayLike) -> Diagnosis:
    """Read a loss curve, one loss an update or one at every so many, (T,).

    `diagnose(losses).plot("curve.png")` draws it with its verdict, the plateaus shaded.

    Raises:
        ValueError: `losses` is not one-dimensional or empty.
    """
    curve = np.asarray(losses, dtype=np.float64)
    reading = read_curve(curve)
    return Diagnosis(**structs.asdict(reading), losses=frozen(curve))
