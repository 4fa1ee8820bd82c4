"""What every registered schedule must do; a new one is covered as soon as it is registered."""

from __future__ import annotations

import inspect
import pickle

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import stepsize.schedules as schedules
from stepsize.schedules import COMPOSITIONS, SHAPES, Run, Schedule
from stepsize.schedules.policy import Policy, maker
from tests.schedules.strategies import policies

RUN = Run(samples=4000, batch_size=10, epochs=2.5, tokens_per_sample=7)
NAMES = sorted(SHAPES)


def example(name: str) -> Policy:
    policy = Schedule.parse(SHAPES[name].example)
    assert isinstance(policy, Policy)
    return policy


def filling(policy: Policy) -> Policy:
    """The same shape on the whole run, for phases that are shorter."""
    arguments = policy.values_by_name
    if policy.shape.sized:
        arguments["over"] = None
    made = maker(policy.name)(lr=policy.lr, **arguments)
    assert isinstance(made, Policy)
    return made


@pytest.mark.parametrize("name", NAMES)
def test_a_shape_is_public_documented_sourced_and_its_example_is_of_its_kind(name: str) -> None:
    assert name in schedules.__all__
    make = getattr(schedules, name)
    entry = SHAPES[name]
    assert make.__name__ == name
    assert inspect.signature(make).parameters["lr"].default == 1.0
    assert entry.summary.endswith((".", ":")) or "η" in entry.summary
    assert entry.source
    assert example(name).name == name


@pytest.mark.parametrize("name", NAMES)
def test_rates_are_float64_finite_never_negative_and_never_above_the_peak(name: str) -> None:
    policy = filling(example(name))
    values = policy.values(RUN)
    assert values.dtype == np.float64
    assert values.shape == (RUN.steps,)
    assert np.isfinite(values).all()
    assert (values >= 0).all()
    assert values.max() <= policy.peak * (1 + 1e-15)


@pytest.mark.parametrize("name", NAMES)
def test_past_the_end_the_last_value_holds(name: str) -> None:
    bound = filling(example(name)).resolve(RUN)
    last = bound(RUN.steps)
    past = bound(RUN.steps + np.array([0, 1, 7, 10**6, 10**15]))
    assert (past == last).all()
    assert bound(10**300) == last
    if SHAPES[name].trend == "falling":
        assert last <= bound(RUN.steps - 1)


@pytest.mark.parametrize("name", [name for name in NAMES if SHAPES[name].end])
@given(share=st.floats(0.001, 0.999))
def test_the_claimed_end_point_is_exact(name: str, share: float) -> None:
    claim = SHAPES[name].end
    assert claim is not None
    arguments = {**filling(example(name)).values_by_name, claim: share}
    policy = maker(name)(lr=0.3, **arguments)
    assert policy.resolve(RUN)(RUN.steps) == 0.3 * share


@given(policy=policies())
def test_the_claimed_trend_holds_for_any_parameters(policy: Policy) -> None:
    trend = policy.shape.trend_of(policy.values_by_name)
    values = _values(policy)
    slack = 4 * np.finfo(float).eps * policy.peak
    if trend == "falling":
        assert (np.diff(values) <= slack).all()
    elif trend == "rising":
        assert (np.diff(values) >= -slack).all()


@given(policy=policies())
def test_any_admitted_parameters_give_finite_rates_up_to_the_peak(policy: Policy) -> None:
    values = _values(policy)
    assert np.isfinite(values).all()
    assert (values >= 0).all()
    assert (values <= policy.peak * (1 + 1e-12)).all()


def _values(policy: Policy) -> np.ndarray:
    try:
        return filling(policy).resolve(RUN)(np.arange(RUN.steps + 3))
    except ValueError:  # a turn that does not lie inside this run, say
        assume(False)
        raise


@given(policy=policies(), times=st.lists(st.floats(0, 2000) | st.integers(0, 2000), min_size=1, max_size=9))
def test_scalar_and_array_agree_bit_for_bit(policy: Policy, times: list[float]) -> None:
    try:
        bound = filling(policy).resolve(RUN)
    except ValueError:
        return
    together = bound(np.array(times))
    assert [bound(t) for t in times] == together.tolist()
    assert [bound(np.float64(t)) for t in times] == together.tolist()
    whole = [int(t) for t in times]
    assert [bound(np.int32(t)) for t in whole] == [bound(t) for t in whole] == bound(np.array(whole)).tolist()
    square = np.array([times, times])
    assert (bound(square) == np.array([together, together])).all()
    assert (bound(square.T) == np.array([together, together]).T).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_shortest_runs_give_rates_or_a_clear_error(name: str, steps: int) -> None:
    try:
        values = filling(example(name)).values(steps)
    except ValueError as error:
        problem = str(error)
    else:
        problem = ""
        assert np.isfinite(values).all()
    assert not problem or (name in problem and "must" in problem)


@pytest.mark.parametrize("name", [*NAMES, *COMPOSITIONS])
def test_names_survive_text_json_and_pickle(name: str) -> None:
    schedule = example(name) if name in SHAPES else Schedule.parse(name)
    assert Schedule.parse(str(schedule)) == schedule
    assert Schedule.from_json(schedule.to_json()) == schedule
    assert pickle.loads(pickle.dumps(schedule)) == schedule


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("lr", [0, -0.1, float("nan"), float("inf"), "0.1", True, None])
def test_a_peak_that_is_no_rate_is_refused(name: str, lr: object) -> None:
    arguments = example(name).values_by_name
    with pytest.raises(ValueError, match=f"{name}: lr must be"):
        maker(name)(lr=lr, **arguments)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("t", [-1, -0.5, float("nan"), np.int64(-3), [0, -1], [0.0, float("nan")]])
def test_an_update_before_the_first_is_refused(name: str, t: object) -> None:
    bound = filling(example(name)).resolve(RUN)
    with pytest.raises(ValueError, match="numbered from 0"):
        bound(t)  # type: ignore[call-overload]
