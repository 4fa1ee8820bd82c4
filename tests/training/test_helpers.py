"""Runs shared out among processes give what they give in one, whatever becomes of the helpers."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import stepsize as ss
from stepsize.training import helpers
from stepsize.training.helpers import Helpers, most_processes, processes
from tests.training.twins import classification, members, small_task, table

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="helpers are forked on Linux alone")

RATES = (0.05, 1e8, 0.02, 0.01, 0.005)
STEPS = 120
LOSS = ss.supervised(nn.CrossEntropyLoss())


@pytest.fixture(autouse=True)
def _two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two threads on two cores, whatever the machine has; no helper and no file may be left over."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    before, files = torch.get_num_threads(), set(os.listdir("/proc/self/fd"))
    others = set(multiprocessing.active_children())  # of tests before
    torch.set_num_threads(2)
    yield
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)
    assert set(multiprocessing.active_children()) <= others
    assert set(os.listdir("/proc/self/fd")) <= files


def noisy_net() -> nn.Module:
    return nn.Sequential(
        nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.3), nn.Linear(6, 3)
    ).double()


def trained(task: ss.Task, **arguments: Any) -> ss.History:
    rates = table(RATES, STEPS)
    run = [ss.Member(lr=lr, seed=seed) for lr, seed in zip(RATES, (0, 0, 1, 1, 2), strict=True)]
    return ss.train(task, run, rates, evaluate_at=[0, 60, 120], engine="loop", **arguments)


def trained_alone(task: ss.Task) -> ss.History:
    torch.set_num_threads(1)
    try:
        return trained(task)
    finally:
        torch.set_num_threads(2)


def assert_same(one: ss.History, other: ss.History) -> None:
    """Bit for bit."""
    for name in ("train_loss", "val_loss", "val_folds"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_array_equal(one.metrics["fingerprint"], other.metrics["fingerprint"])
    assert (one.status, one.updates_done) == (other.status, other.updates_done)
    assert (one.cost.updates, one.cost.samples) == (other.cost.updates, other.cost.samples)


class Where:
    """A loss that notes which processes compute it, and what else it does in those that are not the first."""

    def __init__(self, path: Path, elsewhere: Callable[[], None] = lambda: None) -> None:
        self.path, self.elsewhere, self.first = path, elsewhere, os.getpid()

    def __call__(self, model: nn.Module, batch: Any) -> torch.Tensor:
        with self.path.open("a") as file:
            file.write(f"{os.getpid()}\n")
        if os.getpid() != self.first:
            self.elsewhere()
        loss = LOSS(model, batch)
        loss.item()  # which no stack allows
        return loss

    @property
    def processes(self) -> set[str]:
        return set(self.path.read_text().split())


def test_runs_are_the_same_wherever_they_are_trained(tmp_path: Path) -> None:
    loss = Where(tmp_path / "where")
    task = small_task(model=noisy_net, optimizer=partial(torch.optim.SGD, momentum=0.9), loss=loss)
    told: list[int] = []
    history = trained(task, progress=told.append)
    assert len(loss.processes) == 2
    assert sum(told) == len(RATES) * STEPS
    assert history.status == ("ok", "diverged", "ok", "ok", "ok")
    assert_same(history, trained_alone(task))


def test_they_help_a_thread_that_is_not_the_first_too(tmp_path: Path) -> None:
    loss = Where(tmp_path / "where")
    with ThreadPoolExecutor(1) as pool:
        history = pool.submit(trained, small_task(loss=loss)).result()
    assert len(loss.processes) == 2
    assert_same(history, trained_alone(small_task()))


def test_what_does_not_stack_is_shared_out_as_well(tmp_path: Path) -> None:
    loss = Where(tmp_path / "where")
    history = ss.train(
        small_task(loss=loss), members(RATES), table(RATES, STEPS), evaluate_at=[STEPS], engine="auto"
    )
    assert history.engine == "loop"
    assert len(loss.processes) == 2


class Neighbours(nn.Module):
    """Multiplies by a sparse matrix, as nets on graphs do."""

    def __init__(self) -> None:
        super().__init__()
        self.links = torch.eye(4, dtype=torch.float64).to_sparse()
        self.mix = nn.Parameter(torch.eye(4, dtype=torch.float64))
        self.out = nn.Linear(4, 3).double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.out(x @ torch.sparse.mm(self.links, self.mix))
        return scores


@pytest.mark.parametrize("engine", ["loop", "auto"])
def test_a_model_with_a_sparse_matrix_is_shared_out(engine: Any) -> None:
    """What it keeps for its backward pass has no storage to count by."""
    history = ss.train(
        small_task(model=Neighbours), members(RATES), table(RATES, STEPS), evaluate_at=[0], engine=engine
    )
    assert history.engine == "loop"
    assert history.status == ("ok", "diverged", "ok", "ok", "ok")


def test_what_cannot_be_counted_is_trained_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("no such operation under a dispatch mode")

    monkeypatch.setattr("stepsize.training.engine.arithmetic_share", refuse)
    loss = Where(tmp_path / "where")
    history = trained(small_task(loss=loss))
    assert len(loss.processes) == 1
    assert history.status == ("ok", "diverged", "ok", "ok", "ok")


def fail() -> None:
    raise ValueError("not in this process")


def end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("elsewhere", [fail, end])
def test_what_a_helper_cannot_train_is_trained_here(elsewhere: Callable[[], None], tmp_path: Path) -> None:
    loss = Where(tmp_path / "where", elsewhere)
    told: list[int] = []
    history = trained(small_task(loss=loss), progress=told.append)
    assert len(loss.processes) == 2
    assert sum(told) == len(RATES) * STEPS
    assert_same(history, trained_alone(small_task()))


def test_a_helper_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(helpers, "SILENT", 0.5)
    loss = Where(tmp_path / "where", lambda: time.sleep(1000))
    history = trained(small_task(loss=loss))
    assert len(loss.processes) == 2
    assert_same(history, trained_alone(small_task()))


@pytest.mark.parametrize("refused", ["os.pipe", "multiprocessing.context.ForkProcess.start"])
def test_where_the_system_refuses_a_process_this_one_trains_alone(
    refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise BlockingIOError("resource temporarily unavailable")

    monkeypatch.setattr(refused, refuse)
    history = trained(small_task())
    monkeypatch.undo()
    assert history.status == ("ok", "diverged", "ok", "ok", "ok")
    np.testing.assert_allclose(history.val_loss, trained_alone(small_task()).val_loss, rtol=1e-9)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_error_here_ends_the_helpers(error: type[BaseException], tmp_path: Path) -> None:
    def interrupted(updates: int) -> None:
        raise error("enough")

    loss = Where(tmp_path / "where", lambda: time.sleep(1000))
    with pytest.raises(error, match="enough"):
        trained(small_task(loss=loss), progress=interrupted)


def test_the_clock_is_looked_at_while_helpers_finish(tmp_path: Path) -> None:
    idle = 0

    def watched(updates: int) -> None:
        nonlocal idle
        idle += updates == 0
        if idle > 2:
            raise TimeoutError("the budget is used up")

    loss = Where(tmp_path / "where", lambda: time.sleep(0.1))
    with pytest.raises(TimeoutError):
        trained(small_task(loss=loss), progress=watched)


def test_an_error_of_the_task_is_raised_as_it_is() -> None:
    def broken(model: nn.Module, batch: Any) -> torch.Tensor:
        if model.training:
            raise LookupError("no such column")
        return LOSS(model, batch)

    task = small_task()
    task.loss = broken
    with pytest.raises(LookupError, match="no such column"):
        trained(task)


PROGRAM = """
import multiprocessing, os, sys, time, torch
from torch import nn
import stepsize as ss
os.sched_getaffinity = lambda pid: {0, 1}
torch.set_num_threads(2)
first = os.getpid()
criterion = ss.supervised(nn.MSELoss())
def loss(model, batch):
    if os.getpid() != first:
        print(os.getpid(), flush=True)
        time.sleep(0.01)
    elif sys.argv[1] == "killed" and multiprocessing.active_children():
        time.sleep(1000)
    return criterion(model, batch)
