"""What an answer may cost: full runs of a plain loop, or a time."""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass

from stepsize._progress import Deadline, Reporter

OVERTIME = 1.25
"""A budget in seconds stops the work when it is exceeded by this factor: plans only reckon."""

AMPLE = 4.0
"""The same for one of "about" so much: what takes longer than reckoned is finished, unless it takes this."""

UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}
"""Seconds in each unit of time that a budget may be given in."""

EXAMPLE = 'pass budget="0.5 runs" or budget="60 s"'


@dataclass(frozen=True)
class Budget:
    """`runs`, in the time of one full run of a plain loop, or `seconds`; the other is None.

    One that is not `strict`, "about 5 min", sizes the work and stops it only at `AMPLE` times as much.

    >>> Budget.parse("0.5 runs")
    Budget(runs=0.5, seconds=None, strict=True)
    >>> Budget.parse("2 min").seconds
    120.0
    """

    runs: float | None = None
    seconds: float | None = None
    strict: bool = True

    def clocked(self, reporter: Reporter) -> Reporter:
        """The reporter, which ends the work when a budget in seconds, from now, is over."""
        if self.seconds is None:
            return reporter
        return Deadline(reporter, time.perf_counter() + self.overtime * self.seconds)

    @property
    def overtime(self) -> float:
        """How many times what was asked for stops the work."""
        return OVERTIME if self.strict else AMPLE

    def part(self, share: float) -> str:
        """The text of a share of it."""
        about = "" if self.strict else "about "
        if self.runs is not None:
            return f"{about}{share * self.runs:.6f} runs"
        return f"{about}{share * (self.seconds or 0.0):.6f} s"

    @classmethod
    def parse(cls, text: str, name: str = "budget") -> Budget:
        """Read "0.5 runs", "1 run", "60 s", "5 min", "about 2 h"; `name` is the argument's in errors.

        Raises `TypeError` if it is no text, `ValueError` if it is malformed or not finite and above 0.
        """
        example = EXAMPLE.replace("budget", name)
        if not isinstance(text, str):
            raise TypeError(f"{name} must be text, but is a {type(text).__name__}: {example}")
        found = re.fullmatch(r"\s*(about\s+)?(\d+\.?\d*|\.\d+)\s*(runs?|s|min|h)\s*", text)
        if found is None:
            raise ValueError(
                f"{name} must be a number and 'runs', 's', 'min' or 'h', but is {text!r}: {example}"
            )
        strict, amount, unit = found[1] is None, float(found[2]), found[3]
        if not 0 < amount < math.inf:
            raise ValueError(f"{name} must be finite and above 0, but is {text!r}: {example}")
        if unit in UNITS:
            return cls(seconds=amount * UNITS[unit], strict=strict)
        return cls(runs=amount, strict=strict)
