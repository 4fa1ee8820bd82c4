"""How results show themselves: in brief as a `repr`, in words in a notebook."""

from __future__ import annotations

from unittest.mock import Mock

import numpy as np
import pytest

import stepsize as ss
from tests.report.samples import advice
from tests.tasks import digits_task


def test_a_repr_has_every_field_and_no_number_of_an_array() -> None:
    shown = repr(advice(lr=0.42, why="Because of this. " * 20))
    assert shown.startswith("Advice(status='ok', lr=0.42, ")
    assert all(f"{name}=" in shown for name in ss.Advice.__struct_fields__)
    assert "rehearsals=<" in shown
    assert "bracket=<Curve>" in shown
    assert "why='Because of this. Because" in shown
    assert "…', task=" in shown
    assert "array(" not in shown
    assert len(shown) < 1000


def test_arrays_are_shown_by_their_shape_and_short_ones_as_they_are() -> None:
    task = digits_task(steps=20)
    history = ss.train(task, [ss.Member(0.1, 0), ss.Member(0.2, 0)], np.full(20, 0.1), evaluate_at=[0, 20])
    shown = repr(history)
    assert "members=<2 of Member>" in shown
    assert "status=('ok', 'ok')" in shown
    assert "rates=<array of 2 x 20>" in shown
    assert "evaluated_at=[0, 20]" in shown
    assert "metrics={}" in shown


@pytest.mark.parametrize("cycle", [False, True])
def test_a_notebook_shows_the_words(cycle: bool) -> None:
    found, printer = advice(), Mock()
    found._repr_pretty_(printer, cycle)
    printer.text.assert_called_once_with(str(found))
