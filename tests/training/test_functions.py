"""What is recorded of a task serves its later stacks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import stepsize as ss
from stepsize.training import NotStackableError, Records
from stepsize.training.evaluation import Evaluation
from stepsize.training.trace import _Record
from tests.tasks import digits_task


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that grows by one whenever something is recorded."""
    made: list[int] = []
    make = _Record.__init__

    def counted(self: _Record, *args: Any, **options: Any) -> None:
        made.append(1)
        make(self, *args, **options)

    monkeypatch.setattr(_Record, "__init__", counted)
    return made


def run(task: ss.Task, lrs: list[float], records: Records | None, seed: int = 0) -> ss.History:
    members = [ss.Member(lr, seed) for lr in lrs]
    rates = np.array([[lr] for lr in lrs]) * np.ones((1, 30))
    return ss.train(task, members, rates, evaluate_at=[0, 10, 30], engine="stack", records=records)


def test_a_second_stack_of_the_same_shapes_records_nothing(recorded: list[int]) -> None:
    task, records = digits_task(), Records()
    run(task, [0.1, 0.2, 0.3], records)
    before = len(recorded)
    again = run(task, [0.15, 0.4, 0.05], records, seed=5)
    assert len(recorded) == before
    alone = run(task, [0.15, 0.4, 0.05], None, seed=5)
    assert len(recorded) > before
    np.testing.assert_allclose(again.val_loss, alone.val_loss, rtol=1e-6)
    np.testing.assert_allclose(again.train_loss, alone.train_loss, rtol=1e-6)


def test_another_loss_is_another_function(recorded: list[int]) -> None:
    records = Records()
    run(digits_task(), [0.1, 0.2], records)
    before = len(recorded)
    smooth = digits_task(loss=ss.supervised(nn.CrossEntropyLoss(label_smoothing=0.2)))
    found = run(smooth, [0.1, 0.2], records)
    assert len(recorded) > before
    np.testing.assert_allclose(found.val_loss, run(smooth, [0.1, 0.2], None).val_loss, rtol=1e-6)


def test_waves_of_one_call_share_what_is_recorded(recorded: list[int]) -> None:
    task = digits_task()
    members = [ss.Member(0.1 * (k + 1), 0) for k in range(6)]
    rates = np.array([[member.lr] for member in members]) * np.ones((1, 30))
    whole = ss.train(task, members, rates, evaluate_at=[30])
    before = len(recorded)
    parts = ss.train(task, members, rates, evaluate_at=[30], memory=1)
    assert len(recorded) - before <= 3  # an update, the evaluation of a fold, and of the last, smaller one
    np.testing.assert_allclose(parts.val_loss, whole.val_loss, rtol=1e-5)


def test_seeds_are_evaluated_once_before_the_first_update(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    evaluate = Evaluation.of_model

    def counted(self: Evaluation, model: nn.Module) -> dict[str, np.ndarray]:
        asked.append(1)
        return evaluate(self, model)

    monkeypatch.setattr(Evaluation, "of_model", counted)
    task = digits_task()
    members = [ss.Member(lr, seed) for seed in (0, 1) for lr in (0.1, 0.2, 0.3)]
    history = ss.train(task, members, np.full((6, 10), 0.1), evaluate_at=[0, 10])
    assert len(asked) == 2
    assert len(set(history.val_loss[:3, 0])) == len(set(history.val_loss[3:, 0])) == 1
    assert history.val_loss[0, 0] != history.val_loss[3, 0]


def test_a_bias_under_batch_norm_stacks() -> None:
    def normalised() -> nn.Module:
        return nn.Sequential(
            nn.Linear(196, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Dropout(0.4), nn.Linear(24, 10)
        )

    members = [ss.Member(lr, 0) for lr in (0.01, 0.1, 0.5)]
    rates = np.array([[member.lr] for member in members]) * np.ones((1, 120))
    history = ss.train(digits_task(model=normalised), members, rates, evaluate_at=[120])
    assert (history.engine, history.engine_reason) == ("stack", "")


def test_a_run_that_has_learned_everything_stays_in_the_stack() -> None:
    x, y = torch.eye(16), torch.arange(16) % 4
    task = ss.Task(
        lambda: nn.Linear(16, 4), ss.supervised(nn.CrossEntropyLoss()), (x, y), val=(x, y),
        optimizer=torch.optim.Adam, batch_size=8, steps=1200, device="cpu",
    )  # fmt: skip
    members = [ss.Member(lr, 0) for lr in (0.3, 1.0)]
    rates = np.array([[member.lr] for member in members]) * np.ones((1, 1200))
    history = ss.train(task, members, rates, evaluate_at=[1200])
    assert float(history.val_loss.max()) < 1e-3
    assert (history.engine, history.engine_reason) == ("stack", "")


def test_an_evaluation_that_differs_is_found_before_any_update() -> None:
    def loss(model: nn.Module, batch: Any) -> torch.Tensor:
        x, y = batch
        scale = 1.0 if model.training else float(_depth())
        return scale * nn.functional.cross_entropy(model(x), y)

    def _depth() -> int:
        return 1 if torch._C._functorch.maybe_current_level() is None else 2

    with pytest.raises(NotStackableError, match="evaluation: a stacked one differs from a plain one"):
        run(digits_task(loss=loss), [0.1, 0.2], None)
