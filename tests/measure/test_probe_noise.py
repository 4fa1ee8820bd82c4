"""The noise scale of a probe: from the user's own step, against the same net as a task, changing nothing."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import stepsize as ss
from stepsize.measure.probe_gradients import ProbeBatches, ProbeGradients, trained_weights
from stepsize.training.probed import ProbeRun
from tests.loops import LOOPS, UsersLoop, adversarial, everything, fresh_net, loader, plain, same
from tests.measure.test_noise_scale import Interrupting
from tests.tasks import digits, digits_task


def measured(loop: UsersLoop, **options: Any) -> ss.NoiseScale:
    given = {"batches": loop.batches, "val": loop.val, "steps": 40, "progress": False, **options}
    return ss.noise_scale(loop.probe(), 0.05, **given)


def one_optimizer(make: Any, *, batch_size: int = 50, calls: int = 1, clip: float | None = None) -> UsersLoop:
    """Batches of `batch_size`, `calls` of them an update."""
    model = fresh_net()
    optimizer = make(model.parameters())
    place = {"call": 0}

    def step(batch: Any) -> torch.Tensor:
        if place["call"] % calls == 0:
            optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(batch[0]), batch[1])
        (loss / calls).backward()
        place["call"] += 1
        if place["call"] % calls == 0:
            if clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
        return loss

    return UsersLoop(step, [model, place], [optimizer], loader(batch_size=batch_size), accumulate=calls)


def sgd(params: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(params, lr=0.05, momentum=0.5)


@pytest.mark.parametrize("name", list(LOOPS))
def test_training_goes_on_as_if_noise_had_never_been_measured(name: str) -> None:
    noisy, left_alone = LOOPS[name](), LOOPS[name]()
    for loop in (noisy, left_alone):
        torch.manual_seed(4)
        loop.train(12)
    torch.manual_seed(6)
    before = noisy.picture()
    found = measured(noisy, steps=12, checkpoints=[0, 3], examples=400)
    assert [point.update for point in found.points] == [0, 3]
    assert all(point.trace is not None and point.trace > 0 for point in found.points)
    assert same(before, noisy.picture())
    onward = []
    for loop in (noisy, left_alone):
        torch.manual_seed(8)
        onward.append(loop.train(12))
    assert onward[0] == onward[1]
    assert same(noisy.picture(), left_alone.picture())


@pytest.mark.parametrize(
    ("make", "calls"), [(sgd, 1), (sgd, 5), (torch.optim.Adam, 1), (torch.optim.Adam, 5)]
)
def test_it_agrees_with_the_same_net_as_a_task(make: Any, calls: int) -> None:
    x, y, _, _ = digits()
    data = TensorDataset(x[:500], y[:500])
    loop = one_optimizer(make, batch_size=10, calls=calls, clip=1e-3 if calls > 1 else None)
    loop.batches = DataLoader(data, batch_size=10, shuffle=True)
    adam = {"optimizer": torch.optim.Adam} if make is torch.optim.Adam else {}
    task = digits_task(model=loop.state[0], train=data, batch_size=10 * calls, **adam)
    exact = ss.noise_scale(task, 0.05, checkpoints=[0], precision=1e-6, progress=False)
    found = measured(loop, checkpoints=[0], precision=0.02)
    (truth,), (point,) = exact.points, found.points
    assert found.kind == exact.kind == ("preconditioned" if adam else "simple")
    assert (found.method, point.micro_batch, found.batch_size) == ("micro-batches", 10, 10 * calls)
    assert point.high is not None
    assert truth.scale is not None
    assert point.low < truth.scale < point.high
    assert point.signal == pytest.approx(truth.signal, rel=0.2)
    assert [layer.name for layer in point.layers] == [layer.name for layer in truth.layers]
    assert ("each call of step adds" in found.method_reason) == (calls > 1)


def test_gradients_are_those_that_the_optimizer_gets() -> None:
    loop = one_optimizer(sgd, clip=0.1)
    run = ProbeRun(loop.probe(), list(loop.batches)[:4], steps=5)
    source = ProbeGradients(run, ProbeBatches(run, 0), 0)
    model = copy.deepcopy(loop.state[0])
    seen = list(source.gradients(0, 9))
    assert len(seen) == source.samples.available(9) == 4
    for batch, found in zip(run.loader.once(0), seen, strict=True):
        model.zero_grad()
        nn.functional.cross_entropy(model(batch[0]), batch[1]).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        for name, p in model.named_parameters():
            assert torch.equal(found[name][0], p.grad)


def test_what_calls_add_to_an_update_sums_up_to_it() -> None:
    loop = one_optimizer(sgd, batch_size=10, calls=3)
    run = ProbeRun(loop.probe(), list(loop.batches)[:6], steps=5)
    source = ProbeGradients(run, ProbeBatches(run, 0), 0)
    model = copy.deepcopy(loop.state[0])
    first, second, third, _ = source.gradients(0, 4)
    batches = list(run.loader.once(0))
    for batch, found in zip([batches[i] for i in (0, 1, 3)], (first, second, third), strict=True):
        model.zero_grad()
        nn.functional.cross_entropy(model(batch[0]), batch[1]).backward()
        for name, p in model.named_parameters():
            torch.testing.assert_close(found[name][0], p.grad, rtol=1e-4, atol=1e-7)


def test_a_closure_that_computes_inside_of_the_step_is_waited_for() -> None:
    model = fresh_net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)

    def step(batch: Any) -> Any:
        def closure() -> Any:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(batch[0]), batch[1])
            loss.backward()
            return loss

        return optimizer.step(closure)

    batches = list(loader())
    inside = ss.noise_scale(
        ss.Probe(step, model, optimizer), 0.05, batches=batches, steps=4, checkpoints=[0], progress=False
    )
    outside = measured(one_optimizer(lambda p: torch.optim.SGD(p, lr=0.05)), batches=batches, checkpoints=[0])
    assert inside.points == outside.points


def test_several_optimizers_scalers_and_normalised_batches_are_measured_whole() -> None:
    gan, mixed = measured(adversarial(), checkpoints=[0]), measured(everything(), checkpoints=[0])
    assert gan.kind == mixed.kind == "preconditioned"
    layers = [layer.name for layer in gan.points[0].layers]
    assert sorted(layers) == ["state[0].0", "state[0].2", "state[1].0", "state[1].2"]
    assert gan.points[0].micro_batch == 50
    assert "a gradient scaler is at work" in mixed.method_reason
    assert (mixed.points[0].micro_batch, mixed.batch_size) == (60, 60)
    assert gan.scale is not None
    assert mixed.scale is not None


def test_along_a_run_losses_are_those_of_training_it() -> None:
    loop = plain()
    found = measured(loop, checkpoints=[1, 10, 40])
    run = ProbeRun(loop.probe(), loop.batches, 40, loop.val)
    history = ss.train(run, [ss.Member(0.05, 0)], np.full(40, 0.05), evaluate_at=[1, 10, 40])
    assert [point.loss for point in found.points] == history.val_loss[0].tolist()
    assert ss.NoiseScale.from_json(found.to_json()).points == found.points
    assert "step gives the optimizers the gradient of an update" in found.method_reason


def with_batches(batches: Any, scale: float = 1.0) -> ss.NoiseScale:
    loop = plain()

    def step(batch: Any) -> Any:
        loop.optimizers[0].zero_grad()
        loss = scale * nn.functional.cross_entropy(loop.state[0](batch[0]), batch[1])
        loss.backward()
        loop.optimizers[0].step()
        return loss

    probe = ss.Probe(step, loop.state, loop.optimizers)
    return ss.noise_scale(probe, 0.05, batches=batches, steps=4, checkpoints=[0], progress=False)


def test_what_cannot_be_measured_has_a_name() -> None:
    x, y, _, _ = digits()
    batch = (x[:50], y[:50])
    assert with_batches([batch] * 6).status == "no_noise"
    assert with_batches(list(loader()), scale=0.0).status == "no_gradient"
    assert with_batches([batch, (x[50:], y[50:])]).status == "too_little_data"


def leaving_out(calls: set[int], *, loss: float) -> ss.Probe:
    """The optimizer does not step in these calls, as a gradient scaler's does not after an overflow."""
    loop = plain()
    done = [0]

    def step(batch: Any) -> Any:
        done[0] += 1
        if done[0] in calls:
            return loss * loop.step(batch)
        loop.optimizers[0].zero_grad()
        found = nn.functional.cross_entropy(loop.state[0](batch[0]), batch[1])
        found.backward()
        loop.optimizers[0].step()
        return found.detach()

    def left_out(batch: Any) -> Any:
        return nn.functional.cross_entropy(loop.state[0](batch[0]), batch[1]).detach()

    loop.step = left_out
    return ss.Probe(step, loop.state, loop.optimizers)


