"""The result of `noise_scale`: points along a run, and what they say in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from stepsize._result import Provenance, Result
from stepsize.estimate.noise_scale import NoiseStatus
from stepsize.training.history import Cost

Method = Literal["per sample", "micro-batches", "ranks"]
"""How gradients were taken."""

KindTaken = Literal["simple", "preconditioned", "gauss_newton"]
"""In which inner product."""


class LayerNoise(msgspec.Struct, frozen=True):
    """The noise scale of one module's parameters, its interval, and its parts."""

    name: str
    scale: float | None
    low: float
    high: float | None
    trace: float
    signal: float


class NoisePoint(msgspec.Struct, frozen=True, kw_only=True):
    """The noise scale after `update` updates, where the held-out loss was `loss`.

    `scale` is None without a point estimate, `high` None where the interval is open. `trace` and `signal`
    are tr Σ and |G|² for single samples. `examples` were used in micro-batches of `micro_batch`; about
    `examples_needed` reach the precision asked for (None if nothing tells). `status` is "ok", or
    "lower_bound" (at least `low`), "no_noise" (all samples have one gradient), "no_gradient" (it is zero),
    "too_little_data".
    """

    update: int
    loss: float | None
    status: NoiseStatus
    scale: float | None
    low: float
    high: float | None
    trace: float | None
    signal: float | None
    examples: int
    examples_needed: float | None
    micro_batch: int
    layers: tuple[LayerNoise, ...]


class NoiseScale(Result, frozen=True, kw_only=True, eq=False):
    """The gradient noise scale along a run: the batch size at which noise and signal of a gradient are alike.

    `unit` is what it counts in; a sample holds `per_sample` of them. `kind` names the inner product,
    `method` how gradients were taken, and `method_reason` why so. `status` is that of the last point,
    "diverged" when the run broke down before it, or "interrupted".
    """

    status: str
    why: str
    points: tuple[NoisePoint, ...]
    kind: KindTaken
    method: Method
    method_reason: str
    unit: str
    per_sample: float
    lr: float
    batch_size: int
    task: str
    cost: Cost
    provenance: Provenance

    @property
    def scale(self) -> float | None:
        """At the last point, in `unit`."""
        return self.points[-1].scale if self.points else None

    def __str__(self) -> str:
        head = (
            f"Gradient noise scale of {self.task} ({self.kind.replace('_', '-')}, {self.method}), "
            f"in {self.unit}, along a run at rate {self.lr:.3g}, batch {self.batch_size:,}"
        )
        rows = [f"  {'update':>8} {'loss':>9} {'scale':>9}   95% interval"]
        rows += [_row(point) for point in self.points]
        price = f"cost {self.cost.seconds:.1f} s, {self.cost.samples:,} samples"
        return "\n".join([head, *rows, self.why, price])


def _row(point: NoisePoint) -> str:
    loss = "" if point.loss is None else f"{point.loss:.4g}"
    scale = point.status.replace("_", " ") if point.scale is None else f"{point.scale:.3g}"
    upper = "∞" if point.high is None else f"{point.high:.3g}"
    return f"  {point.update:>8,} {loss:>9} {scale:>9}   {point.low:.3g} to {upper}"


def explained(status: str, points: Sequence[NoisePoint], unit: str, lr: float) -> str:
    """One or two sentences: what the scale is, how it moved, what would make it surer."""
    if not points:
        return {
            "interrupted": "Interrupted before the first point.",
            "diverged": f"Training at rate {lr:.3g} diverged before the first point, or the gradient of a "
            "sample is not finite: pass a smaller lr, and look for such samples.",
        }.get(status, "Nothing was measured.")
    last = points[-1]
    if last.status == "no_gradient":
        return "The gradient is zero: nothing is learned from these weights on."
    if last.status == "no_noise":
        return "All samples have the same gradient, so that larger batches gain nothing."
    if last.status == "too_little_data":
        return (
            f"There were {last.examples // last.micro_batch} micro-batches of {last.micro_batch} to measure "
            "on, and three at least tell noise from signal: pass more data or a smaller micro_batch."
        )
    text = f"After {last.update:,} updates "
    if last.high is None:
        more = ", and it would take more than all data to say more"
        if last.examples_needed is not None and last.examples_needed > last.examples:
            more = f"; about {last.examples_needed - last.examples:,.0f} more samples would tell"
        text += f"it is at least {last.low:.3g} {unit}{more}."
    else:
        text += f"it is {last.scale:.3g} {unit} ({last.low:.3g} to {last.high:.3g})."
    known = [point.scale for point in points if point.scale]
    if len(known) > 1:
        text += f" Along the run it went from {min(known):.3g} to {max(known):.3g}."
    if status == "diverged":
        text += f" Then training at rate {lr:.3g} diverged, or the gradient of a sample was not finite."
    return text
