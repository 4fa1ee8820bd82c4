"""`stepsize report`, as a user runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from stepsize.cli import main
from tests.report.samples import advice, no_answer


@pytest.fixture
def shown(tmp_path: Path) -> Path:
    path = tmp_path / "page.html"
    advice().report(path)
    return path


def test_json_comes_out_of_a_page(shown: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(shown), "--json"]) == 0
    output = capsys.readouterr()
    assert output.out == advice().to_json() + "\n"
    assert output.err == ""


def test_without_options_the_result_is_printed(shown: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(shown)]) == 0
    assert capsys.readouterr().out == f"{advice()}\n"


def test_a_page_is_made_from_saved_json_and_from_a_page(
    shown: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved, again, picture = tmp_path / "advice.json", tmp_path / "again.html", tmp_path / "advice.png"
    advice().save(saved)
    for source in (saved, shown):
        assert main(["report", str(source), "--out", str(again), "--plot", str(picture)]) == 0
        assert again.read_text(encoding="utf-8") == shown.read_text(encoding="utf-8")
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert capsys.readouterr().err == f"wrote {again}\nwrote {picture}\n"
        again.unlink()


def test_a_result_without_an_answer_exits_with_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "page.html"
    nothing = no_answer("flat", "try another loss")
    nothing.report(path)
    assert main(["report", str(path), "--json"]) == 1
    assert capsys.readouterr().out == nothing.to_json() + "\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.html"], "cannot read missing.html: No such file"),
        (["missing.html", "--json"], "cannot read missing.html: No such file"),
        (["page.html", "--plot", "picture.gif"], "--plot must end in .png, .svg or .pdf"),
        (["page.html", "--out", "no/such/place.html"], "does not exist; create it first"),
        (["cut.html", "--json"], "was cut short before its result"),
        ([], "Missing argument 'FILE'"),
    ],
)
def test_wrong_use_exits_with_two(
    arguments: list[str],
    message: str,
    shown: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(shown.parent)
    (shown.parent / "cut.html").write_text(shown.read_text(encoding="utf-8")[:3000], encoding="utf-8")
    assert main(["report", *arguments]) == 2
    output = capsys.readouterr()
    assert message in output.err
    assert output.out == ""
