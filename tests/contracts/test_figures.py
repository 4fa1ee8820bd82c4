"""What every picture must hold to; a new one in the registry is covered by being there."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import numpy as np
import pytest

from stepsize._result import Result
from stepsize.measure.diagnosis import diagnose
from stepsize.report import FIGURES, Picture, Table, draw
from stepsize.report.figures import render
from stepsize.report.script import DRAWINGS, HERE
from stepsize.report.svg import inline_svg
from stepsize.report.theme import THEMES, ThemeName
from tests.report.batches import batch_advice, critical, scaling
from tests.report.curves import history, lost, plateaued
from tests.report.samples import advice, curve, no_answer, noise, sharpness, zoom
from tests.report.trainings import schedules, training, warmups
from tests.runs.samples import sweep

RESULTS: dict[str, Result] = {
    "advice": advice(),
    "advice without an answer": no_answer("noise_dominated", "the seeds disagree"),
    "advice on one rate": advice(rehearsals=(msgspec.structs.replace(advice().rehearsals[-1]),)),
    "training": training(),
    "training with all but the rate given": training(batch=None, schedules=None, warmup=None),
    "training at a price that is not known": training(omissions=()),
    "schedules": schedules(),
    "schedules that do not learn": schedules(best=None),
    "warm-ups": warmups(),
    "warm-ups that diverge": warmups(survives=False),
    "range test": curve(),
    "staged": curve(staged=True),
    "one seed": curve(seeds=1, diverges=False),
    "zoom": zoom(),
    "sweep": sweep(),
    "batch size": batch_advice(),
    "critical batch": critical(),
    "critical batch of three sizes": critical(reached=3),
    "critical batch that nothing reached": critical(reached=0),
    "rates over batch sizes": scaling(),
    "rates over two batch sizes": scaling(measured=2),
    "rates by a rule": scaling(known=False),
    "curvature": sharpness(),
    "curvature at the start": sharpness(ceilings=(2.5,), lr=None),
    "curvature without a ceiling": sharpness(ceilings=(None, None)),
    "noise scale": noise(),
    "noise scale with an open end": noise(opened=True),
    "noise scale without a point": noise(points=0),
    "sweep of one batch size": sweep(batch_sizes=(128,), seeds=1),
    "sweep that diverged": sweep(best=1e-4),
    "sweep of a halving": sweep(halving="the worse half of the rates was left out"),
    "curve with plateaus": plateaued(),
    "curve that is lost": lost(),
    "curve too short to judge": diagnose([2.0, 1.9, 1.8]),
    "runs of four regimes": history(),
    "runs of two seeds": history(seeds=2),
    "zoom without an answer": zoom(status="not_bracketed", lr=None, bracket=None, trials=None),
}

every_picture = pytest.mark.parametrize(("name", "picture"), FIGURES.items(), ids=FIGURES)


def samples(picture: Picture[Any]) -> list[Any]:
    """The picture's data for every result that has it."""
    return [data for data in map(picture.data, RESULTS.values()) if data is not None]


@every_picture
def test_some_result_has_it_and_some_has_not(name: str, picture: Picture[Any]) -> None:
    assert 0 < len(samples(picture)) < len(RESULTS)


def test_every_picture_has_a_drawing_on_the_page() -> None:
    assert list(DRAWINGS) == list(FIGURES)
    files = {path.stem for path in (HERE / "js" / "drawings").glob("*.js")}
    own = "\n".join((HERE / "js" / "drawings" / f"{name}.js").read_text(encoding="utf-8") for name in files)
    for drawing in DRAWINGS.values():
        assert f"drawings.{drawing} = " in own


@every_picture
def test_its_data_are_plain_json_and_come_back(name: str, picture: Picture[Any]) -> None:
    for data in samples(picture):
        text = msgspec.json.encode(data)
        assert b"NaN" not in text
        assert b"Infinity" not in text
        assert msgspec.json.decode(text, type=type(data)) == data


