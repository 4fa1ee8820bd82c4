"""The chapter's page: every claim beside what was measured, in one self-contained file without scripts."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from stepsize._result import write_atomically
from stepsize._words import duration, plural
from stepsize.chapter.pictures import figure_of, table_of
from stepsize.chapter.result import Chapter, Claim, Drawing, Estimate, NamedTable, SectionResult
from stepsize.chapter.rules import Verdict
from stepsize.report.numbers import count, number
from stepsize.report.page import check_writable, script_safe, stylesheet
from stepsize.report.pages.content import provenance_rows
from stepsize.report.picture import Table
from stepsize.report.script import digest
from stepsize.report.svg import inline_svg

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"

WIDE, NARROW = (7.2, 3.8), (3.5, 3.3)
"""Sizes in inches of a picture on a screen and on a phone."""

SIGNS: dict[Verdict, tuple[str, str]] = {
    "holds": ("yes", "✓"),
    "does not hold": ("no", "✗"),
    "cannot be told": ("unknown", "?"),
}
"""Each verdict's class and sign."""

METHOD = (
    (
        "Runs of one seed share their starting weights and the order of their batches, so rates are "
        "compared seed by seed: a difference is the mean over seeds of the paired differences, and its "
        "interval Student's at 95%. A statement holds if the interval says so, does not hold if it says "
        "the opposite, and otherwise cannot be told."
    ),
    (
        "With three seeds such an interval is wide, 4.3 standard errors to either side. Where nothing can "
        "be told, more seeds (--seeds 10) may tell; it does not mean that the statement is false."
    ),
    (
        "A rate is the best of several only if it beats each of the others; that one of the others beats "
        "it is judged at a stricter level, since one of many is easily better by chance. Statements of "
        "arithmetic are checked exactly."
    ),
)


class ClaimView(NamedTuple):
    """A claim as the template needs it."""

    kind: str
    sign: str
    row: str
    book: str
    measured: str
    verdict: str
    rule: str
    evidence: Table | None


class Drawn(NamedTuple):
    """A picture as the template needs it, drawn for a screen (and paper) and for a phone."""

    name: str
    title: str
    caption: str
    wide: str
    narrow: str
    table: Table


class SectionView(NamedTuple):
    """A section as the template needs it."""

    slug: str
    title: str
    where: str
    idea: str
    claims: tuple[ClaimView, ...]
    figures: tuple[Drawn, ...]
    tables: tuple[NamedTable, ...]
    command: str
    code: str


class TallyView(NamedTuple):
    """How many claims have a verdict."""

    kind: str
    sign: str
    number: int
    words: str


def write_page(chapter: Chapter, path: str | os.PathLike[str]) -> None:
    """Write the page; the file appears whole or not at all. Raises `OSError` when it cannot be written."""
    check_writable(path)
    write_atomically(path, page(chapter))


def page(chapter: Chapter) -> str:
    """The page as text; everything is escaped, and the result itself inlined as JSON."""
    css = f"{stylesheet()}\n{(TEMPLATES / 'chapter.css').read_text(encoding='utf-8')}"
    policy = (
        f"default-src 'none'; style-src {digest(css)}; img-src data:; base-uri 'none'; form-action 'none'"
    )
    there = {section.slug for section in chapter.sections}
    return (
        _environment()
        .get_template("chapter.html.j2")
        .render(
            title="What the chapter says, and what was measured",
            lead=_lead(chapter),
            tally=[
                TallyView(*SIGNS[verdict], chapter.count(verdict), verdict)
                for verdict in ("holds", "does not hold", "cannot be told")
            ],
            missing=", ".join(slug for slug in chapter.asked if slug not in there),
            facts=_facts(chapter),
            sections=[_section(section, chapter) for section in chapter.sections],
            method=METHOD,
            cost=_cost(chapter),
            provenance=provenance_rows(chapter.provenance),
            css=css,
            csp=policy,
            json=script_safe(chapter.to_json()),
        )
    )


