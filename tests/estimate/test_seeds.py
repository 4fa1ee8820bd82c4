import numpy as np
import pytest

from stepsize.estimate import horizon_trend, minimising_rate_interval, rate_effect

GRID = 0.01 * 1.3 ** np.arange(24)


def bowls(bests: list[float]) -> np.ndarray:
    return np.stack([0.05 * np.log(GRID / best) ** 2 for best in bests])


def test_seeds_that_agree_leave_a_point() -> None:
    low, high = minimising_rate_interval(GRID, bowls([0.2, 0.2, 0.2]))
    assert low == high == pytest.approx(0.2, rel=0.07)


def test_the_interval_spans_what_resampled_seeds_say() -> None:
    # the mean of parabolas is the parabola at the mean log rate: 27 resamples, of which the extreme
    # two (all of one seed) have 1/27 each and lie outside 90%
    low, high = minimising_rate_interval(GRID, bowls([0.1, 0.2, 0.4]))
    assert low == pytest.approx(0.1 * 2 ** (1 / 3), rel=0.07)
    assert high == pytest.approx(0.4 / 2 ** (1 / 3), rel=0.07)
    assert minimising_rate_interval(GRID, bowls([0.1, 0.2, 0.4]), level=0.99) == pytest.approx(
        (0.1, 0.4), rel=0.07
    )


def test_a_rate_that_one_seed_diverged_at_is_never_best() -> None:
    losses = bowls([0.2, 0.2, 0.2])
    losses[2, GRID > 0.15] = np.inf
    low, high = minimising_rate_interval(GRID, losses)
    assert low == high == GRID[GRID <= 0.15][-1]


def test_enumeration_equals_drawing() -> None:
    from stepsize.estimate import seeds

    generator = np.random.default_rng(0)
    weights, chances = seeds._resamples(3, 0, None)
    assert chances.sum() == pytest.approx(1)
    assert len(weights) == 10
    drawn = generator.multinomial(3, [1 / 3] * 3, size=20_000) / 3
    for weight, chance in zip(weights, chances, strict=True):
        share = np.mean((np.abs(drawn - weight) < 1e-9).all(axis=1))
        assert share == pytest.approx(chance, abs=4 * np.sqrt(chance / 20_000))


def test_many_seeds_need_a_generator() -> None:
    losses = bowls([0.1, 0.15, 0.2, 0.2, 0.2, 0.25, 0.3, 0.4])
    with pytest.raises(ValueError, match="generator is needed for more than 6 seeds, but got 8"):
        minimising_rate_interval(GRID, losses)
    low, high = minimising_rate_interval(GRID, losses, generator=np.random.default_rng(0))
    assert 0.1 < low < 0.2 < high < 0.4
    assert (low, high) == minimising_rate_interval(GRID, losses, generator=np.random.default_rng(0))


def test_coverage_with_six_seeds() -> None:
    generator = np.random.default_rng(0)
    grid = np.geomspace(0.02, 2, 40)
    hits = 0
    for _ in range(200):
        bests = 0.2 * np.exp(0.3 * generator.normal(size=6))
        losses = np.stack([0.05 * np.log(grid / best) ** 2 for best in bests])
        low, high = minimising_rate_interval(grid, losses, level=0.9)
        hits += low <= 0.2 <= high
    # the bootstrap's variance is 5/6 of the true one: about 0.82 are expected, here ± 3 standard deviations
    assert 0.73 <= hits / 200 <= 0.91


def test_rate_effect_on_agreement_and_noise() -> None:
    assert rate_effect(bowls([0.2, 0.2])).p == 0
    assert rate_effect(np.full((3, 5), 2.3)).p == 1
    generator = np.random.default_rng(0)
    p = [rate_effect(generator.normal(size=(3, 8))).p for _ in range(1000)]
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.03)


def test_rate_effect_is_blind_to_how_far_a_loss_went() -> None:
    losses = bowls([0.2, 0.3, 0.25])
    losses[:, -3:] = [np.inf, np.inf, np.inf]
    far = losses.copy()
    far[:, -3:] = [1e9, 1e9, 1e9]
    assert rate_effect(losses) == rate_effect(far)
    losses[:, -3:] = np.nan
    assert rate_effect(losses) == rate_effect(far)


def test_rate_effect_follows_scipys_friedman_test() -> None:
    from scipy.stats import friedmanchisquare

    losses = np.random.default_rng(0).integers(0, 4, size=(5, 6))  # with ties
    expected = friedmanchisquare(*losses.T).statistic / (5 * (6 - 1))  # Kendall's W
    assert rate_effect(losses).agreement == pytest.approx(expected)


def test_rate_effect_needs_two_seeds() -> None:
    with pytest.raises(ValueError, match=r"at least 2 seeds and 2 rates, but got shape \(1, 5\)"):
        rate_effect(np.ones((1, 5)))


def test_horizon_trend() -> None:
    assert horizon_trend([100, 400], [0.4, 0.2]) == pytest.approx(-0.5)
    assert horizon_trend([100, 400], [0.4, 0.4]) == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match="at least 2 different horizons"):
        horizon_trend([100, 100], [0.4, 0.2])
