"""tune: the parts together, what is given, what a budget leaves out, and Ctrl-C at every one of them."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from torch import nn

import stepsize as ss
from stepsize.decide.batch_plan import least_cost
from stepsize.decide.budget import Budget
from stepsize.decide.omissions import settings
from stepsize.decide.schedule_comparison import shape_text
from stepsize.decide.tuning import STAY, chosen_size, length, sizes_about
from stepsize.decide.tuning_plan import LEAST, WEIGHTS, TuningPlan
from tests.report.batches import batch_advice
from tests.tasks import digits, digits_task


@pytest.fixture(scope="module")
def told() -> list[str]:
    return []


@pytest.fixture(scope="module")
def advice(told: list[str]) -> ss.TrainingAdvice:
    task = digits_task(optimizer=partial(torch.optim.SGD, momentum=0.5, weight_decay=1e-3))
    return ss.tune(task, batch_sizes=[25, 50, 100], progress=False, announce=told.append)


def test_everything_is_decided(advice: ss.TrainingAdvice, told: list[str]) -> None:
    assert isinstance(advice, ss.Advice)
    assert advice.status == "ok"
    assert advice.lr is not None
    assert advice.lr_low is not None
    assert advice.lr_high is not None
    assert advice.lr_low <= advice.lr <= advice.lr_high
    assert advice.batch is not None
    assert advice.batch_size in {row.batch_size for row in advice.batch.times}
    assert (advice.own_batch_size, advice.own_steps) == (50, 120)
    assert advice.schedules is not None
    assert advice.schedules.best is not None
    assert shape_text(advice.schedule).endswith(advice.schedules.best)
    assert advice.warmup is not None
    assert ("warmup(" in advice.schedule_text) == bool(advice.warmup.updates)
    assert len(told) == 1
    assert "Tuning digits: batch size, schedule, warm-up, rate, check" in told[0]


def test_the_answer_is_checked_at_full_length(advice: ss.TrainingAdvice) -> None:
    assert advice.check is not None
    assert advice.check.steps == advice.steps
    assert advice.checked_loss == pytest.approx(float(advice.check.losses.mean()))
    assert advice.start_loss is not None
    assert advice.checked_loss is not None
    assert advice.checked_loss < 0.5 * advice.start_loss
    assert advice.seconds is not None
    assert advice.seconds > 0


def test_each_part_has_its_price(advice: ss.TrainingAdvice) -> None:
    parts = {one.part for one in advice.omissions}
    assert parts == {"batch size", "learning rate", "schedule", "warm-up", "momentum", "weight decay"}
    assert advice.schedules is not None
    schedules = [one for one in advice.omissions if one.part == "schedule"]
    assert len(schedules) == len(advice.schedules.rows) - 1
    assert all(one.lost is None or one.lost >= 0 for one in schedules)
    assert dict(advice.settings) == {"optimizer": "SGD", "momentum": "0.5", "weight decay": "0.001"}
    for one in advice.omissions:
        if one.lost is not None and one.low is not None and one.high is not None:
            assert one.low <= one.lost <= one.high


def test_it_fits_on_a_screen_and_comes_back(advice: ss.TrainingAdvice) -> None:
    text = str(advice)
    for word in (
        "batch size",
        "learning rate",
        "schedule",
        "momentum",
        "expected loss",
        "cost of this answer",
    ):
        assert word in text
    assert len(text.splitlines()) <= 40
    again = ss.TrainingAdvice.from_json(advice.to_json())
    assert again.omissions == advice.omissions
    assert str(again) == text
    with pytest.raises(ValueError, match="expected a Advice"):
        ss.Advice.from_json(advice.to_json())


def test_what_is_given_is_not_searched() -> None:
    task = digits_task()
    found = ss.tune(task, schedule="cosine", batch_sizes=50, progress=False)
    alone = ss.find_lr(task, schedule="cosine", progress=False)
    assert (found.lr, found.lr_low, found.lr_high) == (alone.lr, alone.lr_low, alone.lr_high)
    assert (found.batch, found.schedules, found.warmup) == (None, None, None)
    assert found.check is not None
    assert {one.part for one in found.omissions} == {"learning rate", "momentum"}
    other = ss.tune(task, schedule="linear", batch_sizes=30, seeds=1, budget="3 runs", progress=False)
    assert (other.batch_size, other.steps) == (30, 200)


def test_a_small_budget_leaves_parts_out() -> None:
    found = ss.tune(digits_task(), budget="2 runs", progress=False)
    assert found.status == "ok"
    assert found.batch is None
    assert any("lack of budget: schedule, warm-up" in warning for warning in found.warnings)
    assert "fixed" in found.schedule_text


@pytest.mark.parametrize("runs", [0.3, 2.0, 8.0, 50.0])
def test_a_budget_is_shared_out(runs: float) -> None:
    plan = TuningPlan.of(digits_task(), batches=[25, 50, 100], schedule=True, budget=Budget(runs=runs))
    assert sum(cost.runs or 0.0 for cost in plan.costs.values()) == pytest.approx(runs)
    assert "rate" in plan.costs
    for part, cost in plan.costs.items():
        assert cost.runs is not None
        assert cost.runs >= min(runs, LEAST.get(part, 0.0))
    assert ("begin" in plan.costs) == ("schedule" in plan.costs) == (runs > 3)
    assert ("batch size" in plan.costs) == (runs == 50)


def test_batch_sizes_get_what_the_shortest_runs_at_them_cost() -> None:
    task, sizes = digits_task(steps=40), [25, 50, 100, 200]
    least = least_cost(task, sizes, 3) / task.steps
    assert least > WEIGHTS["batch size"]
    for budget in (None, Budget(runs=10 * least)):
        cost = TuningPlan.of(task, batches=sizes, schedule=True, budget=budget).costs["batch size"]
        assert (cost.runs or 0.0) >= least
        assert cost.strict == (budget is not None)
    poor = TuningPlan.of(task, batches=sizes, schedule=True, budget=Budget(runs=0.9 * least))
    assert "batch size" not in poor.costs
    assert "batch size" in poor.left_out[0]


def test_a_rate_that_the_first_share_has_no_time_for_gets_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    budgets: list[str] = []

    def short(task: ss.Task, *, budget: str | None, **options: Any) -> ss.Advice:
        budgets.append(budget or "")
        return ss.find_lr(task, budget="0.000001 s" if len(budgets) == 1 else budget, **options)

    monkeypatch.setattr("stepsize.decide.tuning.find_lr", short)
    found = ss.tune(digits_task(), budget="60 s", seeds=1, progress=False)
    assert found.lr is not None
    assert len(budgets) == 2
    assert float(budgets[1].split()[0]) > 30


class Stopping:
    """A reporter that presses Ctrl-C in the phase whose name holds a word."""

    def __init__(self, word: str) -> None:
        self.word, self.here = word, False

    def expect(self, updates: int) -> None:
        pass

    def phase(self, name: str) -> None:
        self.here = self.word in name

    def advance(self, updates: int) -> None:
        if self.here:
            raise KeyboardInterrupt


@pytest.mark.parametrize("word", ["batch 100", "schedule", "warm-up", "momentum", "full length"])
def test_ctrl_c_keeps_what_is_known(word: str) -> None:
    found = ss.tune(digits_task(), batch_sizes=[50, 100], seeds=1, progress=Stopping(word))
    assert found.status == "interrupted"
    assert found.lr is not None
    assert found.check is None
    assert any(warning.startswith("interrupted") for warning in found.warnings)
    assert (found.schedules is not None) == (word in ("schedule", "warm-up", "momentum", "full length"))
    assert "[interrupted]" in str(found)


def test_what_nothing_learns_from_has_a_status() -> None:
    x = torch.zeros(200, 196)
    task = digits_task(train=(x, torch.zeros(200, dtype=torch.long)), model=Constant, params=None)
    found = ss.tune(task, seeds=1, progress=False)
    assert (found.status, found.lr, found.batch, found.check) == ("flat", None, None, None)
    assert found.omissions == ()
    assert "none: flat" in str(found)


class Constant(torch.nn.Module):
    """Its weight changes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (0.0 * self.weight).expand(len(x), 10)


