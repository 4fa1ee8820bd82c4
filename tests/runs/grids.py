"""The small sweep that the tests of this folder interrupt, kill and distribute."""

from __future__ import annotations

from typing import Any

import numpy as np

import stepsize as ss
from tests.tasks import digits_task

RATES = [0.1, 0.5, 2.0, 1e4]
"""The last one diverges."""

SEEDS = 3


def small_task(**changes: Any) -> ss.Task:
    """A net of 5,000 weights on the small digits: 200 and 120 updates at batch 30 and 50."""
    return digits_task(**{"steps": None, "epochs": 4, "metrics": {"accuracy": ss.accuracy()}, **changes})


def assert_same(a: ss.Runs, b: ss.Runs) -> None:
    """Two sweeps hold the same cells with the same numbers, bit for bit."""
    assert [run.cell for run in a.runs] == [run.cell for run in b.runs]
    for one, two in zip(a.runs, b.runs, strict=True):
        assert (one.status, one.updates_done) == (two.status, two.updates_done)
        assert one.metrics.keys() == two.metrics.keys()
        curves = [(one.evaluated_at, two.evaluated_at), (one.val_loss, two.val_loss)]
        curves += [(one.train_at, two.train_at), (one.train_loss, two.train_loss)]
        curves += [(one.metrics[name], two.metrics[name]) for name in one.metrics]
        for x, y in curves:
            np.testing.assert_array_equal(x, y)