x = torch.randn(64, 3)
task = ss.Task(lambda: nn.Linear(3, 1), loss, (x, x[:, :1]), val=(x, x[:, :1]), optimizer=torch.optim.SGD,
               batch_size=8, steps=300)
sys.stdout.write("once\\n")
rates = [0.1, 0.01]
ss.train(task, [ss.Member(lr=lr, seed=0) for lr in rates], [[lr] * 300 for lr in rates], engine="loop")
"""


def test_what_was_printed_before_is_not_printed_again() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, "whole"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines().count("once") == 1
    assert len(set(done.stdout.split())) == 2
    assert not done.stderr


def test_helpers_end_with_a_killed_process() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "killed"], stdout=subprocess.PIPE, text=True
    ) as one:
        assert one.stdout is not None
        assert one.stdout.readline() == "once\n"
        helper = int(one.stdout.readline())
        assert running(helper)
        one.kill()
        give_up = time.monotonic() + 60
        while running(helper) and time.monotonic() < give_up:
            time.sleep(0.05)
    assert not running(helper)


def running(process: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("most", "runs", "arithmetic", "count"),
    [
        (2, 2, 0.0, 2),
        (2, 3, 0.9, 2),  # enough for both
        (16, 4, 0.2, 4),  # sixteen threads would hardly shorten a run
        (16, 4, 0.95, 1),  # they would
        (16, 16, 0.95, 16),
        (4, 1000, 0.5, 4),
    ],
)
def test_runs_are_shared_out_where_that_is_sooner(
    most: int, runs: int, arithmetic: float, count: int
) -> None:
    assert processes(most, runs, arithmetic) == count


def test_only_data_in_memory_on_the_cpu_is_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    task = small_task()
    assert most_processes(task, task.make_model(0)) == 2
    x, y = classification()

    def fresh(batch_size: int, seed: int) -> Iterator[Any]:
        return iter([(x[:batch_size], y[:batch_size])])

    stream = small_task(train=fresh)
    assert most_processes(stream, task.make_model(0)) == 1
    monkeypatch.setattr(multiprocessing.current_process(), "_config", {"daemon": True})
    assert most_processes(task, task.make_model(0)) == 1
    monkeypatch.undo()
    torch.set_num_threads(1)
    assert most_processes(task, task.make_model(0)) == 1
    torch.set_num_threads(2)
    monkeypatch.setattr(helpers, "available", lambda device: 1)
    assert most_processes(task, task.make_model(0)) == 1


def test_more_pieces_than_a_pipe_holds_are_refused() -> None:
    with pytest.raises(ValueError, match="pieces must be 4096 at most, but are 5000"):
        Helpers(1, range(5000), lambda piece, tell: None)
