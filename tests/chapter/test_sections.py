"""Every item of the chapter has its experiment, and every experiment its claims, pictures and figures."""

from __future__ import annotations

import math

import pytest

from stepsize.chapter import SECTIONS, Chapter
from stepsize.chapter.registry import chosen, trainings_of
from stepsize.chapter.result import Claim, Lines, SectionResult, Surface

# The chapter, item by item: equations, figures, tables, passages of 12.3.1 and 12.3.4, and where it is loose.
ITEMS = (
    *("eq 1", "12.3.1-1", "12.3.1-2", "12.3.1-3", "table 12-1", "eq 2, 3", "fig 12-5", "table 12-2"),
    *("table 12-3", "fig 12-6", "table 12-4", "fig 12-7", "fig 12-8", "fig 12-9", "eq 4", "fig 12-10"),
    *("table 12-5", "fig 12-11", "fig 12-12", "fig 12-13", "12.3.4", "fig 12-14", "eq 8", "eq 9"),
    *("closing rule", "correction: above 1", "correction: one run"),
)

CLAIMS = {
    "updates": ["eq 1/one formula"],
    "regimes": ["12.3.1-1/order", "fig 12-5/four"],
    "sparse": ["12.3.1-2/sparse"],
    "saddle": ["12.3.1-3/plateau", "table 12-1/saddle"],
    "robbins-monro": ["eq 2, 3/verdicts"],
    "range-test": ["table 12-2/shape", "table 12-2/best"],
    "rounds": [
        "table 12-3/design",
        "correction/10 or 100",
        "table 12-4/logs",
        "fig 12-6/falling",
        "fig 12-7/turn",
        "fig 12-8/best",
        "fig 12-8/answer",
    ],
    "rates-128": ["fig 12-9/best", "fig 12-9/overtaken"],
    "decay": ["eq 4/formula", "fig 12-10/stairs", "table 12-5/values", "12.3.3/high, then lower"],
    "policies": ["fig 12-11/six", "fig 12-11/poly bends"],
    "rates-32": ["fig 12-12/best"],
    "rates-16": ["fig 12-13/best"],
    "batch-sizes": ["12.3.4/batches, epochs", "12.3.4/batches, updates"],
    "scaling-rules": [
        "12.3.4/linear rule, low rate",
        "12.3.4/linear rule, real rate",
        "12.3.4/square root rule",
        "12.3.4/variance of 16 and 32",
    ],
    "growth": ["12.3.4/decay is growth"],
    "fixed-rate": ["12.3.4/best batch", "12.3.4/best batch, rate", "12.3.4/best batch, data"],
    "worked-example": ["fig 12-14/losses", "eq 8/1.5", "eq 9/2"],
    "closing-rule": [
        "12.3.4/small batches",
        "closing rule/linear",
        "closing rule/root",
        "closing rule/none",
    ],
    "corrections": ["correction/above 1", "correction/unit of the loss", "correction/one run a curve"],
}


def claim(chapter: Chapter, name: str) -> Claim:
    (found,) = [one for one in chapter.claims if one.id == name]
    return found


def section(chapter: Chapter, slug: str) -> SectionResult:
    (found,) = [one for one in chapter.sections if one.slug == slug]
    return found


def test_every_item_of_the_chapter_has_a_claim(whole: Chapter) -> None:
    judged = {one.row for one in whole.claims}
    assert judged >= set(ITEMS)
    assert {row for one in SECTIONS.values() for row in one.rows} >= set(ITEMS)


def test_the_sections_are_those_known_here(whole: Chapter) -> None:
    assert list(SECTIONS) == list(CLAIMS)
    assert [one.slug for one in whole.sections] == list(CLAIMS)
    assert whole.status == "complete"
    names = [one.id for one in whole.claims]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("slug", list(SECTIONS))
def test_a_section_has_every_claim_of_its_rows(whole: Chapter, slug: str) -> None:
    found = section(whole, slug)
    assert [one.id for one in found.findings.claims] == CLAIMS[slug]
    assert {one.row for one in found.findings.claims} == set(found.rows)
    for one in found.findings.claims:
        assert one.verdict in ("holds", "does not hold", "cannot be told")
        for text in (one.book, one.measured, one.rule):
            assert text.strip()
            assert "nan" not in text.split()


