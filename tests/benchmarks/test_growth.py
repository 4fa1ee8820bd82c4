"""The line through a cost, where it leaves it, and what the page says of made-up measurements."""

from __future__ import annotations

import pytest

from benchmarks.child import fresh_processes, peak_bytes
from benchmarks.growth_page import Point, operations, page, weights_bytes
from benchmarks.line import LEAST, TOLERANCE, Line, fit, straight
from benchmarks.rivals import reference_net

COUNTS = (1, 2, 4, 8, 16, 32)


def test_a_line_is_found_again() -> None:
    line = Line(fixed=300.0, each=20.0)
    found = fit(COUNTS, [line(k) for k in COUNTS])
    assert (found.fixed, found.each) == pytest.approx((300, 20))
    assert found.misfit(COUNTS, [line(k) for k in COUNTS]) == pytest.approx(0, abs=1e-9)


def test_small_counts_weigh_as_much_as_large_ones() -> None:
    """One point off by a tenth moves the line there by as much, whether it is the cheapest or the dearest."""
    costs = [300 + 20 * k for k in COUNTS]
    first, last = [1.1 * costs[0], *costs[1:]], [*costs[:-1], 1.1 * costs[-1]]
    assert fit(COUNTS, first)(1) / costs[0] == pytest.approx(1.03, abs=0.02)
    assert fit(COUNTS, last)(32) / costs[-1] == pytest.approx(1.08, abs=0.03)


@pytest.mark.parametrize("bend", range(LEAST, len(COUNTS)))
def test_a_line_ends_where_the_cost_bends_upwards(bend: int) -> None:
    costs = [300.0 + 20 * k for k in COUNTS]
    for place in range(bend, len(costs)):
        costs[place] *= 1.05 * TOLERANCE
    assert straight(COUNTS, costs) == bend


def test_noise_below_the_tolerance_is_no_bend() -> None:
    costs = [(300 + 20 * k) * (1.05 if i % 2 else 0.95) for i, k in enumerate(COUNTS)]
    assert straight(COUNTS, costs) == len(COUNTS)


def test_weights_are_those_of_the_net() -> None:
    for hidden in (16, 64):
        assert weights_bytes(hidden) == 4 * sum(p.numel() for p in reference_net(hidden).parameters())


def test_operations_are_those_of_the_floor() -> None:
    assert operations(64) == 2 * (2 * 784 * 64 + 3 * (64 * 16 + 16 * 10))


def test_the_page_shows_fixed_cost_slope_and_bend() -> None:
    def point(members: int, each: float, factor: float = 1.0) -> Point:
        return Point(seconds=factor * (4e-4 + each * members), peak=20_000_000 + 2_000_000 * members)

    points = {(k, 32, 64): point(k, 5e-5, 1.5 if k == 32 else 1.0) for k in COUNTS}
    points |= {(k, 32, 16): point(k, 2e-5) for k in (1, 16)}
    text = page(points, {32: 5e-4}, 16, 32, "- date: none")
    assert "| 32 | 400 | 50.0 | 0% | at 32 | 94 | 1 to 16 |" in text
    assert "| 32 | 20 | 2.00 | 0% |" in text  # memory
    assert "| 16 | 1.20 | 75 | 6.7 | 52 |" in text  # 16 members: 0.4 + 16 * 0.05 ms
    assert "| 16 | 0.05 | 400 | 20.0 | 0% |" in text  # 16 hidden units
    assert "{" not in text


@pytest.mark.slow
def test_a_fresh_process_tells_its_own_peak() -> None:
    with fresh_processes([]) as pool:
        small, large, again = (
            pool.submit(_peak_after, size).result() for size in (1_000_000, 80_000_000, 1_000_000)
        )
    assert large - small == pytest.approx(79_000_000, rel=0.2)
    assert again == pytest.approx(small, rel=0.2)


def _peak_after(size: int) -> int:
    block = b"x" * size
    return peak_bytes() + 0 * len(block)
