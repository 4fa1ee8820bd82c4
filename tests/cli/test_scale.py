"""`stepsize scale`, as a user runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

import stepsize as ss
from stepsize.cli import main


def test_a_rate_by_a_rule(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scale", "0.1", "--from", "32", "--to", "256", "--rule", "linear", "--quiet"]) == 0
    assert float(capsys.readouterr().out) == pytest.approx(0.8)
    adam = ["--betas", "0.9,0.999", "--weight-decay", "0.1", "--warmup", "100", "--steps", "1000"]
    assert main(["scale", "3e-4", "--from", "32", "--to", "64", "--rule", "sqrt", *adam]) == 0
    shown = capsys.readouterr().out
    assert "beta1 0.9 → 0.8" in shown
    assert "warmup 100 → 50" in shown


def test_a_refusal_is_no_answer(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["scale", "0.1", "--from", "32", "--to", "256", "--rule", "linear", "--noise", "100"]
    assert main(arguments) == 1
    assert "refused" in capsys.readouterr().out


def test_a_task_is_measured_drawn_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = tmp_path / "my_project.py"
    project.write_text("from tests.tasks import digits_task\ntask = digits_task()\n")
    json, page, plot = tmp_path / "scale.json", tmp_path / "scale.html", tmp_path / "scale.png"
    written = ["--json", str(json), "--report", str(page), "--plot", str(plot)]
    few = ["--lr", "0.6", "--seeds", "1", "--budget", "60 s"]
    assert main(["scale", f"{project}:task", "--to", "200", *few, *written]) == 0
    shown = capsys.readouterr()
    assert "Best rates at batch 25, 100, 400" in shown.err
    found = ss.RateScaling.load(json)
    assert found.to_batch == 200
    assert "At batch 200 use a learning rate of" in page.read_text()
    assert plot.stat().st_size > 5000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["0.1", "--to", "64"], "from_ and a rule"),
        (["0.1", "--from", "32", "--to", "64", "--rule", "sqrt", "--betas", "many"], "--betas must be"),
        (["mnist", "--to", "64", "--betas", "0.9,0.99"], "go with a rate"),
    ],
)
def test_wrong_use_is_named(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scale", *arguments]) == 2
    assert message in capsys.readouterr().err
