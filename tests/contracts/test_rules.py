"""What every suggestion rule must hold to; a new rule in the registry is covered by being there."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stepsize.estimate import RULES, Suggestion
from tests.estimate.curves import LRS, sigmoid_fall

Rule = Callable[..., Suggestion]
ABSOLUTE = {"slide"}  # its threshold of 0.005 is in units of the loss, as fastai defines it
CURVE = sigmoid_fall(LRS)
NOISY = CURVE + 0.05 * np.random.default_rng(3).normal(size=LRS.size)

every_rule = pytest.mark.parametrize(("name", "rule"), RULES.items(), ids=RULES)
anything = st.one_of(st.floats(-1e9, 1e9), st.sampled_from([np.nan, np.inf, -np.inf]))


def check(name: str, rule: Rule, lrs: np.ndarray, losses: np.ndarray) -> Suggestion:
    """Whatever the curve, an answer is well-formed."""
    suggestion = rule(lrs, losses)
    assert suggestion.rule == name
    assert suggestion.why
    assert "{" not in suggestion.why
    assert (suggestion.lr is None) == (suggestion.status != "ok")
    if suggestion.lr is not None:
        assert type(suggestion.lr) is float
        assert lrs[0] <= suggestion.lr <= lrs[-1]
    return suggestion


@every_rule
def test_a_clear_curve_has_an_answer(name: str, rule: Rule) -> None:
    assert check(name, rule, LRS, NOISY).status == "ok"


@every_rule
@given(losses=arrays(np.float64, st.integers(0, 60), elements=anything))
def test_any_curve_gets_a_sound_answer(name: str, rule: Rule, losses: np.ndarray) -> None:
    check(name, rule, np.geomspace(1e-5, 10, losses.size) if losses.size else losses, losses)


@every_rule
@given(power=st.integers(-20, 20), seed=st.integers(0, 20))
def test_the_rates_unit_does_not_matter(name: str, rule: Rule, power: int, seed: int) -> None:
    losses = CURVE + 0.05 * np.random.default_rng(seed).normal(size=LRS.size)
    here, there = rule(LRS, losses), rule(LRS * 2.0**power, losses)
    assert here.status == there.status == "ok"
    assert here.lr is not None
    assert there.lr == pytest.approx(here.lr * 2.0**power, rel=1e-12)


@every_rule
def test_one_low_loss_that_a_rule_does_not_look_at_gives_it_no_answer(name: str, rule: Rule) -> None:
    losses = np.full(100, 9.0)
    losses[-3] = 0.0  # among the last five, which fastai's rules drop
    assert check(name, rule, LRS, losses).status == ("ok" if name == "turn" else "flat")


@every_rule
@given(power=st.integers(-20, 20), seed=st.integers(0, 20))
def test_the_losss_scale_does_not_matter(name: str, rule: Rule, power: int, seed: int) -> None:
    losses = CURVE + 0.05 * np.random.default_rng(seed).normal(size=LRS.size)
    here, there = rule(LRS, losses), rule(LRS, losses * 2.0**power)  # a power of two changes no rounding
    assert here.status == there.status
    if name not in ABSOLUTE:
        assert here.lr == there.lr


@every_rule
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_follows_divergence_is_not_looked_at(name: str, rule: Rule, bad: float) -> None:
    diverged, revived = NOISY.copy(), NOISY.copy()
    diverged[90:] = bad
    revived[90] = bad
    revived[91:] = 0.0
    here, there = check(name, rule, LRS, diverged), check(name, rule, LRS, revived)
    assert here == there
    assert here.status == "ok"


@every_rule
@pytest.mark.parametrize(
    ("losses", "status"),
    [
        (np.full(100, 2.3), "flat"),
        (2.3 + 0.1 * np.random.default_rng(0).normal(size=100), "flat"),
        (np.linspace(3, 1, 100), "falling"),
        (np.linspace(1, 3, 100), "rising"),
        (np.full(100, np.nan), "diverged"),
        (np.r_[2.3, np.full(99, np.inf)], "diverged"),
    ],
)
def test_a_curve_without_an_answer_gets_none(name: str, rule: Rule, losses: np.ndarray, status: str) -> None:
    assert check(name, rule, LRS, losses).status == status


@every_rule
@pytest.mark.parametrize("n", [0, 1, 2, 3, 7])
def test_a_few_points_are_too_few(name: str, rule: Rule, n: int) -> None:
    assert check(name, rule, LRS[:n], CURVE[:n]).status == "too_few_points"


@every_rule
def test_the_input_is_left_alone(name: str, rule: Rule) -> None:
    lrs, losses = LRS.copy(), NOISY.copy()
    lrs.flags.writeable = losses.flags.writeable = False
    assert rule(lrs, losses) == rule(lrs.tolist(), losses.tolist())


@every_rule
@pytest.mark.parametrize(
    ("lrs", "message"),
    [
        ([1.0, 3.0, 2.0], r"lrs must rise strictly, but lrs\[1\]=3 is followed by lrs\[2\]=2"),
        ([1.0, 1.0, 2.0], r"lrs must rise strictly, but lrs\[0\]=1 is followed by lrs\[1\]=1"),
        ([0.0, 1.0, 2.0], r"lrs must be positive and finite, but got 0\.0"),
        ([-1.0, 1.0, 2.0], r"lrs must be positive and finite, but got -1\.0"),
        ([1.0, 2.0, np.nan], r"lrs must be positive and finite, but got nan"),
        ([1.0, 2.0], r"same length, but got shapes \(2,\) and \(3,\)"),
    ],
)
def test_wrong_rates_are_refused(name: str, rule: Rule, lrs: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rule(lrs, [3.0, 2.0, 1.0])
