"""Snapshot and restore: whatever happens while measuring, everything comes back as it was."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from stepsize._rng import capture_rng, restore_rng

Restore = Callable[[], object]


@contextmanager
def preserved(*objects: Any) -> Iterator[None]:
    """Leave a block with modules, optimizers and all random number generators exactly as it was entered.

    `objects` are `nn.Module`s (weights, buffers, gradients, train/eval modes, `requires_grad`, attributes),
    torch optimizers (state and parameter groups), `torch.Generator`s, and anything else with `state_dict` and
    `load_state_dict` (schedulers, gradient scalers, stateful loaders). The state of torch's, NumPy's and
    Python's random number generators is always included. Everything is put back on exceptions, Ctrl-C
    and out-of-memory too, and every object is tried even if another cannot be restored.

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
            except Exception as error:  # noqa: BLE001 - one failure must not keep the rest from coming back
                failures.append(error)
        if failures:
            raise ExceptionGroup("the state from before the measurement could not be put back", failures)


def _snapshot(item: Any) -> Restore:
    if isinstance(item, nn.Module):
        return _snapshot_module(item)
    if isinstance(item, torch.optim.Optimizer):
        return _snapshot_optimizer(item)
    if isinstance(item, torch.Generator):
        generator_state = item.get_state()
        return lambda: item.set_state(generator_state)
    if hasattr(item, "state_dict") and hasattr(item, "load_state_dict"):
        state = copy.deepcopy(item.state_dict())
        return lambda: item.load_state_dict(state)
    raise TypeError(
        f"cannot preserve a {type(item).__name__}: it must be a module, an optimizer, a "
        "torch.Generator, or have "
        "state_dict() and load_state_dict()"
    )


def _snapshot_module(module: nn.Module) -> Restore:
    owners = [(m, _Attributes(m, ("_parameters", "_buffers", "_modules"))) for m in module.modules()]
    tensors = [(t, t.detach().clone()) for t in (*module.parameters(), *module.buffers())]
    grads = [
        (p, p.requires_grad, p.grad, None if p.grad is None else p.grad.detach().clone())
        for p in module.parameters()
    ]

    def restore() -> None:
        for (
            _,
            attributes,
        ) in owners:  # a tensor, a submodule or a flag may have been replaced instead of changed
            attributes.restore()
        with torch.no_grad():
            for tensor, saved in tensors:
                tensor.copy_(saved)
            for parameter, requires_grad, grad, saved_grad in grads:
                parameter.requires_grad_(requires_grad)
                parameter.grad = grad
                if grad is not None and saved_grad is not None:
                    grad.copy_(saved_grad)

    return restore


def _snapshot_optimizer(optimizer: torch.optim.Optimizer) -> Restore:
    state = {p: copy.deepcopy(slot) for p, slot in optimizer.state.items()}
    groups = [
        {k: v if k == "params" else copy.deepcopy(v) for k, v in g.items()} for g in optimizer.param_groups
    ]
    lists = [list(g["params"]) for g in optimizer.param_groups]
    attributes = _Attributes(optimizer, ("state", "param_groups"))

    def restore() -> None:
        attributes.restore()
        optimizer.state.clear()
        optimizer.state.update(state)
        for group, saved, params in zip(optimizer.param_groups, groups, lists, strict=True):
            group.clear()
            group.update(saved)
            group["params"] = params

    return restore


class _Attributes:
    """An object's attributes, and what its registries (dicts and lists among them) hold."""

    def __init__(self, owner: object, registries: tuple[str, ...]) -> None:
        self._owner = owner
        self._values = dict(vars(owner))
        self._contents = {name: copy.copy(self._values[name]) for name in registries}

    def restore(self) -> None:
        vars(self._owner).clear()
        vars(self._owner).update(self._values)
        for name, contents in self._contents.items():
            registry = self._values[name]
            registry.clear()
            registry.extend(contents) if isinstance(registry, list) else registry.update(contents)