def test_nothing_of_the_model_is_changed() -> None:
    torch.manual_seed(0)
    model = torch.nn.Linear(196, 10)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    ss.tune(digits_task(model=model, steps=60), batch_sizes=50, seeds=1, progress=False)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())


def test_the_own_batch_size_stays_where_no_other_is_clearly_better() -> None:
    found = batch_advice()
    best = found.batch_size
    assert best is not None
    assert chosen_size(found, best) == best
    seconds = {row.batch_size: row.seconds for row in found.times}
    choice = next(one for one in found.choices if one.objective == "time")
    for own, time in seconds.items():
        stays = own == best or (own in choice.alike and time <= STAY * seconds[best])
        assert chosen_size(found, own) == (own if stays else best)


def test_the_length_leads_to_the_same_loss() -> None:
    """The sample has S = S_min (1 + 100 / B)."""
    found = batch_advice()
    task = digits_task(batch_size=96, steps=1000)
    wanted = 1000 * (1 + 100 / 384) / (1 + 100 / 96)
    assert length(task, found, 384, None) == pytest.approx(wanted, rel=0.02)
    timed = msgspec.structs.replace(found, objective="budget", limit_seconds=10.0)
    pace = next(row.seconds_per_update for row in found.times if row.batch_size == 384)
    assert length(task, timed, 384, "10 s") == round(10 / pace)


