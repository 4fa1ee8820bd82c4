"""The tables of the regret benchmark, from rows that are made up."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from benchmarks.regret import page
from benchmarks.regret.__main__ import as_json, joined
from benchmarks.regret.finders import OURS, UNCERTAIN, Answer, library_default, usable
from benchmarks.regret.records import Row
from benchmarks.regret.rivals import before_2_5_3
from benchmarks.regret.scores import summary
from benchmarks.regret.tasks import CASES


def row(
    finder: str,
    regret: float | None,
    *,
    case: str = "a",
    seed: int = 1,
    time: float = 0.5,
    status: str = "ok",
) -> Row:
    return Row(
        finder=finder,
        case=case,
        seed=seed,
        status="flat" if regret is None else status,
        lr=None if regret is None else 0.1,
        low=None if regret is None else 0.05,
        high=None if regret is None else 0.2,
        regret=regret,
        updates_runs=2 * time,
        time_runs=time,
        seconds=10 * time,
        meets=None if regret is None else regret < 0.01,
        contained=None if regret is None else 0.9,
        outside=None if regret is None else 0.3,
    )


def cells(table: str, first: str) -> list[str]:
    """The cells of the row that starts with this one."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    (found,) = [line[1:] for line in lines if line[0].strip() == first]
    return found


ROWS = [row(OURS, 0.001), row(OURS, 0.02, seed=2, time=2.5), row(OURS, None, seed=3), row("rival", 0.0005)]


def test_the_table_of_finders() -> None:
    table = page.finders_table(ROWS)
    assert cells(table, OURS) == ["1.1%", "2.0%", "2.0%", "0.00%", "33%", "1 (5)", "0.5 (2.5)", "5 (25)"]
    assert cells(table, "rival") == [
        "0.05%",
        "0.05%",
        "0.05%",
        "0.00%",
        "0.00%",
        "1 (1)",
        "0.5 (0.5)",
        "5 (5)",
    ]


def test_the_targets_say_what_is_missed_and_who_is_ahead() -> None:
    text = page.targets_table(ROWS)
    assert cells(text, "median regret ≤ 0.5%") == ["1.1%", "**no**"]
    assert cells(text, "95th percentile ≤ 3%") == ["2.0%", "yes"]
    assert cells(text, "none above 5% with status ok") == ["2.0%", "yes"]
    assert cells(text, "no answer, or one of status uncertain, ≤ 5%") == ["33%", "**no**"]
    assert cells(text, "time ≤ 1 run in the median") == ["0.5", "yes"]
    assert cells(text, "time ≤ 2 runs at worst") == ["2.5", "**no**"]
    assert cells(text, "interval meets the ≤ 1% set in ≥ 90%") == ["50%", "**no**"]
    assert cells(text, "and contains ≥ 80% of it in the median") == ["90%", "yes"]
    assert "median: rival; 95th percentile: rival; worst: rival; no answer: rival" in text


def test_an_uncertain_answer_counts_as_an_answer_and_as_a_missing_one() -> None:
    doubted = [row(OURS, 0.001), row(OURS, 0.3, seed=2, status=UNCERTAIN)]
    text = page.targets_table(doubted)
    assert cells(text, "median regret ≤ 0.5%") == ["15%", "**no**"]
    assert cells(text, "none above 5% with status ok") == ["0.10%", "yes"]
    assert cells(text, "no answer ≤ 5%") == ["0.00%", "yes"]
    assert cells(text, "no answer, or one of status uncertain, ≤ 5%") == ["50%", "**no**"]
    assert Answer(1, 1.0, lr=0.1, status=UNCERTAIN).answered
    alone = page.targets_table(doubted[1:])
    assert cells(alone, "none above 5% with status ok") == ["–", "**no**"]


def test_a_rival_without_answers_is_ahead_of_nobody() -> None:
    ahead = page.rivals_ahead(summary([0.5, 0.5]), {"silent": summary([None]), "same": summary([0.5])})
    assert not any(ahead.values())


def test_the_table_by_task_marks_missing_answers() -> None:
    rows = [*ROWS, row("rival", None, case="b"), row(OURS, 0.3, case="b")]
    table = page.by_case_table(rows)
    assert cells(table, "a") == ["1.1% *", "0.05%"]
    assert cells(table, "b") == ["30%", "–"]