def _lead(chapter: Chapter) -> str:
    return (
        "Every equation, figure and table of the chapter was built and run with "
        f"{plural(chapter.settings.seeds, 'seed')}. Of {plural(len(chapter.claims), 'statement')} "
        f"{chapter.count('holds')} hold, {chapter.count('does not hold')} do not, and "
        f"{chapter.count('cannot be told')} cannot be told from so few runs. Each verdict follows from a "
        "stated rule, which stands beside it."
    )


def _facts(chapter: Chapter) -> list[tuple[str, str]]:
    settings = chapter.settings
    images = "all 55,000" if settings.images is None else count(settings.images)
    facts = [
        ("seeds behind each curve", count(settings.seeds)),
        ("epochs of the figures' runs", number(settings.epochs)),
        ("training images", images),
        ("time", duration(chapter.cost.seconds)),
    ]
    if chapter.loops is not None and not chapter.reused:
        ratio = chapter.loops.seconds / chapter.cost.seconds
        facts.append(
            (
                "the same runs as DataLoader loops, reckoned from a sample of each",
                f"{duration(chapter.loops.seconds)}, {number(ratio, 2)} times as long",
            )
        )
    return facts


def _cost(chapter: Chapter) -> list[tuple[str, str]]:
    rows = [
        ("updates", count(chapter.cost.updates)),
        ("samples", count(chapter.cost.samples)),
        ("time of this call", duration(chapter.cost.seconds)),
    ]
    if chapter.reused:
        rows.append(("runs that the ledger held already", count(chapter.reused)))
    return rows


def _section(section: SectionResult, chapter: Chapter) -> SectionView:
    found = section.findings
    return SectionView(
        slug=section.slug,
        title=section.title,
        where=", ".join(section.rows),
        idea=section.idea,
        claims=tuple(_claim(claim) for claim in found.claims),
        figures=tuple(_drawn(drawing) for drawing in found.drawings),
        tables=found.tables,
        command=f"stepsize chapter {section.slug} --seeds {chapter.settings.seeds}",
        code=section.code,
    )


def _claim(claim: Claim) -> ClaimView:
    kind, sign = SIGNS[claim.verdict]
    return ClaimView(
        kind,
        sign,
        claim.row,
        claim.book,
        claim.measured,
        claim.verdict,
        claim.rule,
        _evidence(claim.evidence),
    )


def _evidence(estimates: tuple[Estimate, ...]) -> Table | None:
    if not estimates:
        return None
    rows = tuple(
        (
            one.name,
            number(one.value, 4),
            f"{number(one.low, 4)} to {number(one.high, 4)}" if one.low is not None else "–",
            "–" if one.seeds is None else str(one.seeds),
            one.unit or "–",
        )
        for one in estimates
    )
    return Table(("figure", "value", "95% interval", "seeds", "unit"), rows)


def draw_ahead(section: SectionResult) -> None:
    """Draw a section's pictures for pages to come, while other processes still train."""
    for drawing in section.findings.drawings:
        _drawn(drawing)


@lru_cache(maxsize=128)
def _drawn(drawing: Drawing) -> Drawn:
    wide, narrow = (
        inline_svg(figure_of(drawing, "light", *size), prefix=f"{drawing.name}-{kind}", alt=drawing.alt)
        for kind, size in (("wide", WIDE), ("narrow", NARROW))
    )
    return Drawn(drawing.name, drawing.title, drawing.caption, wide, narrow, table_of(drawing))


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["prose"] = prose
    return environment


def prose(text: str) -> Markup:
    """Escaped text with what stands between backticks as code."""
    from markupsafe import Markup, escape

    parts = [escape(part) for part in text.split("`")]
    code = Markup("<code>{}</code>")
    return Markup("").join(code.format(part) if i % 2 else part for i, part in enumerate(parts))
