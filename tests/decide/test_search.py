"""The rounds of a search: longer where in doubt, and not as many runs as a stack has members."""

from __future__ import annotations

import math
from functools import partial
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from msgspec import structs
from torch import nn

import stepsize as ss
from stepsize._result import frozen
from stepsize.decide import search
from stepsize.decide.outcomes import alike, collapsed, gains, idle, learns, too_high
from stepsize.decide.outlook import Outlook
from stepsize.decide.rehearsal import Rehearsal, Shape
from stepsize.decide.search import FINEST, LONGER, WITHIN
from stepsize.decide.speed import Speed
from stepsize.estimate import Shift
from stepsize.training import Cost
from stepsize.training.helpers import WORTH
from tests.decide.test_find_lr import wide
from tests.report import samples
from tests.tasks import digits_task, net


class Listening:
    """A reporter that keeps the phases, what is expected in all, and what is done when it is expected."""

    def __init__(self) -> None:
        self.phases: list[str] = []
        self.expected: list[tuple[int, int]] = []
        self.done = 0

    def expect(self, updates: int) -> None:
        self.expected.append((updates, self.done))

    def phase(self, name: str) -> None:
        self.phases.append(name)

    def advance(self, updates: int) -> None:
        self.done += updates


def test_an_answer_in_doubt_is_rehearsed_for_longer_with_another_seed() -> None:
    told = Listening()
    advice = ss.find_lr(digits_task(model=wide, steps=1000), progress=told)
    doubted = {name for name in told.phases if name.startswith("in doubt")}
    assert doubted
    assert len(advice.rehearsals) == 2 + len(doubted)
    lengths = [rehearsal.steps for rehearsal in advice.rehearsals]
    assert lengths == sorted(lengths)
    assert lengths[-1] >= LONGER * lengths[-2]
    before, last = advice.rehearsals[-2:]
    assert not set(before.seeds) & set(last.seeds)  # whose luck would come again
    assert all(expected > done for expected, done in told.expected)


def made_up_search(patch: pytest.MonkeyPatch, speed: Speed, steps: int = 860) -> tuple[search.Search, Any]:
    """A search whose rehearsals are made up, and a list of what it asks of them."""
    asked: list[tuple[int, np.ndarray]] = []

    def fake(
        task: ss.Task, shape: Any, lrs: np.ndarray, *, seeds: list[int], steps: int, **_: Any
    ) -> Rehearsal:
        asked.append((steps, np.sort(lrs)))
        found = samples.rehearsal(steps, asked[-1][1], 1, np.random.default_rng(0), cliff=1e9)
        engine = "stack" if speed.stacks else "loop"
        return structs.replace(found, seeds=tuple(seeds), engine=engine, horizon=task.steps)

    patch.setattr(search, "rehearse", fake)
    patch.setattr(Speed, "of", classmethod(lambda cls, task: speed))
    task = digits_task(steps=steps)
    shape = Shape.of(ss.Schedule.parse("fixed"), task)
    made = search.Search(task, shape, seeds=None, lr_min=1e-7, lr_max=1e3, budget=None, reporter=Listening())
    return made, asked


def outlook(spread: float, settled_by: float = 2.0) -> Any:
    """A last rehearsal that is off by so much, and what a longer one would leave in doubt."""

    def left_in_doubt(share: float) -> float:
        return 0.0 if share >= settled_by else 1.0

    return Mock(spec=Outlook, shift=lambda share: Shift(0.0, spread), left_in_doubt=left_in_doubt)


def test_a_wide_stack_in_doubt_reaches_further_instead_of_looking_closer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A seed liked 0.28 by luck, and sixteen rates from 0.21 to 0.47 followed, on a hundred irises."""
    searched, asked = made_up_search(monkeypatch, Speed(member=0.01, evaluation=0.1), steps=200)
    searched.run()
    assert searched.refine(0.4, outlook(0.1))
    assert len(asked[-1][1]) > 8
    assert np.diff(np.log(asked[-1][1])).min() == pytest.approx(math.log(FINEST))


@pytest.mark.parametrize("spread", [0.2, 0.3])
def test_a_rehearsal_in_doubt_reaches_as_far_as_the_best_rate_may_lie(
    spread: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With half a step to spare: of 76 such rounds 36 had their best rate at the edge, and went on."""
    searched, asked = made_up_search(monkeypatch, Speed(member=0.3, evaluation=0.5))
    searched.run()
    assert searched.refine(0.4, outlook(spread))
    reach = np.log(asked[-1][1])
    inside = (reach[-1] - reach[0]) / 2 - np.diff(reach).max() / 2
    assert inside == pytest.approx(WITHIN * spread)


