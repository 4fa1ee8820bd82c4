"""Snapshot and restore: whatever happens while measuring, everything comes back as it was."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from stepsize._rng import capture_rng, restore_rng

Restore = Callable[[], None]


@contextmanager
def preserved(*objects: Any) -> Iterator[None]:
    """Leave a block with modules, optimizers and all random number generators exactly as it was entered.

    `objects` are `nn.Module`s (weights, buffers, gradients, train/eval modes, `requires_grad`), torch
    optimizers (state and parameter groups), and anything else with `state_dict` and `load_state_dict`
    (schedulers, gradient scalers, stateful loaders). The state of torch's, NumPy's and Python's random
    number generators is always included. Everything is put back on exceptions, Ctrl-C and out-of-memory
    too, and every object is tried even if another cannot be restored.

    Raises:
        TypeError: an object is of none of these kinds.
    """
    restores = [_snapshot(item) for item in objects]
    rng = capture_rng()
    restores.append(lambda: restore_rng(rng))
    try:
        yield
    finally:
        failures = []
        for restore in restores:
            try:
                restore()
            except Exception as error:
                failures.append(error)
        if failures:
            raise ExceptionGroup("the state from before the measurement could not be put back", failures)


def _snapshot(item: Any) -> Restore:
    if isinstance(item, nn.Module):
        return _snapshot_module(item)
    if isinstance(item, torch.optim.Optimizer):
        return _snapshot_optimizer(item)
    if hasattr(item, "state_dict") and hasattr(item, "load_state_dict"):
        state = copy.deepcopy(item.state_dict())
        return lambda: item.load_state_dict(state)
    raise TypeError(
        f"cannot preserve a {type(item).__name__}: it must be a module, an optimizer, or have "
        "state_dict() and load_state_dict()"
    )


def _snapshot_module(module: nn.Module) -> Restore:
    tensors = [(t, t.detach().clone()) for t in (*module.parameters(), *module.buffers())]
    grads = [
        (p, None if p.grad is None else p.grad.detach().clone(), p.requires_grad) for p in module.parameters()
    ]
    modes = [(m, m.training) for m in module.modules()]
    owners = [(m, dict(m._parameters), dict(m._buffers)) for m in module.modules()]

    def restore() -> None:
        for owner, parameters, buffers in owners:  # a module may have replaced a tensor instead of filling it
            owner._parameters.update(parameters)
            owner._buffers.update(buffers)
        with torch.no_grad():
            for tensor, saved in tensors:
                tensor.copy_(saved)
        for parameter, grad, requires_grad in grads:
            parameter.requires_grad_(requires_grad)
            parameter.grad = grad
        for owner, training in modes:
            owner.training = training

    return restore


def _snapshot_optimizer(optimizer: torch.optim.Optimizer) -> Restore:
    state = {p: copy.deepcopy(slot) for p, slot in optimizer.state.items()}
    groups = [
        {k: v if k == "params" else copy.deepcopy(v) for k, v in g.items()} for g in optimizer.param_groups
    ]
    lists = [list(g["params"]) for g in optimizer.param_groups]

    def restore() -> None:
        optimizer.state.clear()
        optimizer.state.update(state)
        del optimizer.param_groups[len(groups) :]
        for group, saved, params in zip(optimizer.param_groups, groups, lists, strict=True):
            group.clear()
            group.update(saved)
            group["params"] = params

    return restore
