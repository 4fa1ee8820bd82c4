"""`stepsize schedule`, through an app that has nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from stepsize.cli.schedule import schedule
from stepsize.schedules import COMPOSITIONS, SHAPES

app = typer.Typer()
app.command("schedule")(schedule)


def run(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


def test_a_chart_of_two() -> None:
    code, out, _ = run("inv(0.1, gamma=1e-4, power=0.5)", "poly(0.1, power=0.9)", "--steps", "10000")
    assert code == 0
    assert "* inv(0.1, gamma=1e-4, power=0.5)" in out
    assert "o poly(0.1, power=0.9)" in out
    assert "9999" in out


def test_a_table() -> None:
    code, out, _ = run("step(0.1, 0.9, 50)", "--steps", "301", "--table")
    assert code == 0
    assert out.splitlines()[-1].split() == ["300", "0.0531441"]


def test_a_check_passes_or_fails_by_its_exit_code() -> None:
    code, out, _ = run("cosine(0.1)", "--check")
    assert code == 0
    assert "nothing suspicious" in out
    code, out, _ = run("warmup(10, zero_first=True) | cosine", "--check", "--steps", "100")
    assert code == 1
    assert "zero_first_rate" in out


def test_a_run_given_by_its_data() -> None:
    options = ["--samples", "60000", "--batch-size", "128", "--epochs", "10"]
    code, out, _ = run("cosine(0.1).over(10 epochs)", *options)
    assert code == 0
    assert "4689" in out
    code, _, err = run("cosine(0.1).over(1 epochs)", *options)
    assert code == 2
    assert "lasts 469 updates, but the run has 4690" in err


def test_a_contradiction_shows_both_numbers() -> None:
    options = ["--samples", "60000", "--batch-size", "128", "--epochs", "10", "--steps", "7"]
    code, _, err = run("cosine", *options)
    assert code == 2
    assert "steps=7 contradicts the data" in err
    assert "4690" in err


def test_half_of_the_data_is_an_error() -> None:
    code, _, err = run("cosine", "--samples", "60000", "--epochs", "10")
    assert code == 2
    assert "how long is the run?" in err


def test_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    code, _, _ = run("cosine", "--plot", str(path))
    assert code == 0
    assert path.read_bytes().startswith(b"\x89PNG")
    code, _, err = run("cosine", "--plot", str(tmp_path / "none" / "x.png"))
    assert code == 2
    assert "none" in err


@pytest.mark.parametrize(
    ("library", "text"),
    [
        ("optax", "optax.cosine_decay_schedule("),
        ("torch", "torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, "),
        ("keras", "keras.optimizers.schedules.CosineDecay("),
    ],
)
def test_code_for_another_library(library: str, text: str) -> None:
    code, out, _ = run("cosine(0.1)", "--to", library)
    assert code == 0
    assert out.startswith(text)


def test_what_does_not_convert() -> None:
    code, _, err = run("rex(0.1)", "--to", "optax")
    assert code == 2
    assert "optax has no equivalent of rex(0.1)" in err


def test_the_list() -> None:
    code, out, _ = run("--list")
    assert code == 0
    assert len(out.splitlines()) == len(SHAPES) + len(COMPOSITIONS)


def test_a_typing_error_has_its_caret() -> None:
    code, _, err = run("0.1 * cosin")
    assert code == 2
    assert err.splitlines()[-1] == "        ^"
    assert "did you mean 'cosine'?" in err


def test_nothing_asked() -> None:
    code, _, err = run()
    assert code == 2
    assert "stepsize schedule cosine" in err
