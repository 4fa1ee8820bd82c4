"""Lines of a Markdown table."""

from __future__ import annotations

from collections.abc import Sequence


def header(first: str, numbers: Sequence[str]) -> str:
    """The first two lines: a column of text, then columns of numbers, which stand to the right."""
    return f"{row(first, *numbers)}\n|:--|{'--:|' * len(numbers)}"


def row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"
