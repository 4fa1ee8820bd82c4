"""The schedule's data: update, epoch, samples and rate at each point."""

from __future__ import annotations

import numpy as np
import pytest

from stepsize._result import Result
from stepsize.report import FIGURES
from stepsize.report.pictures.schedule import ScheduleData
from tests.report.samples import advice

SCHEDULE = FIGURES["schedule"]


def of(result: Result) -> ScheduleData:
    """The picture's data of a result that has it."""
    data: ScheduleData | None = SCHEDULE.data(result)
    assert data is not None
    return data


def test_each_point_tells_its_update_epoch_samples_and_rate() -> None:
    """55,000 samples in batches of 128 are 430 updates an epoch, and 860 are two of them."""
    data = of(advice())
    assert data.epochs is not None
    assert data.updates[0] == 0
    assert data.updates[-1] == 859
    at = data.updates.index(430)
    assert data.epochs[at] == 1
    assert data.samples[at] == 55_000  # the last batch of an epoch is a smaller one
    assert data.rates[at] == pytest.approx(0.42 * 0.5, rel=0.01)
    assert np.array(data.epochs) * 430 == pytest.approx(data.updates)


def test_a_stream_has_no_epochs_but_samples() -> None:
    data = of(advice(samples=None))
    assert data.epochs is None
    assert data.samples == tuple(128 * update for update in data.updates)
    assert SCHEDULE.table(data).rows[0][:3] == ("0", "–", "0")


def test_the_table_has_all_four() -> None:
    table = SCHEDULE.table(of(advice()))
    assert table.columns == ("update", "epoch", "samples", "learning rate")
    assert table.rows[-1][:3] == ("859", "2", "109,872")
