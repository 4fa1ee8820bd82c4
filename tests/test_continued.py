"""From a checkpoint: weights as they are, and the optimizer's state kept, by either engine."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import SGD, Adagrad, Adam, AdamW, NAdam, RMSprop

import stepsize as ss
from stepsize.runs.fingerprint import fingerprint
from tests.tasks import digits, digits_task, net

OPTIMIZERS = {
    "SGD": SGD,
    "momentum": partial(SGD, momentum=0.9, nesterov=True),
    "Adam": partial(Adam, amsgrad=True),
    "AdamW": AdamW,
    "RMSprop": partial(RMSprop, momentum=0.5),
    "Adagrad": Adagrad,
    "NAdam": NAdam,
}


def checkpoint(make: Any, updates: int = 20) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A net and its optimizer in the middle of training, at a rate of 0.01."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = net()
    optimizer: torch.optim.Optimizer = make(model.parameters(), lr=0.01)
    x, y, _, _ = digits()
    for i in range(updates):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[50 * i : 50 * i + 50]), y[50 * i : 50 * i + 50]).backward()
        optimizer.step()
    return model, optimizer


def plain(model: nn.Module, optimizer: torch.optim.Optimizer, task: ss.Task, lr: float) -> list[float]:
    """Six more updates by hand, on copies."""
    model, optimizer = copy.deepcopy((model, optimizer))
    losses = []
    batches = task.batches(0)
    for _ in range(6):
        optimizer.param_groups[0]["lr"] = lr
        optimizer.zero_grad()
        loss = task.loss(model, next(batches))
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize("engine", ["loop", "stack"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_both_engines_go_on_where_the_checkpoint_stands(name: str, engine: Any) -> None:
    model, optimizer = checkpoint(OPTIMIZERS[name])
    task = digits_task(model=model, optimizer=optimizer)
    lrs = (0.003, 0.02)
    history = ss.train(
        task, [ss.Member(lr, 0) for lr in lrs], np.array(lrs)[:, None] * np.ones((1, 6)), engine=engine
    )
    for losses, lr in zip(history.train_loss, lrs, strict=True):
        np.testing.assert_allclose(losses, plain(model, optimizer, task, lr), rtol=2e-4)


def test_the_state_matters() -> None:
    model, optimizer = checkpoint(OPTIMIZERS["momentum"])
    kept, anew = (digits_task(model=model, optimizer=o) for o in (optimizer, OPTIMIZERS["momentum"]))
    losses = [ss.train(t, [ss.Member(0.05, 0)], np.full((1, 6), 0.05)).train_loss[0] for t in (kept, anew)]
    assert losses[0][0] == pytest.approx(losses[1][0])
    assert not np.allclose(losses[0][1:], losses[1][1:], rtol=1e-3)


def test_find_lr_from_a_checkpoint_leaves_it_alone() -> None:
    model, optimizer = checkpoint(OPTIMIZERS["Adam"])
    before = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    advice = ss.find_lr(digits_task(model=model, optimizer=optimizer), schedule="linear")
    assert advice.status == "ok"
    assert advice.lr is not None
    assert 1e-4 < advice.lr < 0.3
    after = (model.state_dict(), optimizer.state_dict())
    assert all(torch.equal(before[0][name], tensor) for name, tensor in after[0].items())
    assert str(before[1]) == str(after[1])


def test_groups_keep_their_proportion_also_under_a_scheduler() -> None:
    model = net()
    first, *rest = model.parameters()
    groups: list[dict[str, Any]] = [{"params": [first], "lr": 0.01}, {"params": rest}]
    optimizer = SGD(groups, lr=0.1, momentum=0.9)
    torch.optim.lr_scheduler.LambdaLR(optimizer, [lambda _: 1.0, lambda _: 0.0])
    task = digits_task(model=model, optimizer=optimizer)
    assert task.group_ratios == pytest.approx((0.1, 1.0))
    assert task.replace(seed=3).group_ratios == pytest.approx((0.1, 1.0))


def test_another_state_is_another_task_to_a_sweep() -> None:
    one, other = checkpoint(OPTIMIZERS["momentum"]), checkpoint(OPTIMIZERS["momentum"])
    same = [fingerprint(digits_task(model=m, optimizer=o)).digest for m, o in (one, other)]
    assert same[0] == same[1]
    next(iter(other[1].state.values()))["momentum_buffer"].add_(1.0)
    assert fingerprint(digits_task(model=other[0], optimizer=other[1])).digest != same[0]


def test_an_optimizer_of_another_model_is_refused() -> None:
    with pytest.raises(ValueError, match="over the parameters of model, but 4 of its parameters are others"):
        digits_task(model=net(), optimizer=SGD(net().parameters(), lr=0.1))


def test_rates_of_zero_tell_no_proportion() -> None:
    model = net()
    with pytest.raises(ValueError, match=r"a group with a rate above 0, but its rates are \[0\.0\]"):
        digits_task(model=model, optimizer=SGD(model.parameters(), lr=0.0))
