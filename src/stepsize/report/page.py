"""One self-contained HTML page of a result: no network, light and dark, screen and paper."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from stepsize._result import Result, write_atomically
from stepsize.decide.advice import Advice
from stepsize.decide.batch_advice import BatchAdvice
from stepsize.decide.critical_batch_result import CriticalBatch
from stepsize.decide.scale_result import RateScaling
from stepsize.decide.schedule_comparison_result import ScheduleComparison
from stepsize.decide.training_advice import TrainingAdvice
from stepsize.decide.warmup_result import WarmupComparison
from stepsize.measure.curve import Curve
from stepsize.measure.noise_result import NoiseScale
from stepsize.measure.sharpness_result import Sharpness
from stepsize.measure.zoom import Zoom
from stepsize.report.figures import FIGURES, render
from stepsize.report.numbers import LOSS_NAMES
from stepsize.report.pages.advice import advice_content
from stepsize.report.pages.batch import batch_content, critical_content
from stepsize.report.pages.content import Content
from stepsize.report.pages.curve import curve_content
from stepsize.report.pages.noise import noise_content
from stepsize.report.pages.scaling import scaling_content
from stepsize.report.pages.sharpness import sharpness_content
from stepsize.report.pages.sweep import sweep_content
from stepsize.report.pages.training import schedules_content, training_content, warmup_content
from stepsize.report.pages.zoom import zoom_content
from stepsize.report.picture import Table
from stepsize.report.script import DRAWINGS, digest, scripts
from stepsize.report.svg import inline_svg
from stepsize.report.theme import THEMES
from stepsize.report.whatif import COLUMNS, WhatIf, what_if, words
from stepsize.runs.table import Runs

if TYPE_CHECKING:
    from jinja2 import Environment

PAGES: dict[type[Result], Callable[[Any], Content]] = {
    TrainingAdvice: training_content,
    Advice: advice_content,
    ScheduleComparison: schedules_content,
    WarmupComparison: warmup_content,
    Curve: curve_content,
    Zoom: zoom_content,
    Runs: sweep_content,
    NoiseScale: noise_content,
    Sharpness: sharpness_content,
    BatchAdvice: batch_content,
    CriticalBatch: critical_content,
    RateScaling: scaling_content,
}
"""Which results have a page, a more special kind before the one that it is made from.

To add one: write its `Content` in `pages/` and its line here."""

PRINTED = (7.2, 3.8)
"""Size in inches of the picture on paper, and of what stands there without scripts."""

TEMPLATES = Path(__file__).parent / "templates"


class Drawn(NamedTuple):
    """A picture as the template needs it; `svg` is the printed form, `data` feeds the page's drawing."""

    name: str
    title: str
    caption: str
    alt: str
    svg: str
    data: Any
    table: Table


def write_page(result: Result, path: str | os.PathLike[str]) -> None:
    """Write the result's page; the file appears whole or not at all.

    Raises `OSError`, naming the path, when it cannot be written; `TypeError` for a result without a page.
    """
    check_writable(path)
    write_atomically(path, page(result))


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise `OSError`, naming the path, unless a file can be written there: to be asked before the work."""
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(f"cannot write {target}: it is a folder; name a file in it")
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"cannot write {target}: the folder {target.parent} does not exist; create it first"
        )
    if not os.access(target.parent, os.W_OK | os.X_OK) or (
        target.exists() and not os.access(target, os.W_OK)
    ):
        raise PermissionError(f"cannot write {target}: permission denied; choose another place")


def page(result: Result) -> str:
    """The page as text. What comes from outside is escaped; the result itself is inlined as JSON."""
    content = _content(result)
    css, programs, drawn, asked = stylesheet(), scripts(), figures(result), what_if(result)
    policy = {
        "default-src": "'none'",
        "script-src": " ".join(map(digest, programs)),
        "style-src": digest(css),
        "img-src": "data:",  # the empty icon, so that no browser asks a server for one
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    template = _environment().get_template("page.html.j2")
    return template.render(
        content=content,
        figures=drawn,
        what_if=asked,
        what_if_words=() if asked is None else [*map(words, asked.stops)],
        what_if_columns=COLUMNS,
        css=css,
        csp="; ".join(f"{name} {value}" for name, value in policy.items()),
        scripts=programs,
        words=script_safe(msgspec.json.encode(_for_scripts(drawn, asked)).decode()),
        json=script_safe(result.to_json()),
    )


def holds_answer(result: Result) -> bool:
    """Whether the result has the answer that its page is about; one that brings its own page has."""
    build = _builder(result)
    return build is None or build(result).answered


def _builder(result: Result) -> Callable[[Any], Content] | None:
    return next((build for kind, build in PAGES.items() if isinstance(result, kind)), None)


def _content(result: Result) -> Content:
    build = _builder(result)
    if build is None:
        kinds = ", ".join(kind.__name__ for kind in PAGES)
        raise TypeError(f"a page can be written of {kinds}, but not of a {type(result).__name__}")
    return build(result)


def figures(result: Result) -> list[Drawn]:
    """Every picture that the result has, drawn for paper, with the data that the page draws from."""
    drawn: list[Drawn] = []
    for name, picture in FIGURES.items():
        data = picture.data(result)
        if data is None:
            continue
        alt = picture.alt(data)
        svg = inline_svg(render(picture, data, THEMES["light"], *PRINTED), prefix=name, alt=alt)
        drawn.append(Drawn(name, picture.title, picture.caption(data), alt, svg, data, picture.table(data)))
    return drawn


def _for_scripts(drawn: list[Drawn], asked: WhatIf | None) -> dict[str, Any]:
    """What the page's script is given."""
    return {
        "figures": {  # a picture from outside that has no drawing for the page keeps its printed form
            one.name: {"drawing": DRAWINGS[one.name], "data": one.data}
            for one in drawn
            if one.name in DRAWINGS
        },
        "losses": LOSS_NAMES,
        "what_if": [] if asked is None else [*map(words, asked.stops)],
    }


def script_safe(json: str) -> str:
    """JSON that may stand inside a script element: without `<`, `>`, `&` and JavaScript's line separators."""
    for character in "<>&\u2028\u2029":
        json = json.replace(character, f"\\u{ord(character):04x}")
    return json


@lru_cache(maxsize=1)
def stylesheet() -> str:
    """The page's style, with the themes' colours as variables and a class for each colour of a picture."""
    variables = {
        theme: "".join(f"--{name.replace('_', '-')}:{value};" for name, value in colours._asdict().items())
        for theme, colours in THEMES.items()
    }
    names = [name.replace("_", "-") for name in THEMES["light"]._fields]
    classes = "".join(
        f".fill-{name}{{fill:var(--{name})}}.stroke-{name}{{stroke:var(--{name})}}" for name in names
    )
    return (
        f":root{{{variables['light']}}}"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{variables['dark']}}}}}"
        f"{classes}\n{(TEMPLATES / 'page.css').read_text(encoding='utf-8')}"
    )


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
