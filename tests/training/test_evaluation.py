"""Held-out folds computed by few calls give what each alone gives, or are computed alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import stepsize as ss
from stepsize.training.evaluation import Evaluation
from stepsize.training.functions import StackedFunctions
from tests.training.twins import RATES, classification, members, small_task, table

AT = (0, 4, 12)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each call that measures held-out folds, whether it measured several."""
    made: list[bool] = []
    measure = StackedFunctions.measure

    def counted(self: StackedFunctions, params: Any, buffers: Any, folds: Any) -> Any:
        made.append(folds.stacked)
        return measure(self, params, buffers, folds)

    monkeypatch.setattr(StackedFunctions, "measure", counted)
    return made


def both(task: ss.Task) -> tuple[ss.History, ss.History]:
    """The same run as a stack and one after another."""
    first, second = (
        ss.train(task, members(RATES), table(RATES, AT[-1]), evaluate_at=AT, engine=engine)
        for engine in ("stack", "loop")
    )
    return first, second


def same(stack: ss.History, loop: ss.History) -> None:
    np.testing.assert_allclose(stack.val_folds, loop.val_folds, rtol=1e-9)
    for name, values in loop.metrics.items():
        np.testing.assert_allclose(stack.metrics[name], values, rtol=1e-9)


@pytest.mark.parametrize("samples", [7, 8, 20, 61])
def test_folds_of_one_shape_are_computed_together(samples: int, calls: list[bool]) -> None:
    task = small_task(val=classification(samples=samples))
    folds = Evaluation.of(task).batches
    shapes = len({count for _, count in folds})
    same(*both(task))
    assert calls.count(False) == 0 or shapes == 2
    assert len(calls) <= 1 + shapes * (len(AT) - 1) < len(folds) * (len(AT) - 1)


def test_a_loss_that_draws_has_its_folds_apart(calls: list[bool]) -> None:
    def noisy(model: nn.Module, batch: Any) -> torch.Tensor:
        x, y = batch
        scale = 1.0 if model.training else 1 + torch.rand(())
        return nn.functional.cross_entropy(model(x), y) * scale

    stack, loop = both(small_task(loss=noisy))
    same(stack, loop)
    assert len(set(loop.val_folds[0, 0])) == loop.val_folds.shape[2]
    assert calls[0]
    assert not any(calls[1:])


def test_a_loss_that_asks_its_batch_has_its_folds_apart(calls: list[bool]) -> None:
    def asking(model: nn.Module, batch: Any) -> torch.Tensor:
        x, y = batch
        doubled = not model.training and bool(x[0, 0] > 0)
        return nn.functional.cross_entropy(model(x), y) * (2.0 if doubled else 1.0)

    same(*both(small_task(loss=asking)))
    assert calls[0]
    assert not any(calls[1:])


def test_large_blocks_stay_apart(calls: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepsize.training.functions.BLOCK", 100)
    same(*both(small_task()))
    assert not any(calls)


def test_an_out_of_memory_is_not_taken_for_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    measure = StackedFunctions.measure

    def full(self: StackedFunctions, params: Any, buffers: Any, folds: Any) -> Any:
        if folds.stacked and len(next(iter(params.values()))) > 1:
            raise torch.OutOfMemoryError("out of memory")
        return measure(self, params, buffers, folds)

    monkeypatch.setattr(StackedFunctions, "measure", full)
    stack, loop = both(small_task())
    same(stack, loop)
    assert stack.engine == "stack"


def test_places_cover_every_fold_once() -> None:
    evaluation = Evaluation.of(small_task(val=classification(samples=61)))
    for rows in (1, 9, 20, 1000):
        covered = np.zeros(len(evaluation.batches), dtype=int)
        for places, batch, stacked in evaluation.together(rows):
            covered[places] += 1
            size = len(batch[0]) if stacked else 1
            assert size == places.stop - places.start
            assert size == 1 or size * evaluation.batches[places.start][1] <= rows
        assert (covered == 1).all()
