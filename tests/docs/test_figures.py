"""Figures that a page repeats are those of the page that a benchmark wrote."""

from __future__ import annotations

from tests.docs.pages import ROOT

Rows = dict[str, dict[str, str]]


def table(page: str, first_column: str) -> Rows:
    """The first table of a page with such a heading: task, without code marks, to column to cell."""
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {first_column} |"))
    cells = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        cells.append([cell.strip().strip("`") for cell in line.strip("|").split(" | ")])
    heads, _, *rows = cells
    at = heads.index("task")
    return {row[at]: dict(zip(heads, row, strict=True)) for row in rows}


def test_regret_by_case_is_that_of_the_benchmark() -> None:
    measured = table("docs/regret.md", "task | stepsize find_lr | textbook's three rounds")
    shown = table("docs/choosing.md", "kind")
    assert len(shown) > 10
    for task, row in shown.items():
        for column in set(row) - {"kind", "task"}:
            assert row[column] == measured[task][column], (task, column)
