"""The registry of pictures, and `draw`, which makes one of them into a figure."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from stepsize._result import Result
from stepsize.report.picture import Picture
from stepsize.report.pictures.batch import TIMES, UPDATES
from stepsize.report.pictures.curves import CURVES
from stepsize.report.pictures.diagnosis import DIAGNOSIS
from stepsize.report.pictures.heatmap import HEATMAP
from stepsize.report.pictures.hyperbola import HYPERBOLA
from stepsize.report.pictures.noise import NOISE
from stepsize.report.pictures.price import PRICE
from stepsize.report.pictures.range_test import RANGE_TEST, STAGED
from stepsize.report.pictures.rounds import DECISION, ROUNDS
from stepsize.report.pictures.scaling import SCALING
from stepsize.report.pictures.schedule import SCHEDULE
from stepsize.report.pictures.schedules import SCHEDULES
from stepsize.report.pictures.sharpness import CEILING
from stepsize.report.pictures.sweep import SWEEP_CURVES, SWEEP_ENDS
from stepsize.report.pictures.trend import TREND
from stepsize.report.pictures.warmup import WARMUPS
from stepsize.report.pictures.worth import WORTH
from stepsize.report.pictures.zoom import BRACKET, COARSE, TRIALS
from stepsize.report.theme import THEMES, Colours, ThemeName, settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURES: dict[str, Picture[Any]] = {
    "decision": DECISION,
    "rounds": ROUNDS,
    "trend": TREND,
    "curves": CURVES,
    "diagnosis": DIAGNOSIS,
    "price": PRICE,
    "worth": WORTH,
    "range_test": RANGE_TEST,
    "staged": STAGED,
    "trials": TRIALS,
    "bracket": BRACKET,
    "coarse": COARSE,
    "sweep_ends": SWEEP_ENDS,
    "sweep_curves": SWEEP_CURVES,
    "heatmap": HEATMAP,
    "noise": NOISE,
    "batch_times": TIMES,
    "batch_updates": UPDATES,
    "hyperbola": HYPERBOLA,
    "schedules": SCHEDULES,
    "warmups": WARMUPS,
    "scaling": SCALING,
    "stable_rates": CEILING,
    "schedule": SCHEDULE,
}
"""Every picture by name, in the order in which a page shows them. To add one: write a file in `pictures/`
and its line here; the contract test then covers it."""


def draw(
    result: Result,
    path: str | os.PathLike[str] | None = None,
    *,
    figure: str | None = None,
    theme: ThemeName = "light",
    width: float = 7.2,
    height: float = 4.0,
) -> Figure:
    """Draw a result, and save the picture if a path is given (PNG, SVG or PDF by its ending).

    `figure` names one of `FIGURES` (docs/answers.md tells what each shows); without it the first that the
    result has is drawn. `width` and `height` are in inches. The figure belongs to no window and changes no
    setting of matplotlib.

    Raises `ValueError` for a figure that does not exist or that the result has no data for, a theme other
    than "light" and "dark", and a path of an unknown kind; `OSError`, naming the path, when it cannot be
    written.
    """
    available = [name for name, picture in FIGURES.items() if picture.data(result) is not None]
    if figure is None and not available:
        raise ValueError(f"this {type(result).__name__} holds nothing to draw")
    if figure is not None and figure not in available:
        raise ValueError(
            f"figure must be one of {available} for this {type(result).__name__}, but got {figure!r}"
        )
    if theme not in THEMES:
        raise ValueError(f"theme must be one of {list(THEMES)}, but got {theme!r}")
    picture = FIGURES[figure or available[0]]
    return render(picture, picture.data(result), THEMES[theme], width, height, path)


def render(
    picture: Picture[Any],
    data: Any,
    colours: Colours,
    width: float,
    height: float,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """One picture of the data as a figure of its own."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(settings(colours)):
        drawn = Figure(figsize=(width, height), layout="constrained")
        picture.draw(drawn.add_subplot(), data, colours)
        if path is not None:
            _save(drawn, path)
    return drawn


def _save(drawn: Figure, path: str | os.PathLike[str]) -> None:
    try:
        drawn.savefig(path)
    except OSError as error:
        raise type(error)(
            error.errno, f"cannot write the picture: {error.strerror}", os.fspath(path)
        ) from error
