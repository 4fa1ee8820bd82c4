"""The best rate over lengths: what stands in the data is what the rehearsals say."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from stepsize._result import Result, frozen
from stepsize.report import FIGURES, draw
from stepsize.report.pictures.trend import TrendData
from tests.report.samples import advice, no_answer
from tests.report.trainings import training

TREND = FIGURES["trend"]


def of(result: Result) -> TrendData:
    """The picture's data of a result that has it."""
    data: TrendData | None = TREND.data(result)
    assert data is not None
    return data


def parabola(steps: int, best: float) -> Any:
    """A rehearsal whose loss is 0.3 + 0.2 ln²(lr / best), from a start of 2.3: 1% of 2 is lost at e^±√0.1."""
    one = advice().rehearsals[-1]
    lrs = best * 1.2 ** np.arange(-6.0, 7.0)
    losses = 0.3 + 0.2 * np.log(lrs / best) ** 2
    curves = np.stack([np.full(lrs.size, 2.3), losses], axis=1)[None]
    return msgspec.structs.replace(
        one, steps=steps, seeds=(0,), lrs=frozen(lrs), losses=frozen(losses[None]), curves=frozen(curves)
    )


def test_each_length_has_its_best_rate_and_the_range_that_loses_one_percent() -> None:
    data = of(advice(rehearsals=(parabola(50, 0.8), parabola(200, 0.4))))
    assert [one.steps for one in data.lengths] == [50, 200]
    for one, best in zip(data.lengths, (0.8, 0.4), strict=True):
        assert one.lr == pytest.approx(best)
        # monotone interpolation between rates 20% apart, not the parabola itself
        assert np.log(one.high / best) == pytest.approx(np.sqrt(0.1), abs=0.02)
        assert np.log(best / one.low) == pytest.approx(np.sqrt(0.1), abs=0.02)
        assert (one.low_open, one.high_open) == (False, False)
        assert len(one.lrs) == 13


def test_the_answer_stands_at_the_full_length() -> None:
    data = of(advice())
    assert (data.horizon, data.lr, data.low, data.high) == (860, 0.42, 0.29, 0.61)
    assert TREND.table(data).rows[-1][:3] == ("860", "0.42", "0.29 to 0.61")
    assert "for 860 the answer is 0.42, between 0.29 and 0.61" in TREND.caption(data)


def test_a_range_that_ends_with_the_rates_tried_is_open() -> None:
    one = parabola(50, 0.8)
    narrow = msgspec.structs.replace(
        one, lrs=one.lrs[5:8], losses=one.losses[:, 5:8], curves=one.curves[:, 5:8]
    )
    data = of(advice(rehearsals=(narrow,)))
    assert data.lengths[0].low_open
    assert data.lengths[0].high_open
    assert TREND.table(data).rows[0][2] == "≤ 0.667 to ≥ 0.96"


def test_a_rehearsal_in_which_nothing_learned_is_left_out() -> None:
    flat = parabola(50, 0.8)
    flat = msgspec.structs.replace(flat, losses=frozen(flat.losses + 3))
    data = of(advice(rehearsals=(flat, parabola(200, 0.4))))
    assert [one.steps for one in data.lengths] == [200]


def test_one_length_without_an_answer_is_no_trend() -> None:
    assert TREND.data(no_answer("flat", "", rehearsals=(parabola(50, 0.8),))) is None
    two = no_answer("flat", "", rehearsals=(parabola(50, 0.8), parabola(200, 0.4)))
    assert TREND.caption(of(two)).endswith("of 200 updates 0.4.")


def test_an_advice_on_training_has_it_too_and_both_axes_are_logarithmic() -> None:
    (axes,) = draw(training(), figure="trend").axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
