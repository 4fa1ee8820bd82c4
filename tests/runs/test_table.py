"""What a sweep's table answers, and what it says of itself."""

from __future__ import annotations

import csv
import importlib
import json
import math
import re
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_rel

import stepsize as ss
from stepsize.runs.sinks import run_name
from stepsize.runs.statistics import Arm, compare, crossings, mean_interval, paired_interval
from tests.runs.grids import assert_same

A, B = (Arm(lr=lr, batch_size=50, schedule="fixed()") for lr in (0.5, 0.8))


# -- intervals -------------------------------------------------------------------------------------
@given(st.lists(st.floats(-10, 10), min_size=2, max_size=5))
def test_the_bootstrap_interval_is_that_of_all_resamples(values: list[float]) -> None:
    means = np.sort([np.mean(resample) for resample in product(values, repeat=len(values))])
    low, high = mean_interval(np.array(values))
    n = len(means)
    assert low == pytest.approx(means[math.ceil(0.05 * n - 1e-9) - 1], abs=1e-9)
    assert high == pytest.approx(means[math.ceil(0.95 * n - 1e-9) - 1], abs=1e-9)


def test_many_seeds_are_resampled_repeatably_and_shapes_are_kept() -> None:
    values = np.random.default_rng(0).normal(size=(40, 3))
    low, high = mean_interval(values)
    assert low.shape == (3,)
    np.testing.assert_array_equal(mean_interval(values)[0], low)
    # A normal mean of 40: 1.645 sd/sqrt(40); the bootstrap of 2,000 draws keeps to it within a tenth.
    np.testing.assert_allclose(high - low, 2 * 1.645 * values.std(axis=0) / math.sqrt(40), rtol=0.1)


def test_the_paired_interval_agrees_with_scipys_test() -> None:
    a, b = np.random.default_rng(1).normal(size=(2, 6))
    expected = ttest_rel(a, b).confidence_interval(0.95)
    assert paired_interval(a - b) == pytest.approx((expected.low, expected.high))


# -- comparisons -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("first", "second", "better", "why"),
    [
        ([1.0, 1.1, 1.2], [2.0, 2.1, 2.25], "first", "0.5, batch 50, fixed.. is better than lr 0.8"),
        ([2.0, 2.1, 2.25], [1.0, 1.1, 1.2], "second", "0.8, batch 50, fixed.. is better than lr 0.5"),
        ([1.0, 1.3, 1.1], [1.1, 1.2, 1.0], "not distinguishable", "not distinguishable: loss"),
        ([1.0], [2.0], "not distinguishable", "one seed cannot tell"),
        ([], [], "not distinguishable", "no seed in common"),
        ([1.0, 1.1, 1.2], [math.nan, math.nan, 1.0], "first", "diverged for 0 of 3 seeds, .* for 2"),
        ([1.0, 1.1, 1.2], [math.nan, 0.1, 0.1], "not distinguishable", "for 1"),
        ([math.nan] * 3, [math.nan] * 3, "not distinguishable", "diverged for 3 of 3"),
    ],
)
def test_an_arm_is_better_only_where_the_seeds_say_so(
    first: list[float], second: list[float], better: str, why: str
) -> None:
    answer = compare(A, B, "loss", np.array([first, second]), lower_is_better=True)
    assert answer.better == better
    assert re.search(why, str(answer))


def test_of_a_metric_the_higher_is_better() -> None:
    pairs = np.array([[0.9, 0.91, 0.92], [0.8, 0.81, 0.825]])
    assert compare(A, B, "accuracy", pairs, lower_is_better=False).better == "first"


def test_the_crossing_of_the_textbooks_kind_is_told() -> None:
    updates = np.arange(0.0, 4001, 500)
    slow = 2.0 - updates / 4000
    fast = 1.9 - updates / 4000 * 0.8
    fast[0] = slow[0]
    noise = np.random.default_rng(0).normal(scale=1e-3, size=(3, len(updates)))
    pairs = np.array([slow + noise, fast - noise])
    told = crossings(A, B, "loss", updates, pairs, lower_is_better=True)
    assert told.leaders == (B, A)
    assert told.since[1] == pytest.approx(2000, abs=30)
    assert str(told).startswith("0.8 leads until update ")
    assert str(told).endswith(", then 0.5")


def test_noise_seldom_crosses_anything() -> None:
    """Of twenty independent points one is beyond its interval in 64% of cases; two running, in 2%."""
    generator = np.random.default_rng(3)
    alarms = sum(
        bool(crossings(A, B, "loss", np.arange(20.0), pairs, lower_is_better=True).leaders)
        for pairs in generator.normal(size=(300, 2, 3, 20))
    )
    assert alarms <= 15  # 7 expected; P(more than 15) < 0.002


def test_who_outlives_the_other_leads() -> None:
    pairs = np.ones((2, 3, 4))
    pairs[1, :, 2:] = np.nan
    told = crossings(A, B, "loss", np.arange(4.0), pairs, lower_is_better=True)
    assert (told.leaders, told.since, told.until) == ((A,), (2.0,), None)


def test_a_lead_that_is_lost_in_noise_is_said_to_end() -> None:
    noise = np.random.default_rng(0).normal(scale=1e-3, size=(3, 6))
    noise[:, 4:] += np.array([[-1.0], [0.0], [1.0]])
    pairs = np.array([1 + noise, 2 - noise])
    told = crossings(A, B, "loss", np.arange(6.0) * 100, pairs, lower_is_better=True)
    assert told.until == 400
    assert str(told) == "0.5 leads from update 0 on; from update 400 on they are not distinguishable"


