"""The colours of every picture and page, light and dark, and matplotlib's settings for them.

Colours are named by what they mean. Blue and vermilion are told apart with every common form of colour
blindness (Okabe & Ito 2008); nothing is said by colour alone. All hexadecimal values are different, so
that a picture's colours can be traced back to their names (see `report/svg.py`).
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

ThemeName = Literal["light", "dark"]


class Colours(NamedTuple):
    """What each colour is for."""

    paper: str
    ink: str
    muted: str
    line: str
    grid: str
    answer: str
    answer_soft: str
    danger: str
    danger_soft: str
    low_3: str
    low_2: str
    low_1: str
    high_1: str
    high_2: str
    high_3: str


THEMES: dict[ThemeName, Colours] = {
    "light": Colours(
        paper="#ffffff",
        ink="#1b2230",
        muted="#5d6675",
        line="#a9b1be",
        grid="#e9ecf0",
        answer="#0b5cad",
        answer_soft="#e1ecf8",
        danger="#b8430f",
        danger_soft="#fbece4",
        low_3="#a8c6dd",
        low_2="#74a5cb",
        low_1="#4586b8",
        high_1="#d96a2b",
        high_2="#e69663",
        high_3="#f0bd9c",
    ),
    "dark": Colours(
        paper="#12161d",
        ink="#e8ebf0",
        muted="#9aa4b3",
        line="#5a6473",
        grid="#262d38",
        answer="#6db3f5",
        answer_soft="#16293d",
        danger="#f08a5b",
        danger_soft="#33201a",
        low_3="#34536b",
        low_2="#437397",
        low_1="#5793bf",
        high_1="#e0834e",
        high_2="#a8633c",
        high_3="#74482f",
    ),
}


def settings(colours: Colours) -> dict[Any, Any]:
    """The rc parameters for a theme; the font is the one that comes with matplotlib."""
    return {
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "text.color": colours.ink,
        "text.parse_math": False,  # a task's name may hold a dollar sign
        "figure.facecolor": colours.paper,
        "savefig.facecolor": colours.paper,
        "axes.facecolor": colours.paper,
        "axes.edgecolor": colours.line,
        "axes.labelcolor": colours.muted,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.axisbelow": True,
        "axes.unicode_minus": True,
        "grid.color": colours.grid,
        "grid.linewidth": 0.8,
        "xtick.color": colours.line,
        "xtick.labelcolor": colours.muted,
        "xtick.major.size": 4,
        "xtick.minor.size": 0,
        "ytick.color": colours.line,
        "ytick.labelcolor": colours.muted,
        "ytick.major.size": 0,
        "ytick.minor.size": 0,
        "legend.frameon": False,
        "legend.fontsize": 8.5,
        "legend.handlelength": 1.6,
        "legend.handletextpad": 0.5,
        "legend.columnspacing": 1.4,
        "legend.borderaxespad": 0,
        "lines.solid_capstyle": "round",
        "lines.solid_joinstyle": "round",
        "svg.hashsalt": "stepsize",  # the same picture twice is the same file
        "savefig.dpi": 160,
    }
