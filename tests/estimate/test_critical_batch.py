"""The fit of S = S_min (1 + B_crit / B): exact on exact data, covered by its intervals on noisy data."""

from __future__ import annotations

import numpy as np
import pytest

from stepsize.estimate.critical_batch import curve_interval, fit_critical_batch

SIZES = 4.0 * 2.0 ** np.arange(8)


def curve(minimum: float, critical: float, sizes: np.ndarray = SIZES) -> np.ndarray:
    return np.asarray(minimum * (1 + critical / sizes))


def test_exact_data_give_exact_parameters() -> None:
    fit = fit_critical_batch(SIZES, curve(30.0, 64.0))
    assert fit.status == "ok"
    assert fit.updates_min == pytest.approx(30.0, rel=1e-4)
    assert fit.batch == pytest.approx(64.0, rel=1e-4)
    assert fit.updates(64.0) == pytest.approx(60.0, rel=1e-4)


def test_intervals_cover_in_nine_of_ten_cases_and_more() -> None:
    """400 data sets with 10% noise; 95% asked for, the bound three standard deviations of the count below."""
    generator = np.random.default_rng(0)
    batch = updates = 0
    for _ in range(400):
        fit = fit_critical_batch(SIZES, curve(30.0, 64.0) * np.exp(0.1 * generator.normal(size=len(SIZES))))
        batch += fit.batch_low <= 64.0 and (fit.batch_high is None or fit.batch_high >= 64.0)
        updates += fit.updates_low <= 30.0 and (fit.updates_high is None or fit.updates_high >= 30.0)
    assert batch >= 0.92 * 400
    assert updates >= 0.92 * 400


def test_the_curves_interval_covers_it_in_nine_of_ten_cases_and_more() -> None:
    """400 data sets with 10% noise, at batch sizes within and far beyond those tried, three deviations."""
    generator = np.random.default_rng(1)
    at = np.array([1.0, 4.0, 64.0, 512.0, 1e5])
    covered = np.zeros(len(at))
    for _ in range(400):
        updates = curve(30.0, 64.0) * np.exp(0.1 * generator.normal(size=len(SIZES)))
        low, high = curve_interval(SIZES, updates, at)
        covered += (low <= curve(30.0, 64.0, at)) & (curve(30.0, 64.0, at) <= high)
    assert (covered >= 0.92 * 400).all()


def test_far_out_the_curves_interval_is_that_of_the_fewest_updates() -> None:
    updates = curve(30.0, 64.0) * np.exp(0.05 * np.random.default_rng(2).normal(size=len(SIZES)))
    fit = fit_critical_batch(SIZES, updates)
    low, high = curve_interval(SIZES, updates, np.array([1e9]))
    assert low[0] == pytest.approx(fit.updates_low, rel=1e-3)
    assert high[0] == pytest.approx(fit.updates_high, rel=1e-3)


def test_the_curve_of_four_batch_sizes_has_no_interval() -> None:
    with pytest.raises(ValueError, match="at least 5 batch sizes, but got 4"):
        curve_interval(SIZES[:4], curve(30.0, 64.0, SIZES[:4]), SIZES)


def test_updates_that_fall_throughout_leave_no_upper_end() -> None:
    generator = np.random.default_rng(1)
    fit = fit_critical_batch(SIZES, 1e4 / SIZES * np.exp(0.05 * generator.normal(size=len(SIZES))))
    assert fit.status == "no_saturation"
    assert fit.batch_high is None
    assert fit.batch_low > SIZES.max() / 2
    assert fit.updates_low == 0.0


def test_updates_that_stay_leave_no_lower_end() -> None:
    generator = np.random.default_rng(2)
    fit = fit_critical_batch(SIZES, 50.0 * np.exp(0.05 * generator.normal(size=len(SIZES))))
    assert fit.status == "no_gain"
    assert fit.batch_low == 0.0
    assert fit.batch_high is not None
    assert fit.batch_high < SIZES.min()
    assert fit.updates_low < 50 < (fit.updates_high or 0)


def test_noise_alone_is_undetermined() -> None:
    generator = np.random.default_rng(3)
    sizes = SIZES[:5]
    fit = fit_critical_batch(sizes, np.exp(2 * generator.normal(size=5)))
    assert fit.status == "undetermined"


def test_seeds_that_disagree_widen_the_interval() -> None:
    exact = curve(30.0, 64.0)
    spread = exact[:, None] * np.array([0.8, 1.0, 1.25])
    alone, seeded = fit_critical_batch(SIZES, exact), fit_critical_batch(SIZES, spread)
    assert seeded.batch == pytest.approx(64.0, rel=1e-3)
    assert seeded.batch_low < 0.8 * alone.batch_low
    assert seeded.error == pytest.approx(np.log(1.25) / np.sqrt(3), rel=1e-3)


def test_four_batch_sizes_are_too_few() -> None:
    fit = fit_critical_batch(SIZES[:4], curve(30.0, 64.0)[:4])
    assert fit.status == "too_few_batch_sizes"
    assert fit.batch is None
    assert np.isnan(fit.updates(8))


@pytest.mark.parametrize(
    ("sizes", "updates", "message"),
    [
        ([1, 2, 4, 8, 16], [5, 4, 3, np.inf, 2], "no target was reached"),
        ([1, 2, 4, 4, 16], [5, 4, 3, 2.5, 2], "all be different"),
        ([1, 2, 4, 8], [5, 4, 3], "must be \\(n,\\)"),
        ([1, 2, 4, 8, 0], [5, 4, 3, 2, 1], "above 0"),
    ],
)
def test_bad_data_are_named(sizes: list[float], updates: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_critical_batch(np.array(sizes), np.array(updates))
