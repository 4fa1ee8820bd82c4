"""When a member counts as diverged: compared with a start that several batches tell, not one."""

from __future__ import annotations

import itertools
import math
from typing import Literal

import numpy as np
import pytest
import torch
from torch import nn

import stepsize as ss
from stepsize.training.evaluation import Evaluation
from stepsize.training.start import UNKNOWN, Start, task_start
from stepsize.training.watch import Watch
from tests.training.twins import members, table


class Asked:
    """A start that counts how often each row's is asked for."""

    def __init__(self, start: Start) -> None:
        self.start, self.rows = start, list[int]()

    def __call__(self, row: int) -> Start:
        self.rows.append(row)
        return self.start


def first_diverged(start: Start, losses: list[float]) -> int | None:
    watch = Watch(1, lambda _: start)
    return next((t for t, loss in enumerate(losses) if watch.diverged(0, loss)), None)


def test_an_ordinary_start_is_never_asked_for() -> None:
    start = Asked(Start(2.3, 2.3))
    watch = Watch(2, start)
    assert not any(watch.diverged(0, loss) for loss in (2.3, 5.0, 20.0, 1.0))
    assert watch.diverged(1, math.nan)
    assert start.rows == []


def test_the_start_is_asked_for_once_a_member() -> None:
    start = Asked(Start(1.0, 1.0))
    watch = Watch(2, start)
    for loss in (1e-4, 0.5, 1.0, 2.0):
        assert not watch.diverged(0, loss)
        assert not watch.diverged(1, loss)
    assert start.rows == [0, 1]


@pytest.mark.parametrize("first", [0.0, 1e-6, -1e-6, 0.02])
def test_a_first_batch_that_loses_next_to_nothing_does_not_make_the_others_diverge(first: float) -> None:
    assert first_diverged(Start(1.0, 1.4), [first, *[1.5] * 50]) is None
    assert first_diverged(Start(1.0, 1.4), [first, *[40.0] * 50]) is not None


def test_losses_below_zero_have_a_size_too() -> None:
    assert first_diverged(Start(-5.0, 5.0), [-0.01, *[20.0] * 50]) is None
    assert first_diverged(Start(-5.0, 5.0), [-0.01, *[60.0] * 50]) is not None


def test_a_first_batch_that_loses_much_is_the_limit() -> None:
    assert first_diverged(Start(1.0, 1.0), [9.0, *[80.0] * 50]) is None


def test_a_start_that_is_all_zero_has_no_size() -> None:
    for start in (Start(0.0, 0.0), UNKNOWN):
        assert first_diverged(start, [0.0, *[1e6] * 50]) is None
        assert first_diverged(start, [0.0, 1.0, math.inf]) == 2
    assert first_diverged(UNKNOWN, [1.0, *[1e6] * 50]) == 4


@pytest.mark.parametrize("jump", [[1e6], [500.0, 300.0, 40.0], [30.0, 30.0, 30.0, 5.0]])
def test_a_jump_that_comes_down_again_is_no_divergence(jump: list[float]) -> None:
    """As the first updates make it where inputs are not normalised, at the best rates too."""
    start = Start(2.0, 2.0)
    assert first_diverged(start, [2.0, *jump, *[1.0] * 50]) is None
    assert first_diverged(start, [2.0, *[1.0] * 50, *jump, *[1.0] * 50]) is None
    assert first_diverged(start, [2.0, *[max(jump)] * 50]) is not None
    assert first_diverged(start, [2.0, *[25.0] * 50]) is not None


def test_many_updates_at_once_diverge_where_one_after_another_do() -> None:
    generator = np.random.default_rng(3)
    losses = np.exp(generator.normal(0, 2.5, (200, 6)))
    for start in (Start(1.0, 1.0), Start(0.1, 0.3)):
        one, many = Watch(6, Asked(start)), Watch(6, Asked(start))
        expected = [
            next((t for t in range(200) if one.diverged(row, losses[t, row])), 200) for row in range(6)
        ]
        found, left = np.full(6, 200), np.arange(6)
        for t in range(0, 200, 10):
            first = many.first_diverged(left, losses[t : t + 10, left])
            found[left[first < 10]] = t + first[first < 10]
            left = left[first == 10]
        assert found.tolist() == expected
        assert sum(place < 200 for place in expected) > 0


class Level(nn.Module):
    """A number, whatever the input."""

    def __init__(self) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.level.expand(len(x), 1)


