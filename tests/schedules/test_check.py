"""The lint, the Robbins-Monro verdicts, and the difference of two schedules."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from stepsize.schedules import (
    SHAPES,
    Run,
    Schedule,
    cosine,
    decay,
    exp,
    fixed,
    hold,
    inv,
    multistep,
    one_cycle,
    poly,
    step,
    warm_restarts,
    warmup,
    wsd,
)


def kinds(schedule: Schedule, run: Run | int = 1000) -> list[tuple[str, int]]:
    return [(finding.kind, finding.update) for finding in schedule.check(run).findings]


@pytest.mark.parametrize(
    "text",
    [
        "cosine(0.1)",
        "0.1 * (warmup(2%) | cosine(floor=0.01))",
        "wsd(0.1)",
        "one_cycle(0.1)",
        "step(0.1, gamma=0.9, every=50)",
        "multistep(0.1)",
        "warm_restarts(0.1, first=50%)",
        "warmup('5%') * inv(0.1, gamma=0.001)",
    ],
)
def test_good_schedules_are_left_in_peace(text: str) -> None:
    assert kinds(Schedule.parse(text)) == []


def test_a_first_rate_of_zero() -> None:
    assert kinds(warmup(10, zero_first=True) | cosine()) == [("zero_first_rate", 0)]


def test_rates_of_zero_before_the_end() -> None:
    schedule = Schedule.parse("piecewise(0.1, at=[0, 500], factors=[1, 0])")
    assert kinds(schedule) == [("zero_rate", 500)]


def test_a_jump_up_between_phases() -> None:
    assert kinds(warmup(100, lr=0.1) | cosine(1.0)) == [("jump_up", 100)]
    assert kinds(0.5 * (decay("50%", floor=0.1) | hold())) == [("jump_up", 500)]
    assert kinds(hold("50%") | hold(lr=0.1)) == []


def test_a_peak_that_the_run_never_reaches() -> None:
    assert kinds(Schedule.parse("noam(0.1, warmup=4000)")) == [("peak_not_reached", 999)]
    assert kinds(warmup("50%") * cosine(0.1)) == [("peak_not_reached", 415)]


def test_a_run_that_stops_in_mid_cycle() -> None:
    assert kinds(warm_restarts(0.1, first=400)) == [("revival", 799)]


def test_milestones_after_the_end() -> None:
    assert kinds(multistep(0.1, milestones=[500, 5000])) == [("milestone_after_end", 1000)]


def test_what_does_not_fit_is_a_finding_and_not_an_exception() -> None:
    report = (warmup(2000) | cosine()).check(1000)
    assert [finding.kind for finding in report.findings] == ["does_not_fit"]
    assert "2000 of 1000" in report.findings[0].message
    assert report.area is None
    assert not report.ok
    assert kinds(cosine().over("1 epochs"), Run(samples=100, batch_size=10, epochs=10)) == [
        ("does_not_fit", 0)
    ]


def test_the_numbers_of_a_schedule() -> None:
    report = fixed(0.1).check(1000)
    assert report.area == pytest.approx(100)
    assert report.squares == pytest.approx(10)
    assert report.effective_memory == pytest.approx(1000)
    line = Schedule.parse("linear(0.1)").check(10_000)
    assert line.area == pytest.approx(500, rel=1e-3)
    assert line.squares == pytest.approx(100 / 3, rel=1e-3)
    assert line.effective_memory == pytest.approx(7500, rel=1e-3)


def test_the_report_reads() -> None:
    text = str((warmup(10, zero_first=True) | cosine(0.1)).check(100))
    assert text.splitlines()[0].startswith("zero_first_rate at update 0: the first update has rate 0")
    assert "effective memory" in text
    assert text.splitlines()[-1].startswith("Robbins-Monro: not satisfied: it stops by design")


VERDICTS = {
    "fixed(0.1)": (True, False),
    "step(0.1, gamma=0.9, every=50)": (False, True),
    "step(0.1, gamma=1, every=50)": (True, False),
    "multistep(0.1, milestones=[3, 6])": (True, False),
    "exp(0.1, gamma=0.99)": (False, True),
    "inv(0.1, gamma=0.1, power=0.4)": (True, False),
    "inv(0.1, gamma=0.1, power=0.5)": (True, False),
    "inv(0.1, gamma=0.1, power=0.75)": (True, True),
    "inv(0.1, gamma=0.1, power=1)": (True, True),
    "inv(0.1, gamma=0.1, power=1.5)": (False, True),
    "sigmoid(0.1, gamma=0.01, centre=50)": (True, False),
    "sigmoid(0.1, gamma=-0.01, centre=50)": (False, True),
    "inverse_sqrt(0.1, warmup=100)": (True, False),
    "noam(0.1, warmup=100)": (True, False),
    "power(0.1, exponent=-0.75, knee=100)": (True, True),
    "power(0.1, exponent=-1.5, knee=100)": (False, True),
    "warm_restarts(0.1, first=10, growth=2)": (True, False),
    "warm_restarts(0.1, first=10, growth=2, decay=0.6)": (True, True),
    "warm_restarts(0.1, first=10, growth=2, decay=0.4)": (False, True),
    "warm_restarts(0.1, first=10, decay=0.5)": (False, True),
    "triangular(0.1, up=5, floor=0)": (True, False),
    "triangular2(0.1, up=5, floor=0)": (False, True),
    "exp_range(0.1, gamma=0.99, up=5, floor=0)": (False, True),
    "exp_range(0.1, gamma=0.99, up=5, floor=0.1)": (True, False),
    "plateau(0.1, cuts=[10])": (True, False),
    "warmup(10) | inv(gamma=0.1, power=1)": (True, True),
    "inv(gamma=0.1, power=0.4) * inv(gamma=0.1, power=0.4)": (True, True),
    "inv(gamma=0.1, power=1).clip(low=0.01)": (True, False),
    "inv(gamma=0.1, power=1).clip(high=0.01)": (True, True),
    "0.1 * (warmup(10) | exp(gamma=0.9))": (False, True),
}


@pytest.mark.parametrize("text", VERDICTS)
def test_the_verdict_of_the_endless_extension(text: str) -> None:
    verdict = Schedule.parse(text).robbins_monro()
    assert (verdict.sum_diverges, verdict.squares_converge) == VERDICTS[text]
    assert verdict.satisfied == all(VERDICTS[text])


@pytest.mark.parametrize("text", VERDICTS)
def test_partial_sums_confirm_the_verdict(text: str) -> None:
    """A sum converges if what each further decade of updates adds shrinks geometrically, else it diverges."""
    tail = Schedule.parse(text)._tail()
    assert tail is not None
    bound = Schedule.parse(text).resolve()
    ends = [10**decade for decade in range(3, 8)]
    sums = np.array([_between(bound, low, high) for low, high in itertools.pairwise(ends)])
    for column, converges in ((0, not tail.sum_diverges), (1, tail.squares_converge)):
        order = tail.power * (column + 1)
        if 0.85 < order < 1.15 and tail.ratio == 1:
            continue  # too near to 1/t for a few decades to tell
        added = sums[:, column]
        shrinks = bool((added[1:] <= 0.75 * added[:-1] + 1e-300).all())
        assert shrinks == converges


def _between(bound, low: int, high: int) -> tuple[float, float]:  # type: ignore[no-untyped-def]
    """Σ η and Σ η² over [low, high), from a stratified sample where that is long."""
    edges = np.unique(np.geomspace(low, high, 20_000).round())
    middle = np.floor((edges[:-1] + edges[1:]) / 2)
    weight = np.diff(edges)
    rates = bound(middle)
    return float((rates * weight).sum()), float((rates**2 * weight).sum())


@pytest.mark.parametrize(
    "schedule", [cosine(), poly(), one_cycle(), wsd(), decay(), exp(gamma=0.1, every="100%")]
)
def test_what_ends_stops_by_design(schedule: Schedule) -> None:
    verdict = schedule.robbins_monro()
    assert (verdict.satisfied, verdict.sum_diverges, verdict.squares_converge) == (False, None, None)
    assert "stops by design" in verdict.reason


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_every_shape_has_a_verdict_in_words(name: str) -> None:
    assert str(Schedule.parse(SHAPES[name].example).robbins_monro()).startswith("Robbins-Monro: ")


def test_the_reason_names_the_sum_that_fails() -> None:
    assert "Σ η² = ∞" in fixed(0.1).robbins_monro().reason
    assert "Σ η < ∞" in exp(gamma=0.9).robbins_monro().reason
    assert "t^-1" in inv(gamma=1.0, power=1.0).robbins_monro().reason


def test_the_difference_of_two_schedules() -> None:
    difference = cosine(0.1).diff(cosine(0.1, floor=0.1), 1000)
    assert difference.first == 1
    assert difference.worst == 999
    assert difference.largest == pytest.approx(0.1, rel=1e-3)
    assert difference.area == pytest.approx(1.1, rel=1e-3)
    assert "999 of 1000 rates differ, from update 1 on; most at update 999" in str(difference)
    same = cosine(0.1).diff(0.1 * cosine(), 100)
    assert same.same
    assert "the same 100 rates" in str(same)


def test_the_difference_is_drawn() -> None:
    axes = step(0.1).diff(fixed(0.1), 100).plot()
    assert len(axes.lines) == 2
    assert len(axes.collections) == 1
