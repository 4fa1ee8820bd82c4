"""Losses that take a gradient themselves, as those of physics-informed nets do."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from torch import nn

import stepsize as ss
from stepsize.training.arithmetic import arithmetic_share
from stepsize.training.memory import footprint
from tests.training.twins import members, table

RATES = 1e-4, 1e-2


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(1, 24), nn.Tanh(), nn.Linear(24, 1)).double()


def by_autograd(model: nn.Module, batch: Any) -> torch.Tensor:
    """How far u(x) = 1 + x net(x) is from solving u' = -u, whose answer is exp(-x)."""
    x = batch[0].clone().requires_grad_()
    u = 1 + x * model(x)
    (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
    return torch.as_tensor((slope + u).square().mean())


def by_functions(model: nn.Module, batch: Any) -> torch.Tensor:
    """The same, for `torch.func`."""

    def u(x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = (1 + x * model(x)).squeeze()
        return found

    x = batch[0]
    slope = torch.func.vmap(torch.func.grad(u))(x)
    return torch.as_tensor((slope[:, 0] + torch.func.vmap(u)(x)).square().mean())


def task(loss: Any, **changes: Any) -> ss.Task:
    x = 2 * torch.rand(500, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    arguments = {"optimizer": torch.optim.Adam, "batch_size": 50, "steps": 120, **changes}
    return ss.Task(net, loss, (x[:400],), val=(x[400:],), **arguments)


def test_both_ways_to_write_it_train_alike() -> None:
    ways: list[tuple[Any, Literal["loop", "stack"]]] = [
        (by_autograd, "loop"),
        (by_functions, "loop"),
        (by_functions, "stack"),
    ]
    histories = [
        ss.train(task(loss), members(RATES), table(RATES, 60), evaluate_at=[0, 60], engine=engine)
        for loss, engine in ways
    ]
    for history in histories:
        np.testing.assert_allclose(history.train_loss, histories[0].train_loss, rtol=1e-9)
        np.testing.assert_allclose(history.val_loss, histories[0].val_loss, rtol=1e-9)
    assert histories[0].val_loss[1, 1] < 0.2 * histories[0].val_loss[1, 0]


def test_a_rate_is_found_for_both() -> None:
    """It used to be refused as a task, or to end with an error of torch's counters."""
    for loss in (by_autograd, by_functions):
        advice = ss.find_lr(task(loss), schedule="cosine")
        assert advice.status in ("ok", "uncertain")
        assert advice.lr is not None
        assert 1e-3 < advice.lr < 0.3
        assert any("torch.func.grad" in warning for warning in advice.warnings) == (loss is by_autograd)


def test_a_metric_may_take_one_too() -> None:
    plain = ss.Task(
        net,
        ss.supervised(nn.MSELoss()),
        (torch.zeros(40, 1, dtype=torch.float64), torch.ones(40, 1, dtype=torch.float64)),
        optimizer=torch.optim.SGD,
        batch_size=8,
        steps=5,
        metrics={"residual": lambda model, batch: by_autograd(model, batch[:1])},
    )
    history = ss.train(plain, members(RATES), table(RATES, 5), evaluate_at=[0, 5])
    assert np.isfinite(history.metrics["residual"]).all()
    assert history.engine == "loop"


def test_what_such_a_loss_takes_is_reckoned_too() -> None:
    for loss in (by_autograd, by_functions):
        asked = task(loss)
        model = asked.make_model(0)
        assert 0 < arithmetic_share(asked, model) < 1
        takes = footprint(asked, model, asked.trial_batch(50))
        assert takes.total > 5 * sum(p.numel() * 8 for p in model.parameters())
        assert takes.activation >= 50 * 24 * 8


def test_batch_sizes_are_timed_with_their_held_out_loss() -> None:
    found = ss.throughput(task(by_autograd), [10, 50], seconds=0.2)
    assert [row.status for row in found.rows] == ["ok", "ok"]


def test_a_loop_of_the_users_own_may_evaluate_by_one() -> None:
    batches = [(x,) for x in torch.linspace(0, 2, 200, dtype=torch.float64)[:, None].split(20)]
    model = net()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step(batch: Any) -> torch.Tensor:
        optimizer.zero_grad()
        loss = by_autograd(model, batch)
        loss.backward()
        optimizer.step()
        return loss

    probe = ss.Probe(step, [model], [optimizer], evaluate=lambda batch: by_autograd(model, batch))
    curve = ss.range_test(probe, batches=batches[1:], val=batches[:1], loss="val", lr_min=1e-4, steps=10)
    assert np.isfinite(curve.losses[0, 0])
