"""`stepsize plot`: pictures of saved results."""

from __future__ import annotations

from pathlib import Path

import pytest

from stepsize.cli.app import WRONG_USE, run
from stepsize.report import FIGURES
from tests.report.batches import critical
from tests.report.curves import plateaued
from tests.report.samples import advice


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "advice.json"
    advice().save(path)
    return path


def test_a_picture_is_drawn_by_its_name(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = saved.parent / "trend.svg"
    assert run(["plot", str(saved), str(out), "--figure", "trend", "--dark", "--width", "3.5"]) == 0
    assert "best rehearsed" in out.read_text(encoding="utf-8")
    assert capsys.readouterr().err == f"wrote {out}\n"


def test_without_a_place_the_pictures_are_listed(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plot", str(saved)]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == [name for name, picture in FIGURES.items() if picture.data(advice()) is not None]
    assert "trend" in listed


def test_every_kind_of_result_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for result, figure in ((critical(), "hyperbola"), (plateaued(), "diagnosis")):
        path = tmp_path / "result.json"
        result.save(path)
        assert run(["plot", str(path)]) == 0
        assert figure in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "holds no result of stepsize"),
        ("[1]", "holds no result of stepsize"),
        ('{"stepsize": "Oracle", "format": 1, "data": {}}', "holds a Oracle, which this version"),
        ('{"stepsize": "supervised", "format": 1, "data": {}}', "holds a supervised"),
    ],
)
def test_what_is_no_result_is_named(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "other.json"
    path.write_text(text, encoding="utf-8")
    assert run(["plot", str(path)]) == WRONG_USE
    error = capsys.readouterr().err
    assert str(path) in error
    assert message in error


def test_wrong_wishes_are_named(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plot", str(saved), str(saved.parent / "a.png"), "--figure", "pie"]) == WRONG_USE
    assert "figure must be one of" in capsys.readouterr().err
    assert run(["plot", str(saved), str(saved.parent / "a.txt")]) == WRONG_USE
    assert "must end in .png, .svg or .pdf" in capsys.readouterr().err
    assert run(["plot", str(saved.parent / "missing.json")]) == WRONG_USE
    assert "missing.json" in capsys.readouterr().err
