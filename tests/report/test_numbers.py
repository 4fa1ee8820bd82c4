import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepsize._words import duration, plural
from stepsize.report import numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.3, "0.3"),
        (0.42561, "0.426"),
        (1e-5, "1e-5"),
        (2.5e-5, "2.5e-5"),
        (0.0001, "0.0001"),
        (10.0, "10"),
        (1234.0, "1,230"),
        (1e7, "1e7"),
        (0.0, "0"),
        (-0.5, "−0.5"),
        (float("inf"), "∞"),
        (float("nan"), "–"),
        (None, "–"),
    ],
)
def test_number(value: float | None, text: str) -> None:
    assert numbers.number(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0%"),
        (0.0001, "under 0.1%"),
        (0.0142, "1.4%"),
        (0.0996, "10%"),
        (0.187, "19%"),
        (1.5, "150%"),
        (None, "–"),
    ],
)
def test_percent(share: float | None, text: str) -> None:
    assert numbers.percent(share) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.0 s"),
        (0.0004, "0.4 ms"),
        (0.04, "40 ms"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min"),
        (125, "2 min 5 s"),
        (3600, "1 h"),
        (4800, "1 h 20 min"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (215, 860, "1/4 of the run"),
        (54, 860, "1/16 of the run"),
        (320, 860, "37% of the run"),
        (860, 860, "the whole run"),
        (900, 860, "the whole run"),
    ],
)
def test_fraction(part: int, whole: int, text: str) -> None:
    assert numbers.fraction(part, whole) == text


def test_plural() -> None:
    assert (plural(1, "seed"), plural(2000, "seed")) == ("1 seed", "2,000 seeds")


@given(st.floats(-8, 2), st.floats(0.01, 9), st.integers(2, 10))
def test_rate_ticks_are_few_round_and_inside(exponent: float, decades: float, most: int) -> None:
    low, high = 10**exponent, 10 ** (exponent + decades)
    ticks = numbers.rate_ticks(low, high, most)
    assert 1 <= len(ticks) <= most
    assert (np.diff(ticks) > 0).all()
    assert low * (1 - 1e-6) <= ticks[0]
    assert ticks[-1] <= high * (1 + 1e-6)


def test_rate_ticks_go_by_decades_when_there_are_many() -> None:
    np.testing.assert_allclose(numbers.rate_ticks(1e-5, 10), [1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10])
    np.testing.assert_allclose(numbers.rate_ticks(0.1, 1, 4), [0.1, 0.2, 0.5, 1])


@pytest.mark.parametrize(
    ("text", "shortened"),
    [
        ("fixed(1.7519694758494184)", "fixed(1.752)"),
        ("0.42 * cosine(floor=0.01)", "0.42 * cosine(floor=0.01)"),
        ("1.234567e-05 * (warmup('2%') | cosine())", "1.235e-05 * (warmup('2%') | cosine())"),
        ("step(every='3000 steps', gamma=0.1)", "step(every='3000 steps', gamma=0.1)"),
    ],
)
def test_a_schedule_is_shown_without_its_long_decimals(text: str, shortened: str) -> None:
    assert numbers.short(text) == shortened
