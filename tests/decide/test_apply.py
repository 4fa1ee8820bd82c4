"""What is applied is what was advised: updates of real training have the rates of the rehearsed schedule."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from torch import nn

import stepsize as ss
from stepsize.decide.omissions import settings
from stepsize.decide.rehearsal import Shape, rehearse
from stepsize.training.probed import ProbeRun
from tests.loops import UsersLoop, adversarial, everything, plain
from tests.report.samples import advice, no_answer
from tests.report.trainings import training

STEPS = 30
SCHEDULES = ["cosine", "warmup('20%') | linear", "cosine() * step(gamma=0.5, every=7)"]


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))


def body_slower(model: Any) -> list[dict[str, Any]]:
    return [{"params": model[0].parameters(), "lr_scale": 0.1}, {"params": model[2].parameters()}]


def task(optimizer: Any, params: Any = None, steps: int = STEPS) -> ss.Task:
    torch.manual_seed(1)
    x = torch.randn(64, 3)
    data = x, x.sum(dim=1, keepdim=True)
    loss = ss.supervised(nn.MSELoss())
    return ss.Task(net, loss, data, val=data, optimizer=optimizer, params=params, batch_size=8, steps=steps)


class Spy(torch.optim.SGD):
    """Writes down the rates of its groups, and their momentum, at every step of every one of its kind."""

    seen: list[list[float]]
    momenta: list[float]

    def step(self, closure: Any = None) -> Any:
        self.seen.append([group["lr"] for group in self.param_groups])
        self.momenta.append(self.param_groups[0]["momentum"])
        return super().step(closure)


@pytest.fixture
def spy() -> type[Spy]:
    Spy.seen, Spy.momenta = [], []
    return Spy


def advised(trained: ss.Task, schedule: str, lr: float = 0.05) -> ss.Advice:
    """An advice as `find_lr` would give it for this rate."""
    found = ss.find_lr(trained, schedule=schedule, lr_min=lr, lr_max=lr * (1 + 1e-9), budget="0.1 runs")
    text = str(ss.Schedule.parse(schedule).at(lr))
    return msgspec.structs.replace(found, status="ok", lr=lr, schedule_text=text)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("params", [None, body_slower], ids=["one group", "two groups"])
def test_training_has_the_rates_of_the_rehearsal(spy: type[Spy], schedule: str, params: Any) -> None:
    trained = task(spy, params)
    given = advised(trained, schedule)
    spy.seen.clear()
    shape = Shape.of(ss.Schedule.parse(schedule), trained)
    rehearse(trained, shape, [given.lr or 0.0], seeds=[0], steps=STEPS, engine="loop")
    rehearsed = spy.seen[-STEPS:]

    spy.seen = []
    model = net()
    optimizer = spy(model.parameters() if params is None else params(model), lr=0.7)
    scheduler = given.apply(optimizer)
    for _ in range(STEPS):
        optimizer.step()
        scheduler.step()
    np.testing.assert_allclose(spy.seen, rehearsed, rtol=1e-12)


@pytest.mark.parametrize("make", [plain, everything, adversarial])
def test_a_probes_optimizers_get_the_rates_that_the_probe_trained_with(make: Callable[[], UsersLoop]) -> None:
    loop = make()
    run = ProbeRun(loop.probe(), loop.batches, steps=6)
    seen: list[list[list[float]]] = [[] for _ in loop.optimizers]
    for rates, own in zip(seen, loop.optimizers, strict=True):
        own.register_step_post_hook(
            lambda own, *_, rates=rates: rates.append([group["lr"] for group in own.param_groups])
        )
    ss.train(run, [ss.Member(0.02, 0)], ss.schedules.cosine(0.02).values(6))
    trained = [list(rates) for rates in seen]
    for rates in seen:
        rates.clear()

    given = advice(
        lr=0.02,
        steps=6,
        samples=None,
        schedule_text="0.02 * cosine()",
        group_ratios=tuple(map(tuple, run.probe.ratios)),
    )
    schedulers = given.apply(loop.optimizers)
    for _ in range(6):
        for own, scheduler in zip(loop.optimizers, schedulers, strict=True):
            own.step()
            scheduler.step()
    for ours, theirs in zip(seen, trained, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_find_lr_notes_what_each_group_got() -> None:
    (ratios,) = advised(task(torch.optim.SGD, body_slower), "fixed").group_ratios
    assert ratios == pytest.approx((0.1, 1.0))
    loop = adversarial()
    found = ss.find_lr(loop.probe(), batches=loop.batches, steps=5, lr_min=0.01, lr_max=0.1, budget="1 run")
    assert found.group_ratios == ((0.25,), (1.0,))
    assert ss.Advice.from_json(found.to_json()).group_ratios == found.group_ratios


def test_groups_that_were_measured_alike_keep_their_own_proportion_to_the_largest() -> None:
    model = net()
    groups = [{"params": model[0].parameters(), "lr": 0.3}, {"params": model[2].parameters(), "lr": 0.03}]
    optimizer = torch.optim.SGD(groups, lr=1e-3)
    given = advice(lr=0.42, schedule_text="0.42 * linear()", steps=4, samples=None)
    scheduler = given.apply(optimizer)
    for rate in (0.42, 0.315, 0.21):
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([rate, rate / 10])
        scheduler.step()
    assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([0.105, 0.0105])
    scheduler.step()
    assert [g["lr"] for g in optimizer.param_groups] == [0.0, 0.0]
    given.apply(optimizer)  # at the end of a schedule the rates no longer tell a proportion, and it is known
    assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([0.42, 0.042])


def test_a_rate_of_one_is_a_rate() -> None:
    optimizer = torch.optim.SGD(net().parameters(), lr=0.1)
    given = advice(lr=1.0, schedule_text="cosine()", steps=10, samples=None)
    assert given.apply(optimizer).get_last_lr() == [1.0]
    assert given.schedule.as_torch(optimizer).get_last_lr() == [1.0]


def test_the_advised_schedule_knows_its_run() -> None:
    given = advice(schedule_text="0.42 * (warmup('1 epoch') | cosine())")
    assert (given.schedule.values() == given.schedule.values(given.run)).all()
    optimizer = torch.optim.SGD(net().parameters(), lr=0.42)
    scheduler = given.schedule.as_torch(optimizer)
    rates = []
    for _ in range(given.steps):
        rates += scheduler.get_last_lr()
        scheduler.step()
    assert rates == given.schedule.values(given.run).tolist()
    assert given.schedule == ss.Schedule.parse(given.schedule_text)
    assert given.schedule.resolve()(given.steps + 9) == given.schedule.resolve(given.run)(given.steps)
    along = given.schedule.along(momentum=ss.Schedule.parse("linear()")).on(given.run)
    assert (along.momentum_values() == along.momentum_values(given.run)).all()  # type: ignore[union-attr]
    assert given.schedule.to("torch", optimizer=torch.optim.SGD(net().parameters(), lr=0.42)) is not None


def test_training_goes_on_where_it_was() -> None:
    optimizer = torch.optim.SGD(net().parameters(), lr=0.1)
    given = advice(schedule_text="0.42 * cosine()", steps=10, samples=None)
    scheduler = given.apply(optimizer, start=4)
    assert scheduler.get_last_lr() == [given.schedule.values()[4]]


def test_advice_on_training_sets_what_it_was_measured_with(spy: type[Spy]) -> None:
    rows = (("optimizer", "SGD"), ("momentum", "0.9 (Nesterov)"), ("weight decay", "0.01"))
    given = training(settings=rows)
    model = net()
    groups: list[dict[str, Any]] = [{"params": model[0].parameters()}, {"params": model[2].parameters()}]
    groups[1]["weight_decay"] = 0.0
    optimizer = spy(groups, lr=0.1, weight_decay=0.3)
    given.apply(optimizer)
    assert [group["momentum"] for group in optimizer.param_groups] == [0.9, 0.9]
    assert [group["nesterov"] for group in optimizer.param_groups] == [True, True]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.01, 0.0]
    rows = (("optimizer", "AdamW"), ("betas", "0.8, 0.99"), ("weight decay", "0.1"))
    adam = torch.optim.AdamW(net().parameters())
    training(settings=rows).apply(adam)
    assert adam.param_groups[0]["betas"] == (0.8, 0.99)
    assert adam.param_groups[0]["weight_decay"] == 0.1


@pytest.mark.parametrize(
    "optimizer",
    [
        partial(torch.optim.SGD, momentum=0.123456789, weight_decay=1.23456789e-5, nesterov=True),
        partial(torch.optim.AdamW, betas=(0.9000001, 0.9999999), weight_decay=1 / 3),
    ],
)
def test_what_it_was_measured_with_is_set_to_the_last_digit(optimizer: Any) -> None:
    (group,) = optimizer([torch.zeros(1)], lr=0.1).param_groups
    told = training(settings=settings(task(optimizer))).hyperparameters
    assert told == {name: group[name] for name in told}
    assert "weight_decay" in told


def test_a_schedule_of_momentum_goes_with_it(spy: type[Spy]) -> None:
    rows = (("optimizer", "SGD"), ("momentum", "0.9"), ("weight decay", "0"))
    text = "(0.4 * fixed()).along(momentum=0.95 * linear())"
    given = training(settings=rows, schedule_text=text, steps=4, samples=None)
    optimizer = spy(net().parameters(), lr=0.1)
    scheduler = given.apply(optimizer)
    for _ in range(4):
        optimizer.step()
        scheduler.step()
    assert spy.momenta == pytest.approx(0.95 * (1 - np.arange(4) / 4))


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda sgd: no_answer("flat", "all rates lose").apply(sgd), ValueError, "'flat': all rates lose"),
        (lambda sgd: advice().apply(sgd.state), TypeError, "must be a torch optimizer, .* but is a default"),
        (lambda sgd: advice().apply([]), ValueError, "must not be an empty list"),
        (
            lambda sgd: advice(schedule_text="0.1 * (warmup('9 tokens') | hold())").apply(sgd),
            ValueError,
            "tokens_per_sample",
        ),
        (
            lambda sgd: advice(group_ratios=((0.1, 1.0),)).apply(sgd),
            ValueError,
            "which got 0.1, 1 times the rate, but has 1:",
        ),
        (
            lambda sgd: training(settings=(("optimizer", "AdamW"),)).apply(sgd),
            ValueError,
            "measured with, AdamW, but is a SGD",
        ),
    ],
)
def test_what_cannot_be_applied_says_why(call: Any, kind: type[Exception], words: str) -> None:
    optimizer = torch.optim.SGD(net().parameters(), lr=0.1)
    with pytest.raises(kind, match=words):
        call(optimizer)
    assert optimizer.param_groups[0]["lr"] == 0.1
