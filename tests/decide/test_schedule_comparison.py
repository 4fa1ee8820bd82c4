"""compare_schedules: differences that are there, differences that are not, and what stands in the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import stepsize as ss
from stepsize.decide.omissions import of_schedule
from stepsize.decide.rehearsal import rehearse
from stepsize.decide.schedule_comparison import SCHEDULES, fitting_schedules
from tests.tasks import digits_task, unlearnable_task


@pytest.fixture(scope="module")
def found() -> ss.ScheduleComparison:
    """A small batch, whose noise a decay to zero averages out."""
    return ss.compare_schedules(digits_task(batch_size=8, steps=200), lr=0.1, progress=False)


def test_every_schedule_has_its_own_best_rate(found: ss.ScheduleComparison) -> None:
    assert found.status == "ok"
    assert len(found.rows) == len(SCHEDULES)
    losses = [row.loss for row in found.rows if row.loss is not None]
    assert losses == sorted(losses)
    assert found.best == found.rows[0].schedule
    assert all(row.lr is not None and row.lr > 0 for row in found.rows)
    assert all(len(row.by_seed) == 3 for row in found.rows)


def test_differences_are_those_of_the_seeds(found: ss.ScheduleComparison) -> None:
    best = np.array(found.rows[0].by_seed)
    for row in found.rows[1:]:
        assert row.behind == pytest.approx(float((np.array(row.by_seed) - best).mean()))
        assert row.behind is not None
        assert row.behind_low is not None
        assert row.behind_high is not None
        assert row.behind_low <= row.behind <= row.behind_high
        assert row.alike == (row.behind_low <= 0)


def test_it_reads_well_and_comes_back(found: ss.ScheduleComparison) -> None:
    assert "schedules after 200 of 200 updates" in str(found)
    assert found.why in str(found)
    again = ss.ScheduleComparison.from_json(found.to_json())
    assert (again.best, again.rows, again.alike) == (found.best, found.rows, found.alike)


def test_a_schedule_that_stops_early_is_told_from_one_that_goes_on() -> None:
    task = digits_task(steps=100)
    found = ss.compare_schedules(
        task, ["fixed", "decay('3%') | fixed(1e-9)"], lr=0.3, seeds=4, progress=False
    )
    assert found.best is not None
    assert found.best.startswith("fixed")
    assert found.alike == ()
    assert "beyond what the seeds scatter" in found.why


def test_two_names_of_almost_one_schedule_are_alike() -> None:
    task = digits_task(steps=80)
    found = ss.compare_schedules(
        task, ["linear", "poly(power=1.01)"], lr=0.5, steps=40, seeds=3, progress=False
    )
    assert len(found.alike) == 1
    assert "No difference detected" in found.why
    assert (found.steps, found.horizon) == (40, 80)


def test_a_schedule_that_decays_is_advised_where_a_short_run_tells_no_difference() -> None:
    """In 8 of 200 updates a constant rate gets further; in all of them its noise is left in the loss."""
    short = ss.compare_schedules(
        digits_task(steps=200), ["fixed", "linear"], lr=0.5, steps=8, seeds=3, progress=False
    )
    assert (short.best, short.alike, short.advised) == ("fixed()", ("linear()",), "linear()")
    assert "linear() is advised: it decays" in str(short)
    whole = ss.compare_schedules(digits_task(steps=8), ["fixed", "linear"], lr=0.5, seeds=3, progress=False)
    assert (whole.best, whole.alike, whole.advised) == ("fixed()", ("linear()",), "fixed()")


def test_a_constant_rate_that_is_told_to_be_better_is_advised() -> None:
    found = ss.compare_schedules(
        digits_task(steps=200),
        ["decay('3%') | fixed(1e-9)", "fixed"],
        lr=0.3,
        steps=100,
        seeds=4,
        progress=False,
    )
    assert (found.alike, found.advised) == ((), "fixed()")


def test_what_is_lost_is_counted_from_the_schedule_advised() -> None:
    found = ss.compare_schedules(
        digits_task(steps=200), ["fixed", "linear"], lr=0.5, steps=8, seeds=3, progress=False
    )
    (without,) = of_schedule(found, 2.3)
    linear = found.rows[1]
    assert linear.behind is not None
    assert linear.loss is not None
    assert without.instead == "fixed()"
    assert without.lost == pytest.approx(-linear.behind / (2.3 - linear.loss))
    assert without.alike


def test_schedules_that_a_short_run_has_no_room_for_are_left_out_unless_asked_for() -> None:
    assert fitting_schedules(digits_task(steps=1)) == list(SCHEDULES[:3])
    assert fitting_schedules(digits_task()) == list(SCHEDULES)
    with pytest.raises(ValueError, match=r"lasts 0\.2 updates"):
        ss.compare_schedules(digits_task(steps=1), SCHEDULES, lr=0.1, progress=False)


def test_a_budget_without_time_for_a_rate_ends_it() -> None:
    told: list[str] = []
    found = ss.compare_schedules(digits_task(), budget="0.001 s", progress=False, announce=told.append)
    assert (found.status, found.best, found.rows) == ("out_of_time", None, ())
    assert "besides finding a rate" in told[0]


def test_one_seed_detects_nothing() -> None:
    found = ss.compare_schedules(
        digits_task(), ["fixed", "linear"], lr=0.5, steps=30, seeds=1, progress=False
    )
    assert found.rows[1].behind_low is None
    assert "pass seeds=3" in found.why


def test_nothing_learned_is_no_answer() -> None:
    task = unlearnable_task(steps=20)
    found = ss.compare_schedules(task, ["fixed", "linear"], lr=0.1, seeds=2, progress=False)
    assert (found.status, found.best) == ("no_answer", None)
    assert "no rate learns" in str(found)


def test_ctrl_c_keeps_the_schedules_done(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[Any] = []

    def interrupted(task: ss.Task, shape: Any, *args: Any, **options: Any) -> Any:
        if shapes and shape is not shapes[0]:
            raise KeyboardInterrupt
        shapes.append(shape)
        return rehearse(task, shape, *args, **options)

    monkeypatch.setattr("stepsize.decide.schedule_comparison.rehearse", interrupted)
    found = ss.compare_schedules(digits_task(), lr=0.5, steps=30, seeds=1, progress=False)
    assert found.status == "interrupted"
    assert len(found.rows) == 1


@pytest.mark.parametrize(
    ("schedules", "options", "message"),
    [
        (["fixed"], {}, "two or more"),
        (["fixed", "fixed"], {}, "all different"),
        (["fixed", "linear"], {"lr": -1.0}, "lr must be"),
        (["fixed", "linear"], {"seeds": 0}, "seeds must be"),
        (["fixed", "linear"], {"steps": 10_000}, "steps must not exceed"),
    ],
)
def test_wrong_use_is_named(schedules: list[str], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ss.compare_schedules(digits_task(), schedules, progress=False, **options)


class FromSaddle(nn.Module):
    """Two factors near their saddle: what is learned in the first updates shows in none of the losses."""

    def __init__(self) -> None:
        super().__init__()
        self.factors = nn.Parameter(torch.full((2,), 1e-11))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factors.prod()


def test_runs_that_have_only_begun_to_learn_are_said_to_tell_little() -> None:
    x = torch.randn(200, 1, generator=torch.Generator().manual_seed(0))
    saddle = ss.Task(
        FromSaddle,
        ss.supervised(nn.MSELoss()),
        (x[:150], x[:150]),
        val=(x[150:], x[150:]),
        optimizer=torch.optim.SGD,
        batch_size=10,
        steps=300,
    )
    for task, lr, told in ((saddle, 0.3, True), (digits_task(batch_size=8, steps=200), 0.1, False)):
        found = ss.compare_schedules(task, ["fixed", "linear"], lr=lr, steps=44, seeds=2, progress=False)
        assert found.best is not None
        assert any("only begun to learn" in warning for warning in found.warnings) == told
