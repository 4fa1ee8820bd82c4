"""The page holds every claim, escapes what it shows, and gives its result back."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from matplotlib import pyplot as plt
from msgspec.structs import replace

import stepsize as ss
from stepsize.chapter import Chapter
from stepsize.chapter.page import page
from stepsize.chapter.pictures import table_of
from stepsize.chapter.result import Claim

TEXT = re.compile(r'<script type="application/json" id="result">(.*?)</script>', re.DOTALL)


class Outline(HTMLParser):
    """Identifiers, links and tags of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id" and value:
                self.ids.append(value)
            if name in ("href", "src") and value:
                self.links.append(value)


@pytest.fixture(scope="module")
def text(whole: Chapter) -> str:
    return page(whole)


def test_every_claim_stands_beside_what_was_measured(whole: Chapter, text: str) -> None:
    for claim in whole.claims:
        for words in (claim.book, claim.measured, claim.rule):
            shown = re.sub("`(.*?)`", r"<code>\1</code>", html.escape(words, quote=False))
            assert f"<p>{shown}</p>" in text.replace("&#34;", '"').replace("&#39;", "'")
    assert text.count('<article class="claim') == len(whole.claims)
    for verdict in ("holds", "does not hold", "cannot be told"):
        assert len(re.findall(rf"</span> {verdict}</p></header>", text)) == whole.count(verdict)


def test_every_picture_and_table_is_there(whole: Chapter, text: str) -> None:
    outline = Outline(text)
    drawings = [one for section in whole.sections for one in section.findings.drawings]
    assert {f"figure-{one.name}" for one in drawings} <= set(outline.ids)
    assert outline.tags.count("svg") >= 2 * len(drawings)
    for section in whole.sections:
        assert section.slug in outline.ids
        assert f"stepsize chapter {section.slug} --seeds 2" in text


def test_identifiers_are_unique_and_nothing_is_loaded(text: str) -> None:
    outline = Outline(text)
    assert len(outline.ids) == len(set(outline.ids))
    for link in outline.links:
        assert link == "data:," or link.removeprefix("#") in outline.ids
    assert outline.tags.count("script") == 1  # the JSON
    assert "default-src &#39;none&#39;" in text


def test_the_result_comes_back(whole: Chapter, text: str, tmp_path: Path) -> None:
    found = TEXT.search(text)
    assert found is not None
    again = Chapter.from_json(found[1])
    assert again.sections == whole.sections
    assert again.settings == whole.settings
    whole.save(tmp_path / "chapter.json")
    assert Chapter.load(tmp_path / "chapter.json").claims == whole.claims
    opened = ss.load(tmp_path / "chapter.json")
    assert isinstance(opened, Chapter)
    whole.report(tmp_path / "chapter.html")
    assert (tmp_path / "chapter.html").read_text(encoding="utf-8") == text


def test_what_is_shown_is_escaped(whole: Chapter) -> None:
    evil = "</script><script>alert(1)</script><b>"
    first = whole.sections[0]
    claim = Claim(id="x", row=evil, book=evil, measured=evil, verdict="holds", rule=evil)
    section = replace(
        first, title=evil, idea=evil, code=evil, findings=replace(first.findings, claims=(claim,))
    )
    text = page(replace(whole, sections=(section,), asked=(first.slug, evil)))
    assert "<b>" not in text
    assert text.count("<script") == 1
    assert html.escape(evil) in text
    found = TEXT.search(text)
    assert found is not None
    assert Chapter.from_json(found[1]).sections[0].findings.claims == (claim,)


def test_a_page_that_cannot_be_written(whole: Chapter, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"the folder .*nowhere does not exist"):
        whole.report(tmp_path / "nowhere" / "chapter.html")


def test_a_picture_by_its_name(whole: Chapter, tmp_path: Path) -> None:
    drawn = whole.plot(tmp_path / "rates.svg", name="rates-128", theme="dark")
    assert (tmp_path / "rates.svg").stat().st_size > 1_000
    assert drawn.axes[0].get_xlabel() == "update"
    assert whole.plot().axes[0].get_xlabel() == "epoch"
    assert not plt.get_fignums()
    with pytest.raises(ValueError, match=r"name must be one of \['update-forms', .*but got 'fig 12-9'"):
        whole.plot(name="fig 12-9")
    with pytest.raises(ValueError, match=r"theme must be one of .*but got 'blue'"):
        whole.plot(theme="blue")
    with pytest.raises(ValueError, match="holds nothing to draw"):
        replace(whole, sections=()).plot()


def test_the_table_behind_a_picture_holds_the_ends_of_every_line(whole: Chapter) -> None:
    (section,) = [one for one in whole.sections if one.slug == "rates-128"]
    (drawing,) = section.findings.drawings
    table = table_of(drawing)
    assert {row[0] for row in table.rows} == {"0.2", "0.3", "0.5", "0.8"}
    assert len({len(row) for row in table.rows}) == 1


def test_the_words_of_the_whole(whole: Chapter) -> None:
    text = str(whole)
    assert text.splitlines()[0] == (
        f"{whole.count('holds')} statements of the chapter hold, {whole.count('does not hold')} do not, "
        f"{whole.count('cannot be told')} cannot be told from 2 seeds"
    )
    for claim in whole.claims:
        assert claim.measured in text
