"""The noise scale on real tasks: against a loop over single samples, by every method, and on bad input."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import stepsize as ss
from stepsize.data import Tensors
from stepsize.measure.noise_scale import noise_scale
from tests.tasks import digits, digits_task, normed_net


def small_task(samples: int = 60, **changes: Any) -> ss.Task:
    x, y, _, _ = digits()
    return digits_task(**({"train": (x[:samples], y[:samples]), "batch_size": 20, "steps": 40} | changes))


def single_gradients(task: ss.Task, model: nn.Module) -> torch.Tensor:
    """Each training sample's gradient, one backward pass after another, (N, weights) in float64."""
    assert isinstance(task.train, Tensors)
    rows = []
    for i in range(task.train.size):
        model.zero_grad()
        task.loss(model, task.train.take(torch.tensor([i]))).backward()
        rows.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).double())
    return torch.stack(rows)


def start_point(task: ss.Task, **options: Any) -> ss.NoiseScale:
    return noise_scale(task, 0.1, checkpoints=[0], progress=False, **options)


@pytest.mark.parametrize("options", [{}, {"micro_batch": 5}])
def test_all_samples_give_what_a_loop_over_them_gives(options: dict[str, int]) -> None:
    task = small_task()
    gradients = single_gradients(task, task.make_model(task.seed))
    mean = gradients.mean(dim=0)
    exact = float(gradients.var(dim=0, correction=1).sum() / (mean @ mean))
    (point,) = start_point(task, precision=1e-6, **options).points
    assert point.examples == 60
    if options:
        assert point.high is not None
        assert point.low < exact < point.high
    else:
        assert point.scale == pytest.approx(exact, rel=1e-4)
        assert (point.low, point.high) == pytest.approx((exact, exact), rel=1e-4)
    assert point.signal == pytest.approx(float(mean @ mean), rel=1e-4)


def test_layers_add_up() -> None:
    (point,) = start_point(small_task()).points
    assert [layer.name for layer in point.layers] == ["0", "2"]
    assert sum(layer.trace for layer in point.layers) == pytest.approx(point.trace)
    assert sum(layer.signal for layer in point.layers) == pytest.approx(point.signal)


def test_gauss_newton_agrees_with_the_dense_matrix() -> None:
    x, y, xv, yv = digits()
    task = small_task(
        model=lambda: nn.Linear(9, 10), train=(x[:60, 90:99], y[:60]), val=(xv[:, 90:99], yv), batch_size=20
    )
    model = task.make_model(task.seed)
    gradients = single_gradients(task, model).reshape(12, 5, -1).mean(dim=1)
    assert isinstance(task.train, Tensors)
    inputs, labels = task.train.tree
    weights = torch.cat([p.detach().flatten() for p in model.parameters()]).double()

    def loss(flat: torch.Tensor) -> torch.Tensor:  # linear outputs: the Hessian is the Gauss-Newton matrix
        outputs = inputs.double() @ flat[:90].reshape(10, 9).T + flat[90:]
        return nn.functional.cross_entropy(outputs, labels)

    matrix = torch.func.hessian(loss)(weights)
    found = start_point(task, kind="gauss_newton", micro_batch=5, precision=1e-6)
    (point,) = found.points
    assert point.examples == 60
    mean = gradients.mean(dim=0)
    assert point.signal == pytest.approx(float(mean @ matrix @ mean), rel=1e-3)


def test_adams_scale_divides_by_what_its_next_update_divides_by() -> None:
    task = small_task(optimizer=torch.optim.Adam)
    gradients = single_gradients(task, task.make_model(task.seed))
    mean, variance = gradients.mean(dim=0), gradients.var(dim=0, correction=0)
    divisor = (mean**2 + variance / 20).sqrt() + 1e-8  # before the first update v̂ is the expected square
    weighed = gradients / torch.where(divisor > 1e-8, divisor, torch.inf)
    centre = weighed.mean(dim=0)
    exact = float(weighed.var(dim=0, correction=1).sum() / (centre @ centre))
    found = start_point(task, precision=1e-6)
    assert found.kind == "preconditioned"
    assert found.scale == pytest.approx(exact, rel=1e-3)


def test_along_a_run_the_scale_moves_and_the_run_is_the_ordinary_one() -> None:
    task = digits_task(steps=200)
    found = noise_scale(task, 0.5, steps=200, checkpoints=[1, 20, 200], examples=512, progress=False)
    assert [point.update for point in found.points] == [1, 20, 200]
    history = ss.train(
        task, [ss.Member(0.5, task.seed)], np.full(200, 0.5), evaluate_at=[1, 20, 200], engine="loop"
    )
    assert [point.loss for point in found.points] == pytest.approx(history.val_loss[0].tolist())
    scales = [point.scale for point in found.points]
    assert all(scale is not None for scale in scales)
    assert found.status == "ok"
    assert ss.NoiseScale.from_json(found.to_json()).points == found.points
    assert "Along the run it went from" in str(found)


def test_units_multiply() -> None:
    samples, tokens = start_point(small_task()), start_point(small_task(), unit="tokens", per_sample=32)
    assert samples.scale is not None
    assert tokens.scale == pytest.approx(32 * samples.scale)
    assert "in tokens" in str(tokens)


def test_batch_norm_is_measured_in_batches_of_its_own_size() -> None:
    found = start_point(
        small_task(
            samples=400, model=lambda: nn.Sequential(nn.Linear(196, 8), nn.BatchNorm1d(8), nn.Linear(8, 10))
        )
    )
    assert found.method == "micro-batches"
    assert "BatchNorm1d" in found.method_reason
    assert found.points[0].micro_batch == 20