@pytest.mark.parametrize("call", range(15, 99, 12))
def test_a_loss_that_is_not_finite_in_one_pass_alone_has_a_name(call: int) -> None:
    """Where it comes in one pass, the other one has a gradient of that batch."""
    probe = leaving_out({call}, loss=float("nan"))
    found = ss.noise_scale(probe, 0.05, batches=loader(), steps=4, checkpoints=[0], progress=False)
    assert (found.status, found.points) == ("diverged", ())


def test_a_step_that_leaves_out_others_in_every_pass_is_told_why() -> None:
    probe = leaving_out(set(range(0, 200, 7)), loss=1.0)
    with pytest.raises(ValueError, match=r"must do the same again .* state lacks what it changes"):
        ss.noise_scale(probe, 0.05, batches=loader(), steps=4, checkpoints=[0], progress=False)


def test_a_smaller_last_batch_is_left_out() -> None:
    x, y, _, _ = digits()
    found = with_batches(DataLoader(TensorDataset(x[:330], y[:330]), batch_size=50, shuffle=True))
    assert found.points[0].examples == 300


def test_ctrl_c_keeps_the_points_that_there_are_and_an_error_changes_nothing() -> None:
    loop = plain()
    before = loop.picture()
    found = measured(loop, steps=64, checkpoints=3, progress=Interrupting())
    assert (found.status, len(found.points)) == ("interrupted", 1)
    assert same(before, loop.picture())
    calls = [0]

    def step(batch: Any) -> Any:
        calls[0] += 1
        if calls[0] == 30:
            raise RuntimeError("broken")
        return loop.step(batch)

    with pytest.raises(RuntimeError, match="broken"):
        ss.noise_scale(
            ss.Probe(step, loop.state, loop.optimizers), 0.05, batches=loop.batches, steps=9, checkpoints=[3]
        )
    assert same(before, loop.picture())


