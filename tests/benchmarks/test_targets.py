"""A target is met or not, and the engine's page says so for every case that it speaks of."""

from __future__ import annotations

import pytest

from benchmarks.clock import Speed
from benchmarks.engine_page import RATIOS, TIMES, Measured, ratio_row, target_rows, time_row
from benchmarks.targets import Target


@pytest.mark.parametrize(("measured", "met"), [(4.9, False), (5.0, True), (5.1, True)])
def test_at_least(measured: float, met: bool) -> None:
    assert Target("speed", 5.0).met(measured) is met
    assert Target("time", 5.0, at_most=True).met(measured) is (not met or measured == 5.0)


def test_a_row_shows_bound_figure_and_verdict() -> None:
    assert Target("speed", 5.0, unit="×").row(4.0, 0.031) == "| speed: ≥ 5× | 4.00× ±\xa03% | **not met** |"
    assert Target("peak", 2.0, at_most=True, unit=" GB").row(1.5) == "| peak: ≤ 2 GB | 1.50 GB | met |"


def case(members: int = 16, *, batch_size: int = 16, updates: int = 2000, stepsize: float = 10e3) -> Measured:
    def speed(value: float) -> Speed:
        return Speed((value, value))

    return Measured(
        net="net",
        batch_size=batch_size,
        members=members,
        updates=updates,
        stepsize=speed(stepsize),
        jax=speed(8e3),
        jax_compiled=speed(12.5e3),
        plain=speed(2e3),
        loader=speed(1.9e3),
        lightning=speed(1e3),
        floor=speed(18e3),
    )


def test_rows_hold_times_and_ratios_in_the_order_of_their_headers() -> None:
    around = "\N{NO-BREAK SPACE}0%"
    assert (
        time_row(case())
        == "| net | 16 | 16 | 2,000 × 2 | "
        + " | ".join(f"{figure} ±{around}" for figure in ("100", "500", "526", "1,000", "125", "80", "56"))
        + " |"
    )
    assert (
        ratio_row(case())
        == "| net | 16 | 16 | "
        + " | ".join(f"{figure} ±{around}" for figure in ("5.00", "5.26", "10.00", "1.25", "0.80", "0.56"))
        + " |"
    )
    assert TIMES.splitlines()[0].count("|") == time_row(case()).count("|")
    assert RATIOS.splitlines()[0].count("|") == ratio_row(case()).count("|")


def verdicts(*cases: Measured) -> list[tuple[str, str]]:
    rows = [line.strip("| ").split(" | ") for line in target_rows(cases)]
    return [(what.removeprefix("net, batch "), verdict) for what, _, verdict in rows]


def test_every_target_of_a_case_gets_its_verdict() -> None:
    assert verdicts(case()) == [
        ("16, 16 members: time, over the floor's: ≤ 2×", "met"),
        ("16, 16 members: speed, over the plain loop's: ≥ 4×", "met"),
        ("16, 16 members: speed, over the DataLoader loop's: ≥ 5×", "met"),
        ("16, 16 members: speed, over JAX's: ≥ 1×", "met"),
    ]
    assert [verdict for _, verdict in verdicts(case(batch_size=128))] == ["**not met**", "met", "met", "met"]


def test_short_runs_are_compared_with_compiled_jax() -> None:
    assert verdicts(case(updates=60))[-1] == (
        "16, 16 members: speed, over compiled JAX's: ≥ 1×",
        "**not met**",
    )


def test_few_members_have_no_targets() -> None:
    assert verdicts(case(4)) == []


@pytest.mark.parametrize(("many", "verdict"), [(10e3, "met"), (9.9e3, "**not met**")])
def test_a_member_among_many_costs_no_more_than_among_few(many: float, verdict: str) -> None:
    last = verdicts(case(), case(64, stepsize=many))[-1]
    assert last == ("16: a member's time among 64, over that among 16: ≤ 1×", verdict)