@every_picture
@pytest.mark.parametrize(("theme", "size"), [("light", (7.2, 4.0)), ("dark", (3.5, 3.3))])
def test_it_draws_something_that_stays_inside(
    name: str, picture: Picture[Any], theme: ThemeName, size: tuple[float, float]
) -> None:
    for data in samples(picture):
        figure = render(picture, data, THEMES[theme], *size)
        figure.draw_without_rendering()
        (axes,) = figure.axes
        assert axes.lines or axes.collections
        assert axes.get_window_extent().width > 0.6 * figure.bbox.width
        ticks = [
            label
            for axis in (axes.xaxis, axes.yaxis)
            for place, label in zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=True)
            if min(axis.get_view_interval()) <= place <= max(axis.get_view_interval())
        ]
        assert len(ticks) >= 4
        for text in [axes.title, axes.xaxis.label, *axes.texts, *ticks]:
            assert_inside(text, figure, name)
        legend = axes.get_legend()
        if legend is not None:
            assert_inside(legend, figure, name)


def assert_inside(artist: Any, figure: Any, name: str) -> None:
    """An artist lies within its figure, to a pixel."""
    box = artist.get_window_extent()
    assert box.x0 >= figure.bbox.x0 - 1, (name, artist)
    assert box.x1 <= figure.bbox.x1 + 1, (name, artist)
    assert box.y0 >= figure.bbox.y0 - 1, (name, artist)
    assert box.y1 <= figure.bbox.y1 + 1, (name, artist)


@every_picture
def test_its_words_are_sentences_and_its_table_is_whole(name: str, picture: Picture[Any]) -> None:
    assert picture.title
    for data in samples(picture):
        for text in (picture.caption(data), picture.alt(data)):
            assert text[0].isupper() or text[0].isdigit()
            assert text[-1] == "."
            assert "nan" not in text.lower().split()
            assert "None" not in text
        table = picture.table(data)
        assert isinstance(table, Table)
        assert table.rows
        assert all(len(row) == len(table.columns) for row in table.rows)
        assert all(isinstance(cell, str) and cell for row in table.rows for cell in row)


@every_picture
def test_its_svg_follows_the_page(name: str, picture: Picture[Any]) -> None:
    data = samples(picture)[0]
    svg = inline_svg(render(picture, data, THEMES["light"], 7.2, 4.0), prefix="p", alt='a "quoted" <alt>')
    root = ET.fromstring(svg)
    assert root.get("role") == "img"
    assert root.get("aria-label") == 'a "quoted" <alt>'
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    assert all(str(identifier).startswith("p-") for identifier in ids)
    for element in root.iter():
        assert "style" not in element.attrib  # a strict policy would drop it
        for kind in ("fill", "stroke"):  # every colour has a name, and so changes with the theme
            assert element.get(kind, "none") == "none", (element.tag, element.attrib)
        reference = element.get("href", element.get("clip-path", "#")).removeprefix("url(").rstrip(")")
        assert reference == "#" or reference[1:] in ids


@every_picture
def test_the_same_data_give_the_same_svg(name: str, picture: Picture[Any]) -> None:
    data = samples(picture)[0]
    first, second = (
        inline_svg(render(picture, data, THEMES["light"], 7.2, 4.0), prefix="p", alt="") for _ in range(2)
    )
    assert first == second


@every_picture
def test_draw_finds_it_by_name(name: str, picture: Picture[Any]) -> None:
    for result in RESULTS.values():
        if picture.data(result) is None:
            with pytest.raises(ValueError, match="figure must be one of"):
                draw(result, figure=name)
        else:
            assert draw(result, figure=name).axes


@every_picture
def test_a_result_in_which_everything_diverged_is_no_obstacle(name: str, picture: Picture[Any]) -> None:
    lost = curve()
    nothing = np.full(lost.losses.shape, np.nan)
    changes = {"losses": nothing, "smoothed": nothing[0], "diverged_at": np.full(2, lost.lrs[0])}
    bracket = msgspec.structs.replace(lost, **changes)
    rehearsals = tuple(
        msgspec.structs.replace(
            one, losses=np.full_like(one.losses, np.inf), curves=np.full_like(one.curves, np.inf)
        )
        for one in advice().rehearsals
    )
    result = no_answer("diverges_everywhere", "check the loss", bracket=bracket, rehearsals=rehearsals)
    trials = zoom().trials
    assert trials is not None
    trials = msgspec.structs.replace(trials, losses=np.full_like(trials.losses, np.inf))
    zoomed = zoom(status="diverges_everywhere", lr=None, coarse=bracket, bracket=bracket, trials=trials)
    for data in filter(None, (picture.data(result), picture.data(zoomed))):
        render(picture, data, THEMES["light"], 7.2, 4.0).draw_without_rendering()
        assert picture.caption(data)
        assert picture.alt(data)
        assert picture.table(data).rows
