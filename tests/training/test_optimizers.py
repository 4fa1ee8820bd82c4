from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import (
    ASGD,
    LBFGS,
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    NAdam,
    Optimizer,
    RAdam,
    RMSprop,
    Rprop,
)

import stepsize as ss
from stepsize.training.optimizers import Native, Separate
from tests.training.twins import RATES, assert_three_ways, classification, small_net, small_task, table

NATIVE: dict[str, Callable[..., Optimizer]] = {
    "sgd": SGD,
    "sgd, weight decay": partial(SGD, weight_decay=0.1),
    "sgd, maximize": partial(SGD, maximize=True),
    "momentum": partial(SGD, momentum=0.9),
    "momentum, dampening": partial(SGD, momentum=0.9, dampening=0.4),
    "nesterov, weight decay": partial(SGD, momentum=0.8, nesterov=True, weight_decay=0.01),
    "adam": Adam,
    "adam, amsgrad, weight decay": partial(Adam, amsgrad=True, weight_decay=0.1, betas=(0.8, 0.95)),
    "adamw": partial(AdamW, weight_decay=0.1),
    "adamw, amsgrad, large eps": partial(AdamW, amsgrad=True, eps=1e-3),
    "rmsprop": RMSprop,
    "rmsprop, centered, momentum, weight decay": partial(
        RMSprop, centered=True, momentum=0.5, weight_decay=0.01, eps=1e-4
    ),
    "adagrad": Adagrad,
    "adagrad, lr_decay": partial(Adagrad, lr_decay=0.1, initial_accumulator_value=0.2, weight_decay=0.01),
}


class SignSgd(SGD):
    """An optimizer of a user's own, which happens to inherit from a native one."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad.sign(), alpha=-group["lr"])


class Replacing(SGD):
    """As `SignSgd`, but it puts new tensors in the place of the old ones."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.data = p.data - group["lr"] * p.grad.sign()


