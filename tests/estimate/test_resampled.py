"""The bootstrap over folds and seeds: what it must keep, and how far it must scatter."""

from __future__ import annotations

import numpy as np
import pytest

from stepsize.estimate import Regret, resampled

FOLDS = np.random.default_rng(3).normal(1.0, 0.1, size=8)
"""What each fold's loss is at the first rate."""


def several(*offsets: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Losses (1, R) and folds (1, R, F) of rates that differ by these offsets, per fold or in all."""
    folds = np.stack([FOLDS + offset for offset in offsets])[None]
    return folds.mean(axis=2), folds


def test_what_rates_have_in_common_is_no_doubt() -> None:
    """Folds that are harder for every rate alike do not blur which one is best."""
    losses, folds = several(0.1, 0.0, 0.3)
    draws = resampled(losses, folds)
    assert draws.std(axis=0).min() > 0.01
    assert np.allclose(draws[:, 0] - draws[:, 1], 0.1)
    lost = Regret.measured([0.1, 0.2, 0.4], draws - draws[:, [1]], 1.0).lost
    assert lost == pytest.approx([0.1, 0.0, 0.3])


def test_differences_scatter_by_their_standard_error() -> None:
    rough = np.random.default_rng(5).normal(0.0, 0.2, size=8)
    losses, folds = several(0.0, rough)
    draws = resampled(losses, folds, draws=20_000)
    found = draws[:, 1] - draws[:, 0]
    assert found.mean() == pytest.approx(rough.mean(), abs=0.002)
    assert found.std() == pytest.approx(rough.std() / np.sqrt(8), rel=0.03)


def test_seeds_that_agree_on_which_rate_is_better_leave_no_doubt() -> None:
    folds = np.concatenate([several(0.1, 0.0)[1], several(0.4, 0.3)[1]])
    draws = resampled(folds.mean(axis=2), folds)
    assert np.allclose(draws[:, 0] - draws[:, 1], 0.1)


def test_seeds_that_disagree_are_drawn_like_the_folds() -> None:
    """Of four draws of two seeds one is twice the first, one twice the second, and two are both."""
    folds = np.concatenate([several(0.0, 0.2)[1], several(0.4, 0.0)[1]])
    for kept in (slice(None), slice(1)):
        part = folds[:, :, kept]
        draws = resampled(part.mean(axis=2), part, draws=4000)
        found, counts = np.unique((draws[:, 0] - draws[:, 1]).round(9), return_counts=True)
        assert found.tolist() == pytest.approx([-0.2, 0.1, 0.4])
        assert counts / 4000 == pytest.approx([0.25, 0.5, 0.25], abs=0.03)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_a_rate_that_diverged_is_infinite_in_every_draw(bad: float) -> None:
    losses, folds = several(0.0, 0.1)
    losses[0, 1] = folds[0, 1, 2] = bad
    draws = resampled(losses, folds)
    assert np.isfinite(draws[:, 0]).all()
    assert np.isposinf(draws[:, 1]).all()


def test_one_fold_of_one_seed_tells_nothing_but_its_losses() -> None:
    assert resampled([[1.0, 2.0]], [[[1.0], [2.0]]]).tolist() == [[1.0, 2.0]]


def test_the_same_call_gives_the_same_draws() -> None:
    losses, folds = several(0.0, 0.1)
    assert np.array_equal(resampled(losses, folds), resampled(losses, folds))
