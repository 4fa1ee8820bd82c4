"""Random number state of every generator that training code may use: torch, NumPy, Python.

A run owns its random numbers: they are put in place while it trains and taken out again afterwards,
so that neither the caller nor another run notices it.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

Generator = torch.Generator | np.random.Generator | random.Random

_included: ContextVar[tuple[Generator, ...] | None] = ContextVar("included", default=None)
"""Generators of the user's own, which are treated as the global ones are; None outside of `including`."""


@dataclass(frozen=True)
class RngState:
    """A copy of the state of every global generator, and of those included."""

    cpu: torch.Tensor
    cuda: tuple[torch.Tensor, ...]
    mps: torch.Tensor | None
    numpy: Any
    python: Any
    own: tuple[tuple[Generator, Any], ...] = ()


def capture_rng() -> RngState:
    """Copy the state of all global generators."""
    # A CUDA context is not created for the sake of asking: before the first use there is no state to keep.
    cuda = tuple(torch.cuda.get_rng_state_all()) if torch.cuda.is_initialized() else ()
    mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    numpy_state = np.random.get_state()  # noqa: NPY002 - the legacy global state is what users' code draws from
    own = tuple((generator, _state(generator)) for generator in _included.get() or ())
    return RngState(torch.get_rng_state(), cuda, mps, numpy_state, random.getstate(), own)


def same_rng(a: RngState, b: RngState) -> bool:
    """Whether two copies hold the same state, so that nothing was drawn between them."""
    return (
        torch.equal(a.cpu, b.cpu)
        and len(a.cuda) == len(b.cuda)
        and all(torch.equal(x, y) for x, y in zip(a.cuda, b.cuda, strict=True))
        and (a.mps is None or b.mps is None or torch.equal(a.mps, b.mps))
        and same_foreign_rng(a, b)
    )


def same_foreign_rng(a: RngState, b: RngState) -> bool:
    """As `same_rng`, for the generators that are not torch's global ones."""
    kind, keys, *rest = a.numpy
    other_kind, other_keys, *other_rest = b.numpy
    return (
        a.python == b.python
        and len(a.own) == len(b.own)
        and all(_alike(x, y) for (_, x), (_, y) in zip(a.own, b.own, strict=True))
        and kind == other_kind
        and rest == other_rest
        and np.array_equal(keys, other_keys)
    )


def restore_rng(state: RngState) -> None:
    """Put back what `capture_rng` copied."""
    torch.set_rng_state(state.cpu)
    if state.cuda:
        torch.cuda.set_rng_state_all(list(state.cuda))
    if state.mps is not None:
        torch.mps.set_rng_state(state.mps)
    np.random.set_state(state.numpy)  # noqa: NPY002
    random.setstate(state.python)
    for generator, own in state.own:
        _put(generator, own)


def seed_rng(seed: int) -> None:
    """Seed all global generators, and those included, each by its place."""
    _seed_torch(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    random.seed(seed)
    for place, generator in enumerate(_included.get() or ()):
        _seed(generator, derived_seed(seed, place))


def _seed_torch(seed: int) -> None:
    """As `torch.manual_seed`, for the devices that are there.

    That one also notes the seed, with a traceback, for every kind of device that has not been used yet: half
    a millisecond instead of 3 µs.
    """
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)
    if torch.xpu.is_available():
        torch.xpu.manual_seed_all(seed)


@contextmanager
def including(find: Callable[[], tuple[Generator, ...]]) -> Iterator[None]:
    """Inside the block the generators found are copied, put back and seeded together with the global ones.

    A block inside of another one looks for none: it trains what the outer one does.
    """
    token = _included.set(find()) if _included.get() is None else None
    try:
        yield
    finally:
        if token is not None:
            _included.reset(token)


def _state(generator: Generator) -> Any:
    if isinstance(generator, torch.Generator):
        return generator.get_state()
    if isinstance(generator, random.Random):
        return generator.getstate()
    return copy.deepcopy(generator.bit_generator.state)


def _put(generator: Generator, state: Any) -> None:
    if isinstance(generator, torch.Generator):
        generator.set_state(state)
    elif isinstance(generator, random.Random):
        generator.setstate(state)
    else:
        generator.bit_generator.state = state


def _seed(generator: Generator, seed: int) -> None:
    if isinstance(generator, torch.Generator):
        generator.manual_seed(seed)
    elif isinstance(generator, random.Random):
        generator.seed(seed)
    else:
        generator.bit_generator.state = type(generator.bit_generator)(seed).state


def _alike(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_alike(a[key], b[key]) for key in a)
    return bool(np.array_equal(a, b)) if isinstance(a, np.ndarray) else bool(a == b)


@contextmanager
def isolated_rng(seed: int | None = None) -> Iterator[None]:
    """Run a block on random numbers of its own; the global generators come out as they went in."""
    outside = capture_rng()
    try:
        if seed is not None:
            seed_rng(seed)
        yield
    finally:
        restore_rng(outside)


def derived_seed(*path: int) -> int:
    """A seed that depends on the whole path of integers, without the collisions of adding them up."""
    return int(np.random.SeedSequence(path).generate_state(1, np.uint64)[0] >> np.uint64(1))
