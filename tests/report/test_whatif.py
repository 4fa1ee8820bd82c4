"""The slider's numbers: measured where a batch size was trained at, and marked where not."""

from __future__ import annotations

import msgspec
import pytest

from stepsize.decide.critical_batch_result import CriticalBatch
from stepsize.report.whatif import COLUMNS, Known, Stop, WhatIf, table, what_if, words
from tests.report.batches import SIZES, batch_advice, critical, scaling
from tests.report.samples import advice, curve, noise
from tests.report.trainings import training


def asked(result: object) -> WhatIf:
    found = what_if(result)  # type: ignore[arg-type] # the kinds are told apart inside
    assert found is not None
    return found


def stop(data: WhatIf, size: int) -> Stop:
    return {one.batch_size: one for one in data.stops}[size]


def test_what_was_measured_stands_there_as_measured() -> None:
    given = batch_advice()
    data = asked(given)
    for row in given.critical.targets[-1].rows:
        one = stop(data, row.batch_size)
        assert one.rate == Known("measured", row.lr, row.lr_low, row.lr_high)
        assert one.updates == Known("measured", row.updates, row.updates_low, row.updates_high)
    for time in given.times:
        assert stop(data, time.batch_size).seconds == Known("measured", time.seconds, time.low, time.high)


def test_between_batch_sizes_lines_and_the_curve_speak() -> None:
    # S = 1000 (1 + 100 / B), rates 0.8 / (1 + 100 / B), 1 ms and 10 µs a sample
    given = batch_advice()
    at = stop(asked(msgspec.structs.replace(given, critical=without(given.critical, 96))), 128)
    assert at.updates.how == "fitted"
    assert at.updates.value == pytest.approx(1000 * (1 + 100 / 128), rel=1e-6)
    assert at.rate.how == "between"
    assert at.rate.value == pytest.approx(0.8 / (1 + 100 / 128), rel=0.05)  # a line between 48 and 192
    assert at.seconds.how == "fitted"
    assert at.seconds.value == pytest.approx(1000 * (1 + 100 / 128) * (1e-3 + 1.28e-3), rel=0.02)
    assert at.updates.low is at.rate.low is at.seconds.low is None


def without(found: CriticalBatch, size: int) -> CriticalBatch:
    """As if that batch size had not been asked for."""
    targets = tuple(
        msgspec.structs.replace(target, rows=tuple(row for row in target.rows if row.batch_size != size))
        for target in found.targets
    )
    return msgspec.structs.replace(found, targets=targets)


def test_beyond_the_batch_sizes_tried_nothing_but_the_curve_is_told() -> None:
    data = asked(batch_advice())
    sizes = [one.batch_size for one in data.stops]
    assert sizes == sorted(set(sizes))
    assert set(SIZES) < set(sizes)
    assert min(sizes) == 4
    assert max(sizes) == 2048
    for one in data.stops:
        if one.batch_size < min(SIZES) or one.batch_size > max(SIZES):
            assert one.updates.how == "beyond"
            assert one.updates.value == pytest.approx(1000 * (1 + 100 / one.batch_size), rel=1e-6)
            assert one.rate == one.seconds == Known("not measured")
            assert "extrapolated" in words(one)["updates"]


def test_where_the_loss_was_not_reached_it_says_so() -> None:
    data = asked(critical(reached=3))
    assert [one.batch_size for one in data.stops] == [
        12,
        16,
        24,
        32,
        48,
        64,
        96,
        128,
        192,
        256,
        384,
        512,
        768,
    ]
    assert stop(data, 768).updates == Known("not reached")
    assert words(stop(data, 768))["updates"] == "loss not reached"
    assert stop(data, 64).updates == Known("not measured")
    assert stop(data, 16).updates.how == "between"  # too few sizes for a fit
    assert {one.regime for one in data.stops} == {"undetermined"}
    assert {one.doubled for one in data.stops} == {"not known"}


def test_regimes_go_by_the_ends_of_the_interval() -> None:
    data = asked(critical())
    regimes = [one.regime for one in data.stops]
    assert regimes[0] == "below critical"
    assert regimes[-1] == "above critical"
    assert regimes == sorted(regimes, key=["below critical", "about critical", "above critical"].index)
    # S(100) / S(50) = 2 / 3
    assert words(stop(data, 48))["doubled"] == "−34% updates"


def test_it_begins_at_the_answer() -> None:
    given = training()
    data = asked(given)
    assert data.stops[data.start].batch_size == given.batch_size
    moved = asked(scaling())
    assert moved.stops[moved.start].batch_size == 512


def test_rates_over_batch_sizes_come_from_the_law() -> None:
    given = scaling()
    data = asked(given)
    for at in given.regimes:
        one = stop(data, at.batch_size)
        assert one.regime == at.regime
        assert one.seconds == Known("not measured")
        assert one.rate.how == ("measured" if at.batch_size in (16, 128, 1024) else "fitted")
    assert stop(data, 16).updates == Known("counted", 400)
    assert stop(data, 32).updates == Known("counted", 200)


@pytest.mark.parametrize(
    "result",
    [
        advice(),
        curve(),
        noise(),
        critical(reached=0),
        scaling(measured=2),
        scaling(known=False),
        training(batch=None),
    ],
)
def test_results_that_know_one_batch_size_have_none(result: object) -> None:
    assert what_if(result) is None  # type: ignore[arg-type]


def test_the_table_has_every_number_in_words() -> None:
    data = asked(batch_advice())
    shown = table(data)
    assert shown.columns == tuple(COLUMNS.values())
    assert len(shown.rows) == len(data.stops)
    assert all(cell and "nan" not in cell and "None" not in cell for row in shown.rows for cell in row)
    exact = Stop(
        batch_size=1024,
        rate=Known("measured", 0.5, 0.5, 0.5),
        updates=Known("measured", 1234.4, 1000.0, 2000.0),
        seconds=Known("between", 90.0),
        regime="linear",
        doubled="rate ×2",
    )
    assert words(exact) == {
        "batch_size": "1,024",
        "rate": "0.5",
        "updates": "1,234 (1,000 to 2,000)",
        "seconds": "1 min 30 s, in between",
        "regime": "linear",
        "doubled": "rate ×2",
    }