def test_intervals_are_counted_where_there_is_one() -> None:
    assert cells(page.intervals_table(ROWS), OURS) == ["2", "50%", "90%", "30%"]


def test_budgets_stand_in_their_order() -> None:
    table = page.budgets_table([row(f"{OURS}, 2 runs", 0.1), row(f"{OURS}, 0.25 runs", 0.2)])
    assert [line.split("|")[1].strip() for line in table.splitlines()[2:]] == ["0.25 runs", "2 runs"]
    half = [row(f"{OURS}, 1 run", 0.2, status=UNCERTAIN), row(f"{OURS}, 1 run", 0.1)]
    assert cells(page.budgets_table(half), "1 run")[-2:] == ["50%", "100%"]


def test_results_are_read_back_as_they_were() -> None:
    results = {
        "seeds": 3,
        "cases": {"a": {"best": 0.5, "grid": [0.1, 7]}},
        "rows": [{"lr": 1 / 3, "low": None}],
    }
    read = json.loads(as_json(results))
    assert read == {**results, "rows": [{"lr": 0.333333, "low": None}]}


@pytest.mark.parametrize(("given", "kept"), [(0.1, 0.1), (None, None), (float("nan"), None), (0.0, None)])
def test_rates_that_are_none(given: float | None, kept: float | None) -> None:
    assert usable(given) == (kept, "none" if kept is None else "ok")


def test_the_old_lightning_rule_takes_the_steepest_update() -> None:
    losses = np.full(100, 2.0)
    losses[50:] = 1.0  # the steepest central difference is at 49 and 50; argmin takes the first
    lrs = list(np.geomspace(1e-8, 1, 100))
    assert before_2_5_3(lrs, list(losses)) == lrs[49]
    assert before_2_5_3(lrs[:12], list(losses[:12])) is None


def test_the_tasks_differ_in_kind_and_keep_their_word() -> None:
    tasks = {name: case.task(1000) for name, case in CASES.items()}
    assert len({case.kind for case in CASES.values()}) == len(CASES) >= 12
    assert all(100 <= task.steps <= 3000 and task.seed == 1000 for task in tasks.values())
    assert {task.optimizer_name for task in tasks.values()} == {"SGD", "Adam", "AdamW"}
    shapes = ("fixed", "step", "linear", "cosine", "one_cycle")
    assert all(any(shape in case.schedule for case in CASES.values()) for shape in shapes)
    assert tasks["logistic"].batch_size == tasks["logistic"].samples
    assert tasks["fine-tuning"].from_weights
    assert library_default(CASES["wine"], 0)["library default"].lr == 0.01
    assert library_default(CASES["autoencoder"], 0)["library default"].lr == 0.001


def test_the_days_of_measuring_are_told() -> None:
    assert page.days({"a": "2026-11-24", "b": "2026-11-24"}) == "- all finders asked on 2026-11-24"
    told = page.days({"a": "2026-11-25", "b": "2026-11-24", "c": "2026-11-24"})
    assert told == "- finders asked on 2026-11-24 b, c; on 2026-11-25 a"


def test_measuring_again_keeps_the_order_the_days_and_the_packages_of_the_others() -> None:
    def results(finders: dict[str, str], day: str, rows: list[tuple[str, str]]) -> dict[str, Any]:
        return {
            "seeds": 3,
            "cases": {"one": {}, "two": {}},
            "measured": dict.fromkeys(finders, day),
            "packages": {name: version for name, version in finders.items() if version},
            "rows": [{"finder": name, "case": case} for name, case in rows],
        }

    order = [("ours", "one"), ("rival", "one"), ("ours", "two"), ("rival", "two")]
    stored = results({"ours": "", "rival": "1.0"}, "2026-11-24", order)
    new = results({"ours": ""}, "2026-11-25", [order[0], order[2], order[1], order[3]])
    found = joined(stored, new)
    assert [(row["finder"], row["case"]) for row in found["rows"]] == order
    assert found["measured"] == {"ours": "2026-11-25", "rival": "2026-11-24"}
    assert found["packages"] == {"rival": "1.0"}
    with pytest.raises(ValueError, match="seeds must be 3"):
        joined(stored, new | {"seeds": 1})
    with pytest.raises(ValueError, match="other tasks"):
        joined(stored, new | {"cases": {"one": {}}})