class Langevin(SGD):
    """Gradient descent with noise from the global generator."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        super().step()
        for group in self.param_groups:
            for p in group["params"]:
                p.add_(torch.randn_like(p), alpha=0.1 * group["lr"])


OTHERS: dict[str, Callable[..., Optimizer]] = {
    "nadam": NAdam,
    "adadelta": Adadelta,
    "rprop": Rprop,
    "radam": RAdam,
    "asgd": ASGD,
    "a subclass of sgd": SignSgd,
    "one that replaces parameters": Replacing,
    "one that draws noise": Langevin,
}


def made(factory: Callable[..., Optimizer]) -> Callable[[Any, float], Optimizer]:
    return lambda params, lr: factory(params, lr=lr)


@pytest.mark.parametrize("factory", NATIVE.values(), ids=NATIVE)
def test_native_update_equals_torch_in_float64(factory: Callable[..., Optimizer]) -> None:
    assert_three_ways(small_task(optimizer=factory), small_net, made(factory), table(RATES, 50))


@pytest.mark.parametrize("factory", NATIVE.values(), ids=NATIVE)
def test_native_update_equals_torch_after_200_updates_in_float32(factory: Callable[..., Optimizer]) -> None:
    net = partial(small_net, torch.float32)
    task = small_task(
        model=net,
        train=classification(torch.float32),
        val=classification(torch.float32, 20),
        optimizer=factory,
    )
    rates = table((0.02, 0.001), 200)
    if factory is NATIVE["sgd, maximize"]:  # climbs without end, so errors grow without end
        rates = rates / 100
    assert_three_ways(task, net, made(factory), rates, tolerance=1e-4)


@pytest.mark.parametrize("factory", OTHERS.values(), ids=OTHERS)
def test_any_other_optimizer_is_run_exactly(factory: Callable[..., Optimizer]) -> None:
    assert_three_ways(small_task(optimizer=factory), small_net, made(factory), table(RATES, 30))


def test_lbfgs_goes_to_the_loop_and_says_why() -> None:
    task = small_task(optimizer=LBFGS, batch_size="full")
    history = ss.train(task, [ss.Member(0.1, 0)], np.full(5, 0.1), evaluate_at=[0, 5])
    assert history.engine == "loop"
    assert "LBFGS evaluates the loss several times" in history.engine_reason
    model, (x, y) = task.make_model(0), classification()
    optimizer = LBFGS(model.parameters(), lr=0.1)
    losses = []

    def closure() -> float:
        optimizer.zero_grad()
        loss = task.loss(model, (x, y))
        loss.backward()
        return float(loss.detach())

    for _ in range(5):
        losses.append(float(task.loss(model, (x, y)).detach()))
        optimizer.step(closure)
    np.testing.assert_allclose(history.train_loss[0], losses, rtol=1e-12)


def groups(model: nn.Module) -> list[dict[str, Any]]:
    first, last = model[0], model[2]  # type: ignore[index]
    return [
        {"params": first.parameters(), "lr_scale": 0.1, "weight_decay": 0.2},
        {"params": [last.weight]},
        {"params": [last.bias], "lr_scale": 3.0, "weight_decay": 0.0},
    ]


@pytest.mark.parametrize("name", ["nesterov, weight decay", "adamw", "rmsprop"])
def test_groups_keep_their_ratio_and_their_own_weight_decay(name: str) -> None:
    task = small_task(optimizer=NATIVE[name], params=groups)
    assert task.group_ratios == pytest.approx((0.1, 1.0, 3.0))
    assert_three_ways(task, small_net, made(NATIVE[name]), table(RATES, 40), params=groups)


def test_groups_keep_their_ratio_in_other_optimizers() -> None:
    task = small_task(optimizer=NAdam, params=groups)
    assert_three_ways(task, small_net, made(NAdam), table(RATES, 20), params=groups)


def test_a_factory_may_scale_the_rate_itself() -> None:
    def head_twice(params: Iterable[torch.Tensor], lr: float) -> Optimizer:
        groups: list[dict[str, Any]] = [{"params": [p]} for p in params]
        groups[0]["lr"] = 2 * lr
        return SGD(groups, lr=lr)

    task = small_task(optimizer=head_twice)
    assert task.group_ratios == (2.0, 1.0, 1.0, 1.0)
    assert_three_ways(task, small_net, head_twice, table(RATES, 10))


def test_a_rate_held_in_a_tensor_is_followed() -> None:
    def tensor_rate(params: Any, lr: float) -> Optimizer:
        return Adam(params, lr=torch.tensor(lr, dtype=torch.float64))

    task = small_task(optimizer=tensor_rate)
    assert_three_ways(task, small_net, made(Adam), table(RATES, 10))


@pytest.mark.parametrize("factory", [SGD, NAdam], ids=["native", "separate"])
def test_a_hook_on_the_optimizer_is_called_for_every_member(factory: Callable[..., Optimizer]) -> None:
    def clipped(params: Any, lr: float) -> Optimizer:
        optimizer = factory(params, lr=lr)
        kept = [p for group in optimizer.param_groups for p in group["params"]]

        def clip(*_: Any) -> None:
            nn.utils.clip_grad_norm_(kept, 0.05)

        optimizer.register_step_pre_hook(clip)
        return optimizer

    history = assert_three_ways(small_task(optimizer=clipped), small_net, clipped, table(RATES, 20))
    free = ss.train(small_task(optimizer=factory), history.members, table(RATES, 20))
    assert not np.allclose(history.train_loss[0], free.train_loss[0])


@pytest.mark.parametrize("name", ["momentum", "nesterov, weight decay", "adam", "adamw"])
def test_rates_and_momentum_follow_their_clocks(name: str) -> None:
    updates = 40
    schedule = ss.Schedule.parse("one_cycle").at(1.0)
    rates = np.outer(RATES, schedule.values(ss.Run(steps=updates)))
    momentum = np.linspace(0.95, 0.0, updates)  # ends at exactly none
    task = small_task(optimizer=NATIVE[name])
    assert_three_ways(task, small_net, made(NATIVE[name]), rates, momentum=momentum)


def test_momentum_may_start_later() -> None:
    momentum = np.r_[np.zeros(5), np.full(5, 0.9), np.zeros(5), np.full(5, 0.5)]
    assert_three_ways(small_task(), small_net, made(SGD), table(RATES, 20), momentum=momentum)


def test_bfloat16_keeps_the_rate_and_the_decay_in_full_precision() -> None:
    start = torch.ones(2, 3, dtype=torch.bfloat16)
    group = AdamW([nn.Parameter(start[0])], weight_decay=0.5).param_groups[0]
    stacked = start.clone()
    native = Native(ss.training.optimizers.NATIVE[AdamW], [stacked], [group], [1.0], ([{}], 0))
    lr = torch.tensor([0.004, 0.002], dtype=torch.float64)
    for _ in range(8):
        native.step([torch.zeros_like(stacked)], lr)
    for row, rate in enumerate(lr.tolist()):
        alone = nn.Parameter(start[row].clone())
        optimizer = AdamW([alone], lr=rate, weight_decay=0.5)
        for _ in range(8):
            alone.grad = torch.zeros_like(alone)
            optimizer.step()
        torch.testing.assert_close(stacked[row], alone.detach(), rtol=0, atol=0)


def test_controls_reach_every_group_that_has_them() -> None:
    models = [small_net() for _ in range(2)]
    names = [name for name, _ in models[0].named_parameters()]
    separate = Separate(lambda model: SGD(model.parameters(), lr=1.0, momentum=0.9), models, names)
    stacked = [torch.stack([p.detach(), p.detach()]) for p in models[0].parameters()]
    separate.bind(stacked)
    before = [p.clone() for p in stacked]
    separate.set("momentum", 0.0)
    for _ in range(2):
        separate.step([torch.ones_like(p) for p in stacked], torch.tensor([1.0, 0.5]))
    for p, start in zip(stacked, before, strict=True):
        torch.testing.assert_close(p[0], start[0] - 2.0)
        torch.testing.assert_close(p[1], start[1] - 1.0)
