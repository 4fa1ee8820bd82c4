"""Laws of the best rate over batch sizes, on rates that follow one, and on rates that follow none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stepsize.estimate.optimum import LEAST_SPREAD, optimum
from stepsize.estimate.rate_fits import fit_rates

B = np.array([16.0, 128.0, 1024.0])
LAWS: dict[str, Callable[[Any], Any]] = {
    "constant": lambda b: np.ones_like(b),
    "sqrt": np.sqrt,
    "linear": lambda b: b,
    "saturating": lambda b: 1 / (1 + 200 / b),
    "root saturating": lambda b: 1 / np.sqrt(1 + 200 / b),
    "surge": lambda b: 1 / (np.sqrt(200 / b) + np.sqrt(b / 200)),
}


@pytest.mark.parametrize("law", LAWS)
def test_each_law_is_found_again_and_goes_on(law: str) -> None:
    found = fit_rates(B, LAWS[law](B), np.full(3, 0.02))
    assert found.law == law
    for size in (32.0, 64.0, 256.0, 512.0, 2048.0):
        assert found.rate(size) == pytest.approx(float(LAWS[law](np.array(size))), rel=0.06)


def test_a_knee_is_found_again() -> None:
    knee = fit_rates(B, LAWS["saturating"](B), np.full(3, 0.02)).knee
    assert knee is not None
    assert 150 < knee < 260
    assert fit_rates(B, LAWS["sqrt"](B), np.full(3, 0.02)).knee is None


def test_the_textbooks_three_regimes_are_named_in_their_order() -> None:
    sizes = np.geomspace(2, 20_000, 9)
    found = fit_rates(sizes, LAWS["saturating"](sizes), np.full(9, 0.03))
    assert [found.regime(b) for b in (4, 200, 10_000)] == ["linear", "square root", "constant"]


def test_little_knowledge_names_no_regime() -> None:
    found = fit_rates(B, LAWS["saturating"](B), np.full(3, 1.0))
    assert found.regime(128) == "undetermined"
    slope, low, high = found.elasticity(128)
    assert low < slope < high


def test_rates_that_follow_no_law_are_passed_near_nevertheless() -> None:
    rates = np.array([0.34, 1.6, 1.66])  # in proportion, and then no more: a kink
    found = fit_rates(B, rates, np.full(3, 0.1))
    for size, rate in zip(B, rates, strict=True):
        assert found.rate(size) == pytest.approx(rate, rel=0.1)
    assert 0.4 < found.rate(32) < 0.9


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    random = np.random.default_rng(7)
    inside = 0
    for trial in range(60):
        law = LAWS[list(LAWS)[trial % len(LAWS)]]
        found = fit_rates(B, law(B) * np.exp(0.15 * random.standard_normal(3)), np.full(3, 0.15), seed=trial)
        low, high = found.interval(45)
        inside += low <= float(law(np.array(45.0))) <= high
    assert inside >= 0.85 * 60


def test_far_from_what_was_measured_nothing_is_said() -> None:
    found = fit_rates(B, B, np.full(3, 0.1))
    with pytest.raises(ValueError, match="near to those measured"):
        found.rate(1e6)


@pytest.mark.parametrize(
    ("sizes", "rates", "message"),
    [
        ([16, 128], [1, 2], "n >= 3"),
        ([16, 128, 64], [1, 2, 3], "must rise"),
        ([16, 128, 1024], [1, np.nan, 3], "finite and above 0"),
        ([16, 128, 1024], [1, 0, 3], "finite and above 0"),
    ],
)
def test_wrong_use_is_named(sizes: Any, rates: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_rates(np.array(sizes, dtype=float), np.array(rates, dtype=float), np.full(len(sizes), 0.1))


def test_the_spread_is_that_of_the_seeds() -> None:
    lrs = 0.1 * 2.0 ** np.arange(7)
    x = np.log(lrs / 0.8)
    alike = np.stack([x**2, x**2, x**2])
    assert optimum(lrs, alike).lr == pytest.approx(0.8)
    assert optimum(lrs, alike).spread == LEAST_SPREAD
    apart = np.stack([(x - 1) ** 2, x**2, (x + 1) ** 2])
    # The mean of parabolas is lowest at the mean of their places, ±1 apart: 1 / √3 by the jackknife.
    assert optimum(lrs, apart).spread == pytest.approx(1 / np.sqrt(3), rel=0.15)


@pytest.mark.parametrize(("losses", "edge"), [([1, 2, 3], "lowest"), ([3, 2, 1], "highest"), ([2, 1, 2], "")])
def test_an_edge_is_named(losses: list[float], edge: str) -> None:
    assert optimum([0.1, 0.2, 0.4], [losses]).edge == edge
