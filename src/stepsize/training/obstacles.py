"""What keeps a task out of the stack: found before any time is spent, or on the first batch.

The first stacked update is compared with the same update as an ordinary loop makes it, on a fresh model
with real parameters, so that whatever the loop has and the stack lacks (hooks, counts kept in Python, weights
changed behind the optimizer's back) shows as a difference or by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from stepsize._capabilities import known_obstacle
from stepsize._rng import capture_rng, same_foreign_rng
from stepsize.task import Task
from stepsize.training.dropout import RowMajorDropout
from stepsize.training.optimizers import needs_closure
from stepsize.training.trace import close, largest


class NotStackableError(Exception):
    """The task cannot run as a stack; the message says why."""


def refuse_known(task: Task, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Raise for losses, modules and optimizers that are known to be no good in a stack."""
    if task.evaluates_with_grad:
        raise NotStackableError(
            "the loss or a metric takes a gradient by torch.autograd, which vmap cannot map; what is written "
            "with torch.func.grad it can"
        )
    if why := known_obstacle(model):
        raise NotStackableError(why)
    if needs_closure(optimizer):
        raise NotStackableError(
            f"{type(optimizer).__name__} evaluates the loss several times per update, as often as it likes"
        )


@dataclass(frozen=True)
class PlainUpdate:
    """What one ordinary update gives: the loss, and what it leaves of the model's tensors.

    The gradients of what the optimizer updates and the loss reaches, the buffers, and the other parameters.
    """

    loss: torch.Tensor
    grads: Mapping[str, torch.Tensor]
    buffers: Mapping[str, torch.Tensor]
    fixed: Mapping[str, torch.Tensor]


def plain_update(task: Task, seed: int, batch: Any) -> PlainUpdate:
    """The first update of a run, made the ordinary way; refuses what no list of kernels can repeat."""
    model = task.make_model(seed)
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    trained = [p for p in model.parameters() if p.requires_grad]
    notes, chance = _python_values(model, task.loss), capture_rng()
    with torch.enable_grad(), RowMajorDropout():
        loss = task.loss(model, batch)
        loss.backward(inputs=trained)
    if not same_foreign_rng(chance, capture_rng()):
        raise NotStackableError(
            "an update draws from Python's or NumPy's random numbers, or from a generator of its own"
        )
    changed = [key for key, value in _python_values(model, task.loss).items() if notes.get(key) != value]
    if changed:
        raise NotStackableError(
            f"{changed[0]} changes at every call, and a stack does not call it at every update"
        )
    for name, p in model.named_parameters():
        if name not in start or not torch.equal(p, start[name]):
            raise NotStackableError(f"the model changes its own parameter {name} while it computes the loss")
        if p.grad is not None and p.grad.layout is not torch.strided:
            raise NotStackableError(f"the gradient of {name} is sparse, and only dense ones can be stacked")
    groups = task.make_optimizer(model, 1.0).param_groups
    updated = {id(p) for group in groups for p in group["params"]}
    grads = {n: p.grad for n, p in model.named_parameters() if id(p) in updated and p.grad is not None}
    fixed = {n: p.detach() for n, p in model.named_parameters() if n not in grads}
    return PlainUpdate(loss.detach(), grads, dict(model.named_buffers()), fixed)


def agrees(
    plain: PlainUpdate,
    loss: torch.Tensor,
    grads: Mapping[str, torch.Tensor],
    buffers: Mapping[str, torch.Tensor],
) -> bool:
    """Whether one member of a stack has the plain update's numbers, up to rounding."""
    left = {**plain.fixed, **plain.buffers}
    if plain.grads.keys() != grads.keys() or not plain.buffers.keys() <= buffers.keys() <= left.keys():
        return False
    # A gradient that is zero but for rounding (a bias under BatchNorm) is held to the scale of the others.
    scale = max((largest(g) for g in plain.grads.values()), default=0.0)
    return (
        close(loss, plain.loss)
        and all(close(grads[name], g, scale) for name, g in plain.grads.items())
        and all(close(buffer, left[name]) for name, buffer in buffers.items())
    )


def _python_values(model: nn.Module, loss: Any) -> dict[str, list[Any]]:
    """The numbers, words and flags that a model and its loss keep outside of their tensors, by attribute."""
    values = {}
    for name, module in model.named_modules():
        for key, value in vars(module).items():
            values[f"{name}.{key}" if name else f"model.{key}"] = _plain_leaves(value)
    for key, value in getattr(loss, "__dict__", {}).items():
        values[f"loss.{key}"] = _plain_leaves(value)
    code = getattr(loss, "__code__", None)
    for key, cell in zip(
        code.co_freevars if code else (), getattr(loss, "__closure__", None) or (), strict=False
    ):
        values[f"{key}, which the loss uses,"] = _plain_leaves(_contents(cell))
    return values


def _plain_leaves(value: Any) -> list[Any]:
    leaves: Iterable[Any] = tree_leaves(value)
    return [leaf for leaf in leaves if isinstance(leaf, (bool, int, float, str))]


def _contents(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a name that is not bound yet
        return None
