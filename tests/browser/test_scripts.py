"""The parts of the page's script that say again, in another language, what Python says."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser

from stepsize._words import plural
from stepsize.report.numbers import count, fraction, number, percent, rate_ticks, short
from stepsize.report.script import HERE

Calls = Callable[[str, list[Any]], list[Any]]

VALUES = (
    *(0.0, 1.0, -1.0, 0.5, 0.42, 0.969, 1e-5, 1.234e-5, 1e-4, 0.00012345, 0.0123456, 0.9996, 9.996, 99.95),
    *(123.4, 999.4, 999.6, 1000.0, 1234.6, 55_000.0, 999_999.0, 1e6, 1.5e7, -0.00123, -1234.0, 2 / 3),
)
SHARES = (0.0, 1e-4, 0.0004, 0.001, 0.0123, 0.0991, 0.1, 0.256, 0.999, 1.0, 2.5, -0.01, -0.2)


@pytest.fixture(scope="module")
def calls(browser: Browser) -> Calls:
    """Calls a function of `format.js` and `axes.js` for each row of arguments."""
    page = browser.new_page()
    sources = [HERE / "vendor" / "d3.min.js", HERE / "js" / "format.js", HERE / "js" / "axes.js"]
    for source in sources:
        page.add_script_tag(content=source.read_text(encoding="utf-8"))
    return lambda name, rows: page.evaluate(f"(rows) => rows.map((row) => {name}(...row))", rows)


@pytest.mark.parametrize("digits", [2, 3, 4])
def test_numbers_are_written_alike(calls: Calls, digits: int) -> None:
    assert calls("number", [[value, digits] for value in VALUES]) == [number(v, digits) for v in VALUES]


def test_counts_shares_and_lengths_are_written_alike(calls: Calls) -> None:
    whole = [0, 1, 2, 999, 1000, 12_345_678]
    assert calls("count", [[n] for n in whole]) == [count(n) for n in whole]
    assert calls("plural", [[n, "seed"] for n in whole]) == [plural(n, "seed") for n in whole]
    assert calls("percent", [[share] for share in SHARES]) == [percent(share) for share in SHARES]
    parts = [[1, 1], [5, 4], [1, 4], [107, 860], [37, 100], [2, 3]]
    assert calls("fraction", parts) == [fraction(*part) for part in parts]


def test_what_is_not_there_is_a_dash(calls: Calls) -> None:
    assert calls("number", [[None]]) == [number(None)] == ["–"]
    assert calls("percent", [[None]]) == [percent(None)] == ["–"]


def test_schedules_are_shortened_alike(calls: Calls) -> None:
    texts = [
        "0.42 * cosine()",
        "0.123456789 * (warmup(30) | hold())",
        "1.23456e-05 * fixed()",
        "decay('20%')",
    ]
    assert calls("short", [[text] for text in texts]) == [short(text) for text in texts]


def test_axes_have_the_same_ticks(calls: Calls) -> None:
    ranges: list[list[float]] = [
        [1e-7, 1e3],
        [0.2, 7.0],
        [0.3, 0.9],
        [1.0, 1.1],
        [0.0123, 0.0125],
        [5e-6, 0.3],
        [60, 4000],
    ]
    for low, high in ranges:
        for most in (5, 6, 8):
            (ticks,) = calls("roundTicks", [[low, high, most]])
            expected = rate_ticks(low, high, most).tolist()
            assert len(ticks) == len(expected) <= max(most, 1)
            assert all(math.isclose(a, b, rel_tol=1e-12) for a, b in zip(ticks, expected, strict=True))