def test_sizes_stay_within_the_data() -> None:
    x, y, _, _ = digits()
    assert sizes_about(64, digits_task()) == [16, 32, 64, 128, 256]
    assert sizes_about(2, digits_task(train=(x[:5], y[:5]), batch_size=2)) == [1, 2, 4]
    normed = digits_task(model=lambda: nn.Sequential(nn.Linear(196, 8), nn.BatchNorm1d(8), nn.Linear(8, 10)))
    assert sizes_about(4, normed) == [2, 4, 8, 16]  # BatchNorm takes no batch of one


def test_settings_are_the_optimizers_own() -> None:
    task = digits_task(optimizer=partial(torch.optim.AdamW, betas=(0.8, 0.99)))
    assert dict(settings(task)) == {"optimizer": "AdamW", "betas": "0.8, 0.99", "weight decay": "0.01"}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"objective": "speed"}, ValueError, "objective must be 'time', 'compute' or 'budget'"),
        ({"budget": "much"}, ValueError, "budget must be a number and"),
        ({"schedule": 3}, TypeError, "schedule must be a Schedule or its text, but is a int"),
        ({"seeds": 0}, ValueError, "seeds must be a whole number >= 1"),
        ({"batch_sizes": 5000}, ValueError, "batch_sizes must not exceed the 1500 training samples"),
        ({"batch_sizes": [10, 10]}, ValueError, "batch_sizes must be different numbers"),
        ({"lr_min": 1.0, "lr_max": 0.1}, ValueError, "lr_min < lr_max must hold"),
        ({"schedules": ["fixed"]}, ValueError, "schedules must be two or more"),
        ({"schedules": ["fixed", "warmup(500) | cosine"]}, ValueError, "120"),
        ({"limit": "soon"}, ValueError, "limit must be a number and"),
    ],
)
def test_wrong_use_is_named_before_the_work(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ss.tune(digits_task(), progress=Never(), **options)


def test_a_task_is_needed() -> None:
    with pytest.raises(TypeError, match=r"task must be a stepsize\.Task, but is a int"):
        ss.tune(3)  # type: ignore[arg-type]


class Never:
    """A reporter that no work may reach."""

    def expect(self, updates: int) -> None:
        raise AssertionError("work began")

    def phase(self, name: str) -> None:
        raise AssertionError("work began")

    def advance(self, updates: int) -> None:
        raise AssertionError("work began")


def test_a_check_that_diverges_is_told() -> None:
    from stepsize.decide.tune import _advice
    from stepsize.decide.tuning import Tuning

    task = digits_task()
    rate = ss.find_lr(task, seeds=1, progress=False)
    broken = msgspec.structs.replace(rate.rehearsals[-1], losses=np.full((3, 1), np.inf))
    tuning = Tuning(
        task=task,
        schedule=ss.Schedule.parse("fixed"),
        plan=TuningPlan.of(task, batches=(), schedule=False, budget=None),
        objective="time",
        sizes=None,
        schedules=(),
        limit=None,
        memory=None,
        seeds=1,
        rates=(1e-7, 1e3),
        reporter=Never(),
        rate=rate,
        check=broken,
        costs=[rate.cost],
    )
    found = _advice(tuning, task)
    assert found.checked_loss is None
    assert "3 of 3 runs diverged" in found.warnings[0]
