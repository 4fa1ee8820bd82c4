"""The page's scripts: Plot and d3 as they are published, and the drawings of `js/`, one a kind of picture."""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from pathlib import Path

HERE = Path(__file__).parent

DRAWINGS: dict[str, str] = {
    "decision": "decision",
    "rounds": "rounds",
    "trend": "trend",
    "curves": "curves",
    "diagnosis": "diagnosis",
    "price": "price",
    "worth": "worth",
    "range_test": "range_test",
    "staged": "range_test",
    "trials": "trials",
    "bracket": "range_test",
    "coarse": "range_test",
    "sweep_ends": "sweep_ends",
    "sweep_curves": "curves",
    "heatmap": "heatmap",
    "noise": "noise",
    "batch_times": "batch_times",
    "batch_updates": "batch_updates",
    "hyperbola": "hyperbola",
    "schedules": "schedules",
    "warmups": "warmups",
    "scaling": "scaling",
    "stable_rates": "stable_rates",
    "schedule": "schedule",
}
"""The page's drawing of every picture in `FIGURES`, by its name in `js/drawings/`.

A drawing is a function (data, view) → axes, marks, points and key, where `data` is what the picture's data
function returns, as JSON, and `view` tells the width. To add one: a file in `js/drawings/` and its line here.
"""

LIBRARIES = ("d3.min.js", "plot.umd.min.js")
BEFORE = ("format.js", "axes.js", "marks.js", "chart.js", "copy.js", "whatif.js")
AFTER = ("main.js",)


@lru_cache(maxsize=1)
def scripts() -> tuple[str, ...]:
    """The script elements' texts, in their order; none of them can end its element early.

    The page's own files are one function, so that they share names with each other and with nothing else.
    """
    libraries = [_text(HERE / "vendor" / name) for name in LIBRARIES]
    drawings = sorted((HERE / "js" / "drawings").glob("*.js"))
    own = [*(HERE / "js" / name for name in BEFORE), *drawings, *(HERE / "js" / name for name in AFTER)]
    body = "\n".join(map(_text, own))
    return (
        *libraries,
        f'(() => {{\n"use strict";\nconst drawings = {{}};\n\n{body}}})();\n',
    )


def _text(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    lowered = text.lower()
    if "</script" in lowered or "<!--" in lowered:
        raise ValueError(f"{path.name} cannot stand inside a page: it holds the end of a script element")
    return text


def digest(text: str) -> str:
    """What a Content-Security-Policy calls this text by."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