def test_weights_are_named_by_their_modules_and_tensors_by_their_number() -> None:
    model, loose = nn.Linear(2, 2), torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.SGD([*model.parameters(), loose], lr=0.1)
    probe = ss.Probe(lambda batch: 0.0, [model, loose], optimizer)
    assert list(trained_weights(probe)) == ["weight", "bias", "tensor 2"]


def late_step() -> object:
    loop = one_optimizer(sgd, batch_size=10, calls=3)
    loop.train(2)
    return measured(loop, checkpoints=[0])


def idle_optimizer() -> object:
    loop = adversarial()
    idle = torch.optim.SGD(loop.state[0].parameters(), lr=0.1)
    probe = ss.Probe(loop.step, loop.state, [*loop.optimizers, idle])
    return ss.noise_scale(probe, 0.1, batches=loop.batches, steps=5, kind="simple", progress=False)


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: measured(plain(), kind="gauss_newton"), ValueError, "which a probe's step does not show"),
        (lambda: measured(plain(), kind="preconditioned"), ValueError, "SGD keeps none"),
        (lambda: measured(plain(), micro_batch=5), ValueError, "micro_batch=5 goes with a Task"),
        (lambda: measured(plain(), batches=None), TypeError, "batches must be given with a probe"),
        (lambda: measured(plain(), checkpoints=[41]), ValueError, "rise within 0…40 updates"),
        (late_step, ValueError, "between two updates, .* came with call 1 of step, and accumulate is 3"),
        (idle_optimizer, ValueError, "in which every optimizer steps, but in none .* did SGD: pass more"),
        (lambda: ss.noise_scale(3, 0.1), TypeError, "task must be a stepsize.Task or a Probe"),  # type: ignore[arg-type]
        (lambda: ss.noise_scale(digits_task(), 0.1, batches=[1]), TypeError, "batches goes with a Probe"),
    ],
)
def test_errors_name_the_argument_and_the_fix(
    call: Callable[[], object], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        call()
