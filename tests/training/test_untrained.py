"""How far a model is trained already, told by drawing its weights anew."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import stepsize as ss
from stepsize.decide.rehearsal import Shape, rehearse
from stepsize.training.probed import ProbeRun
from stepsize.training.untrained import untrained_loss
from tests.loops import plain, same
from tests.tasks import digits, digits_task


def net() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(196, 24), nn.ReLU(), nn.Linear(24, 10))


def trained(updates: int = 300) -> nn.Sequential:
    model, (x, y, _, _) = net(), digits()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for i in range(updates):
        rows = slice(32 * i % 960, 32 * i % 960 + 32)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()
    return model


def start_of(task: ss.Task) -> tuple[float, float]:
    """The head start of a short rehearsal, and its loss at the start."""
    found = rehearse(
        task, Shape.of(ss.Schedule.parse("fixed"), task), [0.01, 0.1], seeds=[0], steps=40,
        untrained=untrained_loss(task),
    )  # fmt: skip
    return found.head_start, found.start_loss


def test_a_trained_net_has_a_head_start_and_a_fresh_one_none() -> None:
    from_fresh, from_trained = digits_task(model=net()), digits_task(model=trained())
    for task in (from_fresh, from_trained):
        assert untrained_loss(task) == pytest.approx(2.3, abs=0.1)
    assert start_of(from_trained)[0] > 0.8
    assert start_of(from_fresh)[0] < 0.1


def test_weights_of_each_seeds_own_are_untrained_already() -> None:
    task = digits_task(model=partial(copy.deepcopy, trained()))
    assert untrained_loss(task) is None
    assert start_of(task)[0] == 0.0


def test_what_is_frozen_stays_as_it_is() -> None:
    """A body that does not train is part of the task: its head alone is drawn anew."""
    model = trained()
    model[0].requires_grad_(False)
    headless = copy.deepcopy(model)
    headless[2] = nn.Linear(24, 10)
    whole, head = untrained_loss(digits_task(model=trained())), untrained_loss(digits_task(model=model))
    assert whole is not None
    assert head is not None
    assert head != pytest.approx(whole, rel=1e-3)
    assert start_of(digits_task(model=headless))[0] < 0.1


class Sized(nn.Linear):
    """A layer whose method is not torch's."""

    def reset_parameters(self, gain: float | None = None) -> None:
        if gain is None and hasattr(self, "made"):
            raise TypeError("gain is missing")
        self.made = True
        super().reset_parameters()


class Bare(nn.Module):
    """No layer that draws its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(196, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight


@pytest.mark.parametrize("model", [lambda: Sized(196, 10), Bare])
def test_what_cannot_be_drawn_anew_is_not_told(model: Callable[[], nn.Module]) -> None:
    task = digits_task(model=model())
    assert untrained_loss(task) is None
    assert ss.find_lr(task, budget="0.5 runs", progress=False).rehearsals[-1].head_start == 0.0


def test_a_loss_may_fail_at_drawn_weights_but_not_at_those_that_are_given() -> None:
    model = trained()

    def loss(model: nn.Module, batch: Any) -> torch.Tensor:
        value = nn.functional.cross_entropy(model(batch[0]), batch[1])
        if value > limit:
            raise ArithmeticError("too large")
        return value

    limit = 1.5
    assert untrained_loss(digits_task(model=model, loss=loss)) is None
    task = digits_task(model=model, loss=loss)
    limit = 0.0
    with pytest.raises(ArithmeticError, match="too large"):
        untrained_loss(task)


def test_a_probe_tells_it_too_and_is_left_as_it_was() -> None:
    loop = plain()
    loop.train(100)
    before = loop.picture()
    run = ProbeRun(loop.probe(), loop.batches, 40, loop.val)
    assert untrained_loss(run) == pytest.approx(2.3, abs=0.1)
    assert float(np.dot(run.evaluation.of_state()["loss"], run.evaluation.weights)) < 1.5
    assert same(before, loop.picture())


def test_it_goes_with_an_advice_into_its_file(tmp_path: Any) -> None:
    advice = ss.find_lr(digits_task(model=trained(), steps=200), progress=False)
    advice.save(tmp_path / "advice.json")
    again = ss.Advice.load(tmp_path / "advice.json")
    for one, other in zip(again.rehearsals, advice.rehearsals, strict=True):
        assert one.untrained == other.untrained
        assert one.head_start == other.head_start > 0.8
