"""In which inner product gradients are measured: the plain one, Adam's, or the Gauss-Newton matrix's.

Each is an image of the gradients, linear, and a dual of images: ⟨g, h⟩ = image(g) · dual(image(h)).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import torch
from torch import Tensor

from stepsize.measure.operators import Surface

Gradients = dict[str, Tensor]
"""By parameter, (k, …): k gradients at once."""


class InnerProduct(Protocol):
    """Turns gradients into images whose ordinary product with a dual is the inner product."""

    def image(self, gradients: Gradients) -> Gradients:
        """What stands for k gradients, (k, …) each."""
        ...

    def dual(self, images: Gradients) -> Gradients:
        """What the images of k other gradients are multiplied with."""
        ...


class Plain:
    """⟨g, h⟩ = g · h."""

    def image(self, gradients: Gradients) -> Gradients:
        return gradients

    def dual(self, images: Gradients) -> Gradients:
        return images


class Preconditioned(Plain):
    """⟨g, h⟩ = (P⁻¹g) · (P⁻¹h) with Adam's P = √v̂ + ε, element by element."""

    def __init__(self, divisor: Gradients) -> None:
        self._divisor = divisor

    def image(self, gradients: Gradients) -> Gradients:
        return {name: g / self._divisor[name] for name, g in gradients.items()}


class GaussNewton:
    """⟨g, h⟩ = gᵀ Jᵀ C J h on a fixed batch; the image is J g, the change of the outputs."""

    def __init__(self, surface: Surface) -> None:
        self._surface = surface
        self._push, self._curve = surface.output_products()

    def image(self, gradients: Gradients) -> Gradients:
        flat = torch.cat([_rows(gradients[name]) for name in self._surface.weights], dim=1)
        return {"outputs": self._push(flat)}

    def dual(self, images: Gradients) -> Gradients:
        return {"outputs": self._curve(images["outputs"])}


def adams_divisor(
    weights: Mapping[str, Tensor], optimizers: Iterable[torch.optim.Optimizer], squares: Gradients
) -> Gradients:
    """What Adam's next update divides by, √v̂ + ε, given the expected squares of the next batch's gradient.

    v̂ = (β₂ v + (1 − β₂) E g²) / (1 − β₂ᵗ⁺¹), with v the running mean of squares after t updates (Kingma &
    Ba 2015, algorithm 1). `weights` by name, each held by one of `optimizers`, all of Adam's kind. Elements
    whose gradient is always zero are divided by infinity: they never move.
    """
    held = {
        id(p): (optimizer, group)
        for optimizer in optimizers
        for group in optimizer.param_groups
        for p in group["params"]
    }
    anyone = next(iter(held.values()))  # weights that nobody updates have no gradient to divide
    divisor = {}
    for name, p in weights.items():
        if name not in squares:
            continue
        optimizer, group = held.get(id(p), anyone)
        state = optimizer.state.get(p, {})
        beta, done = group["betas"][1], float(state.get("step", 0))
        kept = beta * state["exp_avg_sq"] if "exp_avg_sq" in state else 0.0
        moment = (kept + (1 - beta) * squares[name]) / (1 - beta ** (done + 1))
        divisor[name] = torch.where(moment > 0, moment.sqrt() + group["eps"], torch.inf)
    return divisor


def keeps_second_moments(optimizer: torch.optim.Optimizer) -> bool:
    """Whether this is Adam or one of its kind: its groups hold two betas and an epsilon."""
    group = optimizer.param_groups[0]
    return "eps" in group and len(group.get("betas", ())) == 2 and type(optimizer).__name__ != "Adamax"


def _rows(gradients: torch.Tensor) -> torch.Tensor:
    """(k, …) as (k, n); n is 1 for a parameter that is a single number."""
    return gradients.reshape(len(gradients), -1)
