"""What each of the ranks of test_ranks.py does: run by torchrun, it writes what it found to `rank0.json` …"""

from __future__ import annotations

import copy
import json
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

import stepsize as ss
from tests.loops import UsersLoop, fresh_net, held_out, same
from tests.tasks import digits

STEPS = 12

SHARDS_ON_CPU = not torch.__version__.startswith("2.6.")
"""torch 2.6 itself cannot train what `fully_shard` made on a CPU: it asks for a stream's events."""


def averaged(*, normed: bool = False, clip: float = 1.0, calls: int = 1) -> UsersLoop:
    """A user's loop with a model in DistributedDataParallel, clipped, on shares of the data."""
    model = fresh_net()
    if normed:
        model = nn.Sequential(nn.Linear(196, 8), nn.BatchNorm1d(8), nn.Linear(8, 10))
    net = DistributedDataParallel(model)  # rank 0's weights
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.5)
    place = {"call": 0}

    def step(batch: Any) -> torch.Tensor:
        net.train()
        loss = nn.functional.cross_entropy(net(batch[0]), batch[1])
        (loss / calls).backward()
        place["call"] += 1
        if place["call"] % calls == 0:
            nn.utils.clip_grad_norm_(net.parameters(), clip)
            optimizer.step()
            optimizer.zero_grad()
        return loss

    def evaluate(batch: Any) -> torch.Tensor:
        net.eval()
        return nn.functional.cross_entropy(net(batch[0]), batch[1])

    x, y, _, _ = digits()
    data = TensorDataset(x, y)
    batches = DataLoader(data, batch_size=25 // calls, sampler=DistributedSampler(data, seed=5))
    mine = held_out()[dist.get_rank() :: 2]
    return UsersLoop(step, [net, place], [optimizer], batches, calls, evaluate, mine)


def spoiled(loop: UsersLoop, at: int, error: Exception, *, after: bool, rank: int) -> ss.Probe:
    """Its probe; one rank raises in a call of step, before or after the rest of it."""
    calls = [0]

    def step(batch: Any) -> Any:
        calls[0] += 1
        bad = calls[0] == at and dist.get_rank() == rank
        if bad and not after:
            raise error
        loss = loop.step(batch)
        if bad:
            raise error
        return loss

    return ss.Probe(step, loop.state, loop.optimizers, evaluate=loop.evaluate)


def outcome(call: Callable[[], Any], loop: UsersLoop) -> str:
    """What came of it, and whether anything was left changed."""
    before = loop.picture()
    try:
        told = f"returned {call().status}"
    except Exception as error:  # noqa: BLE001 - it is told to the test
        told = f"{type(error).__name__}: {error}"
    return told if same(before, loop.picture()) else f"changed, {told}"


def find(loop: UsersLoop, probe: ss.Probe | None = None, **options: Any) -> ss.Advice:
    given = {"batches": loop.batches, "val": loop.val, "steps": STEPS, "budget": "4 runs", **options}
    return ss.find_lr(probe or loop.probe(), **given)


def failures() -> dict[str, str]:
    """One rank raises here or there; afterwards the ranks measure on as ever."""
    loop = averaged()
    found = {}
    for name, probe in {
        "before": spoiled(loop, 9, ValueError("broken"), after=False, rank=0),
        "after": spoiled(loop, 9, torch.OutOfMemoryError("no memory left"), after=True, rank=1),
        "trial": spoiled(loop, 1, KeyError("x"), after=False, rank=1),
    }.items():
        found[name] = outcome(partial(find, loop, probe), loop)

    def evaluate(batch: Any) -> Any:
        raise IndexError("no such label") if dist.get_rank() else ZeroDivisionError("none")

    both = ss.Probe(loop.step, loop.state, loop.optimizers, evaluate=evaluate)
    found["both"] = outcome(lambda: find(loop, both), loop)
    few = loop.val if dist.get_rank() else []
    found["held out"] = outcome(lambda: find(loop, val=few), loop)
    noise = partial(ss.noise_scale, loop.probe(), batches=loop.batches, steps=STEPS)
    lr = 0.1 if dist.get_rank() else -1.0
    found["arguments"] = outcome(lambda: noise(lr=lr), loop)
    points = [10 - dist.get_rank()]
    found["out of step"] = outcome(lambda: noise(lr=0.1, checkpoints=points), loop)
    return found


def interrupted() -> str:
    """Ctrl-C on one rank alone."""
    loop = averaged()
    calls = [0]

    def step(batch: Any) -> Any:
        calls[0] += 1
        if calls[0] == 30 and dist.get_rank() == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return loop.step(batch)

    probe = ss.Probe(step, loop.state, loop.optimizers, evaluate=loop.evaluate)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return outcome(lambda: find(loop, probe), loop)


def one_diverges() -> list[Any]:
    """One rank's loss is NaN above a rate: all of them drop it."""
    loop = averaged()

    def step(batch: Any) -> Any:
        loss = loop.step(batch)
        rate = loop.optimizers[0].param_groups[0]["lr"]
        return loss * float("nan") if rate > 1e-2 and dist.get_rank() == 1 else loss

    probe = ss.Probe(step, loop.state, loop.optimizers)
    curve = ss.range_test(probe, batches=loop.batches, lr_min=1e-4, lr_max=1.0, steps=10)
    return [float(curve.diverged_at[0]), [str(loss) for loss in curve.losses[0]]]


def goes_on() -> bool:
    """Training after a measurement is what it would have been, through the modules' own averaging."""
    measured, alone = averaged(normed=True), averaged(normed=True)
    for loop in (measured, alone):
        loop.train(3)
    alone.state[0].load_state_dict(measured.state[0].state_dict())
    alone.optimizers[0].load_state_dict(copy.deepcopy(measured.optimizers[0].state_dict()))
    find(measured)
    ends = [loop.train(3) for loop in (measured, alone)]
    return ends[0] == ends[1] and same(measured.picture(), alone.picture())


def trains_alike(calls: int) -> list[Any]:
    """Losses of a measurement, and those of the user's own loop: means over the ranks."""
    loop, own = averaged(clip=0.1, calls=calls), averaged(clip=0.1, calls=calls)
    batches = list(loop.batches)[: 6 * calls]
    curve = ss.range_test(loop.probe(evaluate=None), batches=batches, lr_min=0.05, lr_max=0.4, steps=6)
    losses = []
    rest = iter(batches)
    for rate in curve.lrs:
        own.optimizers[0].param_groups[0]["lr"] = float(rate)
        mean = torch.stack([own.step(next(rest)).detach() for _ in range(calls)]).mean()
        dist.all_reduce(mean)
        losses.append(float(mean) / 2)
    return [curve.losses[0].tolist(), losses]


def swept(folder: Path) -> list[Any]:
    """A sweep and its ledger, and the same sweep again, which trains nothing."""
    loop, calls = averaged(), [0]

    def counting(batch: Any) -> Any:
        calls[0] += 1
        return loop.step(batch)

    probe = ss.Probe(counting, loop.state, loop.optimizers, evaluate=loop.evaluate)
    given = {"batches": loop.batches, "val": loop.val, "steps": 6, "seeds": 1, "identity": "x"}
    runs = ss.sweep(probe, [0.01, 0.1], store=folder / "runs.db", **given)
    trained, calls[0] = calls[0], 0
    again = ss.sweep(probe, [0.01, 0.1], store=folder / "runs.db", **given)
    return [runs.rows(), again.rows(), trained, calls[0]]


def sharded() -> UsersLoop:
    """A user's loop with fully_shard, FSDP2, and Adam."""
    model: Any = fresh_net()
    mesh = init_device_mesh("cpu", (2,))
    for module in (model[0], model[2], model):
        fully_shard(module, mesh=mesh)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)

    def step(batch: Any) -> torch.Tensor:
        loss = nn.functional.cross_entropy(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss

    return UsersLoop(step, [model], [optimizer], averaged().batches)


def shards() -> list[Any]:
    """What find_lr comes to with FSDP2, whether training goes on as ever, and what noise_scale says."""
    loop, alone = sharded(), sharded()
    for one in (loop, alone):
        one.train(3)
    with torch.no_grad():
        for mine, other in zip(alone.state[0].parameters(), loop.state[0].parameters(), strict=True):
            mine.copy_(other)
    alone.optimizers[0].load_state_dict(copy.deepcopy(loop.optimizers[0].state_dict()))
    advice = find(loop, val=None)
    ends = [one.train(3) for one in (loop, alone)]
    noise = outcome(lambda: ss.noise_scale(loop.probe(), 0.01, batches=loop.batches, steps=STEPS), loop)
    return [advice.status, ends[0] == ends[1], noise]


class Told:
    """Counts what a reporter is told."""

    count = 0

    def expect(self, updates: int) -> None:
        self.count += 1

    def phase(self, name: str) -> None:
        self.count += 1

    def advance(self, updates: int) -> None:
        self.count += 1


def noise() -> list[Any]:
    """The noise scale from gradients before they are averaged, and what is said where they were."""
    loop = averaged(clip=1e9)
    given = {"batches": loop.batches, "steps": STEPS, "checkpoints": [0], "progress": False}
    found = ss.noise_scale(loop.probe(), 0.05, precision=1e-6, **given)
    hidden = copy.copy(loop)
    hidden.state = [loop.state[0].module, loop.state[1]]
    lost = ss.noise_scale(losing(loop, after=12, rank=1), 0.05, **given)
    return [
        found.to_json(),
        outcome(lambda: ss.noise_scale(hidden.probe(), 0.05, **given), loop),
        lost.status,
    ]


def losing(loop: UsersLoop, *, after: int, rank: int) -> ss.Probe:
    """Its probe; on one rank losses are not finite from some call on, and the optimizer does not step."""
    calls = [0]

    def step(batch: Any) -> Any:
        calls[0] += 1
        if calls[0] > after and dist.get_rank() == rank:
            return torch.tensor(float("nan"))
        return loop.step(batch)

    return ss.Probe(step, loop.state, loop.optimizers)


def main(folder: Path) -> None:
    """Everything, with failures before what has to work after them."""
    dist.init_process_group("gloo")
    told = Told()
    found: dict[str, Any] = {
        "failures": failures(),
        "interrupted": interrupted(),
        "diverged": one_diverges(),
        "goes on": goes_on(),
        "alike": [trains_alike(calls) for calls in (1, 5)],
        "advice": find(averaged(), progress=told).to_json(),
        "told": told.count,
        "timed": find(averaged(), budget="1 s").to_json(),
        "swept": swept(folder),
        "noise": noise(),
        "shards": shards() if SHARDS_ON_CPU else None,
    }
    loop = averaged()
    alike = list(DataLoader(loop.batches.dataset, batch_size=25))
    found["warnings"] = list(find(loop, batches=alike).warnings)
    (folder / f"rank{dist.get_rank()}.json").write_text(json.dumps(found))
    dist.barrier()
    # gloo's worker threads may still hold a tensor when Python ends, and abort the process then
    # (https://github.com/pytorch/pytorch/pull/179291).
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
