"""Regret of every finder on every task.

    python -m benchmarks.regret --budgets         # everything; writes results.json and docs/regret.md
    python -m benchmarks.regret --budgets --again ours   # find_lr alone; the rest of results.json stays
    python -m benchmarks.regret --quick           # two small tasks, three finders: writes nothing
    python -m benchmarks.regret --tasks cnn,wine --rivals ours,fastai    # a part: prints, writes nothing

What was measured is kept in out/regret/, so the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.metadata
import json
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.clock import circumstances
from benchmarks.regret import page
from benchmarks.regret.finders import BUDGETS, OURS, Finder, all_finders, budgets_known, with_budget
from benchmarks.regret.oracle import FIRST_SEEDS, OUT, RATIO, SEEDS, SETTLED, Oracle
from benchmarks.regret.records import Answers, Row, describe, judged_anew, missing_packages, rows
from benchmarks.regret.tasks import CASES, Case

RESULTS = Path(__file__).with_name("results.json")
PAGE = Path(__file__).parents[2] / "docs" / "regret.md"
QUICK_CASES, QUICK_FINDERS = ("wine", "fine-tuning"), ("ours", "torch-lr-finder", "default")
QUICK_LATTICE = -20, 8
"""Powers of the grid's ratio in the brief version: 0.005 to 8."""

T = TypeVar("T")


def main() -> None:
    options = _options()
    finders = _chosen("--rivals", options.rivals or options.again, all_finders())
    if options.budgets:
        if not budgets_known():
            sys.exit("find_lr has no argument budget in this version: leave --budgets out")
        finders += [with_budget(budget) for budget in BUDGETS]
    cases = _chosen("--tasks", options.tasks, CASES)
    if missing := missing_packages(finders):
        sys.exit(f"not installed: {', '.join(missing)}; `make regret` installs them")
    if options.quick:
        with tempfile.TemporaryDirectory() as folder:
            results = measured(cases, finders, 1, Path(folder), oracle_seeds=SEEDS[:2], lattice=QUICK_LATTICE)
    else:
        others = json.loads(RESULTS.read_text(encoding="utf-8"))["rows"] if options.again else ()
        results = measured(cases, finders, options.seeds, OUT, others=others, keep=options.keep_oracle)
    command = "python -m benchmarks.regret" + "".join(f" {argument}" for argument in sys.argv[1:])
    results = {"command": command, "measured": _measured(finders), "packages": _packages(finders)} | results
    if options.again:
        results = joined(json.loads(RESULTS.read_text(encoding="utf-8")), results)
    text = rendered(results, command)
    print(text)
    if not (options.quick or options.tasks or options.rivals):
        RESULTS.write_text(as_json(results), encoding="utf-8")
        PAGE.write_text(text, encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.regret", description="Regret of every finder."
    )
    parser.add_argument("--quick", action="store_true", help="two small tasks, three finders; writes nothing")
    parser.add_argument("--tasks", help="names of tasks, separated by commas")
    parser.add_argument("--rivals", help="finders, separated by commas")
    parser.add_argument("--again", help="finders to measure anew, keeping the others' results")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of each finder (default 3)")
    parser.add_argument("--budgets", action="store_true", help="also find_lr at several budgets")
    parser.add_argument(
        "--keep-oracle", action="store_true", help="accept losses that an earlier training code left"
    )
    options = parser.parse_args()
    if options.again and (options.rivals or options.tasks or options.quick):
        parser.error("--again measures every task, and goes with neither --rivals nor --tasks nor --quick")
    if options.quick:
        options.tasks = options.tasks or ",".join(QUICK_CASES)
        options.rivals = options.rivals or ",".join(QUICK_FINDERS)
    return options


def _chosen(argument: str, text: str | None, registry: dict[str, T]) -> list[T]:
    names = list(registry) if text is None else text.split(",")
    for name in names:
        if name not in registry:
            sys.exit(f"{argument}: {name!r} is unknown; there are {', '.join(registry)}")
    return [registry[name] for name in names]