@pytest.mark.parametrize("slug", list(SECTIONS))
def test_a_section_shows_pictures_or_tables_of_finite_numbers(whole: Chapter, slug: str) -> None:
    findings = section(whole, slug).findings
    assert findings.drawings or findings.tables
    for drawing in findings.drawings:
        assert drawing.title
        assert drawing.caption
        assert drawing.alt
        if isinstance(drawing, Surface):
            assert len(drawing.z) == len(drawing.y)
            assert {len(row) for row in drawing.z} == {len(drawing.x)}
            continue
        assert isinstance(drawing, Lines)
        assert drawing.series
        for series in drawing.series:
            assert len(series.x) == len(series.y) > 0
            assert len(series.low) == len(series.high) in (0, len(series.x))
            assert any(y is not None and math.isfinite(y) for y in series.y)
    for named in findings.tables:
        assert named.table.rows
        assert {len(row) for row in named.table.rows} == {len(named.table.columns)}


@pytest.mark.parametrize("slug", list(SECTIONS))
def test_the_code_beside_a_section_is_python(slug: str) -> None:
    compile(SECTIONS[slug].code, slug, "exec")


def test_an_interval_holds_its_value(whole: Chapter) -> None:
    bounded = [one for found in whole.claims for one in found.evidence if one.low is not None]
    assert len(bounded) > 20
    for one in bounded:
        assert one.value is not None
        assert one.high is not None
        assert one.low is not None
        assert one.low <= one.value <= one.high


@pytest.mark.parametrize(
    ("name", "verdict", "words"),
    [
        ("eq 1/one formula", "holds", "single sample"),
        ("eq 2, 3/verdicts", "holds", "only inv, p = 0.75 and inv, p = 1"),
        ("table 12-3/design", "holds", "47 rates and takes 470 updates"),
        ("table 12-4/logs", "does not hold", "0.6310, not 0.62"),
        ("eq 4/formula", "holds", "exactly"),
        ("table 12-5/values", "holds", "0.0656"),
        ("fig 12-11/six", "holds", "0"),
        ("fig 12-14/losses", "holds", "1/3 and 1/4"),
        ("eq 8/1.5", "holds", "3/2"),
        ("eq 9/2", "holds", "2"),
        ("correction/unit of the loss", "does not hold", "divided by 10"),
    ],
)
def test_what_does_not_depend_on_the_size(whole: Chapter, name: str, verdict: str, words: str) -> None:
    found = claim(whole, name)
    assert (found.verdict, words in found.measured) == (verdict, True)


def test_the_net_that_stands_still_does_so_at_a_saddle_point(whole: Chapter) -> None:
    """Seed 0 leaves its plateau within the 4,000 updates of a quick run."""
    (table,) = section(whole, "saddle").findings.tables
    row = dict(zip(table.table.columns, table.table.rows[0], strict=True))
    lanczos, exact = (float(part.replace("−", "-")) for part in row["λ min: Lanczos / exact"].split(" / "))
    assert lanczos == pytest.approx(exact, rel=0.05)
    assert lanczos < 0
    assert row["looks like a"] == "saddle"


def test_a_quick_look_has_the_curvature_of_one_plateau(whole: Chapter) -> None:
    (table,) = section(whole, "saddle").findings.tables
    assert len(table.table.rows) == 1


def test_the_largest_batch_tried_may_not_be_the_best_there_is(whole: Chapter) -> None:
    """In the forty updates of a quick look a net learns most from its largest batch, 64."""
    for name in ("12.3.4/best batch", "12.3.4/best batch, rate"):
        found = claim(whole, name)
        assert found.verdict == "cannot be told"
        assert "64" in found.measured
        assert "largest" in found.rule


def test_the_same_samples_at_tenfold_the_rate_of_a_tenth_of_the_loss(whole: Chapter) -> None:
    (gap,) = claim(whole, "correction/unit of the loss").evidence
    assert gap.value is not None
    assert gap.value < 1e-4


def test_figures_share_their_runs() -> None:
    """The nine runs of rate 0.5 at batch 128 and 32 serve figures 12-9, 12-12 and the four batch sizes."""
    together = [training.name for training in trainings_of(chosen(["rates-128", "rates-32", "batch-sizes"]))]
    assert sorted(together) == ["batch 128: rates", "batch 256: 0.5", "batch 32: rates", "batch 64: 0.5"]


def test_trainings_of_different_sections_have_different_names() -> None:
    by_name: dict[str, object] = {}
    for one in SECTIONS.values():
        for training in one.trainings:
            assert by_name.setdefault(training.name, training) is training