def easy_first(easy: float) -> ss.Task:
    """Of 16 targets one is next to what the net says at the start; its batch comes first."""
    x, y = torch.zeros(16, 1), torch.ones(16, 1)
    y[5] = easy
    task = ss.Task(
        Level,
        ss.supervised(nn.MSELoss()),
        (x, y),
        val=(x, y),
        optimizer=torch.optim.SGD,
        batch_size=1,
        steps=40,
    )
    seed = next(s for s in itertools.count() if float(next(task.batches(s))[1]) == pytest.approx(easy))
    return task.replace(seed=seed)


@pytest.mark.parametrize("easy", [0.0, 1e-3])
@pytest.mark.parametrize("engine", ["stack", "loop"])
def test_runs_from_an_easy_first_batch_train_to_their_end(
    engine: Literal["stack", "loop"], easy: float
) -> None:
    task = easy_first(easy)
    rates = (1e-4, 1e-3, 0.1, 50.0)
    history = ss.train(task, members(rates, task.seed), table(rates, 40), engine=engine)
    assert history.train_loss[0, 0] == pytest.approx(easy**2)
    assert history.status == ("ok", "ok", "ok", "diverged")


def raw_inputs(*, seed: int) -> ss.Task:
    """Inputs of sizes from 0.1 to 600, as a table holds them."""
    generator = torch.Generator().manual_seed(0)
    centre, spread = torch.tensor([600.0, 15.0, 90.0, 0.1]), torch.tensor([300.0, 3.0, 25.0, 0.02])
    y = torch.arange(500) % 2
    x = centre + spread * (torch.randn(500, 4, generator=generator) + 1.5 * (y[:, None] - 0.5))
    return ss.Task(
        lambda: nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2)),
        ss.supervised(nn.CrossEntropyLoss()),
        (x[:350], y[:350]),
        val=(x[350:], y[350:]),
        optimizer=torch.optim.SGD,
        batch_size=32,
        steps=100,
        seed=seed,
    )


@pytest.mark.parametrize("engine", ["stack", "loop"])
def test_inputs_that_are_not_normalised_throw_the_loss_up_at_good_rates_too(
    engine: Literal["stack", "loop"],
) -> None:
    task, rates = raw_inputs(seed=9), (3e-4, 1e-3, 3e-3, 1e20)
    asked = members(rates, task.seed)
    history = ss.train(task, asked, table(rates, 100), engine=engine, evaluate_at=[0, 100])
    assert history.status == ("ok", "ok", "ok", "diverged")
    assert np.nanmax(history.train_loss[1]) > 100 * history.train_loss[1, 0]
    assert (history.val_loss[1:3, 1] < 0.75).all()


def test_a_start_is_told_by_other_seeds_too_unless_all_have_the_same_weights() -> None:
    task = raw_inputs(seed=9)
    one = task.make_model(task.seed)
    first = task_start(task.replace(model=one), Evaluation.of(task), task.seed)
    assert task_start(task, Evaluation.of(task), task.seed).level > 5 * first.level


def test_a_start_is_told_without_held_out_data_too() -> None:
    """As where batch sizes are timed."""
    task = easy_first(1e-3)
    with_it, without = (
        task_start(task, evaluation, task.seed)
        for evaluation in (Evaluation.of(task), Evaluation((), np.ones(0), {}, 0))
    )
    assert without.level == pytest.approx(7 / 8, abs=1e-3)
    assert with_it.level == pytest.approx(1.0)


@pytest.mark.parametrize("evaluates", [True, False])
def test_so_does_a_loop_of_the_users_own(evaluates: bool) -> None:
    task = easy_first(1e-3)
    batches = list(itertools.islice(task.batches(task.seed), 16))
    model = Level()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def loss(batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        return nn.functional.mse_loss(model(batch[0]), batch[1])

    def step(batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        optimizer.zero_grad()
        found = loss(batch)
        found.backward()
        optimizer.step()
        return found

    probe = ss.Probe(step, [model], [optimizer], evaluate=loss if evaluates else None)
    curve = ss.range_test(probe, batches=batches, lr_min=1e-4, lr_max=0.1, steps=16)
    assert np.isnan(curve.diverged_at).all()
    assert np.isfinite(curve.losses).all()
    assert float(model.level.detach()) == 0
    wild = ss.range_test(probe, batches=batches, lr_min=1e-4, lr_max=1e4, steps=16)
    assert not np.isnan(wild.diverged_at).any()
