"""Curves with their verdicts: which are drawn, where they stand still, and what they are called."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

import stepsize as ss
from stepsize._result import Result, frozen
from stepsize.report import FIGURES, draw
from stepsize.report.pictures.verdicts import DiagnosisData, Judged, drawn
from tests.report.curves import UPDATES, history, lost, plateaued, regimes
from tests.report.samples import advice
from tests.runs.samples import sweep

DIAGNOSIS = FIGURES["diagnosis"]


def of(result: Result) -> DiagnosisData:
    """The picture's data of a result that has it."""
    data: DiagnosisData | None = DIAGNOSIS.data(result)
    assert data is not None
    return data


VERDICTS = ["too_slow", "converging", "oscillating", "diverging"]


def test_a_curve_of_ones_own_is_drawn_with_its_plateaus(tmp_path: Path) -> None:
    data = of(plateaued())
    (trace,) = data.traces
    assert [still.start for still in trace.plateaus] == pytest.approx([200, 1500], abs=100)
    assert [still.end for still in trace.plateaus] == pytest.approx([1200, 2000], abs=100)
    assert [still.level for still in trace.plateaus] == pytest.approx([1.4, 0.5], abs=0.05)
    (axes,) = plateaued().plot(tmp_path / "curve.png").axes
    spans = [patch.get_extents().transformed(axes.transData.inverted()) for patch in axes.patches]
    assert [span.x0 for span in spans] == pytest.approx([still.start for still in trace.plateaus])
    assert [span.x1 for span in spans] == pytest.approx([still.end for still in trace.plateaus])
    assert (tmp_path / "curve.png").stat().st_size > 0


def test_what_is_drawn_is_picked_from_the_losses_and_averaged_over_all_of_them() -> None:
    found = plateaued()
    (trace,) = of(found).traces
    assert len(trace.updates) <= 400
    assert trace.losses == tuple(found.losses[np.array(trace.updates, dtype=int)])
    assert np.mean(np.array(trace.means, dtype=float)) == pytest.approx(found.losses.mean(), rel=1e-3)


def test_a_loss_that_is_no_number_ends_the_curve() -> None:
    data = of(lost())
    assert data.traces[0].lost_at == 240
    assert data.traces[0].losses[-1] is None
    (axes,) = draw(lost(), figure="diagnosis").axes
    assert "not finite" in axes.get_legend_handles_labels()[1]
    assert axes.get_title(loc="right").startswith("diverging")


def test_the_runs_of_a_history_carry_their_verdicts() -> None:
    data = of(history())
    assert [one.verdict for one in data.judged] == VERDICTS
    assert [one.label for one in data.judged] == ["0.001", "0.1", "1", "4"]
    assert len(data.traces) == 4
    assert not data.decays
    labels = draw(history(), figure="diagnosis").axes[0].get_legend_handles_labels()[1]
    assert labels == ["0.001 too slow", "0.1 converging", "1 oscillating", "4 diverging"]
    assert DIAGNOSIS.caption(data) == (
        "The verdicts on 4 curves of the training loss: 0.001 too slow, 0.1 converging, 1 oscillating, "
        "4 diverging. A curve that is too slow may only need a longer run."
    )


def test_of_many_runs_one_of_each_verdict_is_drawn_and_all_are_in_the_table() -> None:
    data = of(history(seeds=2))
    assert [data.judged[trace.place].verdict for trace in data.traces] == VERDICTS
    assert [row[0] for row in DIAGNOSIS.table(data).rows][:2] == ["0.001, seed 0", "0.001, seed 1"]
    assert len(DIAGNOSIS.table(data).rows) == 8


def test_of_those_that_converge_the_nearest_to_the_answer_is_drawn() -> None:
    def judged(lr: float) -> Judged:
        return Judged(
            label=str(lr), lr=lr, verdict="converging", why="", fall=0.5, late_fall=0.1, fluctuation=0.01
        )

    many = [judged(lr) for lr in (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64)]
    assert drawn(many, 0.3) == [5]
    assert drawn(many, None) == [3]
    assert drawn(many[:3], 0.3) == [0, 1, 2]


def test_a_schedule_that_decays_is_told_of() -> None:
    runs = history()
    falling = runs.rates * np.linspace(1, 0, UPDATES)
    data = of(msgspec.structs.replace(runs, rates=frozen(falling)))
    assert data.decays
    assert "levels out at any" in DIAGNOSIS.caption(data)


def test_an_advice_shows_the_rehearsal_that_spans_the_most_rates() -> None:
    one = advice()
    (wide, *others) = one.rehearsals
    curves = list(regimes().values())
    wide = msgspec.structs.replace(
        wide,
        steps=3 * UPDATES,
        lrs=frozen(list(regimes())),
        traced=frozen(3 * np.arange(UPDATES)),  # thinned: every third update
        training=frozen(curves),
    )
    data = of(advice(rehearsals=(wide, *others)))
    assert [one.verdict for one in data.judged] == VERDICTS
    assert data.traces[3].lost_at == 3 * 240
    assert max(data.traces[0].updates) == 3 * (UPDATES - 1)
    short = msgspec.structs.replace(wide, steps=99)  # at its beginning every curve is too slow
    data = of(advice(rehearsals=(short, *others)))
    assert [one.lr for one in data.judged] == others[0].lrs.tolist()


def test_a_rehearsal_saved_before_there_were_curves_has_no_verdict() -> None:
    nothing = frozen([])
    old = [msgspec.structs.replace(one, traced=nothing, training=nothing) for one in advice().rehearsals]
    assert DIAGNOSIS.data(advice(rehearsals=tuple(old))) is None


def test_a_run_that_a_sweep_gave_up_is_diverging_however_still_it_stands() -> None:
    runs = sweep(batch_sizes=(128,), seeds=1, best=0.15)
    at, flat = frozen(np.arange(1, 101) * 8), frozen(np.full(100, 21.0))
    falling = frozen(0.3 + 2 * np.exp(-np.arange(100) / 10))
    cells = tuple(
        msgspec.structs.replace(run, train_at=at, train_loss=flat if run.status == "diverged" else falling)
        for run in runs.runs
    )
    data = of(msgspec.structs.replace(runs, runs=cells))
    assert {one.lr: one.verdict for one in data.judged} == {
        0.1: "converging", 0.3: "converging", 0.5: "converging", 0.7: "diverging",
    }  # fmt: skip


def test_curves_too_short_to_judge_are_not_drawn() -> None:
    short = ss.diagnose([2.0, 1.9, 1.8])
    assert DIAGNOSIS.data(short) is None
    with pytest.raises(ValueError, match="holds nothing to draw"):
        short.plot()
