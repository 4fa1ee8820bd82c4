"""The largest rate at which an optimizer's updates are stable on a quadratic of a given curvature.

On ½ λ x² each update is a linear map of (x, momentum); the ceiling is the rate at which its spectral radius
reaches 1. It is local: a net trains past it for a while, and its curvature follows (the edge of stability,
Cohen et al. 2021, [2103.00065](https://arxiv.org/abs/2103.00065)). It bounds the rate, and does not
recommend one.
"""

from __future__ import annotations

import math


def sgd_ceiling(
    curvature: float,
    *,
    momentum: float = 0.0,
    nesterov: bool = False,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
) -> float:
    """The ceiling of `torch.optim.SGD` with these settings; infinite where the curvature is at most zero.

    With λ = `curvature` + `weight_decay`, m = `momentum` and τ = `dampening`: (2 + 2m) / ((1 − τ) λ), which
    is 2/λ for plain gradient descent, (2 + 2m)/λ for heavy-ball and (2 + 2m)/((1 − m) λ) for an average of
    gradients (τ = m); for Nesterov's (2 + 2m)/((1 + 2m) λ) (Cohen et al. 2021, appendix B).

    >>> sgd_ceiling(1.0, momentum=0.9)
    3.8
    >>> round(sgd_ceiling(1.0, momentum=0.9, nesterov=True), 5)
    1.35714

    Raises:
        ValueError: `curvature` is not finite, momentum or dampening lie outside [0, 1), or Nesterov's is
            combined with dampening or lacks momentum, as torch refuses too.
    """
    _check(curvature, momentum=momentum, dampening=dampening)
    if nesterov and (dampening or not momentum):
        raise ValueError("nesterov needs a momentum above 0 and dampening 0, as in torch.optim.SGD")
    if weight_decay < 0:
        raise ValueError(f"weight_decay must be at least 0, but is {weight_decay}")
    total = curvature + weight_decay
    if total <= 0:
        return math.inf
    if nesterov:
        return (2 + 2 * momentum) / ((1 + 2 * momentum) * total)
    # Without momentum torch has no buffer to dampen.
    return (2 + 2 * momentum) / ((1 - (dampening if momentum else 0.0)) * total)


def adam_ceiling(preconditioned_curvature: float, *, beta1: float = 0.9) -> float:
    """The ceiling of Adam and its like, given the largest eigenvalue of P^(−1/2) H P^(−1/2) with P = √v̂ + ε.

    (2 + 2β₁) / ((1 − β₁) λ): Adam's first moment is an average of gradients (Cohen et al. 2022,
    [2207.14484](https://arxiv.org/abs/2207.14484), eq. 3). Its preconditioner is taken as standing still.
    Decoupled weight decay adds at most its own small share, and is left out.

    >>> round(adam_ceiling(1.0), 6)
    38.0
    """
    _check(preconditioned_curvature, beta1=beta1)
    if preconditioned_curvature <= 0:
        return math.inf
    return (2 + 2 * beta1) / ((1 - beta1) * preconditioned_curvature)


def _check(curvature: float, **shares: float) -> None:
    if not math.isfinite(curvature):
        raise ValueError(f"curvature must be finite, but is {curvature}")
    for name, value in shares.items():
        if not 0 <= value < 1:
            raise ValueError(f"{name} must lie within [0, 1), but is {value}")