def test_nothing_is_left_changed() -> None:
    net = nn.Sequential(nn.Linear(196, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Linear(8, 10))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = torch.get_rng_state()
    noise_scale(small_task(model=net), 0.1, progress=False)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())


class Interrupting:
    """Ctrl-C at the second point."""

    points = 0

    def expect(self, updates: int) -> None: ...

    def phase(self, name: str) -> None:
        self.points += 1
        if self.points == 2:
            raise KeyboardInterrupt

    def advance(self, updates: int) -> None: ...


def test_ctrl_c_keeps_the_points_that_there_are() -> None:
    found = noise_scale(small_task(), 0.1, checkpoints=3, progress=Interrupting())
    assert found.status == "interrupted"
    assert len(found.points) == 1


def test_a_run_that_diverges_says_so() -> None:
    found = noise_scale(digits_task(), 1e6, steps=100, progress=False)
    assert found.status == "diverged"
    assert "smaller lr" in found.why or "diverged" in found.why


def same_samples(task: ss.Task) -> ss.Task:
    x, y, _, _ = digits()
    return task.replace(train=(x[:1].repeat(40, 1), y[:1].repeat(40)))


def zero_loss(model: nn.Module, batch: Any) -> torch.Tensor:
    return 0.0 * nn.functional.cross_entropy(model(batch[0]), batch[1])


@pytest.mark.parametrize(
    ("make", "status"),
    [
        (lambda: same_samples(small_task()), "no_noise"),
        (lambda: small_task(loss=zero_loss), "no_gradient"),
        (lambda: small_task(samples=1, batch_size=1), "too_little_data"),
        (lambda: small_task(samples=2, batch_size=2), "too_little_data"),
        (lambda: small_task(model=normed_net, batch_size=60), "too_little_data"),
    ],
    ids=["identical samples", "no gradient", "one sample", "two samples", "one batch of BatchNorm's"],
)
def test_what_cannot_be_measured_has_a_name(make: Callable[[], ss.Task], status: str) -> None:
    found = start_point(make())
    assert found.status == status
    assert not found.scale
    assert found.why


def test_fewer_samples_than_a_micro_batch_are_too_little_data() -> None:
    found = start_point(small_task(samples=60), micro_batch=100)
    assert (found.status, found.scale, found.points[0].examples) == ("too_little_data", None, 0)
    assert "0 micro-batches of 100" in found.why


def test_integer_inputs_and_streams_are_measured() -> None:
    generator = torch.Generator().manual_seed(0)
    words = torch.randint(0, 50, (300, 6), generator=generator)
    labels = (words[:, 0] > 25).long()
    task = ss.Task(
        model=lambda: nn.Sequential(nn.Embedding(50, 4), nn.Flatten(), nn.Linear(24, 2)),
        loss=ss.supervised(nn.CrossEntropyLoss()),
        train=(words, labels),
        optimizer=torch.optim.SGD,
        batch_size=10,
        steps=20,
    )
    assert start_point(task).status == "ok"

    def stream(batch_size: int, seed: int) -> Any:
        chosen = torch.Generator().manual_seed(seed)
        while True:
            at = torch.randint(0, 300, (batch_size,), generator=chosen)
            yield words[at], labels[at]

    found = start_point(task.replace(train=stream), examples=256)
    assert found.points[0].examples == 256


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -1.0}, "lr must be"),
        ({"precision": 0.0}, "precision must be"),
        ({"per_sample": math.inf}, "per_sample must be"),
        ({"steps": 10_000}, "steps must not exceed"),
        ({"checkpoints": [3, 1]}, "checkpoints must rise"),
        ({"checkpoints": 0}, "checkpoints must be"),
        ({"kind": "full"}, "kind must be"),
        ({"kind": "preconditioned"}, "SGD keeps none"),
        ({"examples": 0}, "examples must be"),
        ({"micro_batch": 0}, "micro_batch must be"),
    ],
)
def test_wrong_use_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        noise_scale(small_task(), **({"lr": 0.1, "progress": False} | options))


def test_gauss_newton_needs_a_criterion() -> None:
    with pytest.raises(ValueError, match=r"ss\.supervised"):
        start_point(small_task(loss=zero_loss), kind="gauss_newton")


# os._exit: gloo's worker threads may still hold a tensor when Python ends, and abort the process then
# (https://github.com/pytorch/pytorch/pull/179291), here about one exit in ten, whoever called the collective.
RANK = """
import os
import sys
import torch
import torch.distributed as dist
import stepsize as ss
from tests.tasks import digits_task
rank, folder = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
found = ss.noise_scale(digits_task(), 0.3, checkpoints=[10], precision=1e-6, examples=600, progress=False)
if rank == 0:
    found.save(f"{folder}/noise.json")
dist.destroy_process_group()
os._exit(0)
"""


def test_ranks_agree_with_a_single_process(tmp_path: Path) -> None:
    alike = os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen([sys.executable, "-c", RANK, str(rank), str(tmp_path)], env=alike)
        for rank in range(2)
    ]
    assert [rank.wait(timeout=120) for rank in ranks] == [0, 0]
    together = ss.NoiseScale.load(tmp_path / "noise.json")
    alone = noise_scale(digits_task(), 0.3, checkpoints=[10], precision=1e-6, examples=600, progress=False)
    assert together.method == "ranks"
    assert together.points[0].examples == alone.points[0].examples == 600
    assert together.scale is not None
    assert alone.points[0].high is not None
    assert alone.points[0].low < together.scale < alone.points[0].high
