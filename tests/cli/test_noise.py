"""`stepsize noise`, as a user runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

import stepsize as ss
from stepsize.cli import main

TASK_FILE = """
from tests.tasks import digits_task
task = digits_task(steps=60)
"""


@pytest.fixture
def name(tmp_path: Path) -> str:
    path = tmp_path / "my_project.py"
    path.write_text(TASK_FILE)
    return f"{path}:task"


def test_the_scale_is_printed_drawn_and_kept(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    json, page, plot = tmp_path / "noise.json", tmp_path / "noise.html", tmp_path / "noise.png"
    written = ["--json", str(json), "--report", str(page), "--plot", str(plot)]
    assert main(["noise", name, "--lr", "0.3", "--examples", "256", "--checkpoints", "2", *written]) == 0
    assert "Gradient noise scale of digits (simple, per sample)" in capsys.readouterr().out
    assert len(ss.NoiseScale.load(json).points) == 2
    assert "noise scale" in page.read_text()
    assert plot.stat().st_size > 5000


def test_without_a_rate_it_is_found(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["noise", name, "--examples", "128", "--checkpoints", "1", "--quiet"]) == 0
    assert float(capsys.readouterr().out) > 0


def test_a_budget_in_time_ends_it_early(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["noise", name, "--lr", "0.3", "--budget", "0.001 s", "--precision", "1e-6"]) == 0
    assert "out of time" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lr", "0"], "lr must be"),
        (["--kind", "full"], "kind must be"),
        (["--budget", "soon"], "budget must be"),
    ],
)
def test_wrong_use_is_named(
    name: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["noise", name, *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--lr", "0.3"], ["at 4 points along 15 updates: ", "by the samples that the precision takes."]),
        (["--lr", "0.3", "--examples", "64", "--checkpoints", "1"], ["at 1 point along", ": about "]),
        (["--checkpoints", "1"], ["; a rate to begin with comes before."]),
        (["--lr", "0.3", "--budget", "1 s"], ["; it ends within 1.0 s in all."]),
    ],
)
def test_what_it_takes_is_told_before(
    name: str, options: list[str], said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["noise", name, *options]) == 0
    told = capsys.readouterr().err.splitlines()[0]
    assert told.startswith("Noise scale of digits")
    assert all(part in told for part in said), told
