from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import stepsize as ss
from stepsize.training import memory as memory_module
from stepsize.training.stack import Stack
from tests.training.twins import classification, fingerprint, members, small_net, small_task, table


def noisy_net() -> nn.Module:
    return nn.Sequential(
        nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.3), nn.Linear(6, 3)
    ).double()


def batch_normed() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3)).double()


def same(one: ss.History, row: int, other: ss.History, place: int, rtol: float = 1e-9) -> None:
    """Two members of two calls are the same run."""
    for name in ("train_loss", "val_loss"):
        a, b = getattr(one, name)[row], getattr(other, name)[place]
        np.testing.assert_allclose(a, b, rtol=rtol)
    np.testing.assert_allclose(
        one.metrics["fingerprint"][row], other.metrics["fingerprint"][place], rtol=rtol
    )
    assert one.status[row] == other.status[place]
    assert one.updates_done[row] == other.updates_done[place]


@pytest.mark.parametrize("optimizer", [partial(torch.optim.SGD, momentum=0.9), torch.optim.NAdam])
def test_a_member_does_not_depend_on_its_stack_mates(optimizer: Any) -> None:
    task = small_task(model=noisy_net, optimizer=optimizer)
    rates = np.geomspace(1e-3, 0.1, 16)
    wild = np.r_[rates[:3], [1e4, 1e150, np.finfo(float).max / 1e9], rates[3:5]]
    calls = [rates[2:3], rates[2:4], rates, wild]
    alone, *others = (
        ss.train(task, members(call), table(call, 130), evaluate_at=[0, 65, 130]) for call in calls
    )
    assert {history.engine for history in (alone, *others)} == {"stack"}
    for history, place in zip(others, (0, 2, 2), strict=True):
        same(alone, 0, history, place)


def test_diverged_members_stop_costing_in_both_engines() -> None:
    task = small_task(optimizer=partial(torch.optim.SGD, momentum=0.9))
    rates = table((0.05, 1e8, 0.02, 1e300), 120)
    stack, loop = (
        ss.train(task, members(rates[:, 0]), rates, evaluate_at=[0, 60, 120], engine=engine)
        for engine in ("stack", "loop")
    )
    for history in (stack, loop):
        assert history.status == ("ok", "diverged", "ok", "diverged")
        assert history.updates_done[0] == history.updates_done[2] == 120
        assert max(history.updates_done[1], history.updates_done[3]) < 10
        assert history.cost.updates == sum(history.updates_done)
        assert history.cost.runs == pytest.approx(sum(history.updates_done) / task.steps)
        assert np.isfinite(history.val_loss[:, 0]).all()
        assert np.isnan(history.val_loss[[1, 3], 1:]).all()
        assert np.isnan(history.train_loss[1, history.updates_done[1] :]).all()
    for row in range(4):
        same(stack, row, loop, row)


def test_diverged_members_leave_the_stack() -> None:
    seen: list[int] = []
    step = torch.optim.SGD.step

    class Counting(torch.optim.SGD):
        def step(self, closure: Any = None) -> None:  # type: ignore[override]
            seen.append(id(self))
            step(self)

    task = small_task(optimizer=Counting)
    ss.train(task, members((0.01, 1e9, 1e9)), table((0.01, 1e9, 1e9), 200))
    assert 200 < len(seen) < 230


def test_all_members_may_die_at_the_first_update() -> None:
    def broken(model: nn.Module, batch: Any) -> torch.Tensor:
        return model(batch[0]).sum() * torch.nan  # type: ignore[no-any-return]

    task = small_task(loss=broken)
    for engine in ("stack", "loop"):
        history = ss.train(task, members((0.1, 0.2)), table((0.1, 0.2), 30), evaluate_at=[30], engine=engine)
        assert history.status == ("diverged", "diverged")
        assert history.updates_done == (1, 1)
        assert np.isnan(history.val_loss).all()
        assert np.isnan(history.train_loss).all()
        assert history.cost.updates == 2


