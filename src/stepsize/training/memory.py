"""How many members fit in memory at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_leaves

from stepsize._rng import isolated_rng
from stepsize.task import Task

SHARE = 0.5
"""Share of the memory now available that a stack may plan to use."""

UNKNOWN = 4 * 2**30
"""Bytes to reckon with where the system does not say (Windows): what the smallest machines have free."""

OPTIMIZER_COPIES = 2
"""State tensors per parameter to reckon with: Adam's two."""


def available(device: torch.device) -> int:
    """Bytes that can be allocated now."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory())
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    if hasattr(os, "sysconf"):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return UNKNOWN


class _Made(TorchDispatchMode):
    """Shows every tensor that an operation makes: more than is kept."""

    def __init__(self, note: Callable[[torch.Tensor], object]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._note = note

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(made):
            if isinstance(leaf, torch.Tensor):
                self._note(leaf)
        return made


class Footprint(NamedTuple):
    """Bytes that one member takes: in all, its largest tensor, and the largest that is no weight."""

    total: int
    largest: int
    activation: int


def footprint(task: Task, model: torch.nn.Module, batch: Any) -> Footprint:
    """Of weights, gradients, optimizer state, and what one forward pass keeps for its backward pass."""
    weights = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    places = {p.data_ptr() for p in model.parameters()}
    inputs = {leaf.data_ptr() for leaf in tree_flatten(batch)[0] if isinstance(leaf, torch.Tensor)}
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.layout is not torch.strided:  # which has no storage of its own to tell it by
            kept[id(tensor)] = tensor._nnz() * tensor.element_size()
        elif tensor.data_ptr() not in inputs:
            size = tensor.numel() * tensor.element_size()  # of a view, less than what it is a part of
            kept[tensor.data_ptr()] = max(size, kept.get(tensor.data_ptr(), 0))
        return tensor

    try:
        with isolated_rng(0), torch.enable_grad(), saved_tensors_hooks(note, lambda tensor: tensor):
            task.loss(model, batch)
    except RuntimeError as error:  # torch.func's gradients within the loss allow no such hooks
        if is_out_of_memory(error):
            raise
        kept.clear()
        with isolated_rng(0), torch.enable_grad(), _Made(note):
            task.loss(model, batch)
    copies = 2 + OPTIMIZER_COPIES + bool(task.clipping)
    # Backward keeps a gradient beside each activation for a while: hence twice.
    total = weights * copies + 2 * sum(kept.values())
    activations = [size for place, size in kept.items() if place not in places]
    return Footprint(total, max(kept.values(), default=0), max(activations, default=0))


def bytes_of(batch: Any) -> int:
    """Bytes of a batch's tensors."""
    return sum(leaf.nbytes for leaf in tree_flatten(batch)[0] if isinstance(leaf, torch.Tensor))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error is the allocator's, on any device."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    message = str(error)
    return isinstance(error, RuntimeError) and (
        "can't allocate memory" in message or "out of memory" in message
    )
