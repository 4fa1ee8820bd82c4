"""What an answer may cost: full runs of a plain loop, or a time."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}
"""Seconds in each unit of time that a budget may be given in."""

EXAMPLE = 'pass budget="0.5 runs" or budget="60 s"'


@dataclass(frozen=True)
class Budget:
    """`runs`, in the time of one full run of a plain loop, or `seconds`; the other is None.

    >>> Budget.parse("0.5 runs")
    Budget(runs=0.5, seconds=None)
    >>> Budget.parse("2 min").seconds
    120.0
    """

    runs: float | None = None
    seconds: float | None = None

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read "0.5 runs", "1 run", "60 s", "5 min" or "2 h".

        Raises `TypeError` if it is no text, `ValueError` if it is malformed or not finite and above 0.
        """
        if not isinstance(text, str):
            raise TypeError(f"budget must be text, but is a {type(text).__name__}: {EXAMPLE}")
        found = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*(runs?|s|min|h)\s*", text)
        if found is None:
            raise ValueError(
                f"budget must be a number and 'runs', 's', 'min' or 'h', but is {text!r}: {EXAMPLE}"
            )
        amount, unit = float(found[1]), found[2]
        if not 0 < amount < math.inf:
            raise ValueError(f"budget must be finite and above 0, but is {text!r}: {EXAMPLE}")
        if unit in UNITS:
            return cls(seconds=amount * UNITS[unit])
        return cls(runs=amount)
