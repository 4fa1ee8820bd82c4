"""Combining schedules: what the operators mean, and what they refuse."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import numpy as np
import pytest
from hypothesis import given

from stepsize.schedules import (
    Schedule,
    cosine,
    decay,
    dip,
    exp,
    fixed,
    hold,
    inv,
    linear,
    one_cycle,
    step,
    warmup,
    wsd,
)
from stepsize.schedules.algebra import Joint, Sequence
from tests.schedules.strategies import schedules


def test_each_phase_has_a_clock_of_its_own() -> None:
    values = (warmup(10) | cosine(floor=0.1)).values(110)
    assert (values[:10] == np.arange(1, 11) / 10).all()
    assert (values[10:] == cosine(floor=0.1).values(100)).all()


def test_a_product_runs_on_the_whole_clock() -> None:
    values = (warmup("10%") * cosine()).values(100)
    ramp = np.minimum((np.arange(100) + 1) / 10, 1.0)
    assert (values == ramp * cosine().values(100)).all()


def test_a_product_is_the_same_inside_a_phase() -> None:
    product = warmup(5) * cosine()
    assert ((hold(20) | product).values(100)[20:] == product.values(80)).all()
    assert ((product.over(80) | hold(20)).values(100)[:80] == product.values(80)).all()


def test_scaling_scales_the_rate_and_not_its_controls() -> None:
    schedule = 0.5 * one_cycle(0.2).along(momentum=0.95 * dip(low=0.9), weight_decay=fixed(1e-4))
    assert schedule.peak == 0.1
    momentum = schedule.momentum_values(100)
    assert momentum is not None
    assert momentum[0] == 0.95
    assert set(schedule.controls(100)) == {"momentum", "weight_decay"}
    assert one_cycle(0.2).momentum_values(100) is None
    assert schedule.rate == one_cycle(0.1)


def test_scaling_folds_into_the_peak() -> None:
    assert 0.1 * cosine() == cosine(0.1) == cosine() * 0.1 == cosine(0.2) / 2
    assert np.float64(0.1) * cosine() == cosine(0.1)
    assert str(0.5 * (0.2 * (warmup("2%") | cosine()))) == "0.1 * (warmup('2%') | cosine())"


def test_at_sets_the_peak_exactly() -> None:
    for schedule in (cosine(0.7), wsd(), wsd(0.3), warmup("2%") | cosine()):
        assert schedule.at(0.1).peak == 0.1


def test_clip_keeps_the_rate_between_limits() -> None:
    values = exp(1.0, gamma=0.9).clip(low=0.2, high=0.8).values(100)
    assert (values.min(), values.max()) == (0.2, 0.8)


def test_over_takes_part_of_the_run() -> None:
    schedule = cosine().over("25%") | linear()
    assert isinstance(schedule, Sequence)
    assert (schedule.values(100)[:25] == cosine().values(25)).all()
    assert (schedule.values(100)[25:] == linear().values(75)).all()


def test_sequences_flatten_from_either_side() -> None:
    a, b, c = warmup("10%"), hold("10%"), cosine()
    assert (a | b) | c == a | (b | c)
    assert hash((a | b) | c) == hash(a | (b | c))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: cosine() | linear(), "both take the rest of the run"),
        (lambda: warmup("60%") | hold("60%"), "120% of the run"),
        (lambda: warmup("60%") | hold("40%") | cosine(), r"leaves nothing for cosine\(\)"),
        (lambda: cosine().over("10%").over("20%"), "has a length already"),
        (lambda: warmup("10%").over("20%"), r"warmup\('10%'\) has a length already"),
        (lambda: cosine().over(0), "above zero"),
        (lambda: cosine().clip(), "needs low or high"),
        (lambda: cosine().clip(0.5, 0.1), "but got low=0.5, high=0.1"),
        (lambda: cosine().clip(float("nan")), "clip: low must be a number"),
        (lambda: cosine() * 0, "positive and finite, but got 0"),
        (lambda: cosine() * float("inf"), "positive and finite, but got inf"),
        (lambda: cosine() * -1.0, "positive and finite, but got -1"),
        (lambda: cosine() / 0, "the divisor of a schedule must be positive"),
        (lambda: cosine() * 1e-300 * 1e-300, "lr must be positive"),
        (lambda: cosine().along(), "needs a name and a schedule"),
        (lambda: cosine().along(momentum=0.9), "must be a schedule"),  # type: ignore[arg-type]
        (lambda: cosine().along(lr=cosine()), "lr is the schedule itself"),
        (lambda: cosine().over("50%").along(momentum=fixed(0.9)) | hold(), r"\.along\(\.\.\.\) last"),
    ],
)
def test_contradictions_are_refused_when_written_down(build, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        build()


def test_only_schedules_join() -> None:
    with pytest.raises(TypeError):
        cosine() | 0.1  # type: ignore[operator]


def test_immutable() -> None:
    for schedule in (cosine(), wsd(), cosine().clip(high=0.5)):
        field = dataclasses.fields(schedule)[0].name  # type: ignore[arg-type]
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(schedule, field, None)


@given(schedules())
def test_text_repr_json_pickle_and_copies_give_the_same_schedule(schedule: Schedule) -> None:
    assert Schedule.parse(str(schedule)) == schedule
    assert Schedule.from_json(schedule.to_json()) == schedule
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    assert copy.deepcopy(schedule) == schedule
    names = vars(__import__("stepsize.schedules", fromlist=["*"]))
    assert eval(repr(schedule), dict(names)) == schedule
    assert hash(Schedule.parse(str(schedule))) == hash(schedule)


@given(schedules())
def test_any_tree_gives_rates_or_a_clear_error(schedule: Schedule) -> None:
    try:
        values = schedule.values(500)
    except ValueError as error:
        problem = str(error)
    else:
        problem = "none"
        assert values.dtype == np.float64
        assert np.isfinite(values).all()
        assert (values >= 0).all()
    assert problem


def test_different_schedules_are_not_equal() -> None:
    kinds = [
        cosine(),
        linear(),
        cosine(0.1),
        cosine(floor=0.1),
        cosine().over("50%"),
        cosine().clip(high=0.5),
    ]
    assert len(set(kinds)) == len(kinds)
    assert step(0.1, every=50) != step(0.1, every="50%")


def test_a_joint_schedule_keeps_its_later_control() -> None:
    schedule = inv(0.1, gamma=0.1).along(momentum=fixed(0.9)).along(momentum=fixed(0.8))
    assert isinstance(schedule, Joint)
    assert schedule.controls(5)["momentum"].tolist() == [0.8] * 5


def test_scaled_momentum_text() -> None:
    text = "one_cycle(0.1).along(momentum=dip(0.95, low=0.9))"
    assert str(Schedule.parse(text)) == text


def test_decay_alone_fills_the_run() -> None:
    assert decay().resolve(10)(10) == 0.0
