"""What every schedule can do, whatever it is made of."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from stepsize.schedules.bound import Bound
from stepsize.schedules.clock import Array, Clock
from stepsize.schedules.units import LengthLike, Run, positive

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from torch.optim import Optimizer

    from stepsize.schedules.check import Report
    from stepsize.schedules.convert import Library
    from stepsize.schedules.diff import Difference
    from stepsize.schedules.growth import GrowthPlan
    from stepsize.schedules.robbins_monro import Tail, Verdict
    from stepsize.schedules.torch_scheduler import StepsizeScheduler

Batch = TypeVar("Batch")


class Schedule(ABC):
    """The learning rate as a pure function of the update.

    Immutable, hashable, comparable and picklable. `a | b` puts phases one after another, `lr * s`
    scales, `a * b` multiplies two on the same clock, `clip`, `over` and `along` do what they say.
    `repr` is the constructor call, and `Schedule.parse(str(s)) == s`.

    A schedule is the same on every run. `resolve(run)` binds it to one and returns a function of the update
    t = 0, 1, …: f(0) is the rate of the first update, and for t ≥ T the value f(T) holds. `on(run)` notes
    the run that it is planned for, which is no part of what it is equal to, nor of its text.
    """

    __slots__ = ("_planned",)

    # -- what a kind of schedule defines ---------------------------------------------------------
    @property
    @abstractmethod
    def peak(self) -> float:
        """The rate that its shape is scaled by: the highest one, unless the run ends before it."""

    @abstractmethod
    def _evaluate(self, clock: Clock) -> Array:
        """The rates at `clock.t`."""

    @abstractmethod
    def _scaled(self, factor: float) -> Schedule:
        """The same schedule with all rates multiplied."""

    @abstractmethod
    def _extent(self, run: Run | None) -> Fraction | None:
        """The updates that it asks for; None when it fills whatever it is given."""

    @abstractmethod
    def _tail(self) -> Tail | None:
        """How the endless extension falls; None when the schedule ends by design."""

    @abstractmethod
    def _document(self) -> dict[str, Any]:
        """The JSON form."""

    # -- algebra ---------------------------------------------------------------------------------
    def __or__(self, after: Schedule) -> Schedule:
        from stepsize.schedules.combine import sequence

        return sequence(self, after) if isinstance(after, Schedule) else NotImplemented

    def __mul__(self, factor: Schedule | float) -> Schedule:
        from stepsize.schedules.combine import product

        if isinstance(factor, Schedule):
            return product(self, factor)
        return self._scaled(positive("the factor of a schedule", factor))

    __rmul__ = __mul__
    # NumPy would otherwise spread `np.float64(0.1) * s` over an object array.
    __array_ufunc__ = None

    def __truediv__(self, divisor: float) -> Schedule:
        return self._scaled(1 / positive("the divisor of a schedule", divisor))

    def at(self, peak: float) -> Schedule:
        """The same shape with this peak rate."""
        return self * (peak / self.peak)

    def clip(self, low: float = 0.0, high: float = math.inf) -> Schedule:
        """The schedule kept within [low, high], in absolute rates."""
        from stepsize.schedules.combine import clipped

        return clipped(self, low, high)

    def over(self, length: LengthLike) -> Schedule:
        """The schedule fitted to `length` of the run, as one phase: `cosine().over("50%") | hold()`."""
        from stepsize.schedules.combine import lasting

        return lasting(self, length)

    def along(self, **controls: Schedule) -> Schedule:
        """Other hyperparameters on the same clock: `s.along(momentum=0.95 * dip(low=0.9))`.

        Scaling the result scales the rate only.
        """
        from stepsize.schedules.combine import joint

        return joint(self, controls)

    @property
    def rate(self) -> Schedule:
        """The schedule of the learning rate alone, without what `along` added."""
        return self

    # -- use -------------------------------------------------------------------------------------
    def on(self, run: Run | int) -> Self:
        """The same schedule, planned for a run.

        `resolve`, `values`, `controls`, `drive`, `as_torch`, `to` and `code` take it unless another is given.

        >>> from stepsize.schedules import linear
        >>> linear(0.4).on(4).values().tolist()
        [0.4, 0.30000000000000004, 0.2, 0.1]

        Its rates are taken as they stand: `as_torch` and `drive` accept a peak of 1 for any optimizer.
        """
        planned = copy.copy(self)
        object.__setattr__(planned, "_planned", run if isinstance(run, Run) else Run(steps=run))
        return planned

    @property
    def planned(self) -> Run | None:
        """The run that `on` noted; None for a schedule that was made any other way."""
        return getattr(self, "_planned", None)

    def resolve(self, run: Run | int | None = None) -> Bound:
        """Bind to a run (or a number of updates) and get the function of the update.

        Without a run, that which the schedule is planned for; else its endless extension, of a schedule that
        needs no run (fixed, step, exp, inv, …).
        Raises `HorizonError` when the schedule's own length is not the run's, `ValueError` when a
        length is in a unit that the run does not know or comes to less than one update.
        """
        run = self.planned if run is None else run
        if run is not None and not isinstance(run, Run):
            run = Run(steps=run)
        bound = Bound(self, run)
        bound.validate()
        return bound

    def values(self, run: Run | int | None = None) -> Array:
        """The rate of every update of a run, shape (T,), float64."""
        return self.resolve(run).values()

    def controls(self, run: Run | int | None = None) -> dict[str, Array]:
        """What `along` put on the same clock, by name, each (T,) float64."""
        return {}

    def momentum_values(self, run: Run | int | None = None) -> Array | None:
        """The momentum of every update, shape (T,), or None when it does not change."""
        return self.controls(run).get("momentum")

    # -- text ------------------------------------------------------------------------------------
    @staticmethod
    def parse(text: str) -> Schedule:
        """Read the text form, `"0.1 * (warmup('2%') | cosine(floor=0.01))"`.

        A bare name is the shape with its defaults, so `"cosine"` is `cosine()`. Raises `ValueError`
        with a caret under the place; an unknown name gets the nearest known one.
        """
        from stepsize.schedules.parse import parse

        return parse(text)

    def to_json(self) -> str:
        """The schedule as one line of JSON."""
        from stepsize.schedules.document import to_json

        return to_json(self)

    @staticmethod
    def from_json(text: str | bytes) -> Schedule:
        """Read what `to_json` wrote; raises `ValueError` for anything else."""
        from stepsize.schedules.document import from_json

        return from_json(text)

    def __str__(self) -> str:
        return repr(self)

    # -- study -----------------------------------------------------------------------------------
    def check(self, run: Run | int) -> Report:
        """Jumps, an unreached peak, a zero first rate and other traps; see `stepsize.schedules.check`."""
        from stepsize.schedules.check import check

        return check(self, run)

    def robbins_monro(self) -> Verdict:
        """Whether Σ η = ∞ and Σ η² < ∞ hold for the endless extension, with the reason."""
        from stepsize.schedules.robbins_monro import verdict

        return verdict(self)

    def diff(self, other: Schedule, run: Run | int) -> Difference:
        """Where and by how much two schedules differ over a run."""
        from stepsize.schedules.diff import diff

        return diff(self, other, run)

    def plot(self, run: Run | int = 1000, *, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw the rate over the run; see `stepsize.schedules.plot` for several on one axis."""
        from stepsize.schedules.plot import plot

        return plot({str(self): self}, run, ax=ax, **options)

    # -- train -----------------------------------------------------------------------------------
    def drive(
        self, optimizer: Optimizer, batches: Iterable[Batch], *, run: Run | int | None = None, start: int = 0
    ) -> Iterator[tuple[int, Batch]]:
        """`for step, batch in schedule.drive(optimizer, loader, run=...)`: the rate is set before each
        update.
        """
        from stepsize.schedules.drive import drive

        return drive(self, optimizer, batches, run=self.planned if run is None else run, start=start)

    def as_torch(
        self, optimizer: Optimizer, run: Run | int | None = None, *, start: int = 0
    ) -> StepsizeScheduler:
        """A `torch.optim.lr_scheduler.LRScheduler` whose whole state is one integer.

        Without a run, the one that the schedule is planned for, or its endless extension.
        """
        from stepsize.schedules.torch_scheduler import StepsizeScheduler

        return StepsizeScheduler(optimizer, self, self.planned if run is None else run, start=start)

    def as_batch_growth(
        self,
        run: Run,
        *,
        rule: Literal["sgd", "seesaw"] = "sgd",
        max_batch: int | None = None,
        critical_batch: float | None = None,
    ) -> GrowthPlan:
        """The plan that grows the batch where this schedule would lower the rate."""
        from stepsize.schedules.growth import grow

        return grow(self, run, rule=rule, max_batch=max_batch, critical_batch=critical_batch)

    # -- other libraries -------------------------------------------------------------------------
    def to(self, library: Library, run: Run | int | None = None, **options: Any) -> Any:
        """The same schedule as an object of another library; see `stepsize.schedules.convert`."""
        from stepsize.schedules.convert import to

        return to(self, library, self.planned if run is None else run, **options)

    def code(self, library: Library, run: Run | int | None = None) -> str:
        """The source text that builds the same schedule in another library."""
        from stepsize.schedules.convert import code

        return code(self, library, self.planned if run is None else run)

    @staticmethod
    def from_(theirs: Any, **options: Any) -> Schedule:
        """Read another library's schedule; see `stepsize.schedules.convert`."""
        from stepsize.schedules.convert import from_

        return from_(theirs, **options)
