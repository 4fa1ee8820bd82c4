"""What a figure should be, and the line that says whether it is."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.table import header, row

HEADER = header("target", ["measured", "verdict"])


@dataclass(frozen=True)
class Target:
    """A bound on one figure: at least `limit`, or with `at_most`, at most. `unit` follows the numbers."""

    what: str
    limit: float
    at_most: bool = False
    unit: str = ""

    def met(self, measured: float) -> bool:
        return measured <= self.limit if self.at_most else measured >= self.limit

    def row(self, measured: float, spread: float | None = None) -> str:
        """A line of the table under `HEADER`; `spread` is half the extremes' distance over the median."""
        bound = "≤" if self.at_most else "≥"
        around = "" if spread is None else f" ±\N{NO-BREAK SPACE}{spread:.0%}"
        return row(
            f"{self.what}: {bound} {self.limit:g}{self.unit}",
            f"{measured:.2f}{self.unit}{around}",
            "met" if self.met(measured) else "**not met**",
        )
