"""The formulas against numbers worked out by hand, in the textbook, or by a naive twin."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stepsize.schedules import (
    Run,
    cosine,
    decay,
    dip,
    exp,
    exp_range,
    fixed,
    hold,
    inv,
    inverse_sqrt,
    linear,
    multistep,
    noam,
    one_cycle,
    piecewise,
    plateau,
    poly,
    power,
    rex,
    sigmoid,
    step,
    triangular,
    triangular2,
    warm_restarts,
    warmup,
    wsd,
)
from stepsize.schedules.plot import TEXTBOOK


def test_table_12_5_to_the_last_digit() -> None:
    rates = step(0.1, gamma=0.9, every=50).resolve(301)(np.arange(0, 301, 50))
    np.testing.assert_allclose(rates, [0.1 * 0.9**k for k in range(7)], rtol=1e-15)
    assert [f"{rate:.3f}" for rate in rates] == [
        "0.100",
        "0.090",
        "0.081",
        "0.073",
        "0.066",
        "0.059",
        "0.053",
    ]
    assert f"{rates[4]:.4f}" == "0.0656"


def test_step_is_level_between_its_drops() -> None:
    bound = step(0.1, gamma=0.9, every=50).resolve(301)
    assert bound(49) == 0.1
    assert bound(50) == bound(99) == 0.1 * 0.9


def test_figure_12_11_has_the_textbooks_six_policies() -> None:
    t = np.arange(10_000)
    expected = {
        "fixed": np.full(10_000, 0.1),
        "step": 0.1 * 0.5 ** (t // 2000),
        "multistep": 0.1 * 0.5 ** ((t >= 3000).astype(int) + (t >= 5500) + (t >= 8000)),
        "exp": 0.1 * 0.9995**t,
        "inv": 0.1 / (1 + 1e-3 * t) ** 0.5,
        "poly": 0.1 * (1 - t / 10_000) ** 0.9,
    }
    assert list(TEXTBOOK) == list(expected)
    for name, rates in expected.items():
        np.testing.assert_allclose(TEXTBOOK[name].values(10_000), rates, rtol=1e-13)


def test_inv_has_the_textbooks_default_power() -> None:
    assert inv(1.0, gamma=1.0).resolve()(3) == pytest.approx(0.5, rel=1e-15)


def test_poly_bends_both_ways_around_the_line() -> None:
    half = {p: poly(power=p).resolve(100)(50) for p in (0.5, 1.0, 2.0)}
    assert half[1.0] == 0.5
    assert half[0.5] == pytest.approx(math.sqrt(0.5), rel=1e-15)
    assert half[2.0] == pytest.approx(0.25, rel=1e-15)


def test_sigmoid_is_half_its_peak_at_the_centre() -> None:
    assert sigmoid(0.2, gamma=-0.1, centre=50).resolve(100)(50) == 0.1
    assert sigmoid(0.2, gamma=10.0, centre="50%").resolve(10**6)(0) == 0.0


@pytest.mark.parametrize("steps", [1, 2, 7, 1000])
def test_ends_of_what_anneals(steps: int) -> None:
    for schedule in (cosine(0.3, floor=0.1), poly(0.3, floor=0.1), rex(0.3, floor=0.1), linear(0.3, end=0.1)):
        bound = schedule.resolve(steps)
        assert bound(0) == 0.3
        assert bound(steps) == 0.3 * 0.1


def test_cosine_and_rex_half_way() -> None:
    assert cosine().resolve(100)(50) == pytest.approx(0.5, abs=1e-16)
    assert rex().resolve(100)(50) == pytest.approx(0.5 / 0.75, rel=1e-15)


def test_warm_up_reaches_the_full_rate_at_its_last_update() -> None:
    rates = (warmup(4) | hold()).values(6)
    assert rates.tolist() == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    rates = (warmup(4, zero_first=True) | hold()).values(6)
    assert rates.tolist() == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]


def test_warm_up_shapes() -> None:
    rates = (warmup(2, shape="exponential", start=0.01) | hold()).values(3)
    np.testing.assert_allclose(rates, [0.1, 1.0, 1.0], rtol=1e-15)
    rates = (warmup(2, shape="cosine", start=0.5) | hold()).values(3)
    np.testing.assert_allclose(rates, [0.75, 1.0, 1.0], rtol=1e-15)


def test_decay_shapes_a_quarter_of_the_way() -> None:
    quarter = {
        "linear": 0.75,
        "1-sqrt": 0.5,
        "1-square": 1 - 1 / 16,
        "cosine": (1 + math.cos(math.pi / 4)) / 2,
    }
    for shape, value in quarter.items():
        assert decay(shape=shape).resolve(4)(1) == pytest.approx(value, rel=1e-15)  # type: ignore[arg-type]
    assert decay(shape="exponential", floor=0.0625).resolve(4)(1) == pytest.approx(0.5, rel=1e-15)


def test_wsd_is_its_three_phases() -> None:
    schedule = wsd(0.1, warm="10%", cool="20%", shape="1-sqrt", floor=0.01)
    assert schedule == 0.1 * (warmup("10%") | hold() | decay("20%", shape="1-sqrt", floor=0.01))
    bound = schedule.resolve(100)
    assert [bound(t) for t in (9, 10, 79, 80)] == [0.1] * 4
    assert bound(100) == 0.1 * 0.01


def test_restarts_come_where_the_cycles_end_and_never_at_the_end_of_the_run() -> None:
    bound = warm_restarts(1.0, first=10, growth=2, decay=0.5, floor=0.1).resolve(70)
    assert [bound(t) for t in (0, 10, 30)] == [1.0, 0.5, 0.25]
    assert bound(70) == bound(1000) == 0.1
    equal = warm_restarts(first=10).resolve(30)
    assert [equal(t) for t in (0, 10, 20)] == [1.0] * 3
    assert equal(30) == 0.0


@pytest.mark.parametrize("growth", [1.0, 1.1, 1.5, 2.0, 3.0])
def test_restarts_against_a_loop(growth: float) -> None:
    expected, begin, length = [], 0.0, 7.0
    for t in range(500):
        while t >= begin + length:
            begin, length = begin + length, length * growth
        expected.append((1 + math.cos(math.pi * (t - begin) / length)) / 2)
    ours = warm_restarts(first=7, growth=growth).resolve()(np.arange(500))
    # where a fractional cycle begins within rounding of an update, either side is right
    close = np.isclose(ours, expected, atol=1e-9)
    assert (~close).sum() <= 1


def test_the_cyclical_three() -> None:
    t = np.arange(8)
    tri = np.array([0, 0.5, 1, 0.5, 0, 0.5, 1, 0.5])
    np.testing.assert_allclose(triangular(1.0, up=2, floor=0.2).resolve()(t), 0.2 + 0.8 * tri)
    np.testing.assert_allclose(
        triangular2(1.0, up=2, floor=0.2).resolve()(t), 0.2 + 0.8 * tri * [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5]
    )
    np.testing.assert_allclose(
        exp_range(1.0, gamma=0.9, up=2, floor=0.2).resolve()(t), 0.2 + 0.8 * tri * 0.9**t
    )
    slow = triangular(1.0, up=1, down=3, floor=0.1).resolve()(np.arange(5))
    np.testing.assert_allclose(slow, [0.1, 1.0, 0.7, 0.4, 0.1])


def test_one_cycle_and_the_momentum_that_mirrors_it() -> None:
    bound = one_cycle(0.5).resolve(100)
    assert (bound(0), bound(30), bound(100)) == (0.5 * 0.04, 0.5, 0.5 * 4e-6)
    momentum = dip(0.95, low=0.85 / 0.95).resolve(100)
    assert momentum(0) == momentum(100) == 0.95
    assert momentum(30) == pytest.approx(0.85, rel=1e-15)
    three = one_cycle(0.5, top="40%", three_phase=True).resolve(100)
    assert (three(0), three(40), three(80), three(100)) == (0.5 * 0.04, 0.5, 0.5 * 0.04, 0.5 * 4e-6)


def test_one_cycle_lines() -> None:
    bound = one_cycle(1.0, top=50, start=0.5, end=0.0, anneal="linear").resolve(100)
    assert [bound(t) for t in (0, 25, 50, 75, 100)] == [0.5, 0.75, 1.0, 0.5, 0.0]


def test_the_papers_transformer_schedule() -> None:
    d, W = 512, 4000
    n = np.arange(1, 10_001)
    paper = d**-0.5 * np.minimum(n**-0.5, n * W**-1.5)
    np.testing.assert_allclose(noam((d * W) ** -0.5, warmup=W).values(10_000), paper, rtol=1e-13)


def test_inverse_square_root() -> None:
    bound = inverse_sqrt(1.0, warmup=100).resolve()
    assert [bound(99), bound(100), bound(400)] == [1.0, 1.0, 0.5]
    scaled = inverse_sqrt(1.0, warmup=100, timescale=50).resolve()
    assert scaled(100) == 1.0
    assert scaled(250) == 0.5


def test_power_counts_tokens() -> None:
    run = Run(samples=10**6, batch_size=100, epochs=1, tokens_per_sample=1000)
    bound = power(0.1, exponent=-0.5, knee="1e8 tokens").resolve(run)
    assert bound(1000) == 0.1
    assert bound(4000) == pytest.approx(0.05, rel=1e-15)


def test_piecewise_lines_and_stairs() -> None:
    lines = piecewise(1.0, at=[0, 10, 20], factors=[0.0, 1.0, 0.5]).resolve(30)
    assert [lines(t) for t in (0, 5, 10, 15, 20, 25)] == [0.0, 0.5, 1.0, 0.75, 0.5, 0.5]
    stairs = piecewise(1.0, at=[0, 10, 20], factors=[0.1, 1.0, 0.5], between="previous").resolve(30)
    assert [stairs(t) for t in (0, 9, 10, 19, 20, 29)] == [0.1, 0.1, 1.0, 1.0, 0.5, 0.5]


def test_plateau_cuts_are_events() -> None:
    bound = plateau(1.0, factor=0.5, cuts=[10, 10, 20], floor=0.2).resolve(30)
    assert [bound(t) for t in (9, 10, 19, 20)] == [1.0, 0.25, 0.25, 0.2]


def test_a_length_of_the_run_scales_with_it() -> None:
    a = multistep(milestones=["30%", "60%"]).values(100)
    b = multistep(milestones=["30%", "60%"]).values(1000)
    assert (a == b[::10]).all()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: step(gamma=0.0), r"step: gamma: must be in \(0, 1\], but got 0.0"),
        (lambda: exp(gamma=-0.5), r"exp: gamma: must be in \(0, 1\], but got -0.5"),
        (lambda: exp(gamma=float("nan")), "exp: gamma: it must be a number, but got nan"),
        (lambda: inv(gamma=0), r"inv: gamma: must be in \(0, inf\)"),
        (lambda: sigmoid(gamma=0), "gamma: must not be 0"),
        (lambda: multistep(milestones=[30, 10]), "milestones: must be above zero and rise"),
        (lambda: multistep(milestones=[0, 10]), r"must be above zero and rise, but got \[0, 10\]"),
        (lambda: multistep(milestones=[-5, 10]), "not negative, but got -5"),
        (lambda: multistep(milestones=[]), "needs at least one"),
        (
            lambda: multistep(milestones=["10%", 5, "60%"]).values(100),
            "milestones must rise, but come to 10, 5",
        ),
        (lambda: warmup(0), "a length must be above zero"),
        (lambda: warmup("0%"), "above zero, but got '0%'"),
        (lambda: warmup("120%"), "cannot exceed 100%"),
        (lambda: warmup(shape="exponential"), "cannot start from 0"),
        (lambda: decay(shape="exponential"), "never reaches 0"),
        (lambda: decay(shape="sqrt"), "must be one of 'linear', '1-sqrt'"),  # type: ignore[arg-type]
        (lambda: one_cycle(top="100%").values(10), "must lie inside the run"),
        (
            lambda: step(every="1e-300 steps").values(10),
            "'1e-300 steps' comes to 1e-300 updates, which is none",
        ),
        (lambda: (fixed(1e308) * fixed(1e308)).values(10), "leaves the range of float64: overflow"),
        (lambda: one_cycle(top="60%", three_phase=True).values(10), "three_phase needs top below half"),
        (lambda: piecewise(at=[0, 10], factors=[1.0]), "one factor per place, but got 2 places and 1"),
        (lambda: linear(start=0.0, end=0.0), "must not both be 0"),
        (lambda: plateau(cuts=[20, 10]), "rising order"),
        (lambda: fixed(0.1, 0.2), "takes lr and nothing else, but got 2 values"),  # type: ignore[call-arg]
        (lambda: exp(), "exp needs gamma, for example exp"),  # type: ignore[call-arg]
        (lambda: step(gama=0.1), "step has no parameter 'gama': did you mean 'gamma'"),  # type: ignore[call-arg]
    ],
)
def test_bad_parameters_say_what_is_wrong(build, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        build()
