"""The oracle and the store of answers, on a parabola whose every loss is known."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import stepsize as ss
from benchmarks.regret import oracle as oracle_module
from benchmarks.regret.finders import Answer, Finder
from benchmarks.regret.oracle import RATIO, Oracle, grid_rate, oracle_key
from benchmarks.regret.records import Answers, rows
from benchmarks.regret.tasks import Case

STEPS = 4


def parabola(*, steps: int = STEPS, target: float = 1.0) -> ss.Task:
    """One weight from 0 towards `target`: after T updates at rate η the loss is target²·(1 − 2η)^2T."""
    net = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(net.weight)
    x, y = torch.ones(8, 1), torch.full((8, 1), target)
    return ss.Task(
        net,
        ss.supervised(nn.MSELoss()),
        (x, y),
        val=(x, y),
        optimizer=torch.optim.SGD,
        batch_size="full",
        steps=steps,
        device="cpu",
    )


CASE = Case("parabola", "known in closed form", "fixed", parabola)


def loss_at(lr: float) -> float:
    return float((1 - 2 * lr) ** (2 * STEPS))


def make(folder: Path, **options: Any) -> Oracle:
    return Oracle(CASE, seeds=(1, 2), folder=folder, lattice=(-16, 6), **options)


def never(*_: object, **__: object) -> None:
    raise AssertionError("trained again")


def test_the_dense_grid_knows_every_loss(tmp_path: Path) -> None:
    truth = make(tmp_path).dense()
    assert truth.start == pytest.approx(1.0)
    np.testing.assert_allclose(truth.rates[1:] / truth.rates[:-1], RATIO, rtol=1e-4)
    best = min(loss_at(lr) for lr in truth.rates)
    assert truth.best == pytest.approx(best, abs=1e-6)
    for lr, lost in zip(truth.rates, truth.regrets, strict=True):
        assert lost == pytest.approx(min((loss_at(lr) - best) / (1 - best), 1.0), abs=1e-6)
    # It reaches to half of the progress and beyond on either side: (1 − 2η)^8 = 0.5 at η = 0.04 and 0.96.
    assert truth.rates[0] < 0.04
    assert truth.rates[-1] > 0.96


def test_losses_are_averaged_over_seeds_and_one_divergence_is_enough(tmp_path: Path) -> None:
    made_up = make(tmp_path)
    made_up.path.parent.mkdir()
    losses = {"0.1": {"1": 2.0, "2": 4.0}, "0.2": {"1": 0.5, "2": 1.5}, "0.3": {"1": 0.1, "2": None}}
    stored = {"engine": "any", "start": {"1": 5.0, "2": 5.0}, "grid": [0.1, 0.2, 0.3], "losses": losses}
    made_up.path.write_text(json.dumps(stored), encoding="utf-8")
    truth = make(tmp_path, keep=True).dense()
    assert truth.mean(0.1) == 3.0
    assert truth.best == 1.0
    assert truth.regrets.tolist() == [0.5, 0.0, 1.0]


def test_a_proposed_rate_is_trained_itself(tmp_path: Path) -> None:
    truth = make(tmp_path).dense()
    assert truth.regret(0.9) == pytest.approx((loss_at(0.9) - truth.best) / (1 - truth.best), abs=1e-6)
    assert truth.regret(1e4) == 1.0


def test_what_is_on_disk_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = make(tmp_path).dense()
    lost = first.regret(0.9)
    monkeypatch.setattr(ss, "train", never)
    second = make(tmp_path).dense()
    assert second.regret(0.9) == lost
    np.testing.assert_array_equal(second.regrets, first.regrets)


def test_an_interrupted_grid_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = make(tmp_path / "whole").dense()
    real = ss.train
    calls: list[Any] = []

    def interrupted(*arguments: Any, **options: Any) -> ss.History:
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(arguments)
        return real(*arguments, **options)

    monkeypatch.setattr(ss, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path).dense()
    monkeypatch.setattr(ss, "train", real)
    np.testing.assert_array_equal(make(tmp_path).dense().regrets, whole.regrets)


def test_losses_of_another_training_code_count_only_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path).dense()
    monkeypatch.setattr(oracle_module, "training_code", lambda: "changed")
    monkeypatch.setattr(ss, "train", never)
    make(tmp_path, keep=True).dense()
    with pytest.raises(AssertionError, match="trained again"):
        make(tmp_path).dense()


def test_a_clear_best_lies_within_the_grid(tmp_path: Path) -> None:
    assert make(tmp_path).dense().clear
    cut = Oracle(CASE, seeds=(1, 2), folder=tmp_path / "cut", lattice=(-16, -6)).dense()
    assert cut.rates[-1] == grid_rate(-6)  # 0.21, where the loss still falls
    assert not cut.clear


def test_the_key_names_all_that_a_loss_depends_on() -> None:
    same = oracle_key(Case("parabola", "told otherwise", "fixed", parabola), (1, 2))
    assert same == oracle_key(CASE, (1, 2))
    changed = {
        "schedule": dataclasses.replace(CASE, schedule="cosine"),
        "horizon": dataclasses.replace(CASE, make=lambda: parabola(steps=5)),
        "data": dataclasses.replace(CASE, make=lambda: parabola(target=2.0)),
    }
    keys = [same, oracle_key(CASE, (1, 3)), *(oracle_key(case, (1, 2)) for case in changed.values())]
    assert len(set(keys)) == 5


def finder(call: Any) -> Finder:
    return Finder("made-up", ("made up",), call)


def test_a_finder_is_asked_once(tmp_path: Path) -> None:
    asked = []

    def call(case: Case, seed: int) -> dict[str, Answer]:
        asked.append(seed)
        return {"made up": Answer(8, 0.5, lr=seed / 10, low=0.1, high=0.9)}

    first, plain = Answers(tmp_path).ask(finder(call), CASE, 3)
    assert first == {"made up": Answer(8, 0.5, lr=0.3, low=0.1, high=0.9)}
    assert Answers(tmp_path).ask(finder(call), CASE, 3) == (first, plain)
    Answers(tmp_path).ask(finder(call), CASE, 4)
    assert asked == [3, 4]
    assert plain > 0


def test_a_finder_that_raises_has_no_answer_and_says_why(tmp_path: Path) -> None:
    def call(case: Case, seed: int) -> dict[str, Answer]:
        raise ValueError("nothing found\nat all")

    answers, _ = Answers(tmp_path).ask(finder(call), CASE, 3)
    assert not answers["made up"].answered
    assert answers["made up"].status == "ValueError: nothing found"


def test_a_diverged_run_survives_the_disk(tmp_path: Path) -> None:
    def call(case: Case, seed: int) -> dict[str, Answer]:
        return {"made up": Answer(0, 0.0, loss=math.inf)}

    for _ in range(2):
        answers, _ = Answers(tmp_path).ask(finder(call), CASE, 3)
        assert answers["made up"].loss == math.inf


def test_rows_judge_answers_and_count_costs(tmp_path: Path) -> None:
    truth = make(tmp_path).dense()
    answers = {
        "best": Answer(2 * STEPS, 3.0, lr=0.5, low=0.25, high=0.75),
        "far": Answer(STEPS, 1.0, lr=10.0),
        "none": Answer(STEPS, 1.0, status="flat"),
        "unsure": Answer(STEPS, 1.0, lr=0.5, status="interrupted"),
        "free": Answer(0, 0.0, loss=truth.start),
    }
    judged = {row.finder: row for row in rows(truth, 7, answers, run_seconds=1.5)}
    assert {name: row.regret for name, row in judged.items()} == pytest.approx(
        {"best": 0.0, "far": 1.0, "none": None, "unsure": None, "free": 1.0}, abs=1e-6
    )
    assert judged["best"].updates_runs == 2
    assert judged["best"].time_runs == 2
    assert judged["best"].meets
    assert judged["far"].meets is None
