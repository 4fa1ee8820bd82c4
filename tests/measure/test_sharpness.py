"""Curvature on small nets: against the dense Hessian and against curvlinops with SciPy, and on bad input."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import eigsh
from torch import Tensor, nn

import stepsize as ss
from stepsize.measure.sharpness import sharpness
from tests.tasks import digits, digits_task


def small_task(**changes: Any) -> ss.Task:
    x, y, xv, yv = digits()
    arguments = {
        "model": lambda: nn.Sequential(nn.Linear(9, 6), nn.Tanh(), nn.Linear(6, 10)),
        "train": (x[:200, 90:99], y[:200]),
        "val": (xv[:, 90:99], yv),
        "batch_size": 20,
        "steps": 40,
    }
    return digits_task(**(arguments | changes))


def flat_loss(task: ss.Task) -> tuple[Any, Tensor]:
    """The loss on all training data as a function of one vector, and the start, in float64."""
    model = task.make_model(task.seed).double()
    x, y = task.train.tree  # type: ignore[union-attr]
    names = [name for name, _ in model.named_parameters()]
    sizes = [p.numel() for p in model.parameters()]
    shapes = [p.shape for p in model.parameters()]

    def loss(vector: Tensor) -> Tensor:
        parts = [part.reshape(shape) for part, shape in zip(vector.split(sizes), shapes, strict=True)]
        out = torch.func.functional_call(model, dict(zip(names, parts, strict=True)), (x.double(),))
        return nn.functional.cross_entropy(out, y)

    return loss, torch.cat([p.detach().flatten() for p in model.parameters()])


def test_the_ends_are_those_of_the_dense_hessian() -> None:
    task = small_task()
    loss, start = flat_loss(task)
    values = torch.linalg.eigvalsh(torch.func.jacrev(torch.func.jacrev(loss))(start))
    (point,) = sharpness(task, tolerance=1e-4, progress=False).points
    assert point.largest == pytest.approx(float(values[-1]), rel=1e-3)
    assert point.smallest == pytest.approx(float(values[0]), rel=1e-3)
    assert point.converged
    assert point.loss == pytest.approx(float(loss(start)), rel=1e-5)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # of torch's own forward mode
def test_three_digits_agree_with_curvlinops_and_scipy() -> None:
    import curvlinops  # warns as it is imported

    task = small_task()
    model = task.make_model(task.seed)
    data = [task.train.tree]  # type: ignore[union-attr]
    params = list(model.parameters())
    found = {}
    for name in ("HessianLinearOperator", "GGNLinearOperator"):
        operator = getattr(curvlinops, name)(model, nn.CrossEntropyLoss(), params, data)
        (found[name],) = eigsh(operator.to_scipy(), k=1, which="LA", return_eigenvectors=False, tol=1e-5)
    (point,) = sharpness(task, tolerance=1e-4, progress=False).points
    assert point.largest == pytest.approx(found["HessianLinearOperator"], rel=1e-3)
    assert point.gauss_newton == pytest.approx(found["GGNLinearOperator"], rel=1e-3)


def test_full_batch_training_is_stable_below_the_ceiling_and_not_above() -> None:
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(1)) * torch.tensor([3.0, 1.0, 1.0, 0.3])
    task = ss.Task(
        model=partial(nn.Linear, 4, 1),
        loss=ss.supervised(nn.MSELoss()),
        train=(x, x.sum(dim=1, keepdim=True)),
        val=(x, x.sum(dim=1, keepdim=True)),
        optimizer=partial(torch.optim.SGD, momentum=0.8),
        batch_size="full",
        steps=400,
    )
    ceiling = sharpness(task, tolerance=1e-5, progress=False).ceiling
    assert ceiling is not None
    rates = np.array([[0.97 * ceiling], [1.03 * ceiling]]) * np.ones((1, 400))
    history = ss.train(task, [ss.Member(1.0, 0)] * 2, rates, evaluate_at=[0, 400])
    assert history.val_loss[0, 1] < 1e-3 * history.val_loss[0, 0]
    assert history.status[1] == "diverged" or history.val_loss[1, 1] > 10 * history.val_loss[1, 0]


def test_along_a_run_with_adam_the_ceiling_is_that_of_its_preconditioner() -> None:
    found = sharpness(small_task(optimizer=torch.optim.Adam), 0.01, checkpoints=[0, 40], progress=False)
    start, end = found.points
    assert start.ceiling is None
    assert "before its first update" in start.ceiling_reason
    assert end.preconditioned is not None
    assert end.ceiling == pytest.approx(38 / end.preconditioned)
    assert end.ceiling is not None
    assert end.ceiling_low is not None
    assert end.ceiling_low <= end.ceiling
    assert ss.Sharpness.from_json(found.to_json()).points == found.points
    assert "λ max" in str(found)


def test_dropout_and_batch_norm_are_pinned_and_left_as_they_were() -> None:
    net = nn.Sequential(nn.Linear(9, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 10))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    first, second = (sharpness(small_task(model=net), progress=False).points[0].largest for _ in range(2))
    assert first == second
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


class Saddle(nn.Module):
    """½ (a² − b²) near (0, 0), whatever comes in."""

    def __init__(self) -> None:
        super().__init__()
        self.at = nn.Parameter(torch.tensor([1e-3, 1e-3]))

    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * (self.at[0] ** 2 - self.at[1] ** 2) + 0 * x.sum()


def shaped(model: nn.Module, factor: float = 1.0) -> ss.Task:
    return ss.Task(
        model=model,
        loss=lambda model, batch: factor * model(batch),
        train=torch.ones(20, 1),
        val=torch.ones(4, 1),
        optimizer=torch.optim.SGD,
        batch_size=5,
        steps=100,
    )


class Bowl(Saddle):
    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * (self.at**2).sum() + 0 * x.sum()


@pytest.mark.parametrize(
    ("task", "kind"),
    [(shaped(Saddle()), "saddle"), (shaped(Bowl()), "minimum"), (shaped(Bowl(), 1e-6), "flat")],
    ids=["saddle", "minimum", "flat"],
)
def test_a_plateau_is_told_apart(task: ss.Task, kind: str) -> None:
    (point,) = sharpness(task, 0.1, progress=False).points
    assert point.kind == kind
    assert point.gauss_newton is None  # the loss does not tell its outputs


class Kinked(torch.autograd.Function):
    """Squares, but cannot be differentiated twice."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        result: Tensor = 2 * x * grad
        return result


class Once(Saddle):
    def forward(self, x: Tensor) -> Tensor:
        squared: Tensor = Kinked.apply(self.at)  # type: ignore[no-untyped-call]
        return squared.sum() + 0 * x.sum()


def test_without_second_derivatives_the_status_says_so() -> None:
    found = sharpness(shaped(Once()), progress=False)
    assert found.status == "no_curvature"
    assert found.why.startswith("No curvature could be measured")


def test_a_run_that_diverges_keeps_its_points() -> None:
    found = sharpness(small_task(), 1e5, checkpoints=[0, 40], progress=False)
    assert found.status == "diverged"
    assert [point.update for point in found.points] == [0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"checkpoints": [10]}, "lr must be given"),
        ({"checkpoints": [5, 2], "lr": 0.1}, "checkpoints must rise"),
        ({"lr": 0.0}, "lr must be"),
        ({"tolerance": 0.0}, "tolerance must"),
        ({"subset": 0}, "subset must"),
        ({"products": 1}, "products must"),
    ],
)
def test_wrong_use_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sharpness(small_task(), **({"progress": False} | options))
