"""A probe under torchrun: two ranks decide alike, raise together, write once, and leave nothing changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import stepsize as ss
from stepsize._ranks import ALONE, Group, current
from tests.loops import UsersLoop, fresh_net, loader
from tests.tasks import digits_task
from tests.training.ranks_at_work import SHARDS_ON_CPU

Found = list[dict[str, Any]]

PATIENCE = 300
"""Seconds after which the ranks are taken to wait for each other for ever."""

WORK = Path(__file__).with_name("ranks_at_work.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two ranks have written what they found."""
    folder = tmp_path_factory.mktemp("ranks")
    root = WORK.parents[2]
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    alike = {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0", "--local-addr", "127.0.0.1"]
    done = subprocess.run(
        [*command, str(WORK), str(folder)],
        env=os.environ | alike,
        cwd=root,
        timeout=PATIENCE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


@pytest.fixture(scope="module")
def found(folder: Path) -> Found:
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize(
    ("place", "first", "second"),
    [
        ("before", "ValueError: broken", "RankError: rank 0 raised ValueError: broken"),
        ("after", "RankError: rank 1 raised OutOfMemoryError: no memory left", "OutOfMemoryError: no memory"),
        ("trial", "RankError: rank 1 raised KeyError: 'x'", "KeyError: 'x'"),
        ("both", "ZeroDivisionError: none", "IndexError: no such label"),
        ("held out", "ValueError: val must give batches", "RankError: rank 0 raised ValueError: val must"),
        ("arguments", "ValueError: lr must be", "RankError: rank 0 raised ValueError: lr must be"),
        ("out of step", "RankError: the ranks are out of step", "RankError: the ranks are out of step"),
    ],
)
def test_what_one_rank_raises_ends_the_measurement_on_all_and_changes_nothing(
    found: Found, place: str, first: str, second: str
) -> None:
    told = [rank["failures"][place] for rank in found]
    assert told[0].startswith(first)
    assert told[1].startswith(second)


def test_ctrl_c_on_one_rank_interrupts_all(found: Found) -> None:
    assert [rank["interrupted"] for rank in found] == ["returned interrupted"] * 2


def test_what_diverges_on_one_rank_is_dropped_on_all(found: Found) -> None:
    assert found[0]["diverged"] == found[1]["diverged"]
    at, losses = found[0]["diverged"]
    assert at == pytest.approx(10 ** (-16 / 9))
    assert losses[5:] == ["nan"] * 5


def test_training_goes_on_as_if_it_had_never_been_measured(found: Found) -> None:
    assert [rank["goes on"] for rank in found] == [True, True]


def test_losses_are_the_means_of_what_the_users_own_loop_has(found: Found) -> None:
    """Averages of gradients are sums in another order: the last bits may differ."""
    for measured, own in found[0]["alike"]:
        np.testing.assert_allclose(measured, own, rtol=1e-5)
    assert found[0]["alike"] == found[1]["alike"]


def test_every_rank_has_the_same_advice_and_the_first_alone_reports(found: Found) -> None:
    for name in ("advice", "timed"):
        assert found[0][name] == found[1][name]
    advice = ss.Advice.from_json(found[0]["advice"])
    assert (advice.batch_size, advice.loss_kind, advice.samples) == (50, "validation", None)
    assert advice.start_loss == pytest.approx(2.31, abs=0.05)
    assert not any("same batches" in warning for warning in advice.warnings)
    assert found[0]["told"] > 0
    assert found[1]["told"] == 0


def test_a_sweep_is_written_once_and_trains_nothing_again(found: Found, folder: Path) -> None:
    rows, again, trained, retrained = found[0]["swept"]
    assert rows == again == found[1]["swept"][0] == ss.Runs.open(folder / "runs.db").rows()
    assert len(rows) == 2
    assert trained > 12  # two cells of six updates, and what trying the step out takes
    assert retrained == trained - 12


def test_noise_from_the_ranks_agrees_with_one_process(found: Found) -> None:
    assert found[0]["noise"] == found[1]["noise"]
    together = ss.NoiseScale.from_json(found[0]["noise"][0])
    (point,) = together.points
    assert (together.method, together.batch_size, point.micro_batch, point.examples) == (
        "ranks",
        50,
        25,
        1500,
    )
    model = fresh_net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)

    def step(batch: Any) -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        return loss

    loop = UsersLoop(step, [model], [optimizer], loader(batch_size=25))
    alone = ss.noise_scale(
        loop.probe(), 0.05, batches=loop.batches, steps=20, checkpoints=[0], precision=1e-6, progress=False
    )
    exact = ss.noise_scale(digits_task(model=model), 0.05, checkpoints=[0], precision=1e-6, progress=False)
    for other in (alone, exact):
        assert other.scale is not None
        assert point.low < other.scale < (point.high or np.inf)
    assert together.scale is not None
    assert alone.points[0].low < together.scale < (alone.points[0].high or np.inf)


def test_gradients_that_were_averaged_before_they_could_be_read_are_refused(found: Found) -> None:
    assert found[0]["noise"][1].startswith("ValueError: the ranks must give gradients of their own")


def test_noise_that_one_rank_finds_not_finite_ends_it_on_all(found: Found) -> None:
    assert [rank["noise"][2] for rank in found] == ["diverged", "diverged"]


def test_ranks_with_the_same_batches_are_noticed(found: Found) -> None:
    assert any("every rank was given the same batches" in text for text in found[0]["warnings"])


@pytest.mark.skipif(not SHARDS_ON_CPU, reason="torch 2.6 itself cannot train sharded weights on a CPU")
def test_sharded_weights_are_measured_and_left_as_they_were(found: Found) -> None:
    for status, goes_on, noise in (rank["shards"] for rank in found):
        assert status == "ok"
        assert goes_on
        assert noise.startswith("ValueError: noise_scale needs each rank's own gradients, but the")


def test_a_process_by_itself_agrees_with_itself() -> None:
    assert current() is ALONE
    alone = Group()
    assert (alone.size, alone.rank, alone.total(3), alone.least(4), alone.first("x")) == (1, 0, 3, 4, "x")
    np.testing.assert_array_equal(alone.gathered(np.arange(3)), np.arange(3))
    assert alone.all(1) == [1]
