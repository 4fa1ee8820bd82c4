"""Ceilings against the spectral radius of the update itself."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stepsize.estimate.ceilings import adam_ceiling, sgd_ceiling


def test_the_reference_figures() -> None:
    assert sgd_ceiling(1.0) == 2.0
    assert sgd_ceiling(1.0, momentum=0.9) == pytest.approx(3.8)
    assert sgd_ceiling(1.0, momentum=0.9, nesterov=True) == pytest.approx(1.35714, abs=1e-5)
    assert sgd_ceiling(1.0, momentum=0.9, dampening=0.9) == pytest.approx(38.0)
    assert adam_ceiling(1.0, beta1=0.9) == pytest.approx(38.0)


def radius(lr: float, curvature: float, momentum: float, dampening: float, *, nesterov: bool) -> float:
    """Spectral radius of torch's update of (x, buffer) on ½ λ x²."""
    g = np.array([curvature, 0.0])
    buffer = momentum * np.array([0.0, 1.0]) + (1 - dampening) * g
    step = g + momentum * buffer if nesterov else buffer
    x = np.array([1.0, 0.0]) - lr * step
    return float(np.abs(np.linalg.eigvals(np.stack([x, buffer]))).max())


@given(
    st.floats(1e-3, 1e3), st.floats(0.05, 0.95), st.sampled_from(["heavy", "nesterov", "average", "damped"])
)
def test_at_the_ceiling_the_update_stops_to_contract(curvature: float, momentum: float, kind: str) -> None:
    nesterov = kind == "nesterov"
    dampening = {"average": momentum, "damped": 0.3}.get(kind, 0.0)
    ceiling = sgd_ceiling(curvature, momentum=momentum, nesterov=nesterov, dampening=dampening)
    below, above = (
        radius(factor * ceiling, curvature, momentum, dampening, nesterov=nesterov) for factor in (0.99, 1.01)
    )
    assert below < 1 < above


def test_dampening_needs_momentum_as_in_torch() -> None:
    x = torch.nn.Parameter(torch.tensor(1.0))
    optimizer = torch.optim.SGD([x], lr=1.0, dampening=0.5)
    (0.5 * x**2).backward()
    optimizer.step()
    assert x.detach() == 0.0  # a whole step, not half of one
    assert sgd_ceiling(1.0, dampening=0.5) == 2.0


def test_weight_decay_adds_to_the_curvature() -> None:
    assert sgd_ceiling(1.0, weight_decay=1.0) == 1.0


@pytest.mark.parametrize("curvature", [0.0, -3.0])
def test_nothing_bounds_the_rate_where_nothing_curves_up(curvature: float) -> None:
    assert sgd_ceiling(curvature) == adam_ceiling(curvature) == math.inf


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"curvature": math.nan}, "curvature must be finite"),
        ({"curvature": 1.0, "momentum": 1.0}, "momentum must lie"),
        ({"curvature": 1.0, "nesterov": True}, "nesterov needs a momentum"),
        ({"curvature": 1.0, "weight_decay": -1.0}, "weight_decay must be"),
    ],
)
def test_wrong_settings_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sgd_ceiling(**options)
