"""`stepsize sweep`, as a user runs it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import stepsize as ss
from stepsize.cli import main

TASK_FILE = """
import os
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
from tests.tasks import digits_task

task = digits_task(steps=30)

def loss(model, batch):
    if len(batch[0]) == int(os.environ.get("INTERRUPT_AT_BATCH_SIZE", -1)):
        os.kill(os.getpid(), signal.SIGINT)
    return task.loss(model, batch)

interrupted = digits_task(steps=30, loss=loss)
"""

RUN = "import sys; from stepsize.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    path = tmp_path / "my_project.py"
    path.write_text(TASK_FILE)
    return path


def test_a_grid_is_trained_stored_shown_and_exported(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, table = tmp_path / "runs.db", tmp_path / "runs.csv"
    grid = ["--lr", "0.1,0.5", "--batch-size", "25,50", "--seeds", "2", "--schedule", "cosine"]
    assert main(["sweep", f"{project}:task", *grid, "--store", str(store)]) == 0
    first = capsys.readouterr().out
    assert first.startswith("Sweep of digits: 8 of 8 cells")
    assert main(["sweep", "show", str(store)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("sweep 1  ")
    assert first in shown
    assert main(["sweep", "export", str(store), str(table)]) == 0
    assert len(table.read_text().splitlines()) == 9


def test_the_task_comes_first_or_after_run(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["sweep"], ["sweep", "run"]):
        assert main([*words, f"{project}:task", "--lr", "0.1,0.5", "--seeds", "1", "--quiet"]) == 0
        assert capsys.readouterr().out == "0.5\n"
    assert main(["sweep", "run", "show", "--lr", "0.1"]) == 2
    assert "TASK 'show' is not an embedded task" in capsys.readouterr().err


def test_json_to_standard_output_is_json_alone(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", f"{project}:task", "--lr", "0.5", "--seeds", "0,4", "--json", "-"]) == 0
    text = capsys.readouterr().out
    assert json.loads(text)["stepsize"] == "Runs"
    assert [run.cell.seed for run in ss.Runs.from_json(text).runs] == [0, 4]


def test_pictures_and_pages_are_written(project: Path, tmp_path: Path) -> None:
    page, plot = tmp_path / "sweep.html", tmp_path / "sweep.png"
    grid = ["--lr", "0.1,0.5", "--seeds", "2", "--quiet"]
    assert main(["sweep", f"{project}:task", *grid, "--report", str(page), "--plot", str(plot)]) == 0
    assert "0.5" in page.read_text()
    assert plot.stat().st_size > 5000


def test_ctrl_c_says_how_to_go_on_and_that_goes_on(project: Path, tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    command = [sys.executable, "-c", RUN, "sweep", f"{project}:interrupted", "--store", str(store)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "INTERRUPT_AT_BATCH_SIZE": "50"}
    stopped = subprocess.run(
        [*command, "--lr", "0.1,0.5", "--batch-size", "25,50", "--seeds", "3"],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert stopped.returncode == 1, stopped.stderr
    assert "Traceback" not in stopped.stderr
    hint = stopped.stderr.strip().splitlines()[-1]
    assert hint.startswith("interrupted with ")
    assert hint.endswith(f"stepsize sweep {project}:interrupted --store {store} --resume")
    assert [run.cell.batch_size for run in ss.Runs.open(store).runs] == [25] * 6
    words = shlex.split(hint.partition("go on with: stepsize ")[2])
    del environment["INTERRUPT_AT_BATCH_SIZE"]
    resumed = subprocess.run(
        [sys.executable, "-c", RUN, *words], capture_output=True, text=True, env=environment
    )
    assert resumed.returncode == 0, resumed.stderr
    assert ss.Runs.open(store).status == "complete"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--lr is missing"),
        (["--lr", "0.1;0.2"], "--lr must be numbers with commas"),
        (["--lr", "0.1", "--batch-size", "16,all"], "'full', but holds 'all'"),
        (["--lr", "0.1", "--seeds", "many"], "--seeds must be a number"),
        (["--lr", "0.1", "--epochs", "1", "--steps", "5"], "exclude each other"),
        (["--lr", "0.1", "--executor", "slurm"], "'local', 'ray' or an Executor"),
        (["--lr", "0.1", "--address", "auto"], "pass --executor ray"),
        (["--resume"], "--resume needs the ledger"),
        (["--resume", "--store", "none.db"], "there is no ledger none.db"),
    ],
)
def test_wrong_use_is_named(
    project: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", f"{project}:task", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_resume_changes_nothing(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "runs.db"
    main(["sweep", f"{project}:task", "--lr", "0.1", "--seeds", "1", "--store", str(store), "--quiet"])
    assert main(["sweep", f"{project}:task", "--resume", "--store", str(store), "--lr", "0.3"]) == 2
    assert "leave --lr out" in capsys.readouterr().err
    other = ["--resume", "--store", str(store), "--name", "other"]
    assert main(["sweep", f"{project}:task", *other]) == 2
    assert "holds no sweep of 'other', but of digits" in capsys.readouterr().err
