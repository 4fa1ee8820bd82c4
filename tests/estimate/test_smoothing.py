import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stepsize.estimate import centred_average, debiased_average, finite_length, mean_over_seeds

curves = arrays(np.float64, st.integers(1, 40), elements=st.floats(-1e6, 1e6))
betas = st.floats(0, 0.99)


def test_debiased_average_follows_its_recursion() -> None:
    losses = np.random.default_rng(0).normal(size=50)
    v, expected = 0.0, []
    for i, loss in enumerate(losses, start=1):
        v = 0.98 * v + 0.02 * loss
        expected.append(v / (1 - 0.98**i))
    np.testing.assert_allclose(debiased_average(losses), expected, rtol=1e-12)


@pytest.mark.parametrize("average", [debiased_average, centred_average])
@given(level=st.floats(-1e6, 1e6), n=st.integers(1, 40), beta=betas)
def test_a_constant_stays_constant(average, level: float, n: int, beta: float) -> None:  # type: ignore[no-untyped-def]
    np.testing.assert_allclose(average(np.full(n, level), beta), level, rtol=1e-9)


@pytest.mark.parametrize("average", [debiased_average, centred_average])
@given(losses=curves, beta=betas)
def test_an_average_stays_within_what_it_averages(average, losses, beta: float) -> None:  # type: ignore[no-untyped-def]
    slack = 1e-9 * np.abs(losses).max()
    smoothed = average(losses, beta)
    assert (smoothed >= losses.min() - slack).all()
    assert (smoothed <= losses.max() + slack).all()


def test_the_centred_average_keeps_a_line_in_place_where_the_forward_one_trails() -> None:
    line = np.arange(400.0)
    middle = slice(150, 250)
    np.testing.assert_allclose(centred_average(line, 0.8)[middle], line[middle], atol=1e-9)
    np.testing.assert_allclose(debiased_average(line, 0.8)[middle], line[middle] - 4, atol=1e-9)  # β/(1−β)


@given(losses=curves, beta=betas)
def test_the_centred_average_has_no_direction(losses, beta: float) -> None:  # type: ignore[no-untyped-def]
    forward, backward = centred_average(losses, beta), centred_average(losses[::-1], beta)[::-1]
    np.testing.assert_allclose(forward, backward, rtol=1e-9, atol=1e-9 * np.abs(losses).max())


@pytest.mark.parametrize("average", [debiased_average, centred_average])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_divergence_poisons_nothing_before_it(average, bad: float) -> None:  # type: ignore[no-untyped-def]
    losses = np.random.default_rng(1).normal(size=30)
    diverged = losses.copy()
    diverged[20] = bad
    np.testing.assert_array_equal(average(diverged)[:20], average(losses[:20]))
    assert np.isnan(average(diverged)[20:]).all()


def test_finite_length() -> None:
    assert finite_length([1.0, 2.0]) == 2
    assert finite_length([1.0, np.inf, 2.0]) == 1
    assert finite_length([np.nan]) == 0
    assert finite_length([]) == 0


def test_the_mean_over_seeds_is_infinite_where_one_diverged() -> None:
    assert mean_over_seeds([[1.0, 2.0, 3.0], [3.0, -np.inf, np.nan]]).tolist() == [2.0, np.inf, np.inf]
    assert mean_over_seeds([1.0, np.nan]).tolist() == [1.0, np.inf]


@pytest.mark.parametrize("beta", [-0.1, 1.0, np.nan])
def test_beta_is_checked(beta: float) -> None:
    with pytest.raises(ValueError, match=r"beta must lie in \[0, 1\), but got beta="):
        debiased_average([1.0], beta)


def test_the_shape_is_checked() -> None:
    with pytest.raises(ValueError, match=r"losses must be one curve of shape \(n,\), but got shape \(1, 2\)"):
        centred_average([[1.0, 2.0]])