def test_an_infinite_loss_and_a_loss_far_above_the_start_are_divergence() -> None:
    def scaled(model: nn.Module, batch: Any) -> torch.Tensor:
        return (model(batch[0]) - 1.0).square().mean()  # type: ignore[no-any-return]

    task = small_task(model=lambda: nn.Linear(4, 1).double(), loss=scaled)
    history = ss.train(task, members((3.0, 1e200)), table((3.0, 1e200), 100))
    assert history.status == ("diverged", "diverged")
    losses = history.train_loss[0, : history.updates_done[0]]
    assert np.isfinite(losses).all()  # seen long before the overflow
    assert losses[-1] > 10 * losses[0]
    assert np.isinf(history.train_loss[1]).any() or history.updates_done[1] <= 3


def test_a_held_out_loss_that_is_not_finite_ends_a_member() -> None:
    def only_in_training(model: nn.Module, batch: Any) -> torch.Tensor:
        loss = nn.functional.cross_entropy(model(batch[0]), batch[1])
        return loss if model.training else loss / 0

    history = ss.train(
        small_task(loss=only_in_training), members((0.1,)), table((0.1,), 20), evaluate_at=[5, 20]
    )
    assert history.status == ("diverged",)
    assert history.updates_done == (5,)


def test_waves_give_what_one_stack_gives() -> None:
    task = small_task(model=noisy_net)
    rates = table(np.geomspace(1e-3, 0.2, 5), 12)
    run = members(rates[:, 0])
    whole = ss.train(task, run, rates, evaluate_at=[0, 12])
    each = memory_module.footprint(task, task.make_model(0), task.trial_batch(16)).total
    waves = ss.train(task, run, rates, evaluate_at=[0, 12], memory=2 * each)
    single = ss.train(task, run, rates, evaluate_at=[0, 12], memory=1)
    for row in range(5):
        same(whole, row, waves, row)
        same(whole, row, single, row)


