"""Budgets are read from text, and plans keep to them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import stepsize as ss
from stepsize._progress import Deadline, OutOfTimeError, Silent
from stepsize.decide import find_lr, verdict
from stepsize.decide.budget import AMPLE, OVERTIME, Budget
from stepsize.decide.plan import FEWEST_UPDATES, MOST_SEEDS, best_plan, ordinary_plan
from stepsize.decide.speed import BESIDE, RECORDING, RESTART, STARTING, THREADS, Speed
from tests.tasks import digits_task

SMALL_NET = Speed(member=0.05, evaluation=0.5)
SPAN = math.log(1e3)


@pytest.mark.parametrize(
    ("text", "runs", "seconds"),
    [
        ("0.5 runs", 0.5, None),
        ("1 run", 1.0, None),
        (" 2runs ", 2.0, None),
        (".25 runs", 0.25, None),
        ("60 s", None, 60.0),
        ("1.5 min", None, 90.0),
        ("2 h", None, 7200.0),
    ],
)
def test_budgets_are_read(text: str, runs: float | None, seconds: float | None) -> None:
    assert Budget.parse(text) == Budget(runs=runs, seconds=seconds)
    about = Budget.parse(f"about {text.strip()}")
    assert about == Budget(runs=runs, seconds=seconds, strict=False)
    assert Budget.parse(about.part(1.0)) == about


def test_about_so_much_stops_the_work_later() -> None:
    assert Budget.parse("2 s").overtime == OVERTIME < Budget.parse("about 2 s").overtime == AMPLE
    assert isinstance(Budget.parse("about 1 s").clocked(Silent()), Deadline)
    with pytest.raises(OutOfTimeError):
        Budget.parse("about 0.000001 s").clocked(Silent()).advance(1)


@pytest.mark.parametrize(
    "text", ["", "fast", "0 runs", "-1 s", "5", "runs", "1 day", "nan s", "inf runs", "1e3 s"]
)
def test_bad_budgets_are_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"budget must be .* pass budget=\"0\.5 runs\""):
        ss.find_lr(digits_task(), budget=text)


def test_a_number_is_no_budget() -> None:
    with pytest.raises(TypeError, match="budget must be text, but is a float"):
        ss.find_lr(digits_task(), budget=0.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("steps", [400, 1000, 5000])
@pytest.mark.parametrize("runs", [0.5, 1.0, 2.0, 8.0])
def test_a_plan_costs_no_more_than_it_may(steps: int, runs: float) -> None:
    cheapest = best_plan(steps, SPAN, 0.0, SMALL_NET, None).cost
    plan = best_plan(steps, SPAN, runs * steps, SMALL_NET, None)
    assert plan.cost <= max(runs * steps, cheapest)


def test_more_budget_never_means_a_shorter_rehearsal() -> None:
    lengths = [best_plan(1000, SPAN, runs * 1000, SMALL_NET, None).last for runs in (0.2, 0.5, 1, 2, 4, 9)]
    assert lengths == sorted(lengths)
    assert lengths[-1] == 1000
    assert lengths[0] < 200


def test_asked_for_seeds_are_kept_and_others_are_at_most_three() -> None:
    assert best_plan(1000, SPAN, 100.0, SMALL_NET, 5).seeds == 5
    assert best_plan(1000, SPAN, 1e9, SMALL_NET, None).seeds == MOST_SEEDS


def test_without_a_budget_a_quarter_decides_where_it_can_be_paid_for() -> None:
    assert ordinary_plan(1000, SPAN, 60, SMALL_NET, None).last >= 250
    loop = Speed(member=0.5, evaluation=0.5, stacks=False)
    plan = ordinary_plan(1000, SPAN, 60, loop, None)
    assert plan.cost <= 1.8 * 1000 - 60
    assert plan.last < 1000


def test_a_short_run_is_rehearsed_within_its_length() -> None:
    plan = ordinary_plan(5, SPAN, 5, SMALL_NET, None)
    assert plan.last <= 5
    assert best_plan(64, SPAN, 0.0, SMALL_NET, None).last >= FEWEST_UPDATES


def test_what_does_not_pay_as_a_stack_is_trained_by_the_loop() -> None:
    assert SMALL_NET.engine(3, 20) == "loop"
    assert SMALL_NET.cost(3, 20) == pytest.approx(3 * 20 + (3 + 1) * 0.5)
    assert SMALL_NET.engine(20, 500) == "auto"
    set_up = RECORDING + RESTART
    assert SMALL_NET.cost(20, 500) == pytest.approx(set_up + 500 * (1 + 19 * 0.05) + (20 + 1) * 0.5)


def test_runs_that_are_shared_out_cost_what_the_longest_queue_does() -> None:
    alone = Speed(member=0.4, evaluation=0.5, stacks=False)
    shared = Speed(member=0.4, evaluation=0.5, stacks=False, processes=2)
    slower = BESIDE / (1 - THREADS * 0.4 / 2)
    for members, queue in ((2, 1), (3, 2), (4, 2), (4.5, 3)):
        assert shared.looped(members, 500) == pytest.approx(STARTING + queue * slower * 500.5 + 0.5)
    assert shared.looped(1, 500) == alone.looped(1, 500)
    assert shared.looped(4, 20) == alone.looped(4, 20)  # over before a helper has started


@pytest.mark.parametrize(
    ("processes", "member", "wanted", "steps", "tried"),
    [
        (1, 0.4, 3, 500, 3),
        (2, 0.4, 3, 500, 4),
        (2, 0.4, 1, 500, 2),
        (2, 0.4, 3, 20, 3),  # over before a helper has started
        (4, 0.4, 3, 500, 4),
        (16, 0.4, 3, 500, 8),
        (16, 0.97, 3, 500, 3),  # sixteen threads are quicker, one run after another
    ],
)
def test_as_many_rates_are_tried_as_hardly_take_longer(
    processes: int, member: float, wanted: int, steps: int, tried: int
) -> None:
    assert Speed(member, 0.5, stacks=False, processes=processes).abreast(wanted, steps) == tried


def test_large_runs_on_many_cores_cost_what_they_do_one_after_another() -> None:
    many = Speed(member=0.97, evaluation=0.5, stacks=False, processes=16)
    assert many.looped(3, 500) == Speed(member=0.97, evaluation=0.5, stacks=False).looped(3, 500)
    assert many.looped(16, 500) < 3 * 500


def test_a_wider_net_costs_more_beside_its_calls() -> None:
    def wide() -> nn.Module:
        return nn.Sequential(nn.Linear(196, 512), nn.Tanh(), nn.Linear(512, 10))

    small, large = Speed.of(digits_task()), Speed.of(digits_task(model=wide))
    assert small.member < large.member < 1
    assert small.evaluation < large.evaluation


def test_an_optimizer_that_no_stack_knows_makes_its_calls_for_each_member() -> None:
    known, own = (Speed.of(digits_task(optimizer=o)) for o in (torch.optim.Adam, torch.optim.NAdam))
    assert own.looped(20, 500) == known.looped(20, 500)
    assert 0.4 * 20 < own.stacked(20, 500) / own.stacked(1, 500) < 20
    assert known.stacked(20, 500) < 0.4 * own.stacked(20, 500)


@pytest.mark.parametrize(("budget", "status"), [("0.5 runs", "uncertain"), ("4 runs", "ok"), ("30 s", "ok")])
def test_every_budget_gives_an_answer_and_says_where_it_was_too_small(budget: str, status: str) -> None:
    advice = ss.find_lr(digits_task(), budget=budget)
    assert advice.status == status
    assert advice.lr is not None
    assert 0.02 < advice.lr < 4


def test_more_budget_rehearses_longer_with_more_seeds() -> None:
    little, much = (
        ss.find_lr(digits_task(), budget=budget).rehearsals[-1] for budget in ("0.3 runs", "20 runs")
    )
    assert little.steps < much.steps == 120
    assert len(little.seeds) < len(much.seeds) == MOST_SEEDS


def test_a_time_that_is_up_at_once_says_so() -> None:
    advice = ss.find_lr(digits_task(), budget="0.000001 s")
    assert (advice.status, advice.lr) == ("out_of_time", None)


@pytest.fixture
def late_learner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rehearsals shorter than the whole run are taken for a plateau."""
    for module in (find_lr, verdict):
        monkeypatch.setattr(module, "learns", lambda rehearsal: rehearsal.steps == rehearsal.horizon)


@pytest.mark.usefixtures("late_learner")
@pytest.mark.parametrize("budget", ["0.5 runs", "1 run"])
def test_a_plateau_does_not_make_a_search_dearer_than_its_budget(budget: str) -> None:
    advice = ss.find_lr(digits_task(steps=600), budget=budget)
    assert (advice.status, advice.lr) == ("out_of_time", None)
    assert "The budget pays for no more of the real run's 600 updates" in advice.why
    last = advice.rehearsals[-1]
    assert f"in {last.steps:,} updates" in advice.why
    assert last.steps < 600


@pytest.mark.usefixtures("late_learner")
@pytest.mark.parametrize("budget", [None, "20 runs"])
def test_beyond_a_plateau_the_whole_run_is_rehearsed_where_that_is_paid_for(budget: str | None) -> None:
    advice = ss.find_lr(digits_task(steps=600), budget=budget)
    assert advice.status == "ok"
    assert advice.rehearsals[-1].steps == 600
