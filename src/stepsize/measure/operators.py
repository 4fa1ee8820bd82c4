"""Products with the Hessian and the Gauss-Newton matrix of the loss on a fixed batch, without the matrices.

Dropout layers are switched off, since their masks would be other ones at every product, and any other random
numbers are the same at every product. BatchNorm uses the batch's own statistics, as in training, and moves
none of its averages. For a loss c(z) of outputs z = f(w), the Hessian is Jᵀ C J + Σ (∂c/∂z) ∇²z and the
Gauss-Newton matrix Jᵀ C J, with J = ∂z/∂w and C = ∂²c/∂z².
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, grad_and_value, vjp, vmap

from stepsize._rng import isolated_rng
from stepsize.data import Batch
from stepsize.losses import BoundLoss, Supervised, predict
from stepsize.task import Task

Weights = dict[str, Tensor]


class NoCurvatureError(Exception):
    """These products cannot be had for this task; the message says why."""


class Surface:
    """The loss on one batch as a function of the trained weights, flat vectors of length `size`."""

    def __init__(self, task: Task, model: nn.Module, batch: Batch) -> None:
        self._loss, self._batch = task.loss, batch
        _pin(model)
        self._bound = BoundLoss(model, task.loss)
        self.weights: Weights = {k: p.detach() for k, p in model.named_parameters() if p.requires_grad}
        fixed = {k: v.detach() for k, v in (*model.named_parameters(), *model.named_buffers())}
        self._fixed = {k: v for k, v in fixed.items() if k not in self.weights}
        self.size = sum(w.numel() for w in self.weights.values())
        first = next(iter(self.weights.values()))
        self.dtype, self.device = first.dtype, first.device
        self._outputs: tuple[Callable[[Weights], Tensor], Callable[[Tensor], Tensor]] | None = None

    def loss(self, weights: Weights) -> Tensor:
        """The mean loss at these weights."""
        with isolated_rng(0):
            value: Tensor = functional_call(self._bound, self._state(weights, "model."), (self._batch,))[0]
        return value

    def value_and_gradient(self) -> tuple[float, Tensor]:
        """At the present weights; the gradient flat, (size,).

        Raises:
            NoCurvatureError: `torch.func` cannot differentiate this loss.
        """
        try:
            found, value = grad_and_value(self.loss)(self.weights)
        except (RuntimeError, NotImplementedError) as error:
            raise NoCurvatureError(
                f"torch.func cannot differentiate the loss ({_first_line(error)})"
            ) from error
        return float(value), self.flat(found)

    def hessian_product(self, vector: Tensor) -> Tensor:
        """H v, (size,): the gradient of v · ∇loss.

        Raises:
            NoCurvatureError: the gradient cannot be differentiated again.
        """
        try:
            product = vjp(grad(self.loss), self.weights)[1](self.tree(vector))[0]
        except (RuntimeError, NotImplementedError) as error:
            raise NoCurvatureError(
                f"the gradient cannot be differentiated again ({_first_line(error)})"
            ) from error
        return self.flat(product)

    def gauss_newton_product(self, vector: Tensor) -> Tensor:
        """Jᵀ C J v, (size,).

        Raises:
            NoCurvatureError: the loss is not made by `ss.supervised`, so its outputs are not known.
        """
        outputs, criterion = self.outputs()
        z, pull = vjp(outputs, self.weights)[:2]
        pushed = _push(pull, z, self.tree(vector))
        return self.flat(pull(_curve(criterion, z, pushed))[0])

    def outputs(self) -> tuple[Callable[[Weights], Tensor], Callable[[Tensor], Tensor]]:
        """The outputs z as a function of the weights, and the loss as one of z."""
        if not isinstance(self._loss, Supervised):
            raise NoCurvatureError(
                "the loss does not tell its outputs apart from its criterion: "
                "make it with ss.supervised(criterion)"
            )
        wrapped = _Outputs(self._bound.model, self._loss.target)
        criterion, batch = self._loss.criterion, self._batch
        _, target = predict(_Nothing(), batch, self._loss.target)

        def outputs(weights: Weights) -> Tensor:
            with isolated_rng(0):
                z: Any = functional_call(wrapped, self._state(weights, "model."), (batch,))
            if not isinstance(z, Tensor):
                raise NoCurvatureError(f"the model gives a {type(z).__name__} and not one tensor")
            return z

        return outputs, lambda z: criterion(z, target)

    def output_products(self) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
        """J v and C u for rows of vectors: (k, size) → (k, M), and (k, M) → (k, M) with M numbers in z."""
        outputs, criterion = self.outputs()
        z, pull = vjp(outputs, self.weights)[:2]

        def push(vectors: Tensor) -> Tensor:
            found: Tensor = vmap(lambda v: _push(pull, z, self.tree(v)))(vectors)
            return found.flatten(1)

        def curve(rows: Tensor) -> Tensor:
            shaped = rows.reshape(len(rows), *z.shape)
            found: Tensor = vmap(lambda u: _curve(criterion, z, u))(shaped)
            return found.flatten(1)

        return push, curve

    def flat(self, tree: Weights) -> Tensor:
        return torch.cat([tree[name].reshape(-1) for name in self.weights])

    def tree(self, vector: Tensor) -> Weights:
        sizes = [w.numel() for w in self.weights.values()]
        parts = zip(self.weights.items(), vector.split(sizes), strict=True)
        return {name: part.reshape(w.shape) for (name, w), part in parts}

    def _state(self, weights: Weights, prefix: str) -> Weights:
        fixed = {name: value.clone() for name, value in self._fixed.items()}
        return {f"{prefix}{name}": value for name, value in (weights | fixed).items()}


def _push(pull: Callable[[Tensor], Any], z: Tensor, tangent: Weights) -> Tensor:
    """J v as the transpose of u → Jᵀ u: forward mode lacks rules that reverse mode has."""
    found: Tensor = vjp(lambda u: pull(u)[0], torch.zeros_like(z))[1](tangent)[0]
    return found


def _curve(criterion: Callable[[Tensor], Tensor], z: Tensor, u: Tensor) -> Tensor:
    """C u."""
    found: Tensor = vjp(grad(criterion), z)[1](u)[0]
    return found


class _Outputs(nn.Module):
    def __init__(self, model: nn.Module, target: str | None) -> None:
        super().__init__()
        self.model, self._target = model, target

    def forward(self, batch: Batch) -> Any:
        return predict(self.model, batch, self._target)[0]


class _Nothing(nn.Module):
    """Stands in for a model where only the target of a batch is wanted."""

    def forward(self, *inputs: Any, **named: Any) -> None: ...


def _pin(model: nn.Module) -> None:
    """Training mode without chance: BatchNorm as in training, dropout off."""
    model.train()
    for module in model.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.eval()


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
