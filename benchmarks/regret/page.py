"""The results page: tables from rows, as text."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.regret.finders import BUDGETS, OURS, UNCERTAIN
from benchmarks.regret.records import Row
from benchmarks.regret.scores import Summary, summary

PAGE = """\
# What the answers are worth

Written by `benchmarks/regret`; do not edit.

{circumstances}
{versions}
{days}

**Regret** is the share of a run's progress that a rate loses: (held-out loss at the proposed rate − best on
a dense grid) / (loss at the start − best), at the full horizon with the real schedule, mean over
{first_seeds} to {most_seeds} seeds that no finder sees. 0% is the best rate, 100% an untrained or a diverged
run. A rate that loses less than 10% is compared with the best one on the same seeds, doubled in number until
the standard error of that is {settled} in the median over these rates, or there are 32. The grid's factor is
{ratio}; each proposed rate is trained itself, none is interpolated. Every finder runs on every task with
{seeds} seeds, which change its starting weights and batch order; one whose answer depends on no seed, once.
{cases} tasks.

## All finders

Median, 95th percentile and worst regret over the runs with an answer; the share of these above 5%; the
share of runs without an answer, on tasks that have a clear best{unclear}. Costs are medians, and the worst
in brackets: updates and wall-clock time, each as a multiple of one full run by a plain loop timed in the
same process, and seconds.

{finders}

What each row is:

- **{ours}**: `ss.find_lr(task, schedule=…)`, nothing else set.
- **textbook's three rounds**: `ss.range_test(task, zoom=True)`; it knows no schedule.
- **library default**: 0.01 for SGD, 0.001 for Adam and AdamW.
- **torch-lr-finder**: the call of its README, 1e-7 to 100 in 100 updates, and the suggestion of `plot`.
- **Lightning Tuner**: `Tuner.lr_find` as it comes; **before 2.5.3**: the older releases' rule on the same
  curve.
- **fastai**: `Learner.lr_find` as it comes, its four rules on one curve.
- **Optuna**: TPE over log rate from 1e-5 to 10, full runs with the real schedule, best after 1, 2 and 8 of
  them.
- **Prodigy**, **D-Adaptation**, **schedule-free**: no search; what is judged is the end of their own full
  run, mean over the first 4 of these seeds. The first two follow the task's schedule at rate 1,
  schedule-free takes its default rate, warmed up over 5% of the run.

## The targets

{targets}

## Task by task

Median regret over seeds; `–` is no answer, in any of them.

{by_case}

## {ours}, task by task

{own}

`?`: status uncertain, the chance of losing more than 5% was thought to be above one in five.

The tasks are in `benchmarks/regret/tasks.py`:

{cases_table}

## Intervals

`[lr_low, lr_high]` should hold the rates that lose at most 1%. Over the runs with status `ok`, lengths in
log rate:

{intervals}

## Regret against budget

What was answered with status uncertain counts in all columns; the last two tell how much of it there is, and
how much of the rest, of status ok, lost more than 5%.

{budgets}
"""


def days(measured: Mapping[str, str]) -> str:
    """When which finders were asked, as a line of a list."""
    by_day: dict[str, list[str]] = {}
    for finder, day in measured.items():
        by_day.setdefault(day, []).append(finder)
    if len(by_day) == 1:
        return f"- all finders asked on {next(iter(by_day))}"
    parts = [f"on {day} {', '.join(finders)}" for day, finders in sorted(by_day.items())]
    return f"- finders asked {'; '.join(parts)}"


def percent(value: float | None) -> str:
    """Two digits where they tell something; a share of regret as text."""
    if value is None:
        return "–"
    return (
        f"{100 * value:.2f}%"
        if value < 0.01
        else f"{100 * value:.1f}%"
        if value < 0.1
        else f"{100 * value:.0f}%"
    )


def table(head: Sequence[str], body: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """A Markdown table; all columns but the first `left` are numbers."""
    ruler = ["---"] * left + ["--:"] * (len(head) - left)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ruler, *body])


def by_finder(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows of each finder, in the order in which finders first appear."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.finder, []).append(row)
    return groups


def _cost(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2g} ({max(values):.2g})"


def _line(name: str, rows: Sequence[Row]) -> list[str]:
    found = summary([row.regret for row in rows])
    return [
        name,
        percent(found.median),
        percent(found.p95),
        percent(found.worst),
        percent(found.over_5),
        percent(found.none),
        _cost([row.updates_runs for row in rows]),
        _cost([row.time_runs for row in rows]),
        _cost([row.seconds for row in rows]),
    ]


HEAD = ("finder", "median", "95th", "worst", "> 5%", "no answer", "updates, runs", "time, runs", "seconds")


def finders_table(rows: Sequence[Row]) -> str:
    return table(HEAD, [_line(name, group) for name, group in by_finder(rows).items()])


def targets_table(rows: Sequence[Row]) -> str:
    """Issue 5's targets beside what was measured, and every rival that is better somewhere."""
    groups = by_finder(rows)
    own = groups[OURS]
    found = summary([row.regret for row in own])
    time_runs = [row.time_runs for row in own]
    covered = [row for row in own if row.meets is not None]
    sure = summary([row.regret for row in own if row.status != UNCERTAIN] or [None])
    unsure = sum(row.regret is None or row.status == UNCERTAIN for row in own) / len(own)
    checks: list[tuple[str, float | None, Callable[[float], bool], Callable[[float | None], str]]] = [
        ("median regret ≤ 0.5%", found.median, lambda v: v <= 0.005, percent),
        ("95th percentile ≤ 3%", found.p95, lambda v: v <= 0.03, percent),
        ("none above 5% with status ok", sure.worst, lambda v: v <= 0.05, percent),
        ("no answer ≤ 5%", found.none, lambda v: v <= 0.05, percent),
        ("no answer, or one of status uncertain, ≤ 5%", unsure, lambda v: v <= 0.05, percent),
        ("time ≤ 1 run in the median", statistics.median(time_runs), lambda v: v <= 1, _runs),
        ("time ≤ 2 runs at worst", max(time_runs), lambda v: v <= 2, _runs),
    ]
    if covered:
        meets = sum(bool(row.meets) for row in covered) / len(covered)
        contained = statistics.median(row.contained or 0.0 for row in covered)
        checks += [
            ("interval meets the ≤ 1% set in ≥ 90%", meets, lambda v: v >= 0.9, percent),
            ("and contains ≥ 80% of it in the median", contained, lambda v: v >= 0.8, percent),
        ]
    body = [
        [what, show(value), "yes" if value is not None and met(value) else "**no**"]
        for what, value, met, show in checks
    ]
    better = rivals_ahead(found, {n: summary([r.regret for r in g]) for n, g in groups.items() if n != OURS})
    said = "; ".join(f"{column}: {', '.join(names)}" for column, names in better.items() if names)
    lead = f"Rivals that are better in a column, costs apart: {said}." if said else (
        "No rival is better in any of these columns, costs apart."
    )  # fmt: skip
    return table(("target", "measured", "met"), body) + "\n\n" + lead