@pytest.mark.parametrize(
    "error", [MemoryError("no more"), RuntimeError("DefaultCPUAllocator: can't allocate memory: 8 bytes")]
)
def test_out_of_memory_inside_a_stack_halves_the_wave(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    sizes: list[int] = []
    advance = Stack.advance

    def small_only(self: Stack, count: int) -> None:
        advance(self, count)
        sizes.append(len(self.alive))
        if len(self.alive) > 2:
            raise error

    task = small_task(model=noisy_net)
    rates = table(np.geomspace(1e-3, 0.2, 5), 20)
    expected = ss.train(task, members(rates[:, 0]), rates, evaluate_at=[20])
    monkeypatch.setattr(Stack, "advance", small_only)
    told: list[int] = []
    history = ss.train(task, members(rates[:, 0]), rates, evaluate_at=[20], progress=told.append)
    assert [sizes[0], max(sizes[1:])] == [5, 3]
    assert history.engine == "stack"
    assert sum(told) == 5 * 20
    for row in range(5):
        same(expected, row, history, row)


def test_out_of_memory_with_a_single_member_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(self: Stack, count: int) -> None:
        raise MemoryError("no more")

    monkeypatch.setattr(Stack, "advance", never)
    with pytest.raises(MemoryError, match="no more"):
        ss.train(small_task(), members((0.1, 0.2)), table((0.1, 0.2), 3))


def test_seeds_differ_and_repeat() -> None:
    task = small_task(model=noisy_net)
    run = [ss.Member(0.05, seed) for seed in (0, 1, 0, 1)]
    first, again = (ss.train(task, run, np.full(20, 0.05), evaluate_at=[0, 20]) for _ in range(2))
    np.testing.assert_array_equal(first.train_loss, again.train_loss)
    np.testing.assert_array_equal(first.train_loss[0], first.train_loss[2])
    assert not np.allclose(first.train_loss[0], first.train_loss[1])
    np.testing.assert_array_equal(first.val_loss, again.val_loss)


def grid_of_seeds(rates: tuple[float, ...], seeds: tuple[int, ...]) -> list[ss.Member]:
    return [ss.Member(lr=lr, seed=seed) for lr in rates for seed in seeds]


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.NAdam])
def test_several_seeds_share_a_stack(optimizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[int] = []
    init = Stack.__init__

    def counted(self: Stack, task: Any, members: Any, *rest: Any) -> None:
        built.append(len(members))
        init(self, task, members, *rest)

    monkeypatch.setattr(Stack, "__init__", counted)
    task = small_task(model=batch_normed, optimizer=optimizer)
    several = grid_of_seeds((0.01, 1e300, 0.1), (3, 1, 2))
    rates = np.tile(np.array([[member.lr] for member in several]), 130)
    stack, loop = (
        ss.train(task, several, rates, evaluate_at=[0, 65, 130], engine=engine)
        for engine in ("stack", "loop")
    )
    assert built == [9]
    assert stack.members == tuple(several)
    for row in range(9):
        same(stack, row, loop, row, rtol=1e-7)  # NAdam makes much of the rounding of gradients near zero


def test_a_stack_of_several_seeds_may_shrink_to_one() -> None:
    task = small_task()
    several = [ss.Member(lr=0.01, seed=0), ss.Member(lr=0.05, seed=0), ss.Member(lr=1e300, seed=1)]
    rates = np.tile(np.array([[member.lr] for member in several]), 400)
    stack, loop = (ss.train(task, several, rates, evaluate_at=[400], engine=e) for e in ("stack", "loop"))
    assert stack.status == ("ok", "ok", "diverged")
    for row in range(3):
        same(stack, row, loop, row)


def test_seeds_that_draw_random_numbers_train_apart() -> None:
    task = small_task(model=noisy_net)
    several = grid_of_seeds((0.01, 0.1), (0, 1))
    rates = np.tile(np.array([[member.lr] for member in several]), 60)
    stack, loop = (ss.train(task, several, rates, evaluate_at=[60], engine=e) for e in ("stack", "loop"))
    assert stack.engine == "stack"
    for row in range(4):
        same(stack, row, loop, row)


def test_seeds_whose_batches_differ_in_shape_train_apart() -> None:
    def ragged(batch_size: int, seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        x, y = classification(samples=64)
        for start in range(0, 48, 8):
            stop = start + 8 + seed % 2
            yield x[start:stop], y[start:stop]

    task = small_task(train=ragged, val=classification(samples=16))
    several = grid_of_seeds((0.01, 0.1), (0, 1))
    stack, loop = (
        ss.train(task, several, np.full(40, 0.05), evaluate_at=[40], engine=e) for e in ("stack", "loop")
    )
    assert stack.engine == "stack"
    for row in range(4):
        same(stack, row, loop, row)


def test_the_last_partial_batch_is_kept_and_counted() -> None:
    sizes: list[int] = []

    def watching(model: nn.Module, batch: Any) -> torch.Tensor:
        sizes.append(len(batch[1]))
        return nn.functional.cross_entropy(model(batch[0]), batch[1])

    task = small_task(loss=watching)
    sizes.clear()
    history = ss.train(task, members((0.1,)), table((0.1,), 7), engine="loop")
    assert sizes[-7:] == [16, 16, 12, 16, 16, 12, 16]
    assert history.cost.samples == 104


def test_full_batch_is_one_update_an_epoch() -> None:
    task = small_task(batch_size="full", steps=None, epochs=6)
    assert (task.batch_size, task.steps) == (44, 6)
    rates = table((0.5, 0.1), 6)
    stack = ss.train(task, members((0.5, 0.1)), rates, evaluate_at=[6])
    loop = ss.train(task, members((0.5, 0.1)), rates, evaluate_at=[6], engine="loop")
    np.testing.assert_allclose(stack.train_loss, loop.train_loss, rtol=1e-12)
    assert (np.diff(stack.train_loss) < 0).all()
    assert stack.cost.samples == 2 * 6 * 44


class Rows(torch.utils.data.Dataset[Any]):
    """A map-style dataset with a little noise from the global generator, as augmentation draws it."""

    def __init__(self, noise: float = 0.0) -> None:
        self.x, self.y = classification()
        self.noise = noise

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return {"features": self.x[i] + self.noise * torch.randn(4), "target": self.y[i]}


class Keyword(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = small_net()

    def forward(self, *, features: torch.Tensor) -> torch.Tensor:
        return self.body(features)  # type: ignore[no-any-return]


def stream(batch_size: int, seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    x, y = classification()
    generator = torch.Generator().manual_seed(seed)
    for _ in range(4):  # ends, so that the engine has to ask for more
        index = torch.randint(0, 44, (batch_size,), generator=generator)
        yield x[index] + 0.01 * torch.randn(4, dtype=torch.float64), y[index]


@pytest.mark.parametrize("form", ["tensors", "dict", "dataset", "noisy dataset", "stream", "one tensor"])
def test_every_form_of_data_trains_alike_in_both_engines(form: str) -> None:
    x, y = classification()
    by_name = {"model": Keyword, "loss": ss.supervised(nn.CrossEntropyLoss(), target="target")}
    changes: dict[str, dict[str, Any]] = {
        "tensors": {"train": (x, y)},
        "dict": {**by_name, "train": {"features": x, "target": y}},
        "dataset": {**by_name, "train": Rows()},
        "noisy dataset": {**by_name, "train": Rows(0.1)},
        "stream": {"train": stream},
        "one tensor": {
            "train": x,
            "model": lambda: nn.Linear(4, 4).double(),
            "loss": lambda model, batch: (model(batch) - batch).square().mean(),
        },
    }
    task = small_task(**changes[form], val=None)
    rates = table((0.1, 0.01), 14)
    torch.manual_seed(99)
    before = torch.get_rng_state()
    stack = ss.train(task, members((0.1, 0.01)), rates, evaluate_at=[0, 14])
    assert torch.equal(before, torch.get_rng_state())
    loop = ss.train(task, members((0.1, 0.01)), rates, evaluate_at=[0, 14], engine="loop")
    assert stack.engine == "stack", stack.engine_reason
    np.testing.assert_allclose(stack.train_loss, loop.train_loss, rtol=1e-9)
    np.testing.assert_allclose(stack.val_loss, loop.val_loss, rtol=1e-9)
    assert stack.cost.samples == loop.cost.samples


def test_progress_adds_up_and_never_counts_twice() -> None:
    for changes in ({}, {"model": ChangesItself}):
        told: list[int] = []
        rates = table((0.1, 1e9), 120)
        ss.train(small_task(**changes), members((0.1, 1e9)), rates, evaluate_at=[7], progress=told.append)
        assert sum(told) == 240
        assert min(told) > 0


@pytest.mark.parametrize("progress", [True, False, None])
def test_progress_is_shown_when_it_is_asked_for(
    progress: bool | None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as in a terminal
    ss.train(small_task(), members((0.1,)), table((0.1,), 60), progress=progress)
    shown = capsys.readouterr()
    assert ("training" in shown.err) == (progress is True)
    assert shown.out == ""


def test_a_call_without_gradients_around_it_trains_all_the_same() -> None:
    with torch.no_grad():
        task = small_task()
        history = ss.train(task, members((0.3,)), table((0.3,), 20), engine="loop")
    assert history.train_loss[0, -1] < history.train_loss[0, 0]


class ChangesItself(nn.Module):
    """Counts its calls, and is another function after the fiftieth."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.calls = small_net(), 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += self.training
        return self.body(x) * (1 if self.calls < 50 else 0.5)  # type: ignore[no-any-return]


class LayerDrop(nn.Module):
    """Leaves a layer out by the toss of a coin."""

    def __init__(self, coin: Any) -> None:
        super().__init__()
        self.first, self.extra, self.last = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)
        self.coin = coin
        self.double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x).tanh()
        if not self.training or self.coin() < 0.7:
            x = x + self.extra(x)
        return self.last(x)  # type: ignore[no-any-return]


class NoVmap(torch.autograd.Function):
    """A kernel of a user's own, without a rule for vmap."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        return grads[0] * (ctx.saved_tensors[0] > 0)  # type: ignore[no-any-return]


class UsesNoVmap(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = small_net()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return NoVmap.apply(self.body(x))  # type: ignore[no-any-return, no-untyped-call]


class Normalizing(nn.Module):
    """Scales its own weights before it uses them, behind the optimizer's back."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 3).double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            self.body.weight.div_(self.body.weight.norm())
        return self.body(x)  # type: ignore[no-any-return]


class Hooked(nn.Module):
    """Halves a gradient by a hook."""

    def __init__(self) -> None:
        super().__init__()
        self.body = small_net()
        next(self.body.parameters()).register_hook(lambda grad: grad / 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)  # type: ignore[no-any-return]


class Branching(nn.Module):
    """Takes another way when its own output says so."""

    def __init__(self) -> None:
        super().__init__()
        self.body = small_net()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.body(x)
        return y * 2 if float(y.detach().mean()) > 0.1 else y  # type: ignore[no-any-return]


def frozen_numbers(model: nn.Module, batch: Any) -> torch.Tensor:
    weight = float(np.bincount(batch[1].numpy(), minlength=3)[0])  # torch does not see this number change
    return nn.functional.cross_entropy(model(batch[0]), batch[1]) * weight


def branches_on_data(model: nn.Module, batch: Any) -> torch.Tensor:
    loss = nn.functional.cross_entropy(model(batch[0]), batch[1])
    return loss * 2 if (batch[1] == 0).sum() > 5 else loss


def mixup(model: nn.Module, batch: Any) -> torch.Tensor:
    share = np.random.beta(2.0, 2.0)
    x, y = batch
    output = model(share * x + (1 - share) * x.flip(0))
    criterion = nn.functional.cross_entropy
    return share * criterion(output, y) + (1 - share) * criterion(output, y.flip(0))


UNSTACKABLE: dict[str, tuple[dict[str, Any], str]] = {
    "counts its calls": ({"model": ChangesItself}, "model.calls changes at every call"),
    "leaves out layers by torch's coin": (
        {"model": lambda: LayerDrop(lambda: torch.rand(()).item())},
        "not one fixed list of kernels",
    ),
    "leaves out layers by NumPy's coin": (
        {"model": lambda: LayerDrop(np.random.rand)},
        "draws from Python's or NumPy's random numbers",
    ),
    "mixup": ({"loss": mixup}, "draws from Python's or NumPy's random numbers"),
    "kernel without vmap": ({"model": UsesNoVmap}, "autograd.Function"),
    "changes its own weights": ({"model": Normalizing}, "changes its own parameter body.weight"),
    "hook on a gradient": ({"model": Hooked}, "differs from a plain one"),
    "branches on its output": ({"model": Branching}, "vmap"),
    "branches on the data": ({"loss": branches_on_data}, "not one fixed list of kernels"),
    "numbers that torch does not see": ({"loss": frozen_numbers}, "not one fixed list of kernels"),
    "sparse gradients": (
        {
            "model": lambda: nn.Sequential(
                nn.Embedding(9, 3, sparse=True), nn.Flatten(), nn.Linear(6, 3)
            ).double(),
            "train": (torch.arange(40).view(20, 2) % 9, torch.arange(20) % 3),
            "val": (torch.arange(40).view(20, 2) % 9, torch.arange(20) % 3),
        },
        "sparse",
    ),
    "values besides tensors": (
        {
            "train": lambda size, seed: ({"x": x, "y": y, "name": "a"} for x, y in stream(size, seed)),
            "loss": lambda model, batch: nn.functional.cross_entropy(model(batch["x"]), batch["y"]),
            "val": None,
        },
        "besides tensors the batch holds values of type str",
    ),
    "metric in NumPy": (
        {"metrics": {"fingerprint": lambda model, batch: torch.tensor(model(batch[0]).numpy().mean())}},
        "evaluation: ",
    ),
}


@pytest.mark.parametrize(("changes", "why"), UNSTACKABLE.values(), ids=UNSTACKABLE)
def test_what_cannot_be_stacked_runs_in_the_loop_and_says_why(changes: dict[str, Any], why: str) -> None:
    task = small_task(**changes)
    rates = table((0.1, 0.01), 60)
    auto = ss.train(task, members((0.1, 0.01)), rates, evaluate_at=[0, 60])
    assert auto.engine == "loop"
    assert why in auto.engine_reason
    loop = ss.train(task, members((0.1, 0.01)), rates, evaluate_at=[0, 60], engine="loop")
    np.testing.assert_array_equal(auto.train_loss, loop.train_loss)
    np.testing.assert_array_equal(auto.val_loss, loop.val_loss)
    with pytest.raises(ss.training.NotStackableError, match=why.replace("(", ".")):
        ss.train(task, members((0.1, 0.01)), rates, evaluate_at=[0, 60], engine="stack")


def test_nothing_but_the_models_own_parameters_gets_a_gradient() -> None:
    teacher = nn.Linear(4, 3).double()

    def distilled(model: nn.Module, batch: Any) -> torch.Tensor:
        return (model(batch[0]) - teacher(batch[0])).square().mean()  # type: ignore[no-any-return]

    ss.train(small_task(loss=distilled), members((0.1,)), table((0.1,), 3), engine="loop")
    assert all(p.grad is None for p in teacher.parameters())


def test_an_error_of_the_task_is_shown_as_it_is() -> None:
    calls: list[int] = []

    class Fails(Rows):
        def __getitem__(self, i: int) -> dict[str, Any]:
            if i == 40:
                raise OSError("cannot read image 40")
            return super().__getitem__(i)

    task = small_task(
        model=Keyword, loss=ss.supervised(nn.CrossEntropyLoss(), target="target"), train=Fails(), val=Rows()
    )
    with pytest.raises(RuntimeError, match=r"train\[40\] raised OSError: cannot read image 40"):
        ss.train(task, members((0.1,)), table((0.1,), 10), progress=calls.append)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no members": ({"members": []}, "members must not be empty"),
    "rates of the wrong shape": (
        {"rates": np.ones((3, 5))},
        r"rates must be \(members, updates\) = \(2, T\)",
    ),
    "no updates": ({"rates": np.ones((2, 0))}, "rates must be"),
    "a negative rate": ({"rates": np.full((2, 5), -1.0)}, "rates must be finite and >= 0"),
    "a rate that is not finite": ({"rates": np.full((2, 5), np.nan)}, "rates must be finite and >= 0"),
    "an evaluation too late": ({"evaluate_at": [6]}, "evaluate_at must lie within 0…5"),
    "an evaluation too early": ({"evaluate_at": [-1]}, "evaluate_at must lie within 0…5"),
    "an engine of another name": ({"engine": "gpu"}, "engine must be 'auto', 'stack' or 'loop'"),
    "a control of the wrong length": ({"controls": {"momentum": np.ones(4)}}, r"shape \(5,\), but has shape"),
    "a control that is not finite": ({"controls": {"momentum": np.full(5, np.nan)}}, "not finite"),
    "a control nobody has": (
        {"controls": {"beta9": np.ones(5)}},
        "controls.'beta9'. must be a hyperparameter",
    ),
}


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD)
def test_bad_arguments_are_named(changes: dict[str, Any], message: str) -> None:
    call = {"members": members((0.1, 0.2)), "rates": np.full((2, 5), 0.1), **changes}
    with pytest.raises(ValueError, match=message):
        ss.train(small_task(), **call)


def test_history_survives_json() -> None:
    rates = table((0.1, 1e9), 20)
    history = ss.train(small_task(), members((0.1, 1e9)), rates, evaluate_at=[0, 20])
    back = ss.History.from_json(history.to_json())
    assert back.members == history.members
    assert back.status == history.status
    for name in ("rates", "train_loss", "val_loss", "val_folds", "evaluated_at"):
        np.testing.assert_array_equal(getattr(back, name), getattr(history, name))
    np.testing.assert_array_equal(back.metrics["fingerprint"], history.metrics["fingerprint"])


def test_float32_and_integer_buffers_survive_the_stack() -> None:
    task = small_task(
        model=lambda: noisy_net().float(),
        train=classification(torch.float32),
        val=classification(torch.float32, 20),
        metrics={
            "batches": lambda model, batch: model[1].num_batches_tracked.float(),
            "fingerprint": fingerprint,
        },
    )
    history = ss.train(task, members((0.1, 0.01)), table((0.1, 0.01), 12), evaluate_at=[0, 12])
    np.testing.assert_allclose(history.metrics["batches"], [[0, 12], [0, 12]])


def test_bfloat16_trains() -> None:
    half = torch.bfloat16
    task = small_task(
        model=partial(small_net, half), train=classification(half), val=classification(half, 20)
    )
    stack, loop = (
        ss.train(task, members((0.2,)), table((0.2,), 40), evaluate_at=[40], engine=engine)
        for engine in ("auto", "loop")
    )
    np.testing.assert_allclose(stack.train_loss, loop.train_loss, rtol=0.1)
    assert stack.train_loss[0, -3:].mean() < stack.train_loss[0, 0]
