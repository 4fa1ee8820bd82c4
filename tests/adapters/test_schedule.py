"""A trainer's own schedule, read from its scheduler; and ours as a scheduler for it."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler as theirs

from stepsize.adapters._schedule import NEAR, lambda_lr, own_schedule
from stepsize.schedules import Schedule
from tests.loops import same

STEPS = 60

Make = Callable[[torch.optim.Optimizer], Any]

SCHEDULERS: dict[str, tuple[Make, int]] = {
    "none": (lambda _: None, 1),
    "constant": (lambda o: theirs.LambdaLR(o, lambda t: 1.0), 1),
    "cosine by update": (lambda o: theirs.CosineAnnealingLR(o, STEPS), 1),
    "a longer cosine, cut short": (lambda o: theirs.CosineAnnealingLR(o, 2 * STEPS), 1),
    "one cycle": (lambda o: theirs.OneCycleLR(o, max_lr=0.4, total_steps=STEPS), 1),
    "warm-up of one's own": (lambda o: theirs.LambdaLR(o, lambda t: min(1.0, t / 10)), 1),
    "warm-up and decay": (
        lambda o: theirs.SequentialLR(
            o,
            [theirs.LinearLR(o, 0.1, total_iters=10), theirs.CosineAnnealingLR(o, STEPS - 10)],
            milestones=[10],
        ),
        1,
    ),
    "stairs by epoch": (lambda o: theirs.StepLR(o, 2, gamma=0.3), 10),
    "cosine by epoch": (lambda o: theirs.CosineAnnealingLR(o, 12), 5),
    "every second update": (lambda o: theirs.ExponentialLR(o, 0.9), 2),
}


CURVES = [SCHEDULERS["a longer cosine, cut short"][0]]
"""What has the shape of no schedule that fills the run is taken as a curve."""


def optimizers() -> list[torch.optim.Optimizer]:
    small, large = nn.Linear(2, 2), nn.Linear(3, 3)
    groups: list[dict[str, Any]] = [{"params": [large.weight], "lr": 0.1}, {"params": [large.bias]}]
    return [
        torch.optim.Adam(small.parameters(), lr=0.01),
        torch.optim.SGD(groups, lr=0.05, momentum=0.9),
    ]


def stepped(scheduler: Any, optimizer: torch.optim.Optimizer, often: int, steps: int = STEPS) -> np.ndarray:
    """The first group's rates in a plain loop."""
    rates = []
    for update in range(steps):
        optimizer.step()
        rates.append(optimizer.param_groups[0]["lr"])
        if scheduler is not None and (update + 1) % often == 0 and update + 1 < steps:
            scheduler.step()
    return np.array(rates)


@pytest.mark.parametrize(("make", "often"), SCHEDULERS.values(), ids=SCHEDULERS)
def test_the_schedule_has_the_rates_of_the_scheduler(make: Make, often: int) -> None:
    both = optimizers()
    scheduler = make(both[1])
    before = copy.deepcopy([one.state_dict() for one in (*both, *([scheduler] if scheduler else []))])
    own = own_schedule(both, scheduler, STEPS, updates_per_step=often)
    assert own.schedule is not None
    after = [one.state_dict() for one in (*both, *([scheduler] if scheduler else []))]
    assert same(before, after)
    expected = stepped(scheduler, both[1], often)
    near = NEAR * expected.max() if make in CURVES else 1e-9
    np.testing.assert_allclose(own.schedule.values(STEPS), expected, rtol=1e-5, atol=near)
    assert own.peak == pytest.approx(expected.max())
    assert Schedule.parse(str(own.schedule.at(3.0))).values(STEPS).max() == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cosine by update", "cosine(3)"),
        ("one cycle", "3 * (one_cycle(top=17).over(59) | hold(lr=4e-06))"),
        ("warm-up of one's own", "3 * (warmup(10, zero_first=True) | fixed())"),
    ],
)
def test_it_is_written_as_a_person_would(name: str, text: str) -> None:
    both = optimizers()
    own = own_schedule(both, SCHEDULERS[name][0](both[1]), STEPS)
    assert own.schedule is not None
    assert str(own.schedule.at(3.0)) == text


def test_what_falls_from_epoch_to_epoch_over_many_of_them_is_taken_as_a_curve() -> None:
    both = optimizers()
    scheduler = theirs.CosineAnnealingLR(both[1], 30)
    own = own_schedule(both, scheduler, 30 * 8, updates_per_step=8)
    assert own.schedule is not None
    starts = stepped(scheduler, both[1], 8, 30 * 8)[::8]
    np.testing.assert_allclose(own.schedule.values(30 * 8)[::8], starts, atol=NEAR * 0.1)
    assert str(own.schedule).startswith("cosine")


def test_a_scheduler_that_waits_for_a_metric_is_a_fixed_rate() -> None:
    both = optimizers()
    own = own_schedule(both, theirs.ReduceLROnPlateau(both[1]), STEPS)
    assert own.schedule is not None
    assert (own.schedule.values(STEPS) == 0.1).all()


def test_rates_without_a_form_and_rates_of_0_are_refused() -> None:
    both = optimizers()
    draw = np.random.default_rng(0).random(2 * STEPS)
    ragged = theirs.LambdaLR(both[1], lambda t: float(draw[t]))
    with pytest.raises(ValueError, match=r"schedule must be given, since the rates of LambdaLR.*'fixed'"):
        own_schedule(both, ragged, STEPS)
    with pytest.raises(ValueError, match="schedule must be given, since the rates of LambdaLR"):
        own_schedule(both, ragged, 60 * STEPS, updates_per_step=60)
    with pytest.raises(ValueError, match="the scheduler must give a rate above 0, but LambdaLR gives 0"):
        own_schedule(both, theirs.LambdaLR(both[1], lambda t: 0.0), STEPS)


@pytest.mark.parametrize("text", ["0.4 * (warmup('10%') | cosine())", "rex(0.4)", "fixed(0.4)"])
def test_a_schedule_becomes_a_scheduler_in_which_each_group_keeps_its_proportion(text: str) -> None:
    optimizer = optimizers()[1]
    for group, rate in zip(optimizer.param_groups, (0.4, 0.2), strict=True):
        group["lr"] = rate
    schedule = Schedule.parse(text)
    scheduler = lambda_lr(schedule, optimizer, STEPS)
    rates, saved = [], {}
    for update in range(STEPS):
        optimizer.step()
        rates.append([group["lr"] for group in optimizer.param_groups])
        if update == 20:
            saved = pickle.loads(pickle.dumps(scheduler.state_dict()))
        scheduler.step()
    expected = schedule.values(STEPS)
    np.testing.assert_allclose(rates, np.stack([expected, expected / 2], axis=1), rtol=1e-12)
    scheduler.load_state_dict(saved)
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(expected[21])
