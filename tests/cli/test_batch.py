"""`stepsize batch`, as a user runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

import stepsize as ss
from stepsize.cli import main

TASK_FILE = """
from tests.tasks import digits_task
task = digits_task(steps=60)
"""
FEW = ["--lr", "0.5", "--seeds", "1", "--no-noise"]


@pytest.fixture
def name(tmp_path: Path) -> str:
    path = tmp_path / "my_project.py"
    path.write_text(TASK_FILE)
    return f"{path}:task"


def test_the_answer_is_printed_drawn_and_kept(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    json, page, plot = tmp_path / "batch.json", tmp_path / "batch.html", tmp_path / "batch.png"
    written = ["--json", str(json), "--report", str(page), "--plot", str(plot)]
    assert main(["batch", name, "--batch-sizes", "25,50,100", *FEW, *written]) == 0
    shown = capsys.readouterr()
    assert "Critical batch: batch sizes 25, 50, 100" in shown.err
    assert "updates to a held-out loss of" in shown.out
    assert ss.BatchAdvice.load(json).batch_size in (25, 50, 100)
    assert "batch size" in page.read_text()
    assert plot.stat().st_size > 5000


def test_quiet_prints_the_size_alone(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["batch", name, "--batch-sizes", "25,50", "--objective", "compute", "--quiet", *FEW]) == 0
    assert int(capsys.readouterr().out) in (25, 50)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--batch-sizes", "a,b"], "--batch-sizes must be"),
        (["--objective", "speed"], "objective must be"),
        (["--budget", "soon"], "budget must be"),
    ],
)
def test_wrong_use_is_named(
    name: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["batch", name, *FEW, *arguments]) == 2
    assert message in capsys.readouterr().err
