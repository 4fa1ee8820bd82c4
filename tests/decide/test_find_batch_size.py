"""find_batch_size: three answers from measured updates and measured seconds."""

from __future__ import annotations

import math

import pytest

from stepsize.decide.batch_advice import BatchAdvice
from stepsize.decide.budget import Budget
from stepsize.decide.find_batch_size import decide, find_batch_size
from tests.report.batches import critical, speeds
from tests.tasks import digits_task


def advice(objective: str = "time", limit: Budget | None = None, **changes: float) -> BatchAdvice:
    """Updates 1000 (1 + 100 / B), and 1 ms + B / 100 ms for each: a true optimum of time at B = 100."""
    return decide(digits_task(), objective, critical(), speeds(**changes), limit)  # type: ignore[arg-type]


def test_time_is_updates_times_seconds() -> None:
    for row in advice().times:
        assert row.seconds == pytest.approx(row.updates * row.seconds_per_update)
        assert row.samples == pytest.approx(row.updates * row.batch_size)


def test_the_soonest_is_that_of_the_formula() -> None:
    """t(B) = S_min (1 + b/B)(a + c B) is least at B = √(a b / c) = √(1 · 100 / 0.01) = 100."""
    found = advice()
    assert found.batch_size == 96
    assert found.status == "ok"


def test_intervals_add_in_quadrature_of_logs() -> None:
    row = advice().times[0]
    assert math.log(row.high / row.seconds) == pytest.approx(math.hypot(math.log(1.1), math.log(1.2)))
    assert row.low * row.high == pytest.approx(row.seconds**2)


def test_compute_takes_the_smallest_and_names_those_alike() -> None:
    found = advice("compute")
    assert found.batch_size == 12
    assert found.status == "ok"
    assert 24 in found.choices[1].alike


def test_a_budget_takes_the_fewest_samples_within_it() -> None:
    found = advice("budget", Budget(seconds=5.0))
    fitting = [row for row in found.times if row.seconds <= 5.0]
    assert found.batch_size == min(fitting, key=lambda row: row.samples).batch_size
    assert found.limit_seconds == 5.0


def test_a_tight_budget_falls_back_to_an_easier_target() -> None:
    choice = advice("budget", Budget(seconds=2.5)).choices[2]
    assert choice.batch_size is not None
    assert "a loss of 1 " in choice.why


def test_no_batch_size_within_a_tiny_budget() -> None:
    found = advice("budget", Budget(seconds=1e-6))
    assert found.batch_size is None
    assert found.status == "no_answer"
    assert "no batch size reaches any target" in str(found)


def test_what_does_not_fit_is_never_returned() -> None:
    found = advice(unfit=96)
    assert 96 not in {row.batch_size for row in found.times}
    assert found.batch_size not in (None, 96)
    assert "batch 96 is left out, out of memory" in str(found)


def test_the_largest_as_the_best_is_called_an_edge() -> None:
    assert advice(per_sample=0.0).status == "edge"


def test_it_can_be_read_back() -> None:
    found = advice()
    assert str(BatchAdvice.from_json(found.to_json())) == str(found)


def test_on_a_real_task_the_answer_was_tried() -> None:
    found = find_batch_size(
        digits_task(steps=60), "compute", batch_sizes=[25, 50, 100], lr=0.5, seeds=1, progress=False
    )
    assert found.batch_size in (25, 50, 100)
    assert {row.batch_size for row in found.throughput.rows} == {25, 50, 100}
    assert len(found.choices) == 3


def test_an_unknown_objective_is_named() -> None:
    with pytest.raises(ValueError, match="objective must be"):
        find_batch_size(digits_task(), "speed")  # type: ignore[arg-type]
