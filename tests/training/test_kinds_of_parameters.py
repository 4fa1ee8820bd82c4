"""Parameters of single numbers, layers that are not trained or not updated: stack and loop train alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import stepsize as ss
from tests.tasks import digits_task
from tests.training.twins import table


class Tempered(nn.Module):
    """Scores over a temperature, on top of a layer of random features that is not trained."""

    def __init__(self, *, fixed: bool = False) -> None:
        super().__init__()
        self.features = nn.Linear(196, 24).requires_grad_(not fixed)
        self.out = nn.Linear(24, 10)
        self.scale = nn.Parameter(torch.tensor(3.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.scale * self.out(torch.tanh(self.features(x)))
        return scores


def features_fixed() -> nn.Module:
    return Tempered(fixed=True)


KINDS: dict[str, dict[str, Any]] = {
    "a single number": {"model": Tempered},
    "fixed, and another one for each seed": {"model": features_fixed},
    "fixed, the same for all seeds": {"model": Tempered(fixed=True)},
    "not updated though it has a gradient": {"model": Tempered, "params": lambda m: m.out.parameters()},
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_stack_and_loop_are_one(kind: dict[str, Any]) -> None:
    task = digits_task(**kind, optimizer=torch.optim.Adam, steps=24)
    rates, seeds = (0.01, 0.1), (0, 1, 5)
    members = [ss.Member(lr, seed) for seed in seeds for lr in rates]
    stack, loop = (
        ss.train(task, members, table(rates * 3, 24), engine=engine, evaluate_at=[0, 12, 24])
        for engine in ("stack", "loop")
    )
    np.testing.assert_allclose(stack.train_loss, loop.train_loss, rtol=1e-5)
    np.testing.assert_allclose(stack.val_loss, loop.val_loss, rtol=1e-5)


def test_a_search_over_seeds_with_fixed_layers_of_their_own_is_a_stack() -> None:
    advice = ss.find_lr(digits_task(model=features_fixed, steps=400), seeds=2, progress=False)
    assert {rehearsal.engine for rehearsal in advice.rehearsals} == {"stack"}
    assert not [warning for warning in advice.warnings if "run by run" in warning]


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_noise_and_curvature_take_a_single_number(optimizer: Any) -> None:
    task = digits_task(model=Tempered, optimizer=optimizer, steps=40)
    scale = ss.noise_scale(task, lr=0.01, progress=False).scale
    assert scale is not None
    assert scale > 0
    assert np.isfinite(ss.sharpness(task, progress=False).points[0].largest)
