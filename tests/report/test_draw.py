from pathlib import Path

import matplotlib as mpl
import msgspec
import pytest

from stepsize._result import Result
from stepsize.report import FIGURES, draw
from tests.report.samples import advice, curve, no_answer


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_a_picture_is_saved_by_its_ending(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"advice.{kind}"
    advice().plot(path)
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[kind]
    assert path.read_bytes().startswith(start)


def test_drawing_changes_no_setting_and_opens_no_window() -> None:
    import matplotlib.pyplot as plt

    before = dict(mpl.rcParams)
    curve().plot(theme="dark")
    assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == []


def test_the_first_picture_of_an_advice_is_its_decision() -> None:
    lines = draw(advice()).axes[0].get_legend_handles_labels()[1]
    assert "1/4 run, 3 seeds" in lines
    assert "1/8 run, 2 seeds" not in lines


def test_the_advised_rate_and_its_interval_are_marked() -> None:
    (axes,) = draw(advice(), figure="decision").axes
    assert "0.42" in [text.get_text() for text in axes.texts]
    (band,) = [patch for patch in axes.patches if patch.get_label() == "loses at most 1%"]
    extent = band.get_extents().transformed(axes.transData.inverted())
    assert (extent.x0, extent.x1) == pytest.approx((0.29, 0.61))


def test_rates_label_the_logarithmic_axis() -> None:
    (axes,) = draw(curve()).axes
    assert axes.get_xscale() == "log"
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["1e-5", "0.0001", "0.001", "0.01", "0.1", "1", "10"]


def test_each_answering_rule_is_marked_on_the_average() -> None:
    sample = curve()
    (axes,) = draw(sample).axes
    labels = axes.get_legend_handles_labels()[1]
    for rule, suggestion in sample.suggestions.items():
        assert suggestion.lr is not None
        assert any(label.startswith(rule.replace("_over_", "/")) for label in labels)


def test_a_divergence_is_shaded() -> None:
    assert "a seed diverges" in draw(curve()).axes[0].get_legend_handles_labels()[1]
    assert "a seed diverges" not in draw(curve(diverges=False)).axes[0].get_legend_handles_labels()[1]


def test_a_rate_that_ends_worse_than_it_started_counts_as_lost() -> None:
    (*before, last) = advice().rehearsals
    losses = last.losses.copy()
    losses[:, -1] = 40.0
    worse = advice(rehearsals=(*before, msgspec.structs.replace(last, losses=losses)))
    data = FIGURES["decision"].data(worse)
    assert data is not None
    assert data.cliff == last.lrs[-1]
    (axes,) = draw(worse, figure="decision").axes
    assert "worse than the start" in axes.get_legend_handles_labels()[1]
    assert axes.get_ylim()[1] < 1  # a close-up: the 40 would hide that 1% matters
    assert "nothing is learned" in FIGURES["price"].caption(FIGURES["price"].data(worse))


def test_a_constant_schedule_is_said_to_be_one() -> None:
    data = FIGURES["schedule"].data(advice(schedule_text="fixed(0.42)"))
    assert FIGURES["schedule"].caption(data) == "The rate stays at 0.42 through all 860 updates of the run."


def test_a_start_that_is_not_finite_leaves_a_picture() -> None:
    assert draw(msgspec.structs.replace(curve(), start_loss=None)).axes


def test_a_dollar_in_a_name_is_no_formula(tmp_path: Path) -> None:
    draw(advice(loss_kind="$\\frac{1"), tmp_path / "advice.png")


def test_a_schedule_in_epochs_is_drawn() -> None:
    text = "0.4 * (warmup('1 epochs') | cosine())"
    assert draw(advice(schedule_text=text), figure="schedule").axes


def test_a_schedule_in_tokens_has_no_picture_but_the_rest_has() -> None:
    text = "0.4 * (warmup('1000 tokens') | cosine())"
    assert draw(advice(schedule_text=text)).axes
    with pytest.raises(ValueError, match="figure must be one of"):
        draw(advice(schedule_text=text), figure="schedule")


@pytest.mark.parametrize(
    ("result", "options", "message"),
    [
        (
            advice(),
            {"figure": "staged"},
            r"figure must be one of \['decision', .*\] for this Advice, but got 'staged'",
        ),
        (advice(), {"figure": "pie"}, "but got 'pie'"),
        (advice(), {"theme": "sepia"}, r"theme must be one of \['light', 'dark'\], but got 'sepia'"),
        (no_answer("flat", "", bracket=None, rehearsals=()), {}, "this Advice holds nothing to draw"),
    ],
)
def test_wrong_wishes_are_refused(result: Result, options: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        result.plot(**options)


def test_an_unwritable_picture_is_named(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "advice.png"
    with pytest.raises(FileNotFoundError, match="cannot write the picture") as caught:
        advice().plot(path)
    assert str(path) in str(caught.value)
