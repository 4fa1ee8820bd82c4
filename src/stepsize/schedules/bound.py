"""A schedule on a run: the function of the update that everything is read from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from stepsize.schedules.clock import ENDLESS, Array, Clock
from stepsize.schedules.units import Run

if TYPE_CHECKING:
    from stepsize.schedules.schedule import Schedule


class HorizonError(ValueError):
    """A schedule that was made for another number of updates than the run has."""


@dataclass(frozen=True)
class Bound:
    """A schedule on a run: the rate as a function of the update alone.

    Call it with an update (any integer or float ≥ 0, NumPy's too) for a float, or with an array of any
    shape for float64 of that shape. Scalar and array calls agree bit for bit. From `steps` on, the
    value at `steps` holds. Raises `ValueError` for negative or NaN updates.
    """

    schedule: Schedule
    run: Run | None

    @property
    def steps(self) -> float:
        """T, the length of the run in updates; infinite without a run."""
        return math.inf if self.run is None else self.run.steps

    def validate(self) -> None:
        """Raise `HorizonError` or `ValueError` unless the schedule fits the run."""
        extent = self.schedule._extent(self.run)
        if extent is not None and self.run is not None and round_half_up(extent) != self.run.steps:
            raise HorizonError(
                f"{self.schedule} lasts {float(extent):g} updates, but the run has {self.run.steps}: "
                f"give its lengths in % to fit any run"
                + (", or append `| hold()` to keep its last rate" if extent < self.run.steps else "")
            )
        self._at(np.zeros(1))

    @overload
    def __call__(self, t: float | np.integer[Any] | np.floating[Any]) -> float: ...
    @overload
    def __call__(self, t: npt.NDArray[Any] | list[int] | range) -> Array: ...
    def __call__(self, t: Any) -> Any:
        if isinstance(t, int) and not isinstance(t, bool) and t >= 0:
            t = min(t, int(min(self.steps, ENDLESS)))
            return float(_block(self, t // _BLOCK)[t % _BLOCK])
        try:
            times = np.asarray(t, dtype=np.float64)
        except OverflowError:
            raise ValueError(f"an update is too large for float64: {t!r:.40}...") from None
        if np.isnan(times).any() or (times < 0).any():
            raise ValueError(f"an update is numbered from 0, but got {t!r}")
        values = self._at(np.ascontiguousarray(times).reshape(-1)).reshape(times.shape)
        return float(values) if values.ndim == 0 else values

    def _at(self, times: Array) -> Array:
        clock = Clock(np.minimum(times, min(self.steps, ENDLESS)), self.steps, self.run)
        try:
            with np.errstate(over="raise", divide="raise", invalid="raise"):
                return self.schedule._evaluate(clock)
        except FloatingPointError as error:
            raise ValueError(f"{self.schedule} leaves the range of float64: {error}") from None

    def values(self) -> Array:
        """The rate of every update, shape (T,); raises `ValueError` without a run."""
        if self.run is None:
            raise ValueError(
                "values() needs a run: resolve(Run(steps=...)), or call with the updates you want"
            )
        return self._at(np.arange(self.run.steps, dtype=np.float64))


_BLOCK = 1024
"""Updates that a call with one integer evaluates at once: training asks for them one after another."""


@lru_cache(maxsize=64)
def _block(bound: Bound, index: int) -> Array:
    return bound._at(np.arange(index * _BLOCK, (index + 1) * _BLOCK, dtype=np.float64))


def round_half_up(updates: Fraction) -> int:
    """The update at which a phase boundary falls."""
    return math.floor(updates + Fraction(1, 2))
