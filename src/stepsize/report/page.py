"""One self-contained HTML page of a result: no network, no script, light and dark, screen and paper."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

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
from stepsize.report.svg import inline_svg
from stepsize.report.theme import THEMES
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

WIDE, NARROW = (7.2, 3.8), (3.5, 3.3)
"""Sizes in inches of each picture: for a window, and for a phone, where that one's text would be tiny."""

TEMPLATES = Path(__file__).parent / "templates"


class Drawn(NamedTuple):
    """A picture as the template needs it."""

    name: str
    title: str
    caption: str
    wide: str
    narrow: str
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
    content = next((build for kind, build in PAGES.items() if isinstance(result, kind)), None)
    if content is None:
        kinds = ", ".join(kind.__name__ for kind in PAGES)
        raise TypeError(f"a page can be written of {kinds}, but not of a {type(result).__name__}")
    css = stylesheet()
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    policy = {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest}'",
        "img-src": "data:",  # the empty icon, so that no browser asks a server for one
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    template = _environment().get_template("page.html.j2")
    return template.render(
        content=content(result),
        figures=figures(result),
        css=css,
        csp="; ".join(f"{name} {value}" for name, value in policy.items()),
        json=script_safe(result.to_json()),
    )


def figures(result: Result) -> list[Drawn]:
    """Every picture that the result has, drawn for a window and for a phone."""
    drawn: list[Drawn] = []
    for name, picture in FIGURES.items():
        data = picture.data(result)
        if data is None:
            continue
        alt = picture.alt(data)
        wide, narrow = (
            inline_svg(render(picture, data, THEMES["light"], *size), prefix=f"{name}-{kind}", alt=alt)
            for kind, size in (("wide", WIDE), ("narrow", NARROW))
        )
        drawn.append(Drawn(name, picture.title, picture.caption(data), wide, narrow, picture.table(data)))
    return drawn


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
