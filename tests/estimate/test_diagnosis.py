"""Verdicts on hundreds of curves whose answer is known, and on what is no curve."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from stepsize.estimate.diagnosis import read_curve

Generator = np.random.Generator


def converging(u: np.ndarray, draw: Generator) -> np.ndarray:
    floor, pace = draw.uniform(0.02, 0.4), draw.uniform(4, 20)
    return np.asarray(floor + (1 - floor) * np.exp(-pace * u))


def power_law(u: np.ndarray, draw: Generator) -> np.ndarray:
    curve: np.ndarray = (1 + draw.uniform(20, 200) * u) ** -draw.uniform(0.4, 1.0)
    return curve


def too_slow(u: np.ndarray, draw: Generator) -> np.ndarray:
    return 1 - draw.uniform(0, 0.3) * u


def alternating(u: np.ndarray, draw: Generator) -> np.ndarray:
    return draw.uniform(0.3, 1) + draw.uniform(0.06, 0.3) * (-1.0) ** np.arange(len(u))


def bouncing(u: np.ndarray, draw: Generator) -> np.ndarray:
    curve: np.ndarray = np.abs(draw.uniform(0.5, 1.2) + draw.uniform(0.1, 0.4) * draw.normal(size=len(u)))
    return curve


def waves(u: np.ndarray, draw: Generator) -> np.ndarray:
    phase = 2 * math.pi * np.arange(len(u)) / draw.uniform(2.5, len(u) / 50 + 2.5)
    curve: np.ndarray = draw.uniform(0.5, 1) + draw.uniform(0.1, 0.3) * np.sin(phase)
    return curve


def exploding(u: np.ndarray, draw: Generator) -> np.ndarray:
    return np.asarray(0.5 + 0.5 * np.exp(-10 * u) + 0.01 * np.exp(draw.uniform(6, 30) * u))


def creeping_up(u: np.ndarray, draw: Generator) -> np.ndarray:
    return 1 + draw.uniform(0.5, 3) * u**2


KINDS: dict[str, tuple[str, Callable[[np.ndarray, Generator], np.ndarray]]] = {
    "exponential": ("converging", converging),
    "power law": ("converging", power_law),
    "straight": ("too_slow", too_slow),
    "alternating": ("oscillating", alternating),
    "bouncing": ("oscillating", bouncing),
    "waves": ("oscillating", waves),
    "exploding": ("diverging", exploding),
    "creeping up": ("diverging", creeping_up),
}


@pytest.mark.parametrize("length", [80, 400, 3000])
@pytest.mark.parametrize("kind", KINDS)
def test_generated_curves_are_named_right(kind: str, length: int) -> None:
    """60 curves each, 1,440 in all: at most one in twenty of a kind may be called something else."""
    expected, make = KINDS[kind]
    draw = np.random.default_rng([length, *kind.encode()])
    found: Counter[str] = Counter()
    for _ in range(60):
        curve = make(np.linspace(0, 1, length), draw)
        noise = draw.uniform(0, 0.015) * draw.normal(size=length) * np.maximum(curve, 0.2)
        found[read_curve((curve + noise) * 10.0 ** draw.uniform(-3, 3)).verdict] += 1
    assert found[expected] >= 57, dict(found)


def test_the_unit_of_the_loss_does_not_matter() -> None:
    curve = converging(np.linspace(0, 1, 300), np.random.default_rng(1))
    small, large = read_curve(1e-6 * curve), read_curve(1e6 * curve)
    assert small.verdict == large.verdict
    assert small.fall == pytest.approx(large.fall)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_divergence_from_there_on(bad: float) -> None:
    curve = np.linspace(1, 0.5, 100)
    curve[40] = bad
    found = read_curve(curve)
    assert found.verdict == "diverging"
    assert found.first_not_finite == 40
    assert read_curve([bad] * 3).verdict == "diverging"


def test_plateaus_are_located() -> None:
    """Down to 0.6 within a tenth, level for half of the run, down to 0.2 and level again."""
    draw = np.random.default_rng(3)
    u = np.linspace(0, 1, 2000)
    curve = np.interp(u, [0, 0.1, 0.6, 0.75, 1], [1, 0.6, 0.6, 0.2, 0.2]) + 0.01 * draw.normal(size=2000)
    plateaus = read_curve(curve).plateaus
    assert [round(plateau.level, 1) for plateau in plateaus] == [0.6, 0.2]
    first, last = plateaus
    assert first.start == pytest.approx(200, abs=100)
    assert first.end == pytest.approx(1200, abs=100)
    assert last.start == pytest.approx(1500, abs=100)
    assert last.end == 2000


def test_a_falling_line_has_no_plateau() -> None:
    assert read_curve(np.linspace(1, 0.5, 500)).plateaus == ()


def test_a_constant_curve_has_not_moved() -> None:
    found = read_curve(np.full(100, 2.3))
    assert found.verdict == "too_slow"
    assert found.fall == 0.0
    assert [(plateau.start, plateau.end) for plateau in found.plateaus] == [(0, 100)]


def test_few_losses_are_not_judged() -> None:
    found = read_curve([2.0, 1.9, 1.8])
    assert found.verdict == "undetermined"
    assert "at least 12" in found.why


@pytest.mark.parametrize("losses", [[], [[1.0, 2.0]], 1.0])
def test_what_is_no_curve_is_refused(losses: object) -> None:
    with pytest.raises(ValueError, match="losses must be"):
        read_curve(losses)  # type: ignore[arg-type]
