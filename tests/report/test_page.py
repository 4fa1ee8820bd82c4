from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from msgspec import structs

from stepsize._result import Result
from stepsize.decide.advice import Advice, AdviceStatus
from stepsize.report import check_writable, page, script, write_page
from stepsize.report.pages.advice import NO_ANSWER
from stepsize.report.script import DRAWINGS
from tests.report.samples import advice, curve, no_answer, zoom
from tests.report.trainings import schedules
from tests.runs.samples import sweep

EVIL = "</script><script>alert(\"x\")</script><b onload='y'>&amp; </style>"
VOID = {"meta", "link", "use", "path", "br", "input"}


class Reader(HTMLParser):
    """Tags, attributes and text of a page; complains about tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("script", "style"):
            self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def text_of(html: str) -> str:
    return " ".join(" ".join(Reader(html).texts).split())


@pytest.fixture(scope="module")
def sound() -> str:
    return page(advice())


def test_the_answer_comes_first(sound: str) -> None:
    text = text_of(sound)
    assert "Train mnist with a peak learning rate of 0.42." in text
    assert "0.29 to 0.61 should lose at most 1% of the progress" in text
    assert text.index("Train mnist") < text.index("How it was measured")
    for fact in (
        "0.42 * cosine()",
        "128",
        "860 updates",
        "0.2214",
        "21 s, 6.9 full runs",
        "2.13.0",
        "0, 1, 2",
    ):
        assert fact in text


def test_every_picture_stands_there_with_words_numbers_and_data(sound: str) -> None:
    reader = Reader(sound)
    figures = len(reader.all("figure"))
    assert figures == 8
    assert len(reader.all("svg")) == figures
    assert all(svg["aria-label"] for svg in reader.all("svg"))
    assert len(reader.all("figcaption")) == len(reader.all("details")) == figures
    data = json.loads(element(sound, "figures"))
    assert len(data["figures"]) == figures
    for name, one in data["figures"].items():
        assert one["drawing"] == DRAWINGS[name]
        assert one["data"]
        assert f'id="picture-{name}"' in sound
        assert f'id="alt-{name}"' in sound


def element(html: str, name: str) -> str:
    """The text of a data element."""
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    return found[1]


def test_ids_are_unique_and_references_lead_somewhere(sound: str) -> None:
    reader = Reader(sound)
    ids = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in reader.tags:
        for key in ("aria-labelledby", "clip-path", "href"):
            target = re.search(r"#([^)]+)|^([a-z][\w-]*)$", attributes.get(key) or "")
            assert target is None or (target[1] or target[2]) in ids


def test_nothing_is_loaded_and_no_other_script_can_run(sound: str) -> None:
    reader = Reader(sound)
    (policy,) = [meta["content"] for meta in reader.all("meta") if "http-equiv" in meta]
    css = re.search(r"<style>(.*?)</style>", sound, re.DOTALL)
    assert css is not None
    programs = re.findall(r"<script>(.*?)</script>", sound, re.DOTALL)
    assert len(programs) == 3
    assert policy is not None
    assert policy.split("; ") == [
        "default-src 'none'",
        f"script-src {' '.join(map(hashed, programs))}",
        f"style-src {hashed(css[1])}",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    kinds = [script.get("type") for script in reader.all("script")]
    assert kinds == ["application/json", "application/json", None, None, None]
    for tag, attributes in reader.tags:
        assert "style" not in attributes
        assert not any(name.startswith("on") for name in attributes)
        assert "src" not in attributes
        assert (attributes.get("href") or "#").startswith(("#", "data:,")), tag
    assert "url(" not in css[1]
    assert "@import" not in css[1]
    assert "http" not in re.sub(r'http-equiv|"[^"]*"', "", css[1])


def hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_the_libraries_are_inside_as_published_with_their_licences(sound: str) -> None:
    vendor = Path(script.__file__).parent / "vendor"
    told = (vendor / "README.md").read_text(encoding="utf-8")
    for name in script.LIBRARIES:
        text = (vendor / name).read_text(encoding="utf-8")
        version = re.search(r" v(\d+\.\d+\.\d+) Copyright", text.splitlines()[0])
        assert version is not None
        assert f"| {version[1]} |" in told
        assert text in sound
        licence = vendor / f"{name.partition('.')[0]}.LICENSE"
        assert "Permission to use, copy, modify" in licence.read_text(encoding="utf-8")


@pytest.mark.parametrize("result", [advice(), curve(), zoom(), no_answer("flat", "try another loss")])
def test_the_whole_result_is_inside(result: Result) -> None:
    inside = element(page(result), "result")
    assert json.loads(inside) == json.loads(result.to_json())
    assert type(result).from_json(inside).to_json() == result.to_json()


def test_words_from_outside_are_text(sound: str) -> None:
    changes = {"task": EVIL, "why": EVIL, "warnings": (EVIL,), "loss_kind": EVIL}
    html = page(advice(**changes))
    assert [tag for tag, _ in Reader(html).tags] == [tag for tag, _ in Reader(sound).tags]
    assert html.count("<script") == html.count("</script") == 5
    assert html.count("</style") == 1
    assert "alert(&#34;x&#34;)" in html
    assert Advice.from_json(element(html, "result")).task == EVIL


def test_a_script_that_would_end_its_element_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "vendor").mkdir()
    (tmp_path / "vendor" / "d3.min.js").write_text("'</Script>'")
    monkeypatch.setattr(script, "HERE", tmp_path)
    with pytest.raises(ValueError, match=r"d3\.min\.js cannot stand inside a page"):
        script.scripts.__wrapped__()


def test_line_separators_are_escaped() -> None:
    html = page(advice(task="a\u2028b\u2029c"))
    for name in ("result", "figures"):
        assert "\u2028" not in element(html, name)
    assert "\\u2028b\\u2029" in element(html, "result")


@pytest.mark.parametrize(("status", "headline"), NO_ANSWER.items())
def test_a_page_without_an_answer_says_what_happened_and_what_to_do(
    status: AdviceStatus, headline: str
) -> None:
    text = text_of(page(no_answer(status, "hold out more data: val=(x, y)")))
    assert headline in text
    assert "Hold out more data: val=(x, y)." in text
    assert "peak learning rate" not in text
    assert "None" not in text
    assert "nan" not in text.lower().split()


def test_a_page_of_an_uncertain_answer_does_not_promise_anything() -> None:
    text = text_of(page(advice(status="uncertain")))
    assert "The best learning rate known for mnist is 0.42, and it may not be good." in text
    assert "may lose at most 1% of the progress" in text
    assert "0.42  (0.29 to 0.61 may lose at most 1%)  [uncertain]" in str(advice(status="uncertain"))


def test_a_page_with_nothing_measured(sound: str) -> None:
    html = page(no_answer("diverges_everywhere", "check the loss", bracket=None, rehearsals=(), warnings=()))
    reader = Reader(html)
    assert reader.all("figure") == []
    assert "To keep in mind" not in html
    assert "Nothing was measured far enough to show." in text_of(html)


def test_what_an_interrupted_search_knows_so_far() -> None:
    text = text_of(page(advice(status="interrupted", why="stopped in round 3")))
    assert "Interrupted. The best learning rate so far for mnist is 0.42." in text


def test_a_range_test_has_a_page() -> None:
    text = text_of(page(curve()))
    assert "The training loss turns up just above" in text
    assert "Rehearse the run to decide." in text
    flat = text_of(page(curve(noise=0.0, diverges=False, seeds=1)))
    assert "100 rates, 1 iteration at each, 1 seed" in flat


def test_a_zoom_has_a_page() -> None:
    text = text_of(page(zoom()))
    assert "Three rounds of range tests lead to a learning rate of 0.75." in text
    assert "0.612, 0.7, 0.8" in text
    nothing = text_of(page(zoom(status="not_bracketed", lr=None, bracket=None, trials=None)))
    assert "The loss turns up nowhere in the rates that were tried." in nothing


def test_both_themes_name_every_colour(sound: str) -> None:
    used = set(re.findall(r'class="((?:fill|stroke)-[a-z0-9 -]+)"', sound))
    names = {name for classes in used for name in classes.split()}
    assert names
    for name in names:
        assert f".{name}{{" in sound
        assert sound.count(f"--{name.split('-', 1)[1]}:#") == 2


def test_the_page_is_written_whole(tmp_path: Path, sound: str) -> None:
    path = tmp_path / "report.html"
    advice().report(path)
    assert path.read_text(encoding="utf-8") == sound
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_a_place_that_cannot_be_written_is_named_before_any_work(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for path, error, message in [
        (tmp_path, IsADirectoryError, "it is a folder"),
        (tmp_path / "missing" / "report.html", FileNotFoundError, "create it first"),
        (file / "report.html", FileNotFoundError, "create it first"),
    ]:
        for attempt in (check_writable, lambda place: write_page(advice(), place)):
            with pytest.raises(error, match=message) as caught:
                attempt(path)
            assert str(path) in str(caught.value)
    check_writable(tmp_path / "report.html")
    check_writable(file)
    check_writable("report.html")


def test_a_folder_without_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(PermissionError, match=f"cannot write {re.escape(str(tmp_path))}.*permission denied"):
        check_writable(tmp_path / "report.html")


def test_a_result_without_a_page_is_refused() -> None:
    class Other(Result, frozen=True):
        pass

    with pytest.raises(
        TypeError,
        match="a page can be written of TrainingAdvice, Advice, ScheduleComparison, WarmupComparison, Curve, "
        "Zoom, Runs, NoiseScale, Sharpness, BatchAdvice, CriticalBatch, RateScaling, but not of a Other",
    ):
        page(Other())


def test_an_interval_says_what_it_is_of() -> None:
    rates, losses = text_of(page(advice())), text_of(page(sweep()))
    assert "should lose at most 1% of the progress" in rates
    assert "should lose at most 1% of the progress" not in losses
    assert "90% bootstrap interval over the seeds" in losses


def test_another_schedule_than_the_lowest_is_named_if_it_is_advised() -> None:
    lowest = schedules(best="fixed()")
    assert "advised" not in Reader(page(lowest)).texts
    texts = Reader(page(structs.replace(lowest, advised="linear()"))).texts
    assert texts[texts.index("advised") + 1] == "linear()"
