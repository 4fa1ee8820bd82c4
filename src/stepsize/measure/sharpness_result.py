"""The result of `sharpness`: curvature at points of a run, and the rates that it allows there."""

from __future__ import annotations

from typing import Literal

import msgspec

from stepsize._result import Provenance, Result
from stepsize.training.history import Cost

PointKind = Literal["saddle", "minimum", "flat"]


class SharpnessPoint(msgspec.Struct, frozen=True, kw_only=True):
    """Curvature after `update` updates, on a fixed subset whose mean loss there is `loss`.

    `largest` and `smallest` are the ends of the Hessian's spectrum; some eigenvalue lies within the
    residual of each. `gauss_newton` is the largest eigenvalue of the Gauss-Newton matrix, None where there
    is none. `ceiling` is the rate from which on the optimizer's own updates are unstable on a quadratic of
    curvature `largest` (for Adam of that of P^(−1/2) H P^(−1/2), `preconditioned`), between `ceiling_low`
    and `ceiling_high` by the residual; None where `ceiling_reason` says why. `minibatch` is the mean over
    batches of gᵀ H g / |g|² with the batch's own g and H. `kind` says what the loss looks like from here:
    "saddle" if a direction of negative curvature would be left within the run's remaining updates, "flat"
    if no direction matters in that time, else "minimum".
    """

    update: int
    loss: float
    largest: float
    largest_residual: float
    smallest: float
    smallest_residual: float
    gauss_newton: float | None
    preconditioned: float | None
    ceiling: float | None
    ceiling_low: float | None
    ceiling_high: float | None
    ceiling_reason: str
    minibatch: float | None
    kind: PointKind
    products: int
    converged: bool


class Sharpness(Result, frozen=True, kw_only=True, eq=False):
    """The curvature of the loss, on a fixed subset of `subset` training samples, along a run.

    `status` is "ok", "not_converged" (a residual is above the tolerance), "diverged", "interrupted" or
    "no_curvature" (`why` says what stands in the way).
    """

    status: Literal["ok", "not_converged", "diverged", "interrupted", "no_curvature"]
    why: str
    points: tuple[SharpnessPoint, ...]
    subset: int
    optimizer: str
    lr: float | None
    task: str
    cost: Cost
    provenance: Provenance

    @property
    def ceiling(self) -> float | None:
        """The largest stable rate at the last point."""
        return self.points[-1].ceiling if self.points else None

    def __str__(self) -> str:
        run = "at its start" if self.lr is None else f"along a run at rate {self.lr:.3g}"
        head = f"Curvature of {self.task} on {self.subset:,} samples, {run}, {self.optimizer}"
        rows = [f"  {'update':>8} {'loss':>9} {'λ max':>9} {'λ min':>9} {'ceiling':>9}   looks like a"]
        for point in self.points:
            ceiling = "–" if point.ceiling is None else f"{point.ceiling:.3g}"
            rows.append(
                f"  {point.update:>8,} {point.loss:>9.4g} {point.largest:>9.3g} {point.smallest:>9.3g} "
                f"{ceiling:>9}   {point.kind}"
            )
        price = f"cost {self.cost.seconds:.1f} s, {sum(p.products for p in self.points):,} products"
        return "\n".join([head, *rows, self.why, price])
