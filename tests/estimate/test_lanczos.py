"""Both ends of known spectra, and residuals that bound the error."""

from __future__ import annotations

import numpy as np
import pytest

from stepsize.estimate.lanczos import spectrum_ends


def symmetric(values: np.ndarray, seed: int) -> np.ndarray:
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(values), len(values))))
    matrix: np.ndarray = turn * values @ turn.T
    return matrix


@pytest.mark.parametrize("seed", range(8))
def test_both_ends_lie_within_their_residuals(seed: int) -> None:
    generator = np.random.default_rng(seed)
    values = np.sort(generator.normal(size=60)) * 10.0 ** generator.uniform(-4, 4)
    matrix = symmetric(values, seed)
    ends = spectrum_ends(matrix.__matmul__, 60, generator=generator, tolerance=1e-3)
    assert ends.converged
    assert np.abs(values - ends.largest).min() <= ends.largest_residual + 1e-10 * abs(values).max()
    assert np.abs(values - ends.smallest).min() <= ends.smallest_residual + 1e-10 * abs(values).max()
    assert ends.largest == pytest.approx(values[-1], rel=1e-3)
    assert ends.smallest == pytest.approx(values[0], rel=1e-3, abs=1e-3 * abs(values).max())
    assert ends.vector @ matrix @ ends.vector == pytest.approx(ends.largest, rel=1e-3)


def test_too_few_products_are_said_not_to_converge() -> None:
    matrix = symmetric(np.linspace(1, 2, 200), 0)
    ends = spectrum_ends(matrix.__matmul__, 200, generator=np.random.default_rng(0), tolerance=1e-9, most=6)
    assert ends.products == 6
    assert not ends.converged
    assert ends.largest_residual > 1e-6


def test_a_single_number_and_a_multiple_of_the_identity() -> None:
    one = spectrum_ends(lambda x: 3 * x, 1, generator=np.random.default_rng(0))
    assert (one.smallest, one.largest, one.products) == (3.0, 3.0, 1)
    same = spectrum_ends(lambda x: -2 * x, 50, generator=np.random.default_rng(0))
    assert same.largest == pytest.approx(-2)
    assert same.products == 1


def test_overflow_is_named() -> None:
    with pytest.raises(ValueError, match="not finite"):
        spectrum_ends(lambda x: x * np.inf, 3, generator=np.random.default_rng(0))