def measured(
    cases: Sequence[Case],
    finders: Sequence[Finder],
    seeds: int,
    folder: Path,
    *,
    others: Sequence[Mapping[str, Any]] = (),
    oracle_seeds: Sequence[int] = SEEDS,
    **oracle_options: Any,
) -> dict[str, Any]:
    """Ask every finder on every case, and judge what they say: what results.json holds.

    Of `others`, rows of an earlier time, those of other finders are judged anew: its oracle may have had
    fewer seeds.
    """
    store = Answers(folder)
    about: dict[str, Any] = {}
    found: list[Row] = []
    names = {name for finder in finders for name in finder.names}
    kept = [Row(**row) for row in others if row["finder"] not in names]
    columns = TextColumn("{task.description:44}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("", total=len(cases) * (len(finders) + 1))

        def tell(text: str) -> None:
            progress.update(bar, description=text)

        for case in cases:
            tell(f"{case.name}: dense grid")
            oracle = Oracle(
                case, seeds=oracle_seeds[:FIRST_SEEDS], folder=folder, progress=tell, **oracle_options
            )
            oracle.dense().sharpened(oracle_seeds)
            progress.advance(bar)
            asked = []
            for finder in finders:
                for seed in [1000 * (i + 1) for i in range(seeds if finder.seeded else 1)]:
                    tell(f"{case.name}: {finder.key}, seed {seed}")
                    asked.append((seed, *store.ask(finder, case, seed)))
                progress.advance(bar)
            earlier = [row for row in kept if row.case == case.name]
            rates = [a.lr for _, answers, _ in asked for a in answers.values() if a.answered and a.lr]
            tell(f"{case.name}: the rates proposed")
            oracle.judge(rates + [row.lr for row in earlier if row.lr])
            about[case.name] = describe(oracle, statistics.median(plain for *_, plain in asked))
            for seed, answers, plain in asked:
                found += rows(oracle, seed, answers, plain)
            found += [judged_anew(oracle, row) for row in earlier]
    return {
        "seeds": seeds,
        "cases": about,
        "rows": [asdict(row) for row in found],
    }


def _measured(finders: Sequence[Finder]) -> dict[str, str]:
    """The day on which each row's finder was asked."""
    today = f"{dt.datetime.now(dt.UTC):%Y-%m-%d}"
    return {name: today for finder in finders for name in finder.names}


def _packages(finders: Sequence[Finder]) -> dict[str, str]:
    """The versions of what the finders are made of."""
    names = sorted({package for finder in finders for package in finder.packages})
    return {name: importlib.metadata.version(name) for name in names}


def joined(stored: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """New results, other finders' rows judged anew among them, with the days and packages of the stored ones.

    Raises `ValueError` when the two were not measured on the same tasks with the same seeds.
    """
    if stored["seeds"] != new["seeds"]:
        raise ValueError(f"seeds must be {stored['seeds']}, as in the stored results, but is {new['seeds']}")
    if list(stored["cases"]) != list(new["cases"]):
        raise ValueError("the stored results are those of other tasks: measure all finders")
    order = {finder: place for place, finder in enumerate({row["finder"]: None for row in stored["rows"]})}
    rows = sorted(
        new["rows"],
        key=lambda row: (list(new["cases"]).index(row["case"]), order.get(row["finder"], 0)),
    )
    return new | {
        "measured": stored["measured"] | new["measured"],
        "packages": stored["packages"] | new["packages"],
        "rows": rows,
    }


def as_json(results: dict[str, Any]) -> str:
    """The results with one case or row to a line, numbers to six digits."""

    def line(value: Any) -> str:
        return json.dumps(value, allow_nan=False)

    def short(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: short(item) for key, item in value.items()}
        if isinstance(value, list):
            return [short(item) for item in value]
        return float(f"{value:.6g}") if isinstance(value, float) else value

    head = [f"{line(key)}: {line(value)}" for key, value in results.items() if key not in ("cases", "rows")]
    cases = ",\n".join(f"{line(name)}: {line(short(about))}" for name, about in results["cases"].items())
    rows = ",\n".join(line(short(row)) for row in results["rows"])
    return "{" + ",\n".join([*head, f'"cases": {{\n{cases}\n}}', f'"rows": [\n{rows}\n]']) + "}\n"


def rendered(results: dict[str, Any], command: str) -> str:
    """The page."""
    cases = results["cases"]
    found = [Row(**row) for row in results["rows"]]
    unclear = [name for name, about in cases.items() if not about["clear"]]
    main_rows = [row for row in found if not row.finder.startswith(f"{OURS}, ") and row.case not in unclear]
    named = ", ".join(f"{package} {version}" for package, version in results["packages"].items())
    return page.PAGE.format(
        circumstances=circumstances(command),
        versions=f"- stepsize {importlib.metadata.version('stepsize')}; {named}" if named else "",
        days=page.days(results["measured"]),
        first_seeds=min(about["oracle_seeds"] for about in cases.values()),
        most_seeds=max(about["oracle_seeds"] for about in cases.values()),
        settled=f"{SETTLED:.1%}",
        ratio=RATIO,
        seeds=results["seeds"],
        cases=len(cases),
        unclear=f" (left out, without one: {', '.join(unclear)})" if unclear else " (all have one)",
        ours=OURS,
        finders=page.finders_table(main_rows),
        targets=page.targets_table(main_rows)
        if any(r.finder == OURS for r in main_rows)
        else "Not measured.",
        by_case=page.by_case_table(main_rows),
        own=page.own_table(main_rows, cases),
        cases_table=page.cases_table(cases),
        intervals=page.intervals_table(main_rows),
        budgets=page.budgets_table([row for row in found if row.case not in unclear]),
    )


if __name__ == "__main__":
    main()
