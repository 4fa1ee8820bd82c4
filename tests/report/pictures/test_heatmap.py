"""Rate by batch size: the cells, what they are measured against, and their marks."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from stepsize._result import Result
from stepsize.report import FIGURES, draw
from stepsize.report.pictures.grid import HeatmapData, level_of
from tests.report.batches import SIZES, batch_advice, critical, scaling
from tests.report.trainings import training
from tests.runs.samples import sweep

HEATMAP = FIGURES["heatmap"]


def of(result: Result) -> HeatmapData:
    """The picture's data of a result that has it."""
    data: HeatmapData | None = HEATMAP.data(result)
    assert data is not None
    return data


def test_a_sweep_is_measured_against_the_best_of_all() -> None:
    runs = sweep()
    data = of(runs)
    best = runs.best()
    assert best is not None
    assert best.mean is not None
    assert data.within == "all"
    assert [row.batch_size for row in data.rows] == [16, 32, 128]
    start = 2.3  # the samples' loss at update 0
    for row in data.rows:
        assert [cell.lr for cell in row.cells] == [0.1, 0.3, 0.5, 0.7]
        for cell, end in zip(row.cells, runs.heatmap().values[data.rows.index(row)], strict=True):
            assert cell.value == pytest.approx(end)
            assert cell.behind == pytest.approx((end - best.mean) / (start - best.mean))
        ends = np.array([cell.value for cell in row.cells], dtype=float)
        assert row.best == int(np.argmin(ends))
    assert [cell.behind for row in data.rows for cell in row.cells].count(0.0) == 1


def test_a_pair_that_diverged_has_no_value_and_a_cross() -> None:
    runs = sweep(best=0.15)  # diverges from four times that on, less at small batches
    data = of(runs)
    gone = [(row.batch_size, cell.lr) for row in data.rows for cell in row.cells if cell.state == "diverged"]
    assert gone == [(16, 0.3), (16, 0.5), (16, 0.7), (32, 0.5), (32, 0.7), (128, 0.7)]
    assert all(cell.value is None for row in data.rows for cell in row.cells if cell.state == "diverged")
    assert HEATMAP.caption(data).endswith("6 pairs diverged.")
    (axes,) = draw(runs, figure="heatmap").axes
    (crosses,) = [line for line in axes.lines if line.get_label() == "diverged"]
    assert crosses.get_marker() == "x"
    assert sorted(np.asarray(crosses.get_ydata()).tolist()) == [0, 0, 0, 1, 1, 2]


def test_a_loss_above_the_start_is_no_shade_of_good() -> None:
    runs = sweep()
    worse = [
        msgspec.structs.replace(run, val_loss=np.append(run.val_loss[:-1], 2.5))
        if run.cell.lr == 0.7
        else run
        for run in runs.runs
    ]
    data = of(msgspec.structs.replace(runs, runs=tuple(worse)))
    assert [row.cells[-1].state for row in data.rows] == ["worse than the start"] * 3
    assert all(row.best != 3 for row in data.rows)


def test_updates_are_measured_against_the_fewest_of_each_batch_size() -> None:
    data = of(critical())
    assert (data.quantity, data.within) == ("updates", "batch size")
    assert data.what == "updates to a loss of 0.5"  # the hardest target
    assert [row.batch_size for row in data.rows] == list(SIZES)
    for row in data.rows:
        assert [cell.state for cell in row.cells] == ["not reached", *["measured"] * 4, "diverged"]
        assert [cell.behind for cell in row.cells[1:5]] == pytest.approx([3, 1.4, 1, 1.05])
        assert row.cells[3].value == pytest.approx(1000 * (1 + 100 / row.batch_size))
        assert row.best == 3


def test_rates_of_a_batch_size_that_reached_nothing_are_still_shown() -> None:
    data = of(critical(reached=3))
    assert [row.best for row in data.rows] == [3, 3, 3, None, None, None, None]
    assert {cell.state for cell in data.rows[-1].cells} == {"not reached"}


def test_advice_that_rests_on_it_has_the_same() -> None:
    assert of(batch_advice()) == of(critical())
    assert of(training()) == of(critical())


def test_best_rates_over_batch_sizes_are_measured_by_progress() -> None:
    data = of(scaling())
    assert (data.quantity, data.within) == ("loss", "batch size")
    for row in data.rows:
        assert [cell.behind for cell in row.cells] == [
            pytest.approx(0.1), pytest.approx(0.05), 0, pytest.approx(0.05), None,
        ]  # fmt: skip
        assert row.cells[-1].state == "diverged"


def test_what_has_nothing_to_compare_has_no_map() -> None:
    assert HEATMAP.data(sweep(batch_sizes=(128,))) is None
    assert HEATMAP.data(sweep(best=1e-4)) is None  # everything diverged
    assert HEATMAP.data(critical(reached=0)) is None
    assert HEATMAP.data(scaling(known=False)) is None


@pytest.mark.parametrize(("behind", "level"), [(0.0, 0), (0.01, 0), (0.011, 1), (0.2, 2), (0.5, 3), (0.9, 4)])
def test_shades_go_by_the_progress_lost(behind: float, level: int) -> None:
    assert level_of("loss", behind) == level


def test_the_best_of_each_batch_size_is_framed() -> None:
    (axes,) = draw(critical(), figure="heatmap").axes
    frames = [line for line in axes.lines if line.get_marker() == "None"]
    assert len(frames) == len(SIZES)
    for frame, row in zip(frames, of(critical()).rows, strict=True):
        x = np.asarray(frame.get_xdata())
        assert x.min() < row.cells[3].lr < x.max()
