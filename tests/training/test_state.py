from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import stepsize as ss
from tests.training.twins import classification, members, small_task, table


def make_net() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.4), nn.Linear(6, 3))


class Trainer:
    """A training loop of a user's own: its optimizer, its schedule, and noise from all three generators."""

    def __init__(self, optimizer: Callable[..., torch.optim.Optimizer]) -> None:
        self.factory = optimizer
        self.model = make_net()
        self.optimizer = optimizer(self.model.parameters(), lr=0.05)
        self.scheduler = torch.optim.lr_scheduler.ExponentialLR(self.optimizer, 0.9)
        self.generator = torch.Generator().manual_seed(3)
        self.x, self.y = classification(torch.float32)

    def train(self, updates: int) -> list[float]:
        losses = []
        for _ in range(updates):
            index = torch.randint(0, 44, (16,), generator=self.generator)
            noise = random.random() * float(np.random.rand())
            loss = nn.functional.cross_entropy(self.model(self.x[index] + noise), self.y[index])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.scheduler.step()
            losses.append(float(loss.detach()))
        return losses

    def state(self) -> list[Any]:
        tensors = [*self.model.state_dict().values(), *(p.grad for p in self.model.parameters())]
        slots = [value for slot in self.optimizer.state.values() for value in slot.values()]
        rng = [torch.get_rng_state(), self.generator.get_state()]
        return [t.clone() for t in (*tensors, *slots, *rng) if isinstance(t, torch.Tensor)] + [
            str(self.scheduler.state_dict()),
            str([{k: v for k, v in g.items() if k != "params"} for g in self.optimizer.param_groups]),
            str(np.random.get_state()),
            str(random.getstate()),
            str([module.training for module in self.model.modules()]),
        ]

    def preserved(self) -> Any:
        return ss.preserved(self.model, self.optimizer, self.scheduler, self.generator)


def assert_same(before: list[Any], after: list[Any]) -> None:
    assert len(before) == len(after)
    for a, b in zip(before, after, strict=True):
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


OPTIMIZERS = {
    "momentum": partial(torch.optim.SGD, momentum=0.9),
    "adamw": partial(torch.optim.AdamW, weight_decay=0.1),
}
INTERRUPTIONS: dict[str, BaseException | None] = {
    "none": None,
    "exception": ValueError("bad sample"),
    "Ctrl-C": KeyboardInterrupt(),
    "out of memory": MemoryError("simulated"),
    "out of device memory": torch.OutOfMemoryError("CUDA out of memory (simulated)"),
}


@pytest.fixture(params=list(OPTIMIZERS.values()), ids=list(OPTIMIZERS))
def trainer(request: pytest.FixtureRequest) -> Trainer:
    return Trainer(request.param)


def disturb(trainer: Trainer) -> None:
    """Change everything that a measurement may change."""
    trainer.train(3)
    trainer.model.eval()
    trainer.model[3].train()  # type: ignore[index]
    for group in trainer.optimizer.param_groups:
        group["lr"], group["new"] = 7.0, 1
    trainer.optimizer.zero_grad(set_to_none=True)
    trainer.model[0].weight.requires_grad_(False)  # type: ignore[index]
    trainer.model[1].running_mean = torch.ones(6)  # type: ignore[index]
    trainer.model.calls = 5  # type: ignore[assignment]
    trainer.model.extra = nn.Linear(2, 2)
    trainer.optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))]})
    torch.manual_seed(77)
    np.random.seed(77)
    random.seed(77)


def measure(trainer: Trainer, interruption: BaseException | None = None) -> None:
    with trainer.preserved():
        disturb(trainer)
        if interruption is not None:
            raise interruption


@pytest.mark.parametrize("interruption", INTERRUPTIONS.values(), ids=INTERRUPTIONS)
def test_training_goes_on_bit_for_bit(trainer: Trainer, interruption: BaseException | None) -> None:
    twin = Trainer(trainer.factory)
    start = torch.get_rng_state(), np.random.get_state(), random.getstate()
    expected = twin.train(12)
    torch.set_rng_state(start[0])
    np.random.set_state(start[1])
    random.setstate(start[2])

    losses = trainer.train(6)
    before = trainer.state()
    gradients = [p.grad for p in trainer.model.parameters()]
    if interruption is None:
        measure(trainer)
    else:
        with pytest.raises(type(interruption)):
            measure(trainer, interruption)
    assert_same(before, trainer.state())
    assert all(a is p.grad for a, p in zip(gradients, trainer.model.parameters(), strict=True))
    assert not hasattr(trainer.model, "calls")
    assert not hasattr(trainer.model, "extra")
    assert losses + trainer.train(6) == expected


def test_before_the_first_update_there_is_no_optimizer_state(trainer: Trainer) -> None:
    with trainer.preserved():
        trainer.train(2)
    assert not trainer.optimizer.state
    assert all(p.grad is None for p in trainer.model.parameters())


def test_everything_else_is_restored_when_one_object_fails(trainer: Trainer) -> None:
    class Stubborn:
        def state_dict(self) -> dict[str, Any]:
            return {}

        def load_state_dict(self, state: dict[str, Any]) -> None:
            raise OSError("disk gone")

    before = trainer.state()
    everything = Stubborn(), trainer.model, trainer.optimizer, trainer.scheduler, trainer.generator
    with pytest.raises(ExceptionGroup, match="could not be put back") as caught, ss.preserved(*everything):
        disturb(trainer)
    assert isinstance(caught.value.exceptions[0], OSError)
    assert_same(before, trainer.state())


def test_an_object_that_cannot_be_preserved_is_named_before_the_block_runs() -> None:
    with pytest.raises(TypeError, match="cannot preserve a tuple: it must be a module"), ss.preserved((1, 2)):
        pytest.fail("the block ran")


@pytest.mark.parametrize("engine", ["stack", "loop"])
@pytest.mark.parametrize("interruption", INTERRUPTIONS.values(), ids=INTERRUPTIONS)
def test_train_leaves_the_users_module_and_generators_alone(
    trainer: Trainer, engine: Any, interruption: BaseException | None
) -> None:
    trainer.train(4)
    countdown = [10**9]

    def loss(model: nn.Module, batch: Any) -> torch.Tensor:
        countdown[0] -= 1
        if countdown[0] <= 0 and interruption is not None:
            raise interruption
        np.random.rand()
        return nn.functional.cross_entropy(model(batch[0]), batch[1])

    x, y = trainer.x, trainer.y
    data = x.clone(), y.clone()
    task = small_task(model=trainer.model, loss=loss, train=(x, y), val=(x, y), metrics={})
    before = trainer.state()
    call = partial(ss.train, task, members((0.1, 0.2)), table((0.1, 0.2), 30), evaluate_at=[0, 15, 30])
    if interruption is None:
        call(engine="auto" if engine == "stack" else "loop")
    else:
        countdown[0] = 25
        with pytest.raises(type(interruption)):
            call(engine="auto" if engine == "stack" else "loop")
    assert_same(before, trainer.state())
    assert torch.equal(x, data[0])
    assert torch.equal(y, data[1])


def test_building_a_task_changes_no_generator_and_no_module(trainer: Trainer) -> None:
    def stream(batch_size: int, seed: int) -> Iterator[Any]:
        while True:
            yield torch.randn(batch_size, 4), torch.randint(0, 3, (batch_size,))

    trainer.train(1)
    before = trainer.state()
    for train in (classification(torch.float32), stream):
        task = small_task(model=trainer.model, train=train, val=None, metrics={})
        task.capabilities()
        task.make_model(3)
        task.trial_batch()
    assert_same(before, trainer.state())
