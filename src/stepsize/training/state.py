"""Snapshot and restore: whatever happens while measuring, everything comes back as it was."""

from __future__ import annotations

import copy
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from stepsize._rng import capture_rng, restore_rng

Restore = Callable[[], object]
"""Puts back what it was made of, as often as it is called."""

GradScaler = torch.amp.GradScaler


class Restorable(ABC):
    """Something with a state of its own kind."""

    @abstractmethod
    def snapshot(self) -> Restore:
        """What puts everything back to as it is now."""


class Snapshot:
    """The state of objects and of all random number generators, which can be put back again and again.

    `objects` are `nn.Module`s (weights, buffers, gradients, train/eval modes, `requires_grad`, attributes),
    torch optimizers (state and parameter groups), gradient scalers, tensors, `torch.Generator`s, NumPy's and
    Python's generators, dicts and lists (their tensors and values), a `Restorable`, and anything else with
    `state_dict` and `load_state_dict` (schedulers, stateful loaders). The state of torch's, NumPy's and
    Python's global generators is always included. Objects stay the same ones: it is their content that is
    put back.

    Raises:
        TypeError: an object is of none of these kinds.
    """

    def __init__(self, *objects: Any) -> None:
        self._restores = [_restore_of(item) for item in objects]
        self._rng = capture_rng()

    def restore(self) -> None:
        """Put everything back; every object is tried even if another cannot be restored.

        Raises:
            ExceptionGroup: what kept objects from coming back.
        """
        failures = []
        rng: Restore = partial(restore_rng, self._rng)
        for restore in (*self._restores, rng):
            try:
                restore()
            except Exception as error:  # noqa: BLE001 - one failure must not keep the rest from coming back
                failures.append(error)
        if failures:
            raise ExceptionGroup("the state from before the measurement could not be put back", failures)


@contextmanager
def preserved(*objects: Any) -> Iterator[None]:
    """Leave a block with modules, optimizers and all random number generators exactly as it was entered.

    `objects` are of the kinds that a `Snapshot` takes. Everything is put back on exceptions, Ctrl-C and
    out-of-memory too, and every object is tried even if another cannot be restored.

    Raises:
        TypeError: an object is of none of these kinds.
    """
    snapshot = Snapshot(*objects)
    try:
        yield
    finally:
        snapshot.restore()


def _restore_of(item: Any) -> Restore:
    if isinstance(item, Restorable):
        return item.snapshot()
    if isinstance(item, nn.Module):
        return _of_module(item)
    if isinstance(item, torch.optim.Optimizer):
        return _of_optimizer(item)
    if isinstance(item, GradScaler):
        return _of_content(vars(item))  # its state_dict leaves out where in an update it is
    if isinstance(item, torch.Generator):
        generator_state = item.get_state()
        return lambda: item.set_state(generator_state)
    if isinstance(item, np.random.Generator):
        bits = copy.deepcopy(item.bit_generator.state)
        return lambda: setattr(item.bit_generator, "state", bits)
    if isinstance(item, random.Random):
        words = item.getstate()
        return lambda: item.setstate(words)
    if isinstance(item, (torch.Tensor, dict, list)):
        return _of_content(item)
    if hasattr(item, "state_dict") and hasattr(item, "load_state_dict"):
        state = copy.deepcopy(item.state_dict())
        return lambda: item.load_state_dict(copy.deepcopy(state))
    raise TypeError(
        f"cannot preserve a {type(item).__name__}: it must be a module, an optimizer, a gradient scaler, a "
        "tensor, a random generator, a dict or list, or have state_dict() and load_state_dict()"
    )


def _of_module(module: nn.Module) -> Restore:
    owners = [_Attributes(m, ("_parameters", "_buffers", "_modules")) for m in module.modules()]
    tensors = [(t, t.detach().clone()) for t in (*module.parameters(), *module.buffers())]
    grads = [
        (p, p.requires_grad, p.grad, None if p.grad is None else p.grad.detach().clone())
        for p in module.parameters()
    ]

    def restore() -> None:
        for owner in owners:  # a tensor, a submodule or a flag may have been replaced instead of changed
            owner.restore()
        with torch.no_grad():
            for tensor, saved in tensors:
                tensor.copy_(saved)
            for parameter, requires_grad, grad, saved_grad in grads:
                parameter.requires_grad_(requires_grad)
                parameter.grad = grad
                if grad is not None and saved_grad is not None:
                    grad.copy_(saved_grad)

    return restore


def _of_optimizer(optimizer: torch.optim.Optimizer) -> Restore:
    lists = [list(group["params"]) for group in optimizer.param_groups]
    attributes = _Attributes(optimizer, ("state", "param_groups"))
    state = _of_content(dict(optimizer.state))
    groups = [
        _of_content({k: v for k, v in group.items() if k != "params"}) for group in optimizer.param_groups
    ]

    def restore() -> None:
        attributes.restore()
        optimizer.state.clear()
        optimizer.state.update(state())
        for group, content, params in zip(optimizer.param_groups, groups, lists, strict=True):
            group.clear()
            group.update(params=params, **content())

    return restore


def _of_content(value: Any) -> Callable[[], Any]:
    """What gives a value back as it is now: tensors, dicts and lists the same objects, the rest as copies."""
    if isinstance(value, torch.Tensor):
        return _of_tensor(value)
    if isinstance(value, dict):
        entries = {key: _of_content(entry) for key, entry in value.items()}

        def restore_dict() -> Any:
            content = {key: entry() for key, entry in entries.items()}
            value.clear()
            value.update(content)
            return value

        return restore_dict
    if isinstance(value, list):
        items = [_of_content(item) for item in value]

        def restore_list() -> Any:
            value[:] = [item() for item in items]
            return value

        return restore_list
    saved = copy.deepcopy(value)
    return lambda: copy.deepcopy(saved)


def _of_tensor(tensor: torch.Tensor) -> Callable[[], torch.Tensor]:
    saved = tensor.detach().clone()

    def restore() -> torch.Tensor:
        with torch.no_grad():
            tensor.copy_(saved)
        return tensor

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
