"""Each rule against its definition or a curve with a known answer; tests/contracts holds for all of them."""

import numpy as np
import pytest

from stepsize.estimate import RULES, debiased_average, suggest
from tests.estimate.curves import LRS, sigmoid_fall

CURVE = sigmoid_fall(LRS)
NOISY = CURVE + 0.05 * np.random.default_rng(3).normal(size=LRS.size)


def kept(losses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """fastai's view, written naively."""
    best, recorded = np.inf, []
    for value in debiased_average(losses, 0.98):
        recorded.append(value)
        best = min(best, value)
        if value > 4 * best:
            break
    cut = slice(len(losses) // 10, len(recorded) - 5)
    return LRS[: len(recorded)][cut], np.array(recorded)[cut]


@pytest.mark.parametrize("turn", [0.02, 0.1, 0.74])
def test_turn_finds_the_turn(turn: float) -> None:
    lrs = np.geomspace(1e-6, 10, 200)
    found = RULES["turn"](lrs, sigmoid_fall(lrs * 0.74 / turn)).lr
    assert found == pytest.approx(turn * 15 / 16, rel=0.17)  # two steps of 8.4%


@pytest.mark.parametrize("noise", [0.02, 0.1, 0.2])
def test_turn_finds_the_turn_through_noise(noise: float) -> None:
    lrs = np.geomspace(1e-6, 10, 200)
    generator = np.random.default_rng(0)
    curves = (sigmoid_fall(lrs) + noise * generator.normal(size=200) for _ in range(100))
    found = np.array([RULES["turn"](lrs, curve).lr for curve in curves], dtype=np.float64) / 0.74
    assert 0.6 < np.median(found) < 1.0
    # the curve is flat to 10% of its fall from a third of the turn to 2.6 times it
    assert np.quantile(found, 0.05) > 0.33
    assert np.quantile(found, 0.95) < 1.5


def test_turn_reads_the_textbooks_third_round() -> None:
    # 0.8 is best of 0.1, 0.2 … 1.1, and 0.75 is taken
    lrs = np.arange(1, 12) / 10
    losses = np.array([1.6, 1.2, 0.9, 0.7, 0.55, 0.45, 0.38, 0.33, 0.5, 0.9, 1.5])
    assert RULES["turn"](lrs, losses).lr == pytest.approx(0.75)


def test_turn_stays_below_a_cliff() -> None:
    losses = np.where(LRS < 0.3, CURVE, np.inf)
    last = LRS[LRS < 0.3][-1]
    assert RULES["turn"](LRS, losses).lr == pytest.approx(last * 15 / 16)


def test_steepest_is_where_the_slope_in_log_rate_is_lowest() -> None:
    lrs, losses = kept(NOISY)
    slopes = [(losses[i + 1] - losses[i]) / np.log(lrs[i + 1] / lrs[i]) for i in range(len(lrs) - 1)]
    assert RULES["steepest"](LRS, NOISY).lr == lrs[int(np.argmin(slopes))]


def test_valley_is_half_way_down_the_longest_descent() -> None:
    lrs, losses = kept(NOISY)
    lengths, longest = [1] * len(losses), 0
    for i in range(1, len(losses)):
        for j in range(i):
            if losses[i] < losses[j]:
                lengths[i] = max(lengths[i], lengths[j] + 1)
        if lengths[longest] < lengths[i]:
            longest = i
    start = longest - lengths[longest]
    sections = (longest - start) / 3
    assert RULES["valley"](LRS, NOISY).lr == lrs[start + int(sections) + int(sections / 2)]


def test_slide_walks_back_from_the_right() -> None:
    lrs, losses = kept(NOISY)
    slopes, right, left = np.gradient(losses), -1, -16
    found = lrs[left]
    while left >= -len(losses) and abs(slopes[right] - slopes[left]) > 0.005:
        found, right, left = lrs[left], right - 1, left - 1
    assert RULES["slide"](LRS, NOISY).lr == found


def test_minimum_over_10() -> None:
    lrs, losses = kept(NOISY)
    assert RULES["minimum_over_10"](LRS, NOISY).lr == pytest.approx(lrs[losses.argmin()] / 10)


def test_a_tenth_of_the_minimum_may_lie_below_the_tested_rates() -> None:
    lrs = np.geomspace(0.05, 10, 60)
    suggestion = RULES["minimum_over_10"](lrs, sigmoid_fall(lrs, turn=0.3))
    assert suggestion.status == "out_of_range"
    assert suggestion.lr is None
    assert "outside the tested rates" in suggestion.why


def test_slide_needs_its_interval() -> None:
    lrs = np.geomspace(1e-4, 10, 20)
    assert RULES["slide"](lrs, sigmoid_fall(lrs)).status == "too_few_points"
    assert RULES["steepest"](lrs, sigmoid_fall(lrs)).status == "ok"


def test_suggest_asks_every_rule() -> None:
    answers = suggest(LRS, NOISY)
    assert list(answers) == ["turn", "steepest", "valley", "slide", "minimum_over_10"]
    assert all(answer.status == "ok" for answer in answers.values())
