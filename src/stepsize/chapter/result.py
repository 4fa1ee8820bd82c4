"""What the chapter's experiments leave: claims with their verdicts, pictures as plain data, tables."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from stepsize._result import Provenance, Result
from stepsize._words import duration
from stepsize.chapter.rules import Verdict
from stepsize.chapter.settings import Settings
from stepsize.report.picture import Table
from stepsize.training.history import Cost

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Values = tuple[float | None, ...]
"""Numbers of a picture; None where a run had diverged."""

Style = Literal["line", "dots", "line and dots", "steps"]
Scale = Literal["linear", "count", "log", "rate", "batch"]


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """A figure that a verdict rests on: a value, with its 95% interval over `seeds` where it has one."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    seeds: int | None = None
    unit: str = ""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A statement of the book beside what was measured.

    `id` is unique in the chapter and `row` names the equation, figure, table or passage. `rule` says how the
    verdict follows from the figures in `evidence`.
    """

    id: str
    row: str
    book: str
    measured: str
    verdict: Verdict
    rule: str
    evidence: tuple[Estimate, ...] = ()


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a picture: `x`, `y` and, with intervals, `low` and `high`, all of one length."""

    label: str
    x: Values
    y: Values
    low: Values = ()
    high: Values = ()
    style: Style = "line"


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """A vertical line at `x` with a word beside it."""

    x: float
    label: str


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A shaded stretch of the x axis."""

    start: float
    end: float
    label: str


class Lines(msgspec.Struct, frozen=True, kw_only=True, tag="lines"):
    """A picture of lines over one pair of axes."""

    name: str
    title: str
    caption: str
    alt: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    x_scale: Scale = "linear"
    y_scale: Literal["linear", "log"] = "linear"
    y_range: tuple[float, float] | None = None
    marks: tuple[Mark, ...] = ()
    spans: tuple[Span, ...] = ()


class Surface(msgspec.Struct, frozen=True, kw_only=True, tag="surface"):
    """A picture of heights `z` (rows of y, columns of x) as contours, with a path over them."""

    name: str
    title: str
    caption: str
    alt: str
    x_label: str
    y_label: str
    z_label: str
    x: Values
    y: Values
    z: tuple[Values, ...]
    path_x: Values = ()
    path_y: Values = ()
    path_label: str = ""


Drawing = Lines | Surface


class NamedTable(msgspec.Struct, frozen=True, kw_only=True):
    """A table of the book made again, or one that belongs to a claim."""

    caption: str
    table: Table


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What a section found."""

    claims: tuple[Claim, ...]
    drawings: tuple[Drawing, ...] = ()
    tables: tuple[NamedTable, ...] = ()


class SectionResult(msgspec.Struct, frozen=True, kw_only=True):
    """A section with its findings. `rows` are the items of the chapter that it answers.

    `seconds` is the wall-clock time that it took here, waiting for runs of another process included.
    """

    slug: str
    title: str
    rows: tuple[str, ...]
    idea: str
    code: str
    findings: Findings
    seconds: float


class LoopTime(msgspec.Struct, frozen=True, kw_only=True):
    """What the same runs would take one after another, fed by a `DataLoader`: `seconds` of `runs` runs.

    Timed over some updates and one validation for each task and batch size, and multiplied.
    """

    seconds: float
    runs: int


class Chapter(Result, frozen=True, kw_only=True, eq=False):
    """The chapter's experiments: `sections` in the book's order, with every claim's verdict.

    `status` is "interrupted" if sections of `asked` are missing; the same call goes on from its store.
    `cost.seconds` is the wall-clock time of this call, and `reused` how many of its runs the store held
    before it. `loops` is None where it was not measured.
    """

    status: Literal["complete", "interrupted"]
    asked: tuple[str, ...]
    settings: Settings
    sections: tuple[SectionResult, ...]
    cost: Cost
    reused: int
    loops: LoopTime | None
    provenance: Provenance

    @property
    def claims(self) -> tuple[Claim, ...]:
        """Every claim, in the book's order."""
        return tuple(claim for section in self.sections for claim in section.findings.claims)

    def count(self, verdict: Verdict) -> int:
        """How many claims have this verdict."""
        return sum(claim.verdict == verdict for claim in self.claims)

    def plot(self, path: str | os.PathLike[str] | None = None, **options: Any) -> Figure:
        """Draw one picture, `name=…` or the first, and save it if a path is given (PNG, SVG or PDF).

        `theme`, `width` and `height` (inches) as for every other result. Raises `ValueError` for a name that
        no picture has.
        """
        from stepsize.chapter.pictures import draw_named

        return draw_named(self, path, **options)

    def report(self, path: str | os.PathLike[str]) -> None:
        """Write the chapter as one self-contained HTML page."""
        from stepsize.chapter.page import write_page

        write_page(self, path)

    def __str__(self) -> str:
        head = (
            f"{self.count('holds')} statements of the chapter hold, {self.count('does not hold')} do not, "
            f"{self.count('cannot be told')} cannot be told from {self.settings.seeds} seeds"
        )
        lines = [head]
        for section in self.sections:
            lines.append(f"{section.slug}: {section.title}")
            lines += [
                f"  {claim.verdict:14}  {claim.row}: {claim.measured}" for claim in section.findings.claims
            ]
        missing = [slug for slug in self.asked if slug not in {section.slug for section in self.sections}]
        if missing:
            lines.append(f"interrupted; not there yet: {', '.join(missing)}")
        lines.append(f"{self.cost.updates:,} updates in {duration(self.cost.seconds)}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)
