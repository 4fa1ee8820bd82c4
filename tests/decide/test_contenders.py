"""Sizes close to the best are trained again with fresh seeds, and those decide."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stepsize._progress import OutOfTimeError, Silent
from stepsize.decide.contenders import CLOSE, ROOM, Again, contenders, train_again
from stepsize.decide.find_batch_size import NOT_AGAIN, decide, find_batch_size
from tests.report.batches import batch_advice, critical, speeds
from tests.tasks import digits_task


def test_those_within_a_factor_of_the_best_are_close() -> None:
    times = batch_advice().times
    best = min(row.seconds for row in times)
    assert [row.batch_size for row in contenders(times, "time")] == [
        row.batch_size for row in times if row.seconds <= CLOSE * best
    ]
    fewest = min(row.samples for row in times)
    assert {row.batch_size for row in contenders(times, "compute")} == {
        row.batch_size for row in times if row.samples <= CLOSE * fewest
    }


def test_one_alone_needs_no_comparison() -> None:
    assert contenders(batch_advice().times[:1], "time") == []
    assert contenders((), "time") == []


def test_fresh_runs_decide_and_are_kept() -> None:
    """Batch 96 is the soonest of the sample; fresh seeds tell that it needs twice the updates."""
    before = batch_advice()
    updates = {row.batch_size: row.updates for row in before.times}
    again = Again(updates={96: (2 * updates[96],) * 3, 48: (0.9 * updates[48], updates[48] / 0.9)})
    found = decide(digits_task(), "time", critical(), speeds(), None, again)
    rows = {row.batch_size: row for row in found.times}
    assert before.batch_size == 96
    assert found.batch_size != 96
    assert rows[96].updates == pytest.approx(2 * updates[96])
    assert rows[48].updates == pytest.approx(updates[48])
    assert rows[48].fresh == again.updates[48]
    assert rows[24].fresh == ()
    assert rows[48].low < rows[48].seconds < rows[48].high


def test_the_mean_is_geometric_with_students_interval() -> None:
    mean, half = Again(updates={8: (100.0, 400.0)}).mean(8) or (0.0, 0.0)
    assert mean == pytest.approx(200.0)
    assert half == pytest.approx(12.706 * math.log(2) * math.sqrt(2) / math.sqrt(2), rel=1e-3)


def test_a_run_that_misses_the_target_counts_as_late() -> None:
    task = digits_task(steps=60)
    found = find_batch_size(task, batch_sizes=[50, 100], lr=0.5, seeds=1, progress=False)
    row = found.times[0]
    again = train_again(task, [row], 1e-9, [7, 8], Silent())
    assert again.updates[row.batch_size] == (ROOM * max(4, math.ceil(ROOM * row.updates)),) * 2


def test_fresh_seeds_are_none_of_those_that_chose() -> None:
    """Samples decide here, which no clock has a part in."""
    task = digits_task(steps=60)
    found = find_batch_size(task, "compute", batch_sizes=[40, 50], lr=0.5, seeds=1, progress=False)
    fresh = [row.fresh for row in found.times]
    assert any(fresh)
    for row in found.times:
        assert len(row.fresh) in (0, 2)
        if row.fresh:
            assert row.updates == pytest.approx(float(np.exp(np.log(row.fresh).mean())))
    assert found.cost.updates > found.critical.cost.updates + found.throughput.cost.updates


class _Late(Silent):
    def advance(self, updates: int) -> None:
        raise OutOfTimeError


def test_without_time_for_them_the_first_runs_decide_with_a_warning() -> None:
    again = train_again(digits_task(), batch_advice().times[:2], 0.5, [7], _Late())
    assert again.ended == "out_of_time"
    assert again.updates == {}
    found = decide(digits_task(), "time", critical(), speeds(), None, again)
    assert found.batch_size == batch_advice().batch_size
    assert NOT_AGAIN in found.warnings
