"""The range test: its rates, its losses, and what it leaves alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import stepsize as ss
from stepsize.measure.range_test import TEXTBOOK_STAGES, staged_plan
from tests.tasks import digits_task, net


def test_textbook_stages_are_table_12_3() -> None:
    plan = staged_plan(TEXTBOOK_STAGES)
    expected = [k * 10.0**e for e in (-4, -3, -2, -1) for k in range(1, 10)] + [
        1 + k / 100 for k in range(11)
    ]
    assert plan.lrs.tolist() == pytest.approx(expected, rel=1e-12)
    assert plan.iters == (10,) * 47
    assert plan.updates == 470


def test_exponential_losses_are_those_of_a_plain_loop() -> None:
    task = digits_task()
    curve = ss.range_test(task, lr_min=1e-3, lr_max=1.0, steps=30, seeds=2)
    assert curve.lrs == pytest.approx(np.geomspace(1e-3, 1.0, 30))
    for row, seed in enumerate((0, 1)):
        model = task.make_model(seed)
        optimizer = task.make_optimizer(model, 1.0)
        batches = task.batches(seed)
        for i, lr in enumerate(curve.lrs):
            optimizer.param_groups[0]["lr"] = float(lr)
            loss = task.loss(model, next(batches))
            assert curve.losses[row, i] == pytest.approx(loss.item(), rel=1e-4)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def test_staged_losses_are_means_over_the_updates_at_a_rate() -> None:
    task = digits_task()
    stages = [ss.Stage(0.01, 0.03, 0.01, iters=3), ss.Stage(0.1, 0.2, 0.1, iters=2)]
    curve = ss.range_test(task, stages=stages)
    history = ss.train(task, [ss.Member(1.0, 0)], np.repeat(curve.lrs, [3, 3, 3, 2, 2]))
    raw = history.train_loss[0]
    expected = [raw[0:3].mean(), raw[3:6].mean(), raw[6:9].mean(), raw[9:11].mean(), raw[11:13].mean()]
    assert curve.losses[0] == pytest.approx(expected, rel=1e-6)
    assert curve.iters_per_rate == (3, 3, 3, 2, 2)


def test_held_out_loss_is_taken_after_each_rate() -> None:
    task = digits_task()
    curve = ss.range_test(task, lr_min=0.01, lr_max=1.0, steps=5, loss="val")
    history = ss.train(task, [ss.Member(1.0, 0)], curve.lrs, evaluate_at=range(6))
    assert curve.losses[0] == pytest.approx(history.val_loss[0, 1:], rel=1e-6)
    assert curve.start_loss == pytest.approx(history.val_loss[0, 0], rel=1e-6)


def test_divergence_ends_the_curve_and_is_placed() -> None:
    curve = ss.range_test(digits_task(), lr_min=0.1, lr_max=1e4, steps=60)
    assert np.isfinite(curve.diverged_at[0])
    after = curve.lrs > curve.diverged_at[0]
    assert after.any()
    assert not np.isfinite(curve.losses[0, after]).any()
    assert curve.suggestions["turn"].lr is not None
    assert curve.suggestions["turn"].lr < curve.diverged_at[0]


@pytest.mark.parametrize("progress", [True, False, None])
def test_progress_is_shown_or_not_as_elsewhere(
    progress: bool | None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as in a terminal
    curve = ss.range_test(digits_task(), steps=20, seeds=2, progress=progress)
    shown = capsys.readouterr()
    assert ("range test" in shown.err) == (progress is True)  # stderr is no terminal here
    assert shown.out == ""
    assert curve.cost.updates <= 40


def test_table_pairs_log_rates_with_rates() -> None:
    curve = ss.range_test(digits_task(), lr_min=0.1, lr_max=1.0, steps=6)
    rows = curve.table()
    assert [row["lr"] for row in rows] == pytest.approx([0.1, 0.158, 0.251, 0.398, 0.631, 1.0], rel=1e-2)
    assert [row["log10_lr"] for row in rows] == pytest.approx([-1, -0.8, -0.6, -0.4, -0.2, 0])


def test_json_keeps_infinities_and_nan() -> None:
    curve = ss.range_test(digits_task(), lr_min=0.1, lr_max=1e6, steps=40)
    again = ss.Curve.from_json(curve.to_json())
    assert np.array_equal(again.losses, curve.losses, equal_nan=True)
    assert again.suggestions == curve.suggestions
    assert again.to_json() == curve.to_json()


def test_the_module_and_the_random_numbers_are_left_alone() -> None:
    model = net()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = torch.get_rng_state()
    ss.range_test(digits_task(model=model), steps=20)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr_min": 1.0, "lr_max": 0.1}, r"lr_min < lr_max must hold, but got lr_min=1.0, lr_max=0.1"),
        ({"lr_min": 0.1, "lr_max": 0.1}, r"lr_min < lr_max"),
        ({"lr_min": 0.0}, r"lr_min must be finite and above 0, but is 0.0"),
        ({"lr_min": -1e-3}, r"lr_min must be finite and above 0"),
        ({"lr_max": math.inf}, r"lr_max must be finite and above 0, but is inf"),
        ({"lr_max": math.nan}, r"lr_max must be finite"),
        ({"steps": 1}, r"steps must be a whole number >= 2, but is 1"),
        ({"steps": 10.0}, r"steps must be a whole number >= 2, but is 10.0"),
        ({"seeds": 0}, r"seeds must be a whole number >= 1, but is 0"),
        ({"mode": "log"}, r"mode must be 'exp' or 'linear', but is 'log'"),
        ({"loss": "test"}, r"loss must be 'train' or 'val', but is 'test'"),
        ({"stages": []}, r"stages must not be empty"),
        ({"stages": [ss.Stage(0.1, 0.2, 0.1), ss.Stage(0.2, 0.3, 0.1)]}, r"stages must rise"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ss.range_test(digits_task(), **arguments)


def test_a_reversed_stage_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Stage.start <= Stage.stop must hold, but got start=0.9, stop=0.1"):
        ss.Stage(0.9, 0.1, 0.1)


def test_something_else_than_a_task_is_refused() -> None:
    with pytest.raises(TypeError, match=r"task must be a stepsize.Task or a Probe, but is a Linear"):
        ss.range_test(nn.Linear(2, 2))  # type: ignore[call-overload]


def test_zoom_runs_three_rounds_and_backs_off() -> None:
    stages = [ss.Stage(0.01, 0.09, 0.02, iters=5), ss.Stage(0.1, 0.9, 0.1, iters=5)]
    zoom = ss.range_test(digits_task(), stages=stages, zoom=True, seeds=2)
    assert zoom.status == "ok"
    assert zoom.bracket is not None
    assert zoom.trials is not None
    mean = zoom.trials.losses.mean(axis=0)
    best = int(np.argmin(mean))
    assert 0 < best < len(mean) - 1
    assert zoom.lr == pytest.approx((zoom.trials.lrs[best] + zoom.trials.lrs[best - 1]) / 2)
    assert zoom.cost.updates >= zoom.coarse.cost.updates + zoom.bracket.cost.updates
    assert ss.Zoom.from_json(zoom.to_json()).lr == zoom.lr
    text = str(zoom)
    assert text.startswith(f"Three rounds on digits: learning rate {zoom.lr:.3g}\n  {zoom.why}\n  trials: ")
    assert all(
        f"{lr:.3g} ended at {loss:.4g}" in text for lr, loss in zip(zoom.trials.lrs, mean, strict=True)
    )


def test_zoom_says_flat_when_the_rate_changes_nothing() -> None:
    def constant(model: nn.Module, batch: Any) -> torch.Tensor:
        return 0 * next(model.parameters()).sum() + 1.5

    zoom = ss.range_test(digits_task(loss=constant), zoom=True)
    assert (zoom.status, zoom.lr) == ("flat", None)
