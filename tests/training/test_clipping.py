"""Clipped gradients: both engines take the updates of a loop written by hand with torch's own functions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import nn

import stepsize as ss
from stepsize.runs.fingerprint import fingerprint
from tests.tasks import digits_task
from tests.training.test_kinds_of_parameters import Tempered, features_fixed
from tests.training.twins import members, table

CLIPS: dict[str, tuple[dict[str, float], Callable[[Any], Any]]] = {
    "norm": ({"clip_grad_norm": 0.2}, lambda params: nn.utils.clip_grad_norm_(params, 0.2)),
    "value": ({"clip_grad_value": 0.003}, lambda params: nn.utils.clip_grad_value_(params, 0.003)),
}
OPTIMIZERS = {
    "SGD": torch.optim.SGD,
    "momentum and decay": partial(torch.optim.SGD, momentum=0.9, weight_decay=0.01),
    "AdamW": torch.optim.AdamW,
    "no native one": torch.optim.NAdam,
}
RATES, STEPS = (0.02, 0.3), 25


def by_hand(task: ss.Task, lr: float, seed: int, clip: Callable[[Any], Any]) -> list[float]:
    """The training losses of a plain loop."""
    model = task.make_model(seed)
    optimizer, batches = task.make_optimizer(model, lr), task.batches(seed)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = task.loss(model, next(batches))
        loss.backward()
        clip(model.parameters())
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize("engine", ["stack", "loop"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("kind", CLIPS)
def test_clipped_updates_are_those_of_a_plain_loop(
    kind: str, optimizer: Any, engine: Literal["stack", "loop"]
) -> None:
    arguments, clip = CLIPS[kind]
    task = digits_task(model=features_fixed, optimizer=optimizer, steps=STEPS, **arguments)
    history = ss.train(task, members(RATES, 3), table(RATES, STEPS), engine=engine)
    free = ss.train(
        digits_task(model=features_fixed, optimizer=optimizer, steps=STEPS),
        members(RATES, 3),
        table(RATES, STEPS),
    )
    for row, lr in enumerate(RATES):
        expected = by_hand(task, lr, 3, clip)
        np.testing.assert_allclose(history.train_loss[row], expected, rtol=2e-4)
    assert np.nanmax(np.abs(free.train_loss - history.train_loss)) > 0.01  # what clipping changes


def test_only_what_the_optimizer_updates_counts_for_the_norm() -> None:
    """A layer that gets gradients and is not updated would make the steps of the others smaller."""

    def out(model: Tempered) -> Any:
        return model.out.parameters()

    task = digits_task(model=Tempered, params=out, clip_grad_norm=0.2, steps=STEPS)
    stack, loop = (
        ss.train(task, members(RATES, 0), table(RATES, STEPS), engine=engine) for engine in ("stack", "loop")
    )
    np.testing.assert_allclose(stack.train_loss, loop.train_loss, rtol=1e-4)
    expected = by_hand(task, RATES[1], 0, lambda params: nn.utils.clip_grad_norm_(list(params)[-2:], 0.2))
    np.testing.assert_allclose(loop.train_loss[1], expected, rtol=1e-4)


def test_an_optimizer_that_asks_for_the_loss_again_gets_clipped_gradients() -> None:
    task = digits_task(optimizer=torch.optim.LBFGS, batch_size="full", steps=2, clip_grad_norm=1e-6)
    history = ss.train(task, members((1.0,), 0), table((1.0,), 2))
    assert history.train_loss[0, 1] == pytest.approx(history.train_loss[0, 0], abs=1e-3)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"clip_grad_norm": 0}, ValueError, "clip_grad_norm must be finite and above 0, but is 0"),
        ({"clip_grad_norm": float("inf")}, ValueError, "clip_grad_norm must be finite"),
        ({"clip_grad_value": -1.0}, ValueError, "clip_grad_value must be finite and above 0, but is -1"),
        ({"clip_grad_value": "1"}, TypeError, "clip_grad_value must be a number, but is '1'"),
        ({"clip_grad_norm": True}, TypeError, "clip_grad_norm must be a number"),
        (
            {"clip_grad_norm": 1.0, "clip_grad_value": 0.5},
            ValueError,
            "at most one of clip_grad_norm and clip_grad_value may be given, but both are, 1 and 0.5",
        ),
    ],
)
def test_bad_limits_are_named(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        digits_task(**arguments)


@pytest.mark.parametrize("limit", ["clip_grad_norm", "clip_grad_value"])
def test_sparse_gradients_cannot_be_clipped(limit: str) -> None:
    words, labels = torch.randint(50, (60, 6)), torch.randint(3, (60,))

    def task(*, sparse: bool, **arguments: Any) -> ss.Task:
        return digits_task(
            model=lambda: nn.Sequential(nn.EmbeddingBag(50, 8, sparse=sparse), nn.Linear(8, 3)),
            train=(words, labels),
            val=(words, labels),
            **arguments,
        )

    with pytest.raises(ValueError, match="need dense gradients, but an embedding gives sparse ones"):
        task(sparse=True, **{limit: 0.1})
    assert task(sparse=False, **{limit: 0.1}).clipping
    assert not task(sparse=True).clipping


def test_a_clipped_task_is_another_one() -> None:
    task, clipped = digits_task(), digits_task(clip_grad_norm=1.0)
    assert "SGD clipped to norm 1, batch 50" in repr(clipped)
    assert "clipped" not in repr(task)
    assert not clipped.computes_like(task)
    assert fingerprint(task).differences(fingerprint(clipped)) == ["clipping"]
    assert "clipping" not in fingerprint(task).parts  # stores that are older keep their tasks
    assert clipped.replace(steps=9).clipping == clipped.clipping
    assert clipped.replace(clip_grad_norm=None, clip_grad_value=0.5).clipping.value == 0.5


def test_an_advice_says_what_was_clipped(tmp_path: Any) -> None:
    task = digits_task(steps=60, clip_grad_norm=0.5)
    advice = ss.find_lr(task, progress=False)
    assert advice.clipping == task.clipping
    assert "gradients clipped to norm 0.5\n" in str(advice)
    advice.save(tmp_path / "advice.json")
    again = ss.load(tmp_path / "advice.json")
    assert isinstance(again, ss.Advice)
    assert again.clipping == task.clipping
    # With clipped gradients an update is at most so long, and larger rates bear it.
    free = ss.find_lr(task.replace(clip_grad_norm=None), progress=False)
    assert free.clipping is not None
    assert not free.clipping
    assert advice.lr is not None
    assert free.lr is not None
    assert advice.lr > 1.5 * free.lr
