import numpy as np
import pytest

from stepsize.estimate import read_shape, smooth
from tests.estimate.curves import LRS, sigmoid_fall

CURVE = sigmoid_fall(LRS)
NOISY = CURVE + 0.05 * np.random.default_rng(3).normal(size=LRS.size)


@pytest.mark.parametrize(
    ("losses", "form"),
    [
        (CURVE, "turns"),
        (np.minimum.accumulate(CURVE), "falling"),
        (CURVE[:50], "falling"),
        (np.where(LRS < 0.5, CURVE, np.nan), "turns"),
        (np.where(LRS < 0.5, CURVE, 1e9), "turns"),
        (np.linspace(1, 2, 40), "rising"),
        (CURVE[LRS > 0.74], "rising"),
        (np.where(LRS < 1e-3, 2.3, np.inf), "rising"),
        (np.full(100, 2.3), "flat"),
        (np.zeros(100), "flat"),
        (np.full(100, np.nan), "diverged"),
        (np.where(np.arange(100) < 5, CURVE, np.nan), "diverged"),
        (CURVE[-7:], "too_few_points"),
        (np.array([]), "too_few_points"),
        (-1 - 1 / CURVE, "turns"),
        (np.r_[5e-324, np.zeros(9)], "falling"),
    ],
)
def test_forms(losses: np.ndarray, form: str) -> None:
    assert read_shape(losses).form == form


@pytest.mark.parametrize("n", [10, 41, 100, 300])
def test_noise_alone_is_flat(n: int) -> None:
    generator = np.random.default_rng(0)
    forms = [read_shape(2.3 + 0.1 * generator.normal(size=n)).form for _ in range(400)]
    # 3% at 10 points and under 1% from 41 on are expected; 5% is three standard deviations above the former
    assert np.mean([form != "flat" for form in forms]) < 0.05


@pytest.mark.parametrize("noise", [0.02, 0.1, 0.2])
def test_a_fall_is_seen_through_noise(noise: float) -> None:
    generator = np.random.default_rng(0)
    forms = [read_shape(CURVE + noise * generator.normal(size=100)).form for _ in range(200)]
    assert forms.count("turns") >= 198


def test_noise_is_measured() -> None:
    generator = np.random.default_rng(0)
    unsmoothed = [read_shape(0.0 * CURVE + generator.normal(size=100)) for _ in range(200)]
    # two-sided weights of β = 2/3 leave √((1−β)(1+β²)/(1+β)³) = 0.32 of the deviation
    assert np.mean([shape.noise for shape in unsmoothed]) == pytest.approx(0.3226, rel=0.05)


def test_one_spike_is_not_divergence() -> None:
    spiked = CURVE.copy()
    spiked[40] = 50.0
    shape = read_shape(spiked)
    assert shape.form == "turns"
    assert shape.length > 80
    assert LRS[shape.turn] == pytest.approx(0.74, rel=0.2)


def test_what_follows_the_blow_up_does_not_move_the_turn() -> None:
    small, large = CURVE.copy(), CURVE.copy()
    small[LRS > 2], large[LRS > 2] = 3.0, 1e30
    assert read_shape(small).turn == read_shape(large).turn


def test_a_curve_without_noise_is_left_nearly_as_it_is() -> None:
    before = LRS <= 1.2
    np.testing.assert_allclose(smooth(CURVE)[before], CURVE[before], atol=0.02)


def test_noise_is_averaged_away_without_lag() -> None:
    generator = np.random.default_rng(0)
    kept = LRS <= 0.74
    averages = np.array([smooth(CURVE + 0.1 * generator.normal(size=100)) for _ in range(200)])[:, kept]
    assert np.sqrt(np.mean((averages - CURVE[kept]) ** 2)) < 0.05  # half of what the raw losses have
    falling = LRS[kept] < 0.3  # nearer to the turn the steep rise behind it is averaged in
    assert np.abs(averages.mean(axis=0) - CURVE[kept])[falling].max() < 0.05


def test_a_blow_up_does_not_reach_back() -> None:
    small, large = NOISY.copy(), NOISY.copy()
    small[90:], large[90:] = 10.0, 1e30
    np.testing.assert_array_equal(smooth(small)[:90], smooth(large)[:90])
    np.testing.assert_array_equal(smooth(large)[90:], 1e30)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nothing_is_smoothed_beyond_the_first_bad_loss(bad: float) -> None:
    losses = NOISY.copy()
    losses[80] = bad
    assert np.isfinite(smooth(losses)[:80]).all()
    assert np.isnan(smooth(losses)[80:]).all()
    assert smooth([]).size == 0
    assert smooth([3.0, 2.0]).tolist() == [3.0, 2.0]