@pytest.mark.parametrize(("settled_by", "share"), [(0.5, 0.5), (0.6, 1.0), (2.0, 1.0)])
def test_an_answer_in_doubt_is_rehearsed_as_long_as_should_settle_it(
    settled_by: float, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And for as long as can be paid for, where nothing should."""
    searched, asked = made_up_search(monkeypatch, Speed(member=0.3, evaluation=0.5))
    searched.run()
    assert asked[-1][0] == 215
    assert searched.refine(0.4, outlook(0.3, settled_by))
    assert asked[-1][0] == share * 860


def test_where_runs_are_shared_out_the_processes_have_as_many_each(monkeypatch: pytest.MonkeyPatch) -> None:
    searched, asked = made_up_search(monkeypatch, Speed(0.5, 1.0, stacks=False, processes=2))
    searched.run()
    assert searched.refine(0.4, outlook(0.3))
    assert {len(lrs) % 2 for steps, lrs in asked if steps * len(lrs) >= WORTH} == {0}


def test_where_half_of_the_run_is_too_dear_less_of_it_is_rehearsed(monkeypatch: pytest.MonkeyPatch) -> None:
    searched, asked = made_up_search(monkeypatch, Speed(member=1.0, evaluation=5.0, stacks=False))
    searched.run()
    last = asked[-1][0]
    assert last == 215
    # What is left of four runs pays for four rates over half of one, but not for their held-out losses.
    searched._spent = 4 * 860 - 4 * 430
    assert searched.refine(0.4, outlook(0.3))
    assert asked[-1][0] == round(1.5 * last)
    assert not searched.refine(0.4, outlook(0.3))


def test_rates_at_which_a_longer_rehearsal_breaks_down_are_left_downwards() -> None:
    """With the best rate amid the others there would be no edge to go on from."""
    generator = np.random.default_rng(0)
    shorter = samples.rehearsal(50, np.geomspace(0.1, 1.6, 5), 1, generator)
    longer = samples.rehearsal(200, np.geomspace(0.1, 1.6, 5), 1, generator)
    assert not collapsed(longer, shorter)
    flat = 2.3 - 0.01 * np.array([[1.0, 2.0, 3.0, 2.0, 1.0]])
    assert collapsed(structs.replace(longer, losses=flat), shorter)
    assert not collapsed(longer, structs.replace(shorter, losses=np.full((1, 5), np.inf)))
    # What the shorter one gained on some folds and lost on others was luck.
    torn = shorter.folds + np.where(np.arange(shorter.folds.shape[2]) % 2, 9.0, -9.0)
    assert not collapsed(structs.replace(longer, losses=flat), structs.replace(shorter, folds=torn))
    # A seed that starts close to the end has not broken down for that.
    lucky = structs.replace(longer, curves=np.minimum(longer.curves, longer.losses.min() + 0.1))
    assert not collapsed(lucky, shorter)


def test_rates_that_all_end_above_the_start_are_too_high_wherever_the_best_one_stands() -> None:
    found = samples.rehearsal(50, np.geomspace(0.1, 1.6, 5), 1, np.random.default_rng(0))
    assert not too_high(found, None)
    worse = structs.replace(found, losses=2.3 + np.array([[5.0, 3.0, 1.0, 4.0, np.inf]]))
    assert too_high(worse, None)
    assert not too_high(structs.replace(worse, losses=np.full((1, 5), np.inf)), None)  # seen elsewhere


def test_a_first_round_that_gained_no_more_than_luck_goes_on_downwards() -> None:
    """As where all units have died: of three rates the middle one ended below the start by luck."""
    found = samples.rehearsal(50, np.geomspace(0.1, 1.6, 5), 1, np.random.default_rng(0))
    gained = np.array([-0.03, -0.01, 0.01, -0.02, -0.04])
    luck = np.where(np.arange(found.folds.shape[2]) % 2, 0.1, -0.1)
    folds = found.start_folds[:, None] - gained[None, :, None] + luck
    dead = structs.replace(found, folds=frozen(folds), losses=frozen(folds.mean(axis=2)))
    assert dead.best == 2
    assert not learns(dead)
    assert too_high(dead, None)
    assert not too_high(dead, dead)  # a longer round only where the shorter one had learned
    last = np.sort(folds, axis=1)[:, ::-1]  # the largest rate is best: perhaps all are too low
    assert not too_high(structs.replace(dead, folds=frozen(last), losses=frozen(last.mean(axis=2))), None)


def test_rates_far_apart_that_all_fare_alike_are_too_high() -> None:
    """As where all units have died in the first update, and the biases alone learn."""
    found = samples.rehearsal(50, np.geomspace(0.1, 9.0, 6), 1, np.random.default_rng(0))
    level = 0.4 + 1e-4 * np.array([[5.0, 3.0, 1.0, 4.0, 2.0, 3.0]])
    near = structs.replace(found, losses=level)
    far = structs.replace(near, lrs=frozen(np.geomspace(0.1, 10.0, 6)))
    assert not too_high(near, None)
    assert too_high(far, None)
    assert not too_high(structs.replace(far, losses=level + np.array([[0.1, 0, 0, 0, 0, 0]])), None)


def test_below_a_rate_that_changes_nothing_there_is_nothing_to_find() -> None:
    found = samples.rehearsal(50, np.geomspace(0.1, 1.6, 5), 1, np.random.default_rng(0))
    start = found.start_loss
    rising = structs.replace(found, losses=start + np.array([[1e-4, 0.1, 0.3, 0.6, 2.0]]))
    assert gains(found)
    assert not gains(rising)
    assert idle(rising)
    assert not idle(found)
    # The whole run may bear less than the smallest rate where a cliff stands above it.
    assert not idle(
        structs.replace(rising, losses=start + np.array([[1e-4, np.inf, np.inf, np.inf, np.inf]]))
    )
    assert not gains(structs.replace(rising, losses=np.full((1, 5), np.inf)))


def sums(*, seed: int) -> ss.Task:
    """Addition modulo 23, learned by heart long before its rule is found: held-out losses rise at first."""
    a, b = torch.meshgrid(torch.arange(23), torch.arange(23), indexing="ij")
    x = torch.stack([a.flatten(), b.flatten()], dim=1)[
        torch.randperm(529, generator=torch.Generator().manual_seed(0))
    ]
    y = x.sum(dim=1) % 23
    return ss.Task(
        lambda: nn.Sequential(
            nn.Embedding(23, 24), nn.Flatten(), nn.Linear(48, 96), nn.ReLU(), nn.Linear(96, 23)
        ),
        ss.supervised(nn.CrossEntropyLoss()),
        (x[150:], y[150:]),
        val=(x[:150], y[:150]),
        optimizer=partial(torch.optim.AdamW, weight_decay=1.0),
        batch_size=64,
        steps=1200,
        seed=seed,
    )


@pytest.mark.parametrize("seed", [0, 50])
def test_where_held_out_losses_rise_at_first_whole_runs_over_all_rates_decide(seed: int) -> None:
    advice = ss.find_lr(sums(seed=seed), progress=False)
    assert advice.rehearsals[-1].share == 1
    assert advice.lr is not None
    assert advice.expected_loss is not None
    assert advice.expected_loss < 1.0 < 3.0 < (advice.start_loss or 0.0)


def test_a_grid_that_is_level_up_to_the_largest_rate_goes_on_downwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An optimizer that bounds its own rate (Adafactor) fares alike at all that are larger."""
    task = digits_task(steps=400, seed=0)

    def fake(task: ss.Task, shape: Any, lrs: np.ndarray, *, steps: int, **_: Any) -> Rehearsal:
        found = samples.rehearsal(steps, np.sort(lrs), 1, np.random.default_rng(0), cliff=1e9)
        away = np.minimum(np.log(found.lrs / 0.5), 3.0)
        ends = 0.4 + 0.05 * away**2 - 1e-5 * np.log(found.lrs)
        return structs.replace(found, losses=ends[None], folds=np.repeat(ends[None, :, None], 4, axis=2))

    monkeypatch.setattr(search, "rehearse", fake)
    monkeypatch.setattr(Speed, "of", classmethod(lambda cls, task: cls(0.5, 0.1, stacks=False)))
    monkeypatch.setattr(search.Search, "_bracket", lambda self: _no_bracket(self, 20.0, 1000.0))
    advice = ss.find_lr(task, lr_max=1000.0, progress=False)
    assert alike(fake(task, None, np.geomspace(50, 900, 5), steps=100))
    assert advice.lr is not None
    assert 0.2 < advice.lr < 1.2
    assert not alike(advice.rehearsals[-1])


def _no_bracket(searched: search.Search, low: float, high: float) -> tuple[float, float]:
    """Between these, without a range test."""
    searched.bracket = Mock(cost=Cost(updates=30, samples=30, seconds=0.1, runs=0.1))
    return low, high


class Remembering(nn.Module):
    """An LSTM over the rows of a digit."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = nn.LSTM(14, 8, batch_first=True)
        self.out = nn.Linear(8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.out(self.memory(x.unflatten(1, (14, 14)))[0][:, -1])
        return scores


class Branching(nn.Module):
    """Asks its activations for a value, which vmap cannot."""

    def __init__(self) -> None:
        super().__init__()
        self.body = net()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.body(x)
        return scores * 2 if float(scores.detach().mean()) > 1e9 else scores


@pytest.mark.parametrize(("model", "reason"), [(Remembering, "LSTM"), (Branching, "item()")])
def test_what_does_not_stack_is_not_trained_at_a_stacks_many_rates(model: Any, reason: str) -> None:
    """An LSTM of 300 updates took 46 runs of 75 updates, one after another, in the first round."""
    told = Listening()
    advice = ss.find_lr(digits_task(model=model, steps=200), progress=told)
    assert max(len(one.lrs) * len(one.seeds) for one in advice.rehearsals) <= 12
    assert advice.cost.runs < 5 * torch.get_num_threads()  # among as many processes they are shared out
    assert {one.engine for one in advice.rehearsals} == {"loop"}
    assert any(reason in warning for warning in advice.warnings)
    assert all(expected > done for expected, done in told.expected)
