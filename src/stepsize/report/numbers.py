"""How numbers are written in pictures, tables and sentences."""

from __future__ import annotations

import math
import re

import numpy as np
from numpy.typing import NDArray


def rate(value: float) -> str:
    """A learning rate to three digits: `0.3`, `0.00125`, `1e-5`."""
    return number(value)


def number(value: float | None, digits: int = 3) -> str:
    """A quantity to some digits; a dash where there is none."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:.{digits}g}"
    if "e" in text and 1e-4 <= abs(value) < 1e6:
        text = f"{float(text):,.0f}"
    text = re.sub(r"e([+-])0*(\d)", lambda match: "e" + match[1].replace("+", "") + match[2], text)
    return text.replace("-", "−") if value < 0 and "e" not in text else text


def count(value: float) -> str:
    """A whole number with thousands set apart."""
    return f"{round(value):,}"


def percent(share: float | None) -> str:
    """A share as a percentage; tiny ones are called so instead of being rounded to zero."""
    if share is None or math.isnan(share):
        return "–"
    if math.isinf(share):
        return "∞"
    if share == 0:
        return "0%"
    if 0 < share < 0.0005:
        return "under 0.1%"
    return f"{100 * share:.1f}%" if abs(share) < 0.0995 else f"{100 * share:.0f}%"


def fraction(part: int, whole: int) -> str:
    """How much of the run: `1/8 of the run` when it is nearly that, `37% of the run` otherwise."""
    if part >= whole:
        return "the whole run"
    inverse = round(whole / part)
    if abs(part * inverse / whole - 1) < 0.05:
        return f"1/{inverse} of the run"
    return f"{percent(part / whole)} of the run"


def short(text: str) -> str:
    """A schedule's text with its long decimals cut to four digits."""
    return re.sub(r"(?<![\w.])\d*\.\d{4,}(?:e[+-]?\d+)?", lambda match: f"{float(match[0]):.4g}", text)


LOSS_NAMES = {
    "train": "training loss",
    "val": "held-out loss",
    "validation": "validation loss",
    "held-out part of train": "held-out loss",
    "fresh training batches": "training loss on fresh batches",
}


def loss_name(kind: str) -> str:
    """What a picture calls the loss that a result's `loss_kind` tells of."""
    return LOSS_NAMES.get(kind, f"{kind} loss")


def rate_ticks(low: float, high: float, most: int = 8) -> NDArray[np.float64]:
    """Round rates within [low, high] for a logarithmic axis, at least two if there are any, at most `most`.

    Decades, or thinner than that where they are many; 1-3, 1-2-5 and so on where they are few.
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    slack = 1 + 1e-9
    choices: list[tuple[int, tuple[float, ...]]] = [
        *((every, (1,)) for every in range(12, 0, -1)),
        (1, (1, 3)),
        (1, (1, 2, 5)),
        (1, (1, 1.5, 2, 3, 5, 7)),
        (1, tuple(range(1, 10))),
        (1, tuple(np.arange(10, 100) / 10)),
    ]
    best: list[float] = []
    for every, digits in choices:
        start = first - first % every
        ticks = [d * 10.0**e for e in range(start, last + 1, every) for d in digits]
        ticks = [tick for tick in ticks if low / slack <= tick <= high * slack]
        if len(ticks) <= most:
            best = max(best, ticks, key=len)
    return np.array(best or [math.sqrt(low * high)])
