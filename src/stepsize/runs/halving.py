"""Successive halving: early rounds that leave out the worst rates, for those who only want the best one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec
import numpy as np

from stepsize.estimate import mean_over_seeds
from stepsize.runs.cell import CellRun


class Halving(msgspec.Struct, frozen=True, kw_only=True):
    """Early rounds train each run over a share of its horizon, and only the best go on to the next.

    `shares` of the horizon, rising, all below 1; after each round the `keep` best share of the rates stays,
    one at least, by the mean held-out loss over seeds, for each batch size and schedule apart. A round starts
    anew, so that what survives has been trained as without halving. The schedule is not compressed: an early
    round sees the first part of it. (Jamieson & Talwalkar 2016, 1502.07943, algorithm 1.)

    Raises `ValueError` unless the shares rise within (0, 1) and 0 < keep < 1.
    """

    shares: tuple[float, ...] = (0.125, 0.25)
    keep: float = 0.5

    def __post_init__(self) -> None:
        ends = (0.0, *self.shares, 1.0)
        if not self.shares or not all(a < b for a, b in pairwise(ends)):
            raise ValueError(
                f"shares must rise within (0, 1), but are {self.shares}: pass shares=(0.125, 0.25)"
            )
        if not 0 < self.keep < 1:
            raise ValueError(f"keep must lie between 0 and 1, but is {self.keep}: pass keep=0.5")

    def __str__(self) -> str:
        shares = ", ".join(f"{share:.3g}" for share in self.shares)
        return f"the best {self.keep:.0%} of the rates go on after {shares} of the horizon"

    def survivors(self, runs: Sequence[CellRun]) -> dict[tuple[int, str], list[float]]:
        """The rates that go on, in the order of the grid, for each batch size and schedule."""
        arms: dict[tuple[int, str], dict[float, list[float]]] = {}
        for run in runs:
            rates = arms.setdefault((run.cell.batch_size, run.cell.schedule), {})
            rates.setdefault(run.cell.lr, []).append(run.final())
        return {arm: self._best(rates) for arm, rates in arms.items()}

    def _best(self, rates: dict[float, list[float]]) -> list[float]:
        means = np.array([float(mean_over_seeds(np.array(losses)[:, None])[0]) for losses in rates.values()])
        kept = np.argsort(means, kind="stable")[: max(1, round(self.keep * len(means)))]
        return [lr for i, lr in enumerate(rates) if i in kept]
