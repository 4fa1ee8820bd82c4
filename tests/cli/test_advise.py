"""`stepsize tune` and `stepsize find`, as a user runs them."""

from __future__ import annotations

import importlib
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import stepsize as ss
from stepsize.cli import main
from tests.report.samples import advice

TASK_FILE = """
import os
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
from tests.tasks import digits_task

task = digits_task(steps=40)

def make_task():
    return digits_task(steps=40)

def constant():
    return digits_task(steps=40, loss=lambda model, batch: 0 * next(model.parameters()).sum() + 1.0)

def fails():
    raise KeyError("no such column")

def interrupted():
    plain, calls = digits_task().loss, 0

    def loss(model, batch):
        nonlocal calls
        calls += 1
        if calls == 60:
            os.kill(os.getpid(), signal.SIGINT)
        return plain(model, batch)

    return digits_task(loss=loss)

number = 3
"""

RUN = "import sys; from stepsize.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    path = tmp_path / "my_project.py"
    path.write_text(TASK_FILE)
    return path


def test_find_prints_the_answer_and_exits_with_zero(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["find", f"{project}:task", "--seeds", "1"]) == 0
    printed = capsys.readouterr()
    assert "learning rate" in printed.out
    assert "loses at most 1%" in printed.out
    assert "cost" in printed.out
    assert "\x1b" not in printed.out
    assert printed.err == ""


