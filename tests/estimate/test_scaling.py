"""Rules for another batch size: what they move, by their formulas, and where they refuse."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepsize.estimate.scaling import Hyperparameters, gain, scaled

SGD = Hyperparameters(lr=0.1)
ADAMW = Hyperparameters(lr=3e-4, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1, warmup=500, steps=10_000)
sizes = st.integers(1, 10_000)


def moved(found: Any) -> Hyperparameters:
    assert found.after is not None, found.refused
    after: Hyperparameters = found.after
    return after


def check(found: Any, name: str) -> Any:
    return next(check for check in found.checks if check.name == name)


@given(sizes, sizes, sizes, st.floats(1.0, 1e5), st.sampled_from(["linear", "sqrt", "adascale", "surge"]))
def test_two_moves_are_one(a: int, b: int, c: int, noise: float, rule: Any) -> None:
    assert gain(rule, a, b, noise) * gain(rule, b, c, noise) == pytest.approx(gain(rule, a, c, noise))


@pytest.mark.parametrize(("noise", "expected"), [(1e9, 8.0), (1e-3, 1.0)])
def test_adascale_is_linear_below_the_noise_scale_and_constant_above(noise: float, expected: float) -> None:
    assert gain("adascale", 32, 256, noise) == pytest.approx(expected, rel=1e-4)


def test_surge_is_the_square_root_below_the_noise_scale_and_highest_at_it() -> None:
    assert gain("surge", 32, 256, 1e9) == pytest.approx(math.sqrt(8), rel=1e-4)
    assert gain("surge", 256, 128, 256) < 1
    assert gain("surge", 256, 512, 256) < 1


def test_adam_moves_as_malladi_says() -> None:
    after = moved(scaled(ADAMW, 256, 1024, "sqrt"))
    assert after.lr == pytest.approx(6e-4)
    assert after.betas == pytest.approx((0.6, 0.8))
    assert after.eps == pytest.approx(5e-9)
    # lr · weight_decay / batch stays.
    assert after.lr * after.weight_decay / 1024 == pytest.approx(3e-4 * 0.1 / 256)
    assert (after.warmup, after.steps) == (125, 2500)


def test_back_again_is_where_it_began() -> None:
    there = scaled(ADAMW, 256, 1024, "sqrt").after
    assert there is not None
    back = moved(scaled(there, 1024, 256, "sqrt"))
    assert back.betas == pytest.approx(ADAMW.betas)
    assert (back.lr, back.eps, back.weight_decay) == pytest.approx((ADAMW.lr, ADAMW.eps, ADAMW.weight_decay))
    assert (back.warmup, back.steps) == (ADAMW.warmup, ADAMW.steps)


def test_averages_that_would_forget_at_once_are_refused() -> None:
    found = scaled(ADAMW, 256, 2560, "sqrt")
    assert found.after is None
    assert found.moves == ()
    assert "1 − beta1 would become 1" in found.refused
    kept = moved(scaled(ADAMW, 256, 2560, "sqrt", averages="half_life"))
    assert kept.betas == pytest.approx((0.9, 0.95**10))


def test_linear_refuses_adam_and_surge_refuses_sgd() -> None:
    assert "derived for SGD" in scaled(ADAMW, 256, 512, "linear").refused
    assert "derived for Adam" in scaled(SGD, 256, 512, "surge", noise=100).refused


def test_linear_holds_below_the_noise_scale_alone() -> None:
    assert check(scaled(SGD, 32, 256, "linear"), "noise scale").holds is None
    assert check(scaled(SGD, 32, 256, "linear", noise=5000), "noise scale").holds is True
    refused = scaled(SGD, 32, 256, "linear", noise=100)
    assert refused.after is None
    assert "2.97-fold" in refused.refused


def test_a_square_root_that_stays_below_what_is_possible_is_no_danger() -> None:
    found = scaled(SGD, 32, 256, "sqrt", noise=1e5)
    assert moved(found).lr == pytest.approx(0.1 * math.sqrt(8))
    assert check(found, "noise scale").holds is False


def test_a_full_batch_has_no_noise_to_keep() -> None:
    assert "no noise" in scaled(SGD, 32, 1000, "linear", samples=1000).refused
    assert "too large a part" in scaled(SGD, 32, 500, "linear", samples=1000).refused
    assert scaled(SGD, 32, 256, "linear", samples=100_000).after is not None


def test_weight_decay_inside_adams_gradient_stays() -> None:
    adam = Hyperparameters(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01, decoupled=False)
    assert moved(scaled(adam, 32, 64, "sqrt")).weight_decay == 0.01


def test_weight_decay_that_leaves_nothing_is_refused() -> None:
    assert "to nothing" in scaled(Hyperparameters(lr=1.0, weight_decay=0.5), 10, 30, "linear").refused


def test_linear_warms_up_where_nothing_did() -> None:
    after = moved(scaled(Hyperparameters(lr=0.1, steps=7200), 32, 256, "linear"))
    assert (after.steps, after.warmup) == (900, 50)
    assert moved(scaled(Hyperparameters(lr=0.1, steps=900), 256, 32, "linear")).warmup is None


def test_a_known_noise_scale_keeps_the_loss_and_not_the_samples() -> None:
    after = moved(scaled(Hyperparameters(lr=0.1, steps=1000), 100, 300, "adascale", noise=300))
    assert after.steps == 500  # (1 + 1) / (1 + 3)


@pytest.mark.parametrize(
    ("rule", "options", "message"),
    [
        ("cubic", {}, "rule must be one of"),
        ("sqrt", {"averages": "all"}, "averages must be"),
        ("linear", {"noise": math.nan}, "noise must be finite"),
        ("linear", {"noise": 0.0}, "noise must be finite"),
        ("adascale", {}, "noise must be given"),
        ("linear", {"samples": 100}, "to must not exceed the 100"),
    ],
)
def test_wrong_use_is_named(rule: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scaled(SGD, 32, 256, rule, **options)
