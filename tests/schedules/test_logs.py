"""Reading logged rates, auditing them against the plan, recognising where they came from."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from torch.utils.tensorboard import SummaryWriter

from stepsize.schedules import Schedule, audit, cosine, fixed, recognise, step, warmup
from stepsize.schedules.logs import read_log

PLAN = 0.1 * (warmup(10) | cosine(floor=0.01))
RATES = PLAN.values(100)


def test_csv_with_the_columns_that_trainers_write(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    rows = "".join(f"{t},{0.5},{float(rate)!r}\n{t},,\n" for t, rate in enumerate(RATES))
    path.write_text(f"step,loss,lr-SGD\n{rows}")
    updates, rates = read_log(path)
    assert (updates == np.arange(100)).all()
    assert (rates == RATES).all()


def test_json_lines_and_a_resumed_log(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    order = [*range(60), *range(50, 100)]  # resumed from a checkpoint at 50
    path.write_text("\n".join(json.dumps({"step": t, "learning_rate": RATES[t]}) for t in order) + "\n\n")
    updates, rates = read_log(str(path))
    assert (updates == np.arange(100)).all()
    assert (rates == RATES).all()


@pytest.mark.parametrize("new_style", [False, True])
def test_tensorboards_own_files(tmp_path: Path, new_style: bool) -> None:
    with SummaryWriter(str(tmp_path)) as writer:
        for t, rate in enumerate(RATES):
            writer.add_scalar("loss", 1.0, t)
            writer.add_scalar("train/lr", rate, t, new_style=new_style)
    (path,) = tmp_path.glob("events.out.tfevents*")
    updates, rates = read_log(path)
    assert (updates == np.arange(100)).all()
    assert (rates == RATES.astype(np.float32)).all()
    assert audit(path, PLAN, 100).ok
    path.write_bytes(path.read_bytes()[:-5])  # a run that was killed
    assert len(read_log(path)[0]) == 99
    with pytest.raises(ValueError, match="no scalar rate2: it has loss, train/lr"):
        read_log(path, column="rate2")


def test_a_damaged_event_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "events.out.tfevents.1"
    path.write_bytes(struct.pack("<Q", 3) + b"\0" * 4 + b"\x2a\xff\xff" + b"\0" * 4)
    with pytest.raises(ValueError, match=r"tfevents.1: (a damaged record|no scalar)"):
        read_log(path)


def test_sequences_and_mappings_and_named_columns(tmp_path: Path) -> None:
    assert read_log(RATES)[1].tolist() == RATES.tolist()
    assert read_log({5: 0.1, 3: 0.2})[0].tolist() == [3, 5]
    path = tmp_path / "x.csv"
    path.write_text("eta\n0.1\n0.2\n")
    assert read_log(path, column="eta")[1].tolist() == [0.1, 0.2]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "step,loss\n1,2\n", "a.csv: no column lr or .*: it has loss, step"),
        ("b.csv", "step,lr\n1,high\n", "b.csv: entry 1: 'high' at '1' is not a rate at an update"),
        ("c.jsonl", '{"lr": 1}\n{oops\n', "c.jsonl:2: not JSON"),
        ("d.jsonl", "[1]\n", "d.jsonl:1: a line must be an object"),
        ("e.txt", "0.1", "e.txt: a log is .csv, .jsonl or TensorBoard"),
        ("f.csv", "step,lr\n1,nan\n", "finite rates"),
        ("g.csv", "step,lr\n-1,0.1\n", "updates from 0"),
    ],
)
def test_what_is_no_log(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_log(path)


def test_an_empty_log() -> None:
    with pytest.raises(ValueError, match="holds no learning rate"):
        read_log([])


def test_an_audit_of_what_was_planned() -> None:
    report = audit(RATES, PLAN, 100)
    assert report.ok
    assert str(report) == "all 100 logged rates are as planned"


def test_an_audit_finds_what_was_not() -> None:
    applied = RATES.copy()
    applied[40:45] *= 2
    report = audit(applied, PLAN, 100)
    assert report.off.tolist() == [40, 41, 42, 43, 44]
    assert "5 of 100 logged rates are not as planned, first at update 40; worst at 40" in str(report)


@pytest.mark.parametrize("by", [1, -1, 2])
def test_an_audit_names_a_shift(by: int) -> None:
    shifted = PLAN.resolve(100)(np.maximum(np.arange(100) + by, 0))
    assert audit(shifted, PLAN, 100).shift == by
    assert ("ahead" if by > 0 else "lags") in str(audit(shifted, PLAN, 100))


def test_an_audit_names_a_factor() -> None:
    report = audit(RATES * 8, PLAN, 100)
    assert report.shift is None
    assert report.factor == pytest.approx(8)
    assert "all are 8 times the plan" in str(report)


def test_a_sparse_log_is_audited_where_it_speaks() -> None:
    assert audit({t: RATES[t] for t in range(0, 100, 10)}, PLAN, 100).ok


KNOWN = [
    "fixed(0.1)",
    "step(0.1, gamma=0.9, every=50)",
    "multistep(0.1, milestones=[100, 250, 300], gamma=0.5)",
    "exp(0.1, gamma=0.999)",
    "linear(0.3)",
    "linear(0.3, start=0.2, end=1)",
    "cosine(0.3, floor=0.01)",
    "poly(0.1, power=0.9)",
    "poly(0.1, power=2, floor=0.1)",
    "inv(0.1, gamma=0.001, power=0.75)",
    "sigmoid(0.1, gamma=-0.05, centre=200)",
    "rex(0.2)",
    "inverse_sqrt(0.1, warmup=40)",
    "inverse_sqrt(0.1, warmup=40, zero_first=True)",
    "noam(0.1, warmup=40)",
    "warm_restarts(0.1, first=50, growth=2)",
    "warm_restarts(0.1, first=50, decay=0.5, floor=0.01)",
    "triangular(0.1, up=20, down=30)",
    "one_cycle(0.1, top=120)",
    "one_cycle(0.1, top=120, start=0.1, end=0.001, anneal='linear')",
    "0.1 * (warmup(20) | cosine(floor=0.1))",
    "0.1 * (warmup(20, zero_first=True) | cosine())",
    "0.1 * (warmup(20) | linear())",
    "0.1 * (warmup(20) | step(gamma=0.5, every=50))",
    "0.1 * (warmup(20) | poly(power=2))",
    "0.1 * (warmup(20) | hold(300) | decay(shape='1-sqrt'))",
    "0.1 * (warmup(20) | hold(300) | decay(shape='cosine', floor=0.1))",
]


@pytest.mark.parametrize("text", KNOWN)
def test_a_logged_column_is_recognised_with_its_parameters(text: str) -> None:
    schedule = Schedule.parse(text)
    assert recognise(schedule.values(400)).schedule == schedule


@pytest.mark.parametrize("text", KNOWN)
def test_a_float32_log_is_recognised_to_its_precision(text: str) -> None:
    values = Schedule.parse(text).values(400)
    found = recognise(values.astype(np.float32))
    assert found.schedule is not None
    np.testing.assert_allclose(found.schedule.values(400), values, atol=1e-5 * values.max())


def test_an_unfinished_log_with_its_run_is_recognised() -> None:
    assert recognise(cosine(0.1).values(1000)[:300], run=1000).schedule == cosine(0.1)


def test_broken_lines_are_recognised_as_pieces() -> None:
    values = Schedule.parse("piecewise(0.1, at=[0, 30, 60, 400], factors=[0.1, 1, 0.5, 0.2])").values(400)
    found = recognise(values)
    assert found.schedule is not None
    np.testing.assert_allclose(found.schedule.values(400), values, rtol=1e-12)


def test_noise_is_not_recognised_and_the_nearest_is_named() -> None:
    noise = np.random.default_rng(0).random(100)
    found = recognise(noise)
    assert found.schedule is None
    assert "no known schedule fits" in str(found)
    assert "the nearest is" in str(found)


def test_what_cannot_be_recognised() -> None:
    with pytest.raises(ValueError, match="every update from 0 on"):
        recognise({0: 0.1, 5: 0.1, 9: 0.1})
    with pytest.raises(ValueError, match="at least three"):
        recognise([0.1, 0.1])
    assert recognise([0.0, 0.0, 0.0]).schedule is None
    assert recognise([0.1] * 3).schedule == fixed(0.1)
    assert step(0.1, gamma=0.5, every=5) == recognise(step(0.1, gamma=0.5, every=5).values(30)).schedule
