"""Lengths of time as people state them, and the run that turns them into updates."""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, get_args

import numpy as np

Unit = Literal["%", "steps", "epochs", "samples", "tokens"]

_ALIASES: Mapping[str, Unit] = {
    "%": "%",
    **dict.fromkeys(("step", "steps", "update", "updates", "iteration", "iterations"), "steps"),
    **dict.fromkeys(("epoch", "epochs"), "epochs"),
    **dict.fromkeys(("sample", "samples"), "samples"),
    **dict.fromkeys(("token", "tokens"), "tokens"),
}
_LENGTH = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*(%|[A-Za-z]+)\s*")


def real(name: str, value: object) -> float:
    """A Python or NumPy number as a float; raises `ValueError` for anything else, booleans and NaN
    included.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise ValueError(f"{name} must be a number, but got {value!r}")
    try:
        number = float(value)
    except OverflowError:
        raise ValueError(f"{name} is too large: {value!r:.40}...") from None
    if math.isnan(number):
        raise ValueError(f"{name} must be a number, but got nan")
    return number


def positive(name: str, value: object) -> float:
    """A number above zero and finite, as a float; raises `ValueError` naming it otherwise."""
    number = real(name, value)
    if not 0 < number < math.inf:
        raise ValueError(f"{name} must be positive and finite, but got {value!r}")
    return number


def number_text(value: float) -> str:
    """The shortest text that reads back as the same float."""
    short = f"{value:g}"
    return short if float(short) == value else repr(float(value))


@dataclass(frozen=True, slots=True)
class Length:
    """A stretch of training: a share of the run in percent, or steps, epochs, samples or tokens.

    One step is one update of the weights. Text such as `"2%"`, `"3 epochs"` or `"2e9 tokens"` and
    plain whole numbers of steps are read by `Length.of`.
    """

    amount: float
    unit: Unit

    def __post_init__(self) -> None:
        if not (math.isfinite(self.amount) and self.amount >= 0):
            raise ValueError(f"a length must be finite and not negative, but got {self.amount} {self.unit}")
        if self.unit not in get_args(Unit):
            raise ValueError(f"a length is in one of {', '.join(get_args(Unit))}, but got {self.unit!r}")
        if self.unit == "%" and self.amount > 100:
            raise ValueError(
                f"a percentage of the run cannot exceed 100%, but got {number_text(self.amount)}%"
            )

    @classmethod
    def of(cls, value: LengthLike) -> Length:
        """Read a length: a `Length`, a whole number of steps, or text with a unit.

        Raises `ValueError` for anything else; a fraction such as `0.02` is refused, since it may mean
        2% or a mistake.
        """
        if isinstance(value, Length):
            return value
        if isinstance(value, str):
            match = _LENGTH.fullmatch(value)
            unit = _ALIASES.get(match[2].lower()) if match else None
            if match is None or unit is None:
                raise ValueError(
                    f"{value!r} is not a length: write '2%', '500 steps', '3 epochs', '1e6 samples'"
                )
            return cls(float(match[1]), unit)
        number = real("a length", value)
        if math.isfinite(number) and number == math.floor(number):
            return cls(number, "steps")
        raise ValueError(
            f"a bare number is a whole number of steps, but got {value!r}: for a share of the run write "
            f"a percentage such as '{number_text(100 * number)}%'"
        )

    @property
    def exact(self) -> Fraction:
        """The amount as the decimal number that was written, not its nearest binary float."""
        return Fraction(repr(self.amount))

    def __str__(self) -> str:
        return f"{number_text(self.amount)}{'' if self.unit == '%' else ' '}{self.unit}"

    def __repr__(self) -> str:
        whole = self.unit == "steps" and self.amount == math.floor(self.amount)
        return number_text(self.amount) if whole else repr(str(self))


LengthLike = Length | float | str
"""What `Length.of` reads."""


@dataclass(frozen=True, init=False)
class Run:
    """One training run, as far as a schedule needs to know it.

    Either `steps` (updates) is given, or the data: `samples` in the training set, `batch_size` per
    device and micro-batch, `accumulation` micro-batches per update, `world_size` devices and `epochs`.
    An epoch then has ⌈⌈⌈samples / world_size⌉ / batch_size⌉ / accumulation⌉ updates; with `drop_last`
    the first two are rounded down. When both are given they must agree.

    Raises `ValueError` when a number is out of range, when nothing gives the number of updates, or
    when `steps` contradicts the data; the message shows both numbers.
    """

    steps: int
    samples: int | None
    batch_size: int | None
    accumulation: int
    world_size: int
    epochs: float | None
    drop_last: bool
    tokens_per_sample: float | None

    def __init__(
        self,
        steps: int | None = None,
        *,
        samples: int | None = None,
        batch_size: int | None = None,
        accumulation: int = 1,
        world_size: int = 1,
        epochs: float | None = None,
        drop_last: bool = False,
        tokens_per_sample: float | None = None,
    ) -> None:
        fill: dict[str, Any] = {
            "steps": _count("steps", steps),
            "samples": _count("samples", samples),
            "batch_size": _count("batch_size", batch_size),
            "accumulation": _count("accumulation", accumulation),
            "world_size": _count("world_size", world_size),
            "epochs": None if epochs is None else positive("epochs", epochs),
            "drop_last": bool(drop_last),
            "tokens_per_sample": (
                None if tokens_per_sample is None else positive("tokens_per_sample", tokens_per_sample)
            ),
        }
        for name, value in fill.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "steps", self._settle(fill["steps"]))
        if self.epochs is None and self.samples is not None and self.batch_size is not None:
            object.__setattr__(self, "epochs", self.steps / self.steps_per_epoch)

    def _settle(self, steps: int | None) -> int:
        if self.epochs is None or self.samples is None or self.batch_size is None:
            if steps is None:
                raise ValueError(
                    "how long is the run? Give Run(steps=...), or Run(samples=..., batch_size=..., "
                    "epochs=...)"
                )
            return steps
        planned = math.ceil(Fraction(repr(self.epochs)) * self.steps_per_epoch)
        if steps is not None and steps != planned:
            raise ValueError(
                f"steps={steps} contradicts the data: {number_text(self.epochs)} epochs of "
                f"{self.steps_per_epoch} "
                f"updates are {planned} updates; give one or the other"
            )
        return planned

    @property
    def steps_per_epoch(self) -> int:
        """Updates in one pass over the data; raises `ValueError` when the run does not know its data."""
        if self.samples is None or self.batch_size is None:
            raise ValueError("an epoch needs the data: give Run(samples=..., batch_size=..., ...)")
        share = Fraction(self.samples, self.world_size)
        share = Fraction(math.floor(share) if self.drop_last else math.ceil(share))
        batches = share / self.batch_size
        micro = math.floor(batches) if self.drop_last else math.ceil(batches)
        if micro == 0:
            raise ValueError(
                f"drop_last leaves no batch: {self.samples} samples on {self.world_size} device(s) are fewer "
                f"than batch_size={self.batch_size} on each"
            )
        return math.ceil(Fraction(micro, self.accumulation))

    @property
    def samples_per_update(self) -> Fraction:
        """Samples that one update sees; with partial last batches, the average over an epoch."""
        if self.batch_size is None:
            raise ValueError("samples and tokens need the batch: give Run(..., batch_size=...)")
        batch = Fraction(self.batch_size * self.accumulation * self.world_size)
        if self.samples is None or self.drop_last:
            return batch
        return Fraction(self.samples, self.steps_per_epoch)

    def updates(self, length: LengthLike) -> Fraction:
        """How many updates a length comes to, exactly (not rounded)."""
        length = Length.of(length)
        match length.unit:
            case "steps":
                return length.exact
            case "%":
                return length.exact * self.steps / 100
            case "epochs":
                return length.exact * self.steps_per_epoch
            case "samples":
                return length.exact / self.samples_per_update
            case "tokens":
                if self.tokens_per_sample is None:
                    raise ValueError(f"'{length}' needs Run(..., tokens_per_sample=...)")
                return length.exact / (self.samples_per_update * Fraction(repr(self.tokens_per_sample)))

    def __repr__(self) -> str:
        derived = self.samples is not None and self.batch_size is not None and self.epochs is not None
        shown = {} if derived else {"steps": self.steps}
        for name in ("samples", "batch_size", "epochs", "tokens_per_sample"):
            if getattr(self, name) is not None:
                shown[name] = getattr(self, name)
        for name in ("accumulation", "world_size"):
            if getattr(self, name) != 1:
                shown[name] = getattr(self, name)
        if self.drop_last:
            shown["drop_last"] = True
        return f"Run({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


def _count(name: str, value: object) -> int | None:
    if value is None:
        return None
    number = real(name, value)
    if not (1 <= number < math.inf and number == math.floor(number)):
        raise ValueError(f"{name} must be a whole number of at least 1, but got {value!r}")
    return int(number)
