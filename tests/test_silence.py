"""The library prints nothing: what it does is told to the logger "stepsize", for whoever listens."""

from __future__ import annotations

import ast
import logging
from pathlib import Path

import pytest

import stepsize as ss
from tests.tasks import digits_task

SOURCE = Path(str(ss.__file__)).parent


def prints(path: Path) -> list[int]:
    """Lines that call `print`; the command line, which talks to a screen, is another matter."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]


def test_nothing_outside_of_the_command_line_prints() -> None:
    files = [path for path in SOURCE.rglob("*.py") if not path.is_relative_to(SOURCE / "cli")]
    assert len(files) > 200
    assert {path.name: lines for path in files if (lines := prints(path))} == {}


def test_a_search_says_what_it_does_and_prints_nothing(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.INFO, logger="stepsize"):
        advice = ss.find_lr(digits_task(steps=40), progress=False)
    told = [record.getMessage() for record in caplog.records]
    assert {record.name for record in caplog.records} == {"stepsize"}
    assert any("range test over" in line for line in told)
    assert any("deciding" in line and "rates from" in line for line in told)
    assert any("lowest held-out loss" in line for line in told)
    assert told[-1].endswith(f"[{advice.status}]: {advice.why}")
    assert capfd.readouterr() == ("", "")


def test_a_sweep_says_what_is_left_to_do(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    task, store = digits_task(steps=4), tmp_path / "runs.db"
    ss.sweep(task, [0.1, 0.2], seeds=1, store=store, progress=False)
    with caplog.at_level(logging.INFO, logger="stepsize"):
        ss.sweep(task, [0.1, 0.2, 0.4], seeds=1, store=store, progress=False)
    told = [record.getMessage().partition(": ")[2] for record in caplog.records]
    assert told == ["sweep of 3 cells, 1 of them to be trained", "sweep complete, 3 of 3 cells"]
    assert capfd.readouterr() == ("", "")


def test_nobody_is_told_unless_they_ask(capfd: pytest.CaptureFixture[str]) -> None:
    assert any(isinstance(handler, logging.NullHandler) for handler in logging.getLogger("stepsize").handlers)
    ss.range_test(digits_task(steps=4), steps=4, progress=None)
    assert capfd.readouterr() == ("", "")
