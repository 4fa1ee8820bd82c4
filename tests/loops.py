"""Training loops as people have them, each on the small digits: what a `Probe` is tried on."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, TensorDataset

import stepsize as ss
from tests.tasks import digits, net

Batch = Any


@dataclass
class UsersLoop:
    """A loop: its step, everything the step changes, its optimizers and its batches."""

    step: Callable[[Batch], Any]
    state: list[Any]
    optimizers: list[torch.optim.Optimizer]
    batches: Any
    accumulate: int = 1
    evaluate: Callable[[Batch], Any] | None = None
    val: Any = None
    watched: list[Any] = field(default_factory=list)

    def probe(self, **changes: Any) -> ss.Probe:
        arguments = {"accumulate": self.accumulate, "evaluate": self.evaluate, **changes}
        return ss.Probe(self.step, self.state, self.optimizers, **arguments)

    def train(self, calls: int) -> list[float]:
        """The user's own training, for so many calls of step."""
        losses: list[float] = []
        while len(losses) < calls:
            for batch in self.batches:
                returned = self.step(batch)
                loss = returned["loss"] if isinstance(returned, dict) else returned
                losses.append(float(loss.detach()))
                if len(losses) == calls:
                    break
        return losses

    def picture(self) -> list[Any]:
        """A copy of everything that could have been changed, to be compared with `same`."""
        items = (*self.state, *self.optimizers, *self.watched, torch.default_generator)
        return [picture(item) for item in items]


def picture(item: Any) -> Any:
    if isinstance(item, nn.Module):
        grads = [None if p.grad is None else p.grad.clone() for p in item.parameters()]
        hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in item.modules()]
        modes = [(m.training, [p.requires_grad for p in m.parameters()]) for m in item.modules()]
        return copy.deepcopy(item.state_dict()), grads, modes, hooks
    if isinstance(item, torch.optim.Optimizer):
        return (
            copy.deepcopy(item.state_dict()),
            len(item._optimizer_step_pre_hooks),
            len(item._optimizer_step_post_hooks),
        )
    if isinstance(item, torch.Generator):
        return item.get_state()
    if hasattr(item, "state_dict"):
        return copy.deepcopy(item.state_dict())
    return copy.deepcopy(item)


def same(a: Any, b: Any) -> bool:
    """Bit for bit, through containers."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        return bool(np.array_equal(a, b))
    return bool(a == b)


def loader(*, batch_size: int = 50, generator: torch.Generator | None = None) -> DataLoader[Any]:
    x, y, _, _ = digits()
    return DataLoader(TensorDataset(x, y), batch_size=batch_size, shuffle=True, generator=generator)


def held_out() -> list[Batch]:
    _, _, x, y = digits()
    return list(zip(x.split(100), y.split(100), strict=True))


def fresh_net() -> nn.Module:
    torch.manual_seed(1)
    return net()


def plain() -> UsersLoop:
    """As in any tutorial; with a held-out loss."""
    model = fresh_net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.5)

    def step(batch: Batch) -> torch.Tensor:
        model.train()
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        return loss

    def evaluate(batch: Batch) -> torch.Tensor:
        model.eval()
        return nn.functional.cross_entropy(model(batch[0]), batch[1])

    return UsersLoop(step, [model], [optimizer], loader(), evaluate=evaluate, val=held_out())


def everything() -> UsersLoop:
    """Mixed precision, accumulation, clipping, a weight average, a scheduler, dropout and BatchNorm."""
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Linear(196, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Dropout(0.2), nn.Linear(24, 10)
    )
    optimizer = torch.optim.AdamW(
        [{"params": model[0].parameters(), "lr": 1e-3}, {"params": [*model[1:].parameters()], "lr": 4e-3}]
    )
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 500)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn())
    place = {"call": 0}

    def step(batch: Batch) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = nn.functional.cross_entropy(model(batch[0]), batch[1])
        scaler.scale(loss / 3).backward()
        place["call"] += 1
        if place["call"] % 3 == 0:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()
            scheduler.step()
            average.update_parameters(model)
            optimizer.zero_grad()
        return loss

    state = [model, scheduler, scaler, average, place]
    generator = torch.Generator().manual_seed(5)
    found = UsersLoop(step, state, [optimizer], loader(batch_size=20, generator=generator), accumulate=3)
    found.watched.append(generator)
    return found


def adversarial() -> UsersLoop:
    """A small GAN: two optimizers with rates of their own, noise from a generator of its own."""
    torch.manual_seed(1)
    maker = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 196), nn.Sigmoid())
    judge = nn.Sequential(nn.Linear(196, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))
    make = torch.optim.Adam(maker.parameters(), lr=1e-3, betas=(0.5, 0.999))
    tell = torch.optim.Adam(judge.parameters(), lr=4e-3, betas=(0.5, 0.999))
    noise = torch.Generator().manual_seed(9)
    bce = nn.functional.binary_cross_entropy_with_logits

    def step(batch: Batch) -> torch.Tensor:
        real = batch[0]
        fake = maker(torch.randn(len(real), 8, generator=noise))
        yes, no = torch.ones(len(real), 1), torch.zeros(len(real), 1)
        told = bce(judge(real), yes) + bce(judge(fake.detach()), no)
        tell.zero_grad()
        told.backward()
        tell.step()
        loss = bce(judge(fake), yes)
        make.zero_grad()
        loss.backward()
        make.step()
        return told.detach() + loss.detach()

    return UsersLoop(step, [maker, judge, noise], [make, tell], loader())


class LossInside(nn.Module):
    """Computes its own loss from a nested batch, recomputing the first layer in the backward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(196, 24), nn.Linear(24, 10)

    def forward(self, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        hidden = checkpoint(lambda x: self.first(x).relu(), batch["inputs"]["image"], use_reentrant=False)
        return {"loss": nn.functional.cross_entropy(self.last(hidden), batch["label"])}


def compiled_with_loss_inside() -> UsersLoop:
    """A compiled module that computes its loss in `forward`, on dict batches from a generator."""
    torch.manual_seed(1)
    model: Any = torch.compile(LossInside(), backend="eager")
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3)

    def step(batch: Batch) -> dict[str, torch.Tensor]:
        optimizer.zero_grad(set_to_none=False)
        output: dict[str, torch.Tensor] = model(batch)
        output["loss"].backward()
        optimizer.step()
        return output

    def stream() -> Iterator[Batch]:
        x, y, _, _ = digits()
        draw = torch.Generator().manual_seed(2)
        while True:
            index = torch.randint(0, len(x), (40,), generator=draw)
            yield {"inputs": {"image": x[index]}, "label": y[index]}

    return UsersLoop(step, [model], [optimizer], ss.Replay(stream()))


LOOPS = {loop.__name__: loop for loop in (plain, everything, adversarial, compiled_with_loss_inside)}