def test_an_uncertain_rate_is_an_answer_that_says_so(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module("stepsize.decide.find_lr")
    monkeypatch.setattr(module, "find_lr", lambda task, **_: advice(status="uncertain"))
    assert main(["find", f"{project}:task"]) == 0
    printed = capsys.readouterr().out
    assert "0.42  [uncertain]" in printed
    assert "may lose at most 1%" in printed
    assert "loses at most 1%" not in printed


def test_quiet_prints_the_rate_alone(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["find", f"{project}:make_task", "--seeds", "1", "--quiet"]) == 0
    assert float(capsys.readouterr().out) > 0


def test_tune_says_everything_on_one_screen(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    json, page = tmp_path / "a.json", tmp_path / "a.html"
    command = ["tune", f"{project}:task", "--batch-sizes", "50,100", "--seeds", "2"]
    assert main([*command, "--json", str(json), "--report", str(page)]) == 0
    printed = capsys.readouterr()
    assert "Tuning digits: batch size, schedule, warm-up, rate, check. About" in printed.err
    for word in ("batch size", "learning rate", "schedule", "expected loss", "Something else instead"):
        assert word in printed.out
    assert len(printed.out.splitlines()) <= 40
    advice = ss.TrainingAdvice.load(json)
    assert advice.batch is not None
    assert {row.batch_size for row in advice.batch.times} == {50, 100}
    text = page.read_text()
    assert "Train digits with batches of" in text
    assert "Schedules at equal budget" in text


def test_quiet_tune_prints_what_a_shell_can_read(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--batch-size", "100", "--schedule", "warmup(5) | cosine", "--seeds", "1", "--quiet"]
    assert main(["tune", f"{project}:task", *options]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    read = dict(pair.split("=", 1) for pair in shlex.split(printed.out))
    assert read["batch_size"] == "100"
    assert read["steps"] == "40"
    assert float(read["lr"]) > 0
    assert "warmup(5) | cosine()" in read["schedule"]


def test_compare_prints_and_writes(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, picture = tmp_path / "a.html", tmp_path / "a.png"
    options = [
        "--lr",
        "0.3",
        "--seeds",
        "2",
        "--budget",
        "4 runs",
        "--schedule",
        "linear",
        "--schedule",
        "fixed",
    ]
    outputs = ["--report", str(page), "--plot", str(picture)]
    assert main(["compare", f"{project}:task", *options, *outputs]) == 0
    printed = capsys.readouterr()
    assert "Comparing 2 schedules over" in printed.err
    assert "linear()" in printed.out
    assert "Schedules at equal budget" in page.read_text()
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert main(["compare", f"{project}:task", *options, "--quiet"]) == 0
    assert capsys.readouterr().out.strip() in ("linear()", "fixed()")


def test_no_answer_exits_with_one(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["find", f"{project}:constant", "--seeds", "1"]) == 1
    assert "flat" in capsys.readouterr().out


def test_outputs_are_written(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    json, page, picture = tmp_path / "a.json", tmp_path / "a.html", tmp_path / "a.png"
    command = [
        "find",
        f"{project}:task",
        "--seeds",
        "1",
        "--json",
        str(json),
        "--report",
        str(page),
        "--plot",
        str(picture),
    ]
    assert main(command) == 0
    advice = ss.Advice.load(json)
    assert advice.lr is not None
    assert f"{advice.lr:.3g}" in capsys.readouterr().out
    assert page.read_text().startswith("<!doctype html>")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_json_on_standard_output_is_nothing_but_json(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["find", f"{project}:task", "--seeds", "1", "--json", "-"]) == 0
    assert ss.Advice.from_json(capsys.readouterr().out).status == "ok"


def test_overrides_reach_the_task(project: Path, tmp_path: Path) -> None:
    json = tmp_path / "a.json"
    options = [
        "--batch-size",
        "100",
        "--epochs",
        "2",
        "--schedule",
        "cosine",
        "--lr-min",
        "1e-3",
        "--lr-max",
        "8",
    ]
    assert main(["find", f"{project}:task", "--seeds", "1", "--json", str(json), *options]) == 0
    advice = ss.Advice.load(json)
    assert (advice.batch_size, advice.steps) == (100, 30)
    assert advice.schedule_text.startswith("cosine")
    assert min(r.lrs.min() for r in advice.rehearsals) >= 1e-3 * 0.999
    assert max(r.lrs.max() for r in advice.rehearsals) <= 8.001


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["tune", "mnits"], "'mnits' is not an embedded task (mnist, mnist-cnn); did you mean 'mnist'?"),
        (["tune", "absent.py:task"], "there is no file absent.py"),
        (["tune", "FILE"], "names a file but no object in it"),
        (["tune", "FILE:absent"], "has no object 'absent'; it has task"),
        (["tune", "FILE:number"], "must be a stepsize.Task or a function that returns one, but is a int"),
        (["tune", "FILE:fails"], "fails() in"),
        (["tune", "no_such_package:task"], "importing no_such_package raised ModuleNotFoundError"),
        (
            ["tune", "FILE:task", "--batch-size", "many"],
            "--batch-size must be a whole number above 0 or 'full'",
        ),
        (["tune", "FILE:task", "--batch-size", "5000"], "batch_size must not exceed the training samples"),
        (["tune", "FILE:task", "--epochs", "1", "--steps", "5"], "--epochs and --steps exclude each other"),
        (["tune", "FILE:task", "--lr-min", "1", "--lr-max", "0.1"], "lr_min < lr_max must hold"),
        (["tune", "FILE:task", "--seeds", "0"], "seeds must be a whole number >= 1"),
        (["tune", "FILE:task", "--schedule", "cosin"], "cosine"),
        (["tune", "FILE:task", "--report", "/no/such/folder/page.html"], "/no/such/folder"),
        (["tune", "FILE:task", "--plot", "picture.bmp"], "--plot must end in .png, .svg or .pdf"),
        (["tune", "FILE:task", "--bogus"], "--bogus"),
        (["tune", "FILE:task", "--batch-size", "8", "--batch-sizes", "8,16"], "exclude each other"),
        (["tune", "FILE:task", "--objective", "speed"], "objective must be 'time', 'compute' or 'budget'"),
        (["compare", "FILE:task", "--schedule", "linear"], "schedules must be two or more"),
        (["tune"], "TASK"),
    ],
)
def test_wrong_use_is_one_clear_error(
    command: list[str], message: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([part.replace("FILE", str(project)) for part in command]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert "Traceback" not in printed.err


def test_a_syntax_error_is_shown_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "broken_project.py"
    path.write_text("import stepsize as ss\ntask = ss.Task(\n    oops oops\n)\n")
    assert main(["tune", f"{path}:task"]) == 2
    error = capsys.readouterr().err
    assert "line 3" in error
    assert "oops oops" in error
    assert "Traceback" not in error


def test_debug_lets_the_error_through(project: Path) -> None:
    with pytest.raises(ValueError, match="has no object"):
        main(["tune", f"{project}:absent", "--debug"])


def test_ctrl_c_prints_what_is_known(project: Path) -> None:
    """A real SIGINT in the middle of a search: no traceback, an answer that calls itself interrupted."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, "find", f"{project}:interrupted"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "interrupted" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_help_and_version_import_no_torch() -> None:
    for option in ("--help", "--version"):
        code = f"import sys; from stepsize.cli import main; main(['{option}']); print('torch' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.rstrip().endswith("False")
