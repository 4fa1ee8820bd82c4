"""`stepsize chapter`, as a user runs it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from stepsize.chapter import SECTIONS, Chapter
from stepsize.chapter.lab import Lab
from stepsize.chapter.result import Findings
from stepsize.cli import main

SMALL = ["--quick", "--seeds", "1", "--epochs", "0.5", "--workers", "1"]


def test_a_section_is_run_written_and_not_run_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, result = tmp_path / "chapter.html", tmp_path / "chapter.json"
    call = ["chapter", "rates-128", *SMALL, "--out", str(out), "--json", str(result)]
    assert main(call) == 0
    printed = capsys.readouterr()
    assert "fig 12-9: Final accuracies: 0.2: " in printed.out
    assert printed.err.splitlines()[-2:] == [f"wrote {out}", f"wrote {result}"]
    first = Chapter.load(result)
    assert (first.asked, first.settings.seeds, first.settings.epochs) == (("rates-128",), 1, 0.5)
    assert "Figure 12-9: four rates at batch 128" in out.read_text(encoding="utf-8")
    assert (tmp_path / "chapter.db").exists()
    assert main([*call, "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    again = Chapter.load(result)
    assert (first.reused, again.reused) == (0, 4)


def test_one_seed_tells_nothing(tmp_path: Path) -> None:
    result = tmp_path / "chapter.json"
    out = ["--out", str(tmp_path / "page.html"), "--store", str(tmp_path / "kept.db")]
    assert main(["chapter", "rates-128", *SMALL, *out, "--json", str(result), "--quiet"]) == 0
    assert {claim.verdict for claim in Chapter.load(result).claims} == {"cannot be told"}
    assert (tmp_path / "kept.db").exists()


def test_the_sections_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chapter", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(SECTIONS)


def test_an_interruption_has_a_code_and_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(lab: Lab) -> Findings:
        raise KeyboardInterrupt

    monkeypatch.setitem(SECTIONS, "worked-example", replace(SECTIONS["worked-example"], find=interrupted))
    out = tmp_path / "chapter.html"
    assert main(["chapter", "policies", "worked-example", *SMALL, "--out", str(out)]) == 1
    printed = capsys.readouterr()
    assert "interrupted; not there yet: worked-example" in printed.out
    assert "interrupted; the same command goes on from here" in printed.err
    assert "interrupted before worked-example" in out.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["figure-9"], "there is no section 'figure-9'; there are updates, regimes, sparse"),
        (["policies", "--seeds", "0"], "seeds must be at least 1, but is 0"),
        (["policies", "--epochs", "0"], "epochs must be above 0, but is 0"),
        (["policies", "--epochs", "-1", "--quick"], "epochs must be above 0, but is -1"),
        (["policies", "--workers", "0"], "workers must be at least 1, but is 0"),
    ],
)
def test_wrong_use(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["chapter", *words, "--out", str(tmp_path / "chapter.html")]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_folder_that_does_not_exist_is_said_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["chapter", "--out", str(tmp_path / "nowhere" / "chapter.html")]) == 2
    assert "does not exist; create it first" in capsys.readouterr().err
