import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stepsize.estimate import basin, loss_at, minimising_rate

GRID = 0.01 * 1.5 ** np.arange(18)
finite_or_not = st.one_of(st.floats(0, 100), st.sampled_from([np.nan, np.inf]))


def bowl(lrs: np.ndarray, best: float = 0.4) -> np.ndarray:
    """0.1 at `best`, rising as 0.05 (ln lr/best)²."""
    return 0.1 + 0.05 * np.log(lrs / best) ** 2


@pytest.mark.parametrize("best", [0.3, 0.36, 0.4, 0.45])
def test_the_minimum_of_a_parabola_is_found_between_the_rates(best: float) -> None:
    nearest = GRID[np.abs(np.log(GRID / best)).argmin()]
    found = minimising_rate(GRID, bowl(GRID, best))
    if abs(np.log(best / nearest)) <= np.log(1.5) / 4:
        assert found == pytest.approx(best)
    else:  # a quarter of the gap is as far as it goes
        assert abs(np.log(found / nearest)) == pytest.approx(np.log(1.5) / 4)


def test_a_wall_beside_the_best_rate_moves_it_by_a_quarter_step_at_most() -> None:
    losses = bowl(GRID)
    losses[GRID > 0.4] = 50.0
    under = GRID[GRID <= 0.4][-1]
    assert under * 1.5**-0.25 <= minimising_rate(GRID, losses) <= under


@pytest.mark.parametrize("gone", [np.nan, np.inf])
def test_under_a_cliff_the_best_rate_is_the_tested_one(gone: float) -> None:
    losses = np.where(GRID > 0.4, gone, bowl(GRID, 2.0))
    assert minimising_rate(GRID, losses) == GRID[GRID <= 0.4][-1]


def test_at_the_grids_edge_the_best_rate_is_the_edge() -> None:
    assert minimising_rate(GRID, bowl(GRID, 1e-3)) == GRID[0]
    assert minimising_rate(GRID, bowl(GRID, 1e3)) == GRID[-1]


@given(arrays(np.float64, GRID.size, elements=finite_or_not))
def test_the_best_rate_stays_next_to_the_lowest_loss(losses: np.ndarray) -> None:
    if not np.isfinite(losses).any():
        with pytest.raises(ValueError, match="every rate diverged"):
            minimising_rate(GRID, losses)
        return
    lowest = GRID[np.where(np.isfinite(losses), losses, np.inf).argmin()]
    assert abs(np.log(minimising_rate(GRID, losses) / lowest)) <= np.log(1.5) / 4 + 1e-9


def test_the_basin_of_a_parabola() -> None:
    dense = np.geomspace(0.05, 5, 200)
    found = basin(dense, bowl(dense), start_loss=2.3)
    half = np.sqrt(0.01 * 2.2 / 0.05)  # 1% of the progress 2.2 is lost at ln(lr/best) = ±half
    assert found.lr == pytest.approx(0.4, rel=1e-3)
    assert found.low == pytest.approx(0.4 * np.exp(-half), rel=1e-3)
    assert found.high == pytest.approx(0.4 * np.exp(half), rel=1e-3)
    assert (found.low_open, found.high_open, found.cliff) == (False, False, None)
    assert found.best_loss == pytest.approx(0.1, abs=1e-4)


def test_the_basin_ends_at_a_cliff_right_above_the_optimum() -> None:
    losses = np.stack([bowl(GRID, 0.8), bowl(GRID, 0.8)])
    losses[1, GRID > 0.9] = np.nan
    found = basin(GRID, losses, start_loss=2.3)
    under, above = GRID[GRID <= 0.9][-1], GRID[GRID > 0.9][0]
    assert found.high == found.lr == under
    assert found.cliff == above
    assert not found.high_open


def test_a_basin_that_reaches_the_edge_is_open() -> None:
    found = basin(GRID, bowl(GRID, GRID[-1]), start_loss=2.3)
    assert found.high_open
    assert found.high == GRID[-1]
    assert basin(GRID, np.full(18, 1.0), start_loss=2.0).low_open


@given(arrays(np.float64, (3, GRID.size), elements=finite_or_not), st.floats(0, 0.5))
def test_the_basin_holds_its_rate_and_only_good_ones(losses: np.ndarray, share: float) -> None:
    mean = np.where(np.isfinite(losses).all(0), losses.mean(0), np.inf)
    best = mean.min()
    if not np.isfinite(best):
        return
    found = basin(GRID, losses, start_loss=best + 1.0, share=share)
    assert GRID[0] <= found.low <= found.lr <= found.high <= GRID[-1]
    inside = (found.low <= GRID) & (found.high >= GRID)
    assert (mean[inside] <= best + share + 1e-9).all()


@pytest.mark.parametrize("share", [0.0, 1e-18, 1e-300])
def test_a_basin_without_room_is_its_lowest_rate(share: float) -> None:
    mean = np.abs(np.arange(18.0) - 9) + 1
    found = basin(GRID, mean, start_loss=100.0, share=share)
    assert found.low == pytest.approx(GRID[9])
    assert found.high == pytest.approx(GRID[9])


def test_no_progress_no_basin() -> None:
    with pytest.raises(ValueError, match=r"below start_loss, but got 0\.1\d* and start_loss=0\.05"):
        basin(GRID, bowl(GRID), start_loss=0.05)


@given(arrays(np.float64, GRID.size, elements=st.floats(0, 100)))
def test_interpolation_passes_through_the_losses_and_between_them(losses: np.ndarray) -> None:
    np.testing.assert_allclose(loss_at(GRID, losses, GRID), losses, atol=1e-9)
    between = loss_at(GRID, losses, np.sqrt(GRID[:-1] * GRID[1:]))
    assert (between >= np.minimum(losses[:-1], losses[1:]) - 1e-9).all()
    assert (between <= np.maximum(losses[:-1], losses[1:]) + 1e-9).all()


def test_interpolation_stops_at_the_edges_and_at_cliffs() -> None:
    losses = np.array([3.0, 1.0, np.inf, 4.0, 5.0])
    found = loss_at([1.0, 2.0, 3.0, 4.0, 5.0], losses, [[0.9, 1.0, 2.0, 2.5], [3.0, 3.5, 4.0, 5.1]])
    np.testing.assert_array_equal(found, [[np.nan, 3.0, 1.0, np.nan], [np.nan, np.nan, 4.0, np.nan]])
