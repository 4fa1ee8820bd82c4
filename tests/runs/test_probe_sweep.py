"""sweep() on a training loop of the user's own: the same ledger, and nothing is left changed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import stepsize as ss
from stepsize.runs import TaskChangedError
from stepsize.runs.probe_fingerprint import probe_fingerprint
from stepsize.training.probed import ProbeRun
from tests.loops import LOOPS, UsersLoop, adversarial, everything, plain, same
from tests.runs.grids import assert_same
from tests.runs.test_sweep import Spy
from tests.tasks import digits

RATES = [0.02, 0.1]


def swept(loop: UsersLoop, lr: Any = RATES, *, probe: ss.Probe | None = None, **options: Any) -> ss.Runs:
    given = {"batches": loop.batches, "val": loop.val, "steps": 12, "seeds": 2, **options}
    return ss.sweep(probe or loop.probe(), lr, **given)


@pytest.mark.parametrize("name", list(LOOPS))
def test_training_goes_on_as_if_it_had_never_been_swept(name: str) -> None:
    loop, left_alone = LOOPS[name](), LOOPS[name]()
    for one in (loop, left_alone):
        torch.manual_seed(4)
        one.train(6)
    torch.manual_seed(6)
    before = loop.picture()
    runs = swept(loop, 0.01, seeds=1, steps=6)
    assert (runs.status, len(runs)) == ("complete", 1)
    assert same(before, loop.picture())
    onward = []
    for one in (loop, left_alone):
        torch.manual_seed(8)
        onward.append(one.train(6))
    assert onward[0] == onward[1]


def test_cells_are_what_train_gives_and_stand_in_the_table() -> None:
    loop = plain()
    runs = swept(loop, schedule="cosine", keep="all")
    run = ProbeRun(loop.probe(), loop.batches, 12, loop.val)
    shape = ss.Schedule.parse("cosine").at(1.0).values(run.run)
    history = ss.train(run, [ss.Member(0.1, 1)], 0.1 * shape, evaluate_at=range(13))
    (found,) = (one for one in runs.runs if (one.cell.lr, one.cell.seed) == (0.1, 1))
    assert found.evaluated_at.tolist() == [0, 2, 3, 4, 6, 8, 9, 10, 12]
    np.testing.assert_array_equal(found.val_loss, history.val_loss[0][found.evaluated_at.astype(int)])
    np.testing.assert_array_equal(found.train_loss, history.train_loss[0].astype(np.float32))
    assert (found.cell.batch_size, found.samples, found.epochs, found.mates) == (50, 600, None, 0)
    assert runs.rows()[0]["steps"] == 12
    assert "Sweep of probe: 4 of 4 cells, 0 diverged; final held-out loss (validation)" in str(runs)
    best = runs.best()
    assert best is not None
    assert best.arm.lr == 0.1
    assert runs.plot() is not None
    assert ss.Runs.from_json(runs.to_json()).rows() == runs.rows()


def test_ctrl_c_returns_what_is_finished_and_the_same_call_goes_on(tmp_path: Path) -> None:
    loop, store = everything(), tmp_path / "runs.db"
    before = loop.picture()

    def interrupted(batch: Any) -> Any:
        if len(list(Path(tmp_path).iterdir())) and finished(store) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return loop.step(batch)

    probe = ss.Probe(interrupted, loop.state, loop.optimizers, accumulate=3)
    old = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        part = swept(loop, store=store, probe=probe, identity="mixed")
    finally:
        signal.signal(signal.SIGINT, old)
    assert (part.status, len(part), part.planned) == ("interrupted", 2, 4)
    assert same(before, loop.picture())
    spy = Spy()
    whole = swept(loop, store=store, identity="mixed", executor=spy)
    assert len(spy.jobs) == 2
    assert_same(whole, swept(loop))


def finished(store: Path) -> int:
    return len(ss.Runs.open(store)) if store.exists() else 0


SWEEP = """
import sys
from tests.runs.test_probe_sweep import adversarial, swept
print(len(swept(adversarial(), [float(lr) for lr in sys.argv[2:]], store=sys.argv[1], seeds=1)))
"""


def test_another_process_goes_on_from_there(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    swept(adversarial(), [0.001], store=store, seeds=1)
    command = [sys.executable, "-c", SWEEP, str(store), "0.001", "0.002"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "2\n"
    assert_same(ss.Runs.open(store), swept(adversarial(), [0.001, 0.002], seeds=1))


# -- which probe it is -----------------------------------------------------------------------------
def parts(loop: UsersLoop, batches: Any = None, **changes: Any) -> dict[str, str]:
    run = ProbeRun(loop.probe(**changes), batches or loop.batches, 5, loop.val)
    return probe_fingerprint(run).parts


def differ(a: dict[str, str], b: dict[str, str]) -> set[str]:
    return {name for name in a if a[name] != b[name]}


def test_the_same_loop_made_again_is_the_same_probe() -> None:
    for make in LOOPS.values():
        assert parts(make()) == parts(make())


def test_a_rate_is_no_part_of_it_but_a_hyperparameter_is() -> None:
    loop = plain()
    loop.optimizers[0].param_groups[0]["lr"] = 3.0
    assert differ(parts(loop), parts(plain())) == set()
    loop.optimizers[0].param_groups[0]["momentum"] = 0.9
    assert differ(parts(loop), parts(plain())) == {"optimizer"}


def test_training_on_moves_its_start() -> None:
    loop = everything()
    loop.train(3)
    assert differ(parts(loop), parts(everything())) == {"start weights", "optimizer", "state"}


def test_a_counter_in_the_state_is_part_of_its_start() -> None:
    loop = everything()
    loop.state[-1]["call"] = 3
    assert differ(parts(loop), parts(everything())) == {"state"}


def test_the_code_of_a_module_is_part_of_it() -> None:
    class Twice(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(x)

    class Thrice(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 3 * super().forward(x)

    Thrice.__qualname__ = Twice.__qualname__
    Thrice.__name__ = Twice.__name__

    def made(kind: Any) -> dict[str, str]:
        torch.manual_seed(0)
        loop = plain()
        loop.state.append(kind(2, 2))
        return parts(loop)

    assert differ(made(Twice), made(Twice)) == set()
    assert differ(made(Twice), made(Thrice)) == {"model"}


def test_batches_count_by_what_they_hold() -> None:
    x, y, _, _ = digits()
    data = TensorDataset(x[:200], y[:200])
    kinds: list[Callable[[], Any]] = [
        lambda: list(DataLoader(data, batch_size=50)),
        lambda: list(DataLoader(TensorDataset(x[:200], 9 - y[:200]), batch_size=50)),
        lambda: DataLoader(data, batch_size=50),
        lambda: DataLoader(data, batch_size=50, shuffle=True),
        lambda: DataLoader(TensorDataset(x[:200], y[:200] * 1), batch_size=50, drop_last=True),
        lambda: ss.Replay(iter(DataLoader(data, batch_size=50))),
        lambda: lambda seed: iter(DataLoader(data, batch_size=50)),
        lambda: lambda seed: iter(DataLoader(data, batch_size=50, shuffle=True)),
    ]
    for make in kinds[:6]:
        assert parts(plain(), make())["batches"] == parts(plain(), make())["batches"]
    found = [parts(plain(), make()) for make in kinds]
    assert len({one["batches"] for one in found}) == len(kinds)
    assert all(differ(one, found[0]) <= {"batches"} for one in found)


def test_another_probe_under_the_same_name_is_refused(tmp_path: Path) -> None:
    store, loop = tmp_path / "runs.db", plain()
    swept(loop, 0.1, seeds=1, store=store)

    def step(batch: Any) -> Any:
        loss = 2 * nn.functional.cross_entropy(loop.state[0](batch[0]), batch[1])
        loop.optimizers[0].zero_grad()
        loss.backward()
        loop.optimizers[0].step()
        return loss

    other = ss.Probe(step, loop.state, loop.optimizers, evaluate=loop.evaluate)
    with pytest.raises(TaskChangedError, match=r"was another one: step differs.*name='probe-2'"):
        swept(loop, 0.1, seeds=1, store=store, probe=other)
    assert len(swept(loop, 0.1, seeds=1, store=store, probe=other, name="probe-2")) == 1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch_size": 100}, ValueError, "batch_size=100 goes with a Task: .* 50 samples an update"),
        ({"executor": "ray"}, ValueError, "executor must be 'local' with a probe"),
        ({"evaluate": "twice an epoch"}, ValueError, "data of known length, which probe does not have"),
        ({"batches": None}, TypeError, "batches must be given with a probe"),
        ({"steps": None}, TypeError, "steps must be given with a probe"),
        ({"lr": []}, ValueError, "lr must not be empty"),
    ],
)
def test_arguments_that_cannot_work_are_named(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        swept(plain(), **options)
