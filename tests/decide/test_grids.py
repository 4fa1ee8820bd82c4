"""Which rates are tried next."""

from __future__ import annotations

import numpy as np
import pytest

from stepsize.decide.grids import between, beyond, centred, edge, spaced


def test_rates_are_spaced_no_further_than_the_factor() -> None:
    rates = spaced(0.01, 1.0, 1.6)
    assert rates[0] == pytest.approx(0.01)
    assert rates[-1] == pytest.approx(1.0)
    assert (rates[1:] / rates[:-1]).max() <= 1.6
    assert spaced(0.3, 0.3, 1.6).tolist() == [0.3]


def test_an_even_number_of_rates_lies_about_the_centre() -> None:
    assert centred(0.2, 4, 4.0) == pytest.approx([0.025, 0.1, 0.4, 1.6])


def test_the_best_has_no_neighbour_at_an_edge() -> None:
    assert [edge(best, 5) for best in (None, 0, 2, 4)] == [-1, -1, 0, 1]


def test_what_lies_beyond_an_edge_stays_within_its_limits() -> None:
    lrs = np.array([0.1, 0.2, 0.4])
    assert beyond(lrs, 1, 2, 2.0, 1e-3, 1.0) == pytest.approx([0.8])
    assert beyond(lrs, -1, 2, 2.0, 1e-3, 1.0) == pytest.approx([0.025, 0.05])
    assert beyond(lrs, 1, 2, 2.0, 1e-3, 0.5).size == 0


def test_rates_between_start_at_the_edge() -> None:
    lrs = np.array([1.0, 4.0, 16.0, 64.0])
    assert between(lrs, 1, 2) == pytest.approx([8.0, 32.0])
    assert between(lrs, -1, 2) == pytest.approx([2.0, 8.0])
    assert between(lrs, 1, 0).size == between(lrs, -1, 0).size == 0
    assert len(between(lrs, 1, 9)) == 3
