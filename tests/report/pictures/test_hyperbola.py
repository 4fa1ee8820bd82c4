"""Updates against samples: the points, the curve that the fit says, and its band."""

from __future__ import annotations

import numpy as np
import pytest

from stepsize._result import Result
from stepsize.report import FIGURES, draw
from stepsize.report.pictures.hyperbola import HyperbolaData
from tests.report.batches import SIZES, batch_advice, critical
from tests.report.trainings import training

HYPERBOLA = FIGURES["hyperbola"]


def of(result: Result) -> HyperbolaData:
    """The picture's data of a result that has it."""
    data: HyperbolaData | None = HYPERBOLA.data(result)
    assert data is not None
    return data


def test_the_points_are_those_of_the_hardest_target() -> None:
    data = of(critical())
    assert data.loss == 0.5
    assert data.sizes == SIZES
    assert data.updates == pytest.approx([1000 * (1 + 100 / size) for size in SIZES])
    assert [len(seeds) for seeds in data.by_seed] == [2] * len(SIZES)


def test_the_curve_is_a_hyperbola_of_updates_and_samples() -> None:
    """(S/S_min − 1)(E/E_min − 1) = 1, McCandlish et al. 2018, eq. 2.11."""
    fit = of(critical()).fit
    assert fit is not None
    assert fit.updates_min == pytest.approx(1000, rel=0.02)
    assert fit.critical == pytest.approx(100, rel=0.02)
    S, E = np.array(fit.updates), np.array(fit.updates) * np.array(fit.sizes)
    product = (S / fit.updates_min - 1) * (E / (fit.updates_min * fit.critical) - 1)
    assert product == pytest.approx(np.ones(len(S)))
    assert (np.array(fit.lows) < S).all()
    assert (np.array(fit.highs) > S).all()
    assert fit.sizes[0] < min(SIZES)
    assert fit.sizes[-1] > max(SIZES)


def test_the_critical_batch_stands_at_twice_both_minima() -> None:
    (axes,) = draw(critical(), figure="hyperbola").axes
    (mark,) = [line for line in axes.lines if str(line.get_label()).startswith("critical batch")]
    assert np.asarray(mark.get_xdata())[0] == pytest.approx(2 * 1000 * 100, rel=0.03)
    assert np.asarray(mark.get_ydata())[0] == pytest.approx(2 * 1000, rel=0.03)
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")


def test_too_few_batch_sizes_leave_the_points_alone() -> None:
    data = of(critical(reached=3))
    assert data.fit is None
    assert data.sizes == SIZES[:3]
    assert "curve" not in HYPERBOLA.caption(data)


def test_less_than_two_batch_sizes_are_no_picture() -> None:
    assert HYPERBOLA.data(critical(reached=1)) is None
    assert HYPERBOLA.data(critical(reached=0)) is None


def test_advice_that_rests_on_it_has_the_same() -> None:
    assert of(batch_advice()) == of(critical()) == of(training())
