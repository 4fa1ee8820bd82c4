"""A result comes back out of its page and its JSON; what is neither is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

import stepsize as ss
from stepsize.report import page, result_text
from tests.report.batches import batch_advice, scaling
from tests.report.samples import advice, curve, noise, zoom
from tests.report.trainings import schedules, training, warmups
from tests.runs.samples import sweep

EVIL = '</script><script>alert("x")</script> \\u003c \u2028 é'


@pytest.mark.parametrize(
    "result",
    [
        advice(),
        training(),
        curve(),
        zoom(),
        sweep(),
        noise(),
        batch_advice(),
        scaling(),
        schedules(),
        warmups(),
    ],
    ids=lambda result: type(result).__name__,
)
def test_a_result_comes_back_from_page_and_json(result: ss.Advice, tmp_path: Path) -> None:
    shown, saved = tmp_path / "page.html", tmp_path / "result.json"
    shown.write_text(page(result), encoding="utf-8")
    result.save(saved)
    assert result_text(shown) == result_text(saved) == result.to_json()
    for path in (shown, saved):
        found = ss.load(path)
        assert type(found) is type(result)
        assert found.to_json() == result.to_json()


def test_words_from_outside_come_back_letter_by_letter(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    advice(task=EVIL).report(path)
    found = ss.load(path)
    assert isinstance(found, ss.Advice)
    assert found.task == EVIL


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is no page of stepsize; pass a file that --report"),
        (b"<!doctype html><p>another page</p>", "it is no page of stepsize"),
        (b"\xff\xfe\x00", r"it is not UTF-8 \(byte 0\)"),
        (b"{}", "it holds no result .*missing required field `stepsize`"),
        (b'{"stepsize": "Advice", "format": 1, "data": {', "it holds no result"),
        (b'{"stepsize": "Advice", "format": 1, "data": {}}', "a damaged Advice: .*missing required field"),
        (b'{"stepsize": "Advice", "format": 99, "data": {}}', "written in format 99.*upgrade stepsize"),
        (
            b'{"stepsize": "History", "format": 1, "data": {}}',
            "it holds a History, but can be one of TrainingAdvice",
        ),
    ],
)
def test_what_is_no_result_is_refused_by_name(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "some.file"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"cannot read {path}: .*{message}"):
        ss.load(path)


def test_a_page_cut_short_is_told_from_another_page(tmp_path: Path) -> None:
    whole = page(advice())
    path = tmp_path / "page.html"
    for end, message in (
        (2000, "was cut short before its result"),
        (whole.index('id="result"') + 500, "was cut short before its result"),
    ):
        path.write_text(whole[:end], encoding="utf-8")
        with pytest.raises(ValueError, match=message):
            ss.load(path)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"cannot read {tmp_path}/missing: No such file"):
        ss.load(tmp_path / "missing")
    with pytest.raises(IsADirectoryError, match=f"cannot read {tmp_path}: "):
        ss.load(tmp_path)
