"""Pictures of schedules."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from stepsize.schedules.classic import exp, fixed, inv, multistep, poly, step
from stepsize.schedules.clock import Array
from stepsize.schedules.schedule import Schedule
from stepsize.schedules.units import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Axis = Literal["steps", "epochs", "samples"]

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito 2008: told apart by colour-blind readers."""
_STYLES = ("-", "--", "-.", ":")
_POINTS = 4000
"""More points than any picture has pixels; steps stay upright at this many."""

TEXTBOOK: Mapping[str, Schedule] = {
    "fixed": fixed(0.1),
    "step": step(0.1, gamma=0.5, every=2000),
    "multistep": multistep(0.1, milestones=[3000, 5500, 8000], gamma=0.5),
    "exp": exp(0.1, gamma=0.9995),
    "inv": inv(0.1, gamma=1e-3, power=0.5),
    "poly": poly(0.1, power=0.9),
}
"""The six policies of the textbook's figure 12-11, over 10,000 updates."""


def trace(schedule: Schedule, run: Run | int, x: Axis = "steps") -> tuple[Array, Array]:
    """What a picture draws: positions on the axis and rates, at most a few thousand.

    Raises `ValueError` when the run does not know its epochs or samples.
    """
    run = run if isinstance(run, Run) else Run(steps=run)
    bound = schedule.resolve(run)
    t = np.unique(np.linspace(0, run.steps - 1, min(run.steps, _POINTS)).round())
    if x == "steps":
        scale = 1.0
    elif x == "epochs":
        scale = 1.0 / run.steps_per_epoch
    elif x == "samples":
        scale = float(run.samples_per_update)
    else:
        raise ValueError(f"x must be 'steps', 'epochs' or 'samples', but got {x!r}")
    return t * scale, bound(t)


def plot(
    schedules: Mapping[str, Schedule],
    run: Run | int,
    *,
    ax: Axes | None = None,
    x: Axis = "steps",
    log: bool = False,
) -> Axes:
    """Draw schedules, named by their keys, on one axis; `log` for a logarithmic rate."""
    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(figsize=(7.2, 3.8), layout="constrained").subplots()
    for index, (name, schedule) in enumerate(schedules.items()):
        positions, rates = trace(schedule, run, x)
        style = _STYLES[index // len(PALETTE) % len(_STYLES)]
        width = max(2.6 - 0.25 * index, 1.3)  # a line that another one covers still shows at its edges
        ax.plot(positions, rates, style, color=PALETTE[index % len(PALETTE)], linewidth=width, label=name)
    ax.set_xlabel({"steps": "update", "epochs": "epoch", "samples": "samples"}[x])
    ax.set_ylabel("learning rate")
    ax.margins(x=0.01)
    if log:
        ax.set_yscale("log")
    else:
        ax.set_ylim(bottom=0)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)
    if len(schedules) > 1:
        columns = 3 if max(map(len, schedules)) < 16 else 1
        ax.legend(
            frameon=False, loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=columns, fontsize="small"
        )
    else:
        ax.set_title(next(iter(schedules)), fontsize="medium", loc="left")
    return ax


def textbook_figure(ax: Axes | None = None) -> Axes:
    """The textbook's six policies together, as in its figure 12-11."""
    return plot(TEXTBOOK, 10_000, ax=ax)


def save(axes: Axes, path: str | os.PathLike[str], **options: Any) -> None:
    """Write the figure that the axes stand in, as PNG, SVG or PDF; `options` go to matplotlib's savefig."""
    figure: Figure = axes.get_figure(root=True)  # type: ignore[assignment]
    figure.savefig(os.fspath(path), dpi=160, **options)