def _runs(value: float | None) -> str:
    return "–" if value is None else f"{value:.2g}"


COLUMNS = {
    "median": "median",
    "p95": "95th percentile",
    "worst": "worst",
    "over_5": "above 5%",
    "none": "no answer",
}


def rivals_ahead(own: Summary, rivals: Mapping[str, Summary]) -> dict[str, list[str]]:
    """For each column, the rivals whose figure is lower than ours; one without a figure is not."""
    ahead: dict[str, list[str]] = {}
    for field, column in COLUMNS.items():
        mine = getattr(own, field)
        ahead[column] = [
            name
            for name, rival in rivals.items()
            if getattr(rival, field) is not None and (mine is None or getattr(rival, field) < mine)
        ]
    return ahead


def by_case_table(rows: Sequence[Row]) -> str:
    groups = by_finder(rows)
    cases = list(dict.fromkeys(row.case for row in rows))
    body = []
    for name, group in groups.items():
        cells = [name]
        for case in cases:
            regrets = [row.regret for row in group if row.case == case]
            given = [regret for regret in regrets if regret is not None]
            mark = "" if len(given) == len(regrets) else "–" if not given else " *"
            cells.append((percent(statistics.median(given)) if given else "") + mark)
        body.append(cells)
    flipped = [[case, *(line[place] for line in body)] for place, case in enumerate(cases, start=1)]
    return table(("task", *groups), flipped) + "\n\n`*`: some of the seeds had no answer."


def own_table(rows: Sequence[Row], cases: Mapping[str, Mapping[str, Any]]) -> str:
    body = []
    for case, about in cases.items():
        own = [row for row in rows if row.finder == OURS and row.case == case]
        if not own:
            continue
        body.append(
            [
                case,
                f"{about['best_lr']:.3g}",
                "{:.2g} … {:.2g}".format(*about["near_best"]),
                ", ".join("–" if row.lr is None else f"{row.lr:.3g}" for row in own),
                ", ".join(_lost(row) for row in own),
                _cost([row.updates_runs for row in own]),
                _cost([row.time_runs for row in own]),
            ]
        )
    head = ("task", "best rate", "lose ≤ 1%", "proposed", "regret", "updates, runs", "time, runs")
    return table(head, body)


def _lost(row: Row) -> str:
    if row.regret is None:
        return row.status
    return percent(row.regret) + (" ?" if row.status == UNCERTAIN else "")


def cases_table(cases: Mapping[str, Mapping[str, Any]]) -> str:
    body = [
        [
            name,
            about["kind"],
            about["optimizer"],
            f"`{about['schedule']}`",
            f"{about['steps']:,}",
            f"{about['batch_size']:,}",
            f"{about['samples']:,}",
            f"{about['plain_seconds']:.2g} s",
            str(about["oracle_seeds"]),
            percent(about["noise"]),
        ]
        for name, about in cases.items()
    ]
    head = (
        *("task", "kind", "optimizer", "schedule", "updates", "batch", "rows", "a plain run", "seeds"),
        "± of a regret",
    )
    return table(head, [[cell.replace("|", "\\|") for cell in line] for line in body], left=4)


def intervals_table(rows: Sequence[Row]) -> str:
    body = []
    for name, group in by_finder(rows).items():
        covered = [row for row in group if row.meets is not None and row.status == "ok"]
        if covered:
            body.append(
                [
                    name,
                    str(len(covered)),
                    percent(sum(bool(row.meets) for row in covered) / len(covered)),
                    percent(statistics.median(row.contained or 0.0 for row in covered)),
                    percent(statistics.median(row.outside or 0.0 for row in covered)),
                ]
            )
    head = (
        "finder",
        "runs",
        "meets the set",
        "share of the set that it contains, median",
        "its share outside, median",
    )
    return table(head, body) if body else "No run gave an interval."


def budgets_table(rows: Sequence[Row]) -> str:
    groups = by_finder(rows)
    body = []
    for budget in BUDGETS:
        group = groups.get(f"{OURS}, {budget}", [])
        if group:
            sure = summary([row.regret for row in group if row.status != UNCERTAIN] or [None])
            unsure = sum(row.status == UNCERTAIN for row in group) / len(group)
            body.append([*_line(budget, group), percent(unsure), percent(sure.over_5)])
    head = ("budget", *HEAD[1:], "uncertain", "> 5% of the rest")
    return table(head, body) if body else "Not measured in this run."