# -- a real sweep ----------------------------------------------------------------------------------
def test_the_best_arm_has_the_lowest_mean(runs: ss.Runs) -> None:
    best = runs.best(batch_size=50)
    assert best is not None
    assert best.mean is not None
    means = {s.arm: s.mean for s in runs.summary() if s.arm.batch_size == 50 and s.mean is not None}
    assert best.mean == min(means.values())
    assert best.low is not None
    assert best.high is not None
    assert best.low <= best.mean <= best.high
    most_accurate = runs.best("accuracy")
    assert most_accurate is not None
    assert most_accurate.mean == max(s.mean for s in runs.summary("accuracy") if s.mean is not None)


def test_a_diverged_arm_has_no_mean_and_is_never_the_best(runs: ss.Runs) -> None:
    (gone,) = (s for s in runs.summary() if s.arm.lr == 1e4 and s.arm.batch_size == 30)
    assert (gone.mean, gone.diverged, gone.seeds) == (None, 3, 3)
    answer = runs.compare(0.5, 1e4, batch_size=30)
    assert answer.better == "first"
    heatmap = runs.heatmap()
    assert heatmap.values.shape == (2, 4)
    assert np.isnan(heatmap.values[:, 3]).all()
    assert (heatmap.diverged[:, 3] == 1).all()


def test_curves_start_together_and_end_where_the_summary_says(runs: ss.Runs) -> None:
    curves = runs.curves(batch_size=30)
    assert len({curve.mean[0] for curve in curves}) == 1
    ends = {summary.arm: summary.mean for summary in runs.summary()}
    for curve in curves:
        if ends[curve.arm] is not None:
            assert curve.mean[-1] == ends[curve.arm]
            assert (curve.low <= curve.mean).all()
            assert (curve.mean <= curve.high).all()
        else:
            assert np.isnan(curve.mean[-1])


def test_a_question_that_fits_several_arms_shows_the_choice(runs: ss.Runs) -> None:
    with pytest.raises(ValueError, match=r"fits 2 of 8.*lr 0\.5, batch 30"):
        runs.compare(0.5, 2.0)
    with pytest.raises(ValueError, match="fits 0 of 8"):
        runs.compare(0.7, 2.0, batch_size=30)
    with pytest.raises(ValueError, match="but got 'momentum'"):
        runs.compare({"lr": 0.5, "momentum": 0.9}, 2.0, batch_size=30)
    with pytest.raises(ValueError, match=r"by must be one of .*accuracy"):
        runs.best("f1")
    with pytest.raises(ValueError, match="same updates"):
        runs.crossings({"lr": 0.5, "batch_size": 30}, {"lr": 0.5, "batch_size": 50})
    with pytest.raises(ValueError, match="schedule must be one of"):
        runs.heatmap(schedule="cosine")


def test_it_reads_well(runs: ss.Runs) -> None:
    text = repr(runs)
    assert text.startswith("Sweep of digits: 24 of 24 cells, 6 diverged")
    assert "diverged (3 of 3)" in text
    assert text.count("best at this batch size") == 2
    assert max(map(len, text.splitlines())) < 160


def test_it_comes_back_from_json(runs: ss.Runs, tmp_path: Path) -> None:
    runs.save(tmp_path / "runs.json")
    again = ss.Runs.load(tmp_path / "runs.json")
    assert_same(again, runs)
    assert repr(again) == repr(runs)


# -- other programs --------------------------------------------------------------------------------
def test_csv_and_jsonl_hold_every_cell(runs: ss.Runs, tmp_path: Path) -> None:
    runs.export(tmp_path / "runs.csv")
    rows = list(csv.DictReader((tmp_path / "runs.csv").read_text().splitlines()))
    assert [float(row["lr"]) for row in rows] == [run.cell.lr for run in runs.runs]
    assert [row["val_loss"] == "" for row in rows] == [run.status == "diverged" for run in runs.runs]
    runs.export(tmp_path / "runs.jsonl")
    lines: list[dict[str, Any]] = [
        json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()
    ]
    assert lines[0]["val_losses"] == runs.runs[0].val_loss.tolist()
    assert lines[3]["val_losses"][-1] is None
    with pytest.raises(ValueError, match=r"written as \.csv, \.jsonl, \.parquet"):
        runs.export(tmp_path / "runs.xlsx")


def test_parquet_without_pyarrow_says_what_to_install(
    runs: ss.Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ImportError, match="pip install pyarrow"):
        runs.export(tmp_path / "runs.parquet")


def test_parquet_reads_back(runs: ss.Runs, tmp_path: Path) -> None:
    parquet = importlib.import_module("pyarrow.parquet")
    runs.export(tmp_path / "runs.parquet")
    assert parquet.read_table(tmp_path / "runs.parquet").to_pylist() == runs.rows()


def test_pandas_gets_the_table(runs: ss.Runs) -> None:
    frame = runs.to_pandas()
    assert list(frame["seed"]) == [run.cell.seed for run in runs.runs]


def test_tensorboard_gets_every_finite_point(runs: ss.Runs, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    runs.to_tensorboard(tmp_path)
    assert len(list(tmp_path.iterdir())) == 24
    events = accumulator.EventAccumulator(str(tmp_path / run_name(runs.runs[0])))
    events.Reload()
    scalars = events.Scalars("val_loss")
    assert [point.step for point in scalars] == runs.runs[0].evaluated_at.tolist()
    np.testing.assert_allclose([point.value for point in scalars], runs.runs[0].val_loss, rtol=1e-6)
