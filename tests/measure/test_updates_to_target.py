"""When a loss is first reached."""

from __future__ import annotations

import numpy as np
import pytest

from stepsize.measure.updates_to_target import HELD, at_batch_size, descend, first_reach
from tests.tasks import digits_task


@pytest.mark.parametrize(
    ("target", "expected"), [(3.0, 0.0), (2.5, 5.0), (2.0, 10.0), (1.25, 17.5), (0.5, np.inf)]
)
def test_the_first_crossing_counts(target: float, expected: float) -> None:
    at, losses = np.array([0.0, 10, 20, 30]), np.array([3.0, 2.0, 1.0, 5.0])
    assert first_reach(at, losses, target) == expected


def test_a_run_that_diverged_reaches_nothing_more() -> None:
    at, losses = np.array([0.0, 10, 20]), np.array([3.0, np.nan, np.nan])
    assert first_reach(at, losses, 2.0) == np.inf


def test_rates_added_later_give_what_they_give_together() -> None:
    task = at_batch_size(digits_task(), 25)
    both = descend(task, [0.1, 0.4], seeds=(0, 1), steps=20)
    parts = descend(task, [0.4], seeds=(0, 1), steps=20).with_more(
        descend(task, [0.1], seeds=(0, 1), steps=20)
    )
    assert parts.lrs.tolist() == [0.1, 0.4]
    np.testing.assert_allclose(parts.updates_to(1.5), both.updates_to(1.5), rtol=1e-4)
    assert (both.updates_to(1.5)[:, 0] > both.updates_to(1.5)[:, 1]).all()


def test_every_batch_size_is_judged_on_the_same_few_samples() -> None:
    task = digits_task(val=digits_task().train.all())  # type: ignore[union-attr]
    small, large = at_batch_size(task, 5), at_batch_size(task, 500)
    assert small.val.size == HELD  # type: ignore[union-attr]
    assert (small.val.all()[0] == large.val.all()[0]).all()  # type: ignore[union-attr]
    assert task.batch_size == 50
