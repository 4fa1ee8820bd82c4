"""The oracle and the store of answers, on a parabola whose every loss is known."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
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
from benchmarks.regret.records import Answers, Row, judged_anew, rows
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


def stored(folder: Path, losses: Mapping[str, Mapping[str, float | None]]) -> Oracle:
    """An oracle that knows these losses by rate and seed, all from a start of 1."""
    made_up = make(folder)
    made_up.path.parent.mkdir(exist_ok=True)
    start = {str(seed): 1.0 for seed in range(1, 9)}
    document = {"engine": "any", "start": start, "grid": [float(rate) for rate in losses], "losses": losses}
    made_up.path.write_text(json.dumps(document), encoding="utf-8")
    return make(folder, keep=True).dense()


def test_seeds_are_doubled_until_what_is_lost_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rate 0.2 loses 0.04 or 0.02 against 0.1 with odd and even seeds."""
    monkeypatch.setattr(ss, "train", never)
    best = {str(seed): 0.1 * seed for seed in range(1, 9)}
    near = {seed: loss + 0.01 * (3 + (-1) ** int(seed)) for seed, loss in best.items()}
    far = {"1": 0.8, "2": 0.9}
    truth = stored(tmp_path, {"0.1": dict(best), "0.2": dict(near), "0.4": dict(far)})
    progress = 1 - 0.15
    assert truth.noise == pytest.approx(0.01 / progress)  # standard deviation 0.0141, over √2
    monkeypatch.setattr(oracle_module, "SETTLED", 0.007)
    truth.sharpened(range(1, 5))
    assert truth.seeds == (1, 2, 3, 4)
    assert truth.best == pytest.approx(0.25)
    assert truth.noise == pytest.approx(0.02 / math.sqrt(3) / 2 / 0.75)
    truth.sharpened(range(1, 9))
    assert truth.seeds == tuple(range(1, 9))
    assert truth.noise == pytest.approx(0.01 * math.sqrt(8 / 7) / math.sqrt(8) / 0.55)
    truth.sharpened(range(1, 17))
    assert truth.seeds == tuple(range(1, 9))  # settled
    # 0.8 and 0.9 against 0.1 and 0.2, which the same seeds reach at the best rate
    np.testing.assert_allclose(truth.regrets, [0, 0.03 / 0.55, 0.7 / 0.85])
    assert truth.regret_of_loss(0.15 + 0.085) == pytest.approx(0.1)


def test_a_rate_near_the_best_gets_all_seeds_and_the_best_may_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lucky = {"1": 0.0, "2": 0.1, "3": 0.5, "4": 0.4}
    other = {"1": 0.1, "2": 0.05, "3": 0.1, "4": 0.15}
    trained: list[tuple[float, int]] = []

    def train(task: ss.Task, members: list[ss.Member], *_: Any, **__: Any) -> Any:
        trained.extend((member.lr, member.seed) for member in members)
        losses = {0.1: lucky, 0.2: other}
        ends = [(1.0, losses[member.lr][str(member.seed)]) for member in members]
        return type("Made", (), {"val_loss": np.array(ends)})

    monkeypatch.setattr(ss, "train", train)
    first = {"0.1": {"1": 0.0, "2": 0.1}, "0.2": {"1": 0.1, "2": 0.05}, "0.4": {"1": 0.9, "2": 0.9}}
    truth = stored(tmp_path, first)
    assert truth.best_rate == 0.1
    truth.sharpened(range(1, 5))
    assert sorted(trained) == [(0.1, 3), (0.1, 4), (0.2, 3), (0.2, 4)]
    assert truth.best_rate == 0.2
    assert truth.regret(0.1) == pytest.approx((0.25 - 0.1) / 0.9)
    again = judged_anew(truth, Row("rival", "parabola", 7, "ok", 0.1, 0.09, 0.21, 0.0, 1, 1, 1))
    assert again.regret == truth.regret(0.1)
    assert again.contained == pytest.approx(math.log(0.21 / math.sqrt(0.1 * 0.2)) / math.log(2))
    free = Row("free", "parabola", 7, "ok", None, None, None, 0.0, 1, 1, 1, loss=0.175)
    assert judged_anew(truth, free).regret == pytest.approx(0.1 / 0.925)
    assert judged_anew(truth, dataclasses.replace(free, regret=None)).regret is None


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
