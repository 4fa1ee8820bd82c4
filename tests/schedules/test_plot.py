"""Pictures of schedules, drawn and typed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stepsize.schedules import COMPOSITIONS, SHAPES, Run, Schedule, cosine, fixed, plot, step
from stepsize.schedules.plot import save, textbook_figure, trace
from stepsize.schedules.terminal import chart, listing, table

RUN = Run(samples=1000, batch_size=10, epochs=3)


def test_a_picture_is_the_function_that_trains() -> None:
    axes = cosine(0.1).plot(500)
    (line,) = axes.lines
    assert (np.asarray(line.get_xdata()) == np.arange(500)).all()
    assert (np.asarray(line.get_ydata()) == cosine(0.1).values(500)).all()


@pytest.mark.parametrize(("x", "last"), [("steps", 299), ("epochs", 2.99), ("samples", 2990)])
def test_the_axis_is_in_steps_epochs_or_samples(x: str, last: float) -> None:
    axes = cosine(0.1).plot(RUN, x=x)
    assert np.asarray(axes.lines[0].get_xdata())[-1] == pytest.approx(last)
    assert axes.get_xlabel().startswith({"steps": "update", "epochs": "epoch", "samples": "samples"}[x])


def test_an_axis_that_the_run_does_not_know() -> None:
    with pytest.raises(ValueError, match="an epoch needs the data"):
        cosine(0.1).plot(100, x="epochs")
    with pytest.raises(ValueError, match="x must be 'steps', 'epochs' or 'samples', but got 'weeks'"):
        trace(cosine(), 10, "weeks")  # type: ignore[arg-type]


def test_several_on_one_axis_with_a_legend(tmp_path: Path) -> None:
    axes = plot({"a": cosine(0.1), "b": fixed(0.1)}, 100, log=True)
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b"]
    assert axes.get_yscale() == "log"
    save(axes, tmp_path / "x.svg")
    assert (tmp_path / "x.svg").read_text().startswith("<?xml")


def test_long_runs_are_thinned() -> None:
    positions, rates = trace(cosine(), 10**6)
    assert len(positions) == 4000
    assert (positions[0], positions[-1]) == (0, 10**6 - 1)
    assert len(rates) == 4000


def test_figure_12_11_draws_the_six_policies_together() -> None:
    axes = textbook_figure()
    legend = axes.get_legend()
    assert legend is not None
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["fixed", "step", "multistep", "exp", "inv", "poly"]
    assert len(axes.lines) == 6


def test_a_chart_in_characters() -> None:
    text = chart({"fixed": fixed(0.1), "step": step(0.1, gamma=0.5, every="50%")}, 100, width=20, height=5)
    assert text == "\n".join(
        [
            " 0.1 |oooooooooo**********",
            "     |",
            "0.05 |          oooooooooo",
            "     |",
            "   0 |",
            "     +--------------------",
            "      0                 99",
            "      * fixed",
            "      o step",
        ]
    )


@pytest.mark.parametrize("steps", [1, 2, 10**6])
def test_a_chart_of_any_run(steps: int) -> None:
    lines = chart({"c": cosine()}, steps).splitlines()
    assert len(lines) == 20
    assert max(map(len, lines)) <= 80


def test_table_12_5_as_a_table() -> None:
    text = table({"step": Schedule.parse("step(0.1, 0.9, 50)")}, 301, rows=7)
    assert text.splitlines() == [
        "update       step",
        "     0        0.1",
        "    50       0.09",
        "   100      0.081",
        "   150     0.0729",
        "   200    0.06561",
        "   250   0.059049",
        "   300  0.0531441",
    ]


def test_the_list_has_every_name_once() -> None:
    names = [line.split()[0] for line in listing().splitlines()]
    assert sorted(names) == sorted([*SHAPES, *COMPOSITIONS])
    assert all(len(line.split()) > 3 for line in listing().splitlines())
