"""find_lr: right on real tasks, silent where nothing can be said, and without a trace."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import stepsize as ss
from stepsize._progress import OutOfTimeError
from stepsize.datasets import mnist_task
from stepsize.datasets.tasks import mnist_cnn_task
from tests.tasks import dense_grid, digits, digits_task, net


def test_small_regret_on_small_digits() -> None:
    task = digits_task()
    advice = ss.find_lr(task)
    assert advice.status == "ok"
    assert advice.lr is not None
    assert advice.lr_low is not None
    assert advice.lr_high is not None
    assert advice.lr_low <= advice.lr <= advice.lr_high
    regret = dense_grid(task, np.geomspace(0.02, 4.0, 14), seeds=(50, 51, 52))
    assert regret(advice.lr) <= 0.02


@pytest.mark.slow
def test_regret_within_two_percent_on_the_reference_task() -> None:
    task = mnist_task(epochs=2)
    advice = ss.find_lr(task)
    assert advice.lr is not None
    assert _stacked_regret(task, advice.lr, np.geomspace(0.3, 3.0, 12)) <= 0.02


@pytest.mark.slow
def test_regret_within_two_percent_on_a_small_adam_cnn() -> None:
    task = mnist_cnn_task(steps=150)
    advice = ss.find_lr(task)
    assert advice.lr is not None
    assert _stacked_regret(task, advice.lr, np.geomspace(0.002, 0.05, 8)) <= 0.02


def _stacked_regret(task: ss.Task, lr: float, grid: np.ndarray) -> float:
    """Regret on seeds that the finder did not use, full horizon."""
    lrs, seeds = [lr, *grid.tolist()], (100, 101)
    members = [ss.Member(rate, seed) for seed in seeds for rate in lrs]
    rates = np.array([[member.lr] for member in members]) * np.ones((1, task.steps))
    history = ss.train(task, members, rates, evaluate_at=[0, task.steps])
    losses = history.val_loss.reshape(len(seeds), len(lrs), 2).mean(axis=0)
    best = float(np.nanmin(losses[1:, 1]))
    assert 1 < int(np.nanargmin(losses[:, 1])) < len(lrs) - 1 or losses[0, 1] <= best, (
        "the grid must hold the best"
    )
    return float((losses[0, 1] - best) / (losses[0, 0] - best))


def test_schedule_is_compressed_into_the_rehearsal_and_carried_by_the_advice() -> None:
    advice = ss.find_lr(digits_task(), schedule="warmup('10%') | cosine(floor=0.1)", seeds=2)
    assert advice.status == "ok"
    assert advice.lr is not None
    values = advice.schedule.values(120)
    assert values.max() == pytest.approx(advice.lr)
    assert values[-1] < 0.2 * advice.lr
    assert values[0] < advice.lr


def test_same_seed_same_advice() -> None:
    first, second = (ss.find_lr(digits_task(), seeds=2) for _ in range(2))
    assert first.lr == second.lr
    assert (first.lr_low, first.lr_high) == (second.lr_low, second.lr_high)
    for a, b in zip(first.rehearsals, second.rehearsals, strict=True):
        assert np.array_equal(a.losses, b.losses)


def test_json_round_trip(tmp_path: Path) -> None:
    advice = ss.find_lr(digits_task(), seeds=1)
    advice.save(tmp_path / "advice.json")
    again = ss.Advice.load(tmp_path / "advice.json")
    assert again.to_json() == advice.to_json()
    assert again.schedule == advice.schedule


def test_group_ratios_survive() -> None:
    def grouped(params: Any, lr: float) -> torch.optim.Optimizer:
        first, *rest = params
        return torch.optim.SGD([{"params": [first], "lr": 0.1 * lr}, {"params": rest}], lr=lr)

    task = digits_task(optimizer=grouped)
    assert task.group_ratios == pytest.approx((0.1, 1.0))
    assert ss.find_lr(task, seeds=1).status == "ok"


def test_held_out_part_is_mentioned() -> None:
    advice = ss.find_lr(digits_task(val=None), seeds=1)
    assert advice.loss_kind == "held-out part of train"
    assert any("no validation data was given" in warning for warning in advice.warnings)


def test_streams_are_judged_on_fresh_batches() -> None:
    def stream(batch_size: int, seed: int) -> Any:
        generator = torch.Generator().manual_seed(seed)
        for _ in range(40):
            x = torch.randn(batch_size, 5, generator=generator)
            yield x, x.sum(dim=1, keepdim=True) + 0.1 * torch.randn(batch_size, 1, generator=generator)

    task = digits_task(
        model=lambda: nn.Linear(5, 1),
        loss=ss.supervised(nn.MSELoss()),
        train=stream,
        val=None,
        batch_size=16,
        steps=60,
    )
    advice = ss.find_lr(task, seeds=2)
    assert advice.loss_kind == "fresh training batches"
    assert advice.status == "ok"


def test_a_constant_loss_is_flat() -> None:
    def constant(model: nn.Module, batch: Any) -> torch.Tensor:
        return 0 * next(model.parameters()).sum() + 2.0

    advice = ss.find_lr(digits_task(loss=constant))
    assert (advice.status, advice.lr, advice.lr_low, advice.lr_high) == ("flat", None, None, None)
    assert "whatever the rate" in advice.why


def test_random_labels_on_fifty_samples_give_no_rate() -> None:
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(50, 20, generator=generator)
    y = torch.randint(0, 10, (50,), generator=generator)
    task = ss.Task(
        model=lambda: nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 10)),
        loss=ss.supervised(nn.CrossEntropyLoss()),
        train=(x, y),
        optimizer=torch.optim.SGD,
        batch_size=10,
        epochs=20,
    )
    advice = ss.find_lr(task)
    assert advice.status in ("too_little_data", "noise_dominated")
    assert advice.lr is None


def test_nan_at_once_diverges_everywhere() -> None:
    def broken(model: nn.Module, batch: Any) -> torch.Tensor:
        return torch.as_tensor(model(batch[0]).mean() * math.nan)

    advice = ss.find_lr(digits_task(loss=broken))
    assert (advice.status, advice.lr) == ("diverges_everywhere", None)
    assert "before the first update" in advice.why
    assert ss.Advice.from_json(advice.to_json()).why == advice.why


def test_samples_that_hold_no_numbers_are_counted() -> None:
    """A search on a part of the data may miss the one that the real run meets."""
    x, y, _, _ = digits()
    some, many = x.clone(), x.clone()
    some[77, 3], many[::5] = math.nan, math.inf
    advice = ss.find_lr(digits_task(train=(some, y)))
    assert any("the training data hold NaN or infinite values in 1 of 1,500" in w for w in advice.warnings)
    lost = ss.find_lr(digits_task(train=(many, y)), budget="1 run")
    assert (lost.status, lost.lr) == ("diverges_everywhere", None)
    assert lost.why.startswith("All rates tried, 1e-07, diverged")
    assert "300 of 1,500" in lost.why
    held = ss.find_lr(digits_task(val=(many[:200], y[:200])))
    assert "40 of 200" in held.why


def test_best_at_the_allowed_edge_is_not_bracketed() -> None:
    advice = ss.find_lr(digits_task(), lr_max=1e-3, seeds=2)
    assert (advice.status, advice.lr) == ("not_bracketed", None)
    assert "larger lr_max" in advice.why


def wide() -> nn.Module:
    """So wide that a shorter round that weeds is worth its while."""
    return nn.Sequential(nn.Linear(196, 256), nn.Tanh(), nn.Linear(256, 10))


class Interrupting:
    """Ctrl-C at the start of the first phase that is called like one of these."""

    def __init__(self, *phases: str) -> None:
        self._phases = phases

    def expect(self, updates: int) -> None: ...

    def phase(self, name: str) -> None:
        if name.startswith(self._phases):
            raise KeyboardInterrupt

    def advance(self, updates: int) -> None: ...


def test_ctrl_c_before_the_first_rehearsal_returns_a_guess() -> None:
    state = torch.get_rng_state()
    advice = ss.find_lr(digits_task(), progress=Interrupting("weeding", "deciding"))
    assert advice.status == "interrupted"
    assert not advice.rehearsals
    assert advice.lr is not None
    assert advice.lr_low == pytest.approx(advice.lr / 10, rel=0.01)
    assert advice.lr_high == pytest.approx(advice.lr * 10, rel=0.01)
    assert "a guess" in advice.why
    assert torch.equal(state, torch.get_rng_state())


def test_ctrl_c_after_weeding_returns_its_best() -> None:
    advice = ss.find_lr(digits_task(model=wide, steps=1000), progress=Interrupting("deciding"))
    assert advice.status == "interrupted"
    assert len(advice.rehearsals) == 1
    assert advice.lr is not None
    assert advice.lr_low is not None
    assert advice.lr_high is not None
    assert advice.lr_low <= advice.lr <= advice.lr_high
    assert advice.why.startswith("Interrupted: this is what was known until then")


def test_ctrl_c_at_once_knows_nothing() -> None:
    task = digits_task()
    state = torch.get_rng_state()
    original, count = task.loss, 0

    def interrupted(model: nn.Module, batch: Any) -> torch.Tensor:
        nonlocal count
        count += 1
        if count > 12:
            raise KeyboardInterrupt
        return original(model, batch)

    advice = ss.find_lr(digits_task(loss=interrupted))
    assert (advice.status, advice.lr) == ("interrupted", None)
    assert torch.equal(state, torch.get_rng_state())


class LateAfter:
    """A reporter with which the budget ends in a phase whose name begins with a word."""

    def __init__(self, word: str, advances: int) -> None:
        self.word, self.left = word, advances
        self.here = False

    def expect(self, updates: int) -> None:
        pass

    def phase(self, name: str) -> None:
        self.here = name.startswith(self.word)

    def advance(self, updates: int) -> None:
        if self.here:
            self.left -= updates
            if self.left < 0:
                raise OutOfTimeError


def test_a_budget_that_ends_early_is_no_missing_bracket() -> None:
    """The largest rate of a round that did not end is no edge to complain about."""
    task = digits_task(model=wide, steps=1000)
    early = ss.find_lr(task, progress=LateAfter("weeding", 0))
    assert early.status == "out_of_time"
    assert early.lr is not None  # a guess from the range test
    assert "pass a larger one" in early.why
    late = ss.find_lr(task, progress=LateAfter("deciding", 0))
    assert late.status == "uncertain"  # a twentieth of the run is all that is known
    assert len(late.rehearsals) == 1
    weeded = late.rehearsals[0]
    assert weeded.best not in (None, 0, len(weeded.lrs) - 1)


def test_ctrl_c_in_doubt_keeps_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepsize.decide.find_lr.DOUBT", 0.0)  # whatever the shorter rounds have found
    advice = ss.find_lr(digits_task(model=wide, steps=1000), progress=Interrupting("in doubt"))
    assert (advice.status, len(advice.rehearsals)) == ("interrupted", 2)
    assert advice.lr is not None


def test_the_start_module_is_left_alone_even_when_the_loss_raises() -> None:
    model = net()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    calls = 0

    def fails_late(module: nn.Module, batch: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls > 30:
            raise RuntimeError("disk on fire")
        return nn.functional.cross_entropy(module(batch[0]), batch[1])

    state = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="disk on fire"):
        ss.find_lr(digits_task(model=model, loss=fails_late))
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert model.training
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr_min": 1.0, "lr_max": 0.1}, "lr_min < lr_max must hold"),
        ({"lr_min": -1.0}, "lr_min must be finite and above 0, but is -1.0"),
        ({"lr_max": math.inf}, "lr_max must be finite"),
        ({"seeds": 0}, "seeds must be a whole number >= 1"),
        ({"schedule": "cosin"}, "cosine"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ss.find_lr(digits_task(), **arguments)


def test_a_rate_is_no_schedule() -> None:
    with pytest.raises(
        TypeError, match="schedule must be a Schedule or its text, but is a float: pass schedule="
    ):
        ss.find_lr(digits_task(), schedule=0.1)  # type: ignore[arg-type]


def test_adam_on_small_digits() -> None:
    task = digits_task(optimizer=partial(torch.optim.Adam, betas=(0.9, 0.99)))
    advice = ss.find_lr(task, schedule="linear", seeds=2)
    assert advice.status == "ok"
    assert advice.lr is not None
    assert 1e-4 < advice.lr < 1.0
