"""What a task is, as digests of its parts, so that a result is never taken for that of another task.

Tensors and arrays count by their content; functions by their name, their code and what they refer to; objects
by their class's code and their fields. What cannot be looked into counts by its type's name alone.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import inspect
import numbers
import sys
import types
import weakref
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch import nn

from stepsize._code import defined_in, global_names
from stepsize._continued import Continued
from stepsize._version import __version__
from stepsize.data import Items, Source, Stream, Tensors
from stepsize.task import Task
from stepsize.training.probed import Trainable

OPAQUE = (torch.Generator, np.random.Generator, types.ModuleType)
"""Types that count by their name: their state moves on while they are used, or is the library's."""

LIBRARIES = ("torch", "numpy", "stepsize", "builtins", "functools", "collections")
"""Packages whose code is settled by their version: their functions and classes count by name."""

_CODE_FLAGS = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS | inspect.CO_GENERATOR | inspect.CO_COROUTINE


class Fingerprint(msgspec.Struct, frozen=True):
    """The digest of each part of a task, by the name that an error shows."""

    parts: dict[str, str]

    @property
    def digest(self) -> str:
        """All parts as one digest."""
        return digest(repr(sorted(self.parts.items())))

    def differences(self, other: Fingerprint) -> list[str]:
        """The parts that are not the same in both."""
        names = list(dict.fromkeys([*self.parts, *other.parts]))
        return [name for name in names if self.parts.get(name) != other.parts.get(name)]


def digest(text: str) -> str:
    """SHA-256, shortened to 128 bits."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def fingerprint(task: Task, identity: str | None = None) -> Fingerprint:
    """The digests of a task's parts; `batch_size` and the horizon are no part, since a sweep varies them.

    With `identity`, that text stands for everything but the starting weights.
    """
    model = task.make_model(0)
    parts = {"start weights": content_digest(weights_of(model))}
    if identity is not None:
        return Fingerprint({**parts, "identity": digest(identity)})
    arguments = task._arguments
    described = {
        "model": (repr(model), [type(m) for m in model.modules()], _factory(arguments["model"])),
        "loss": task.loss,
        "metrics": task.metrics,
        "training data": _data(task.train),
        "held-out data": (task.loss_kind, _data(task.val)),
        "optimizer": (arguments["optimizer"], task.optimizer_name),
        "parameter groups": (arguments["params"], task.group_ratios),
    }
    if task.clipping:  # else the digest is that of tasks before there was any clipping
        described["clipping"] = task.clipping.norm, task.clipping.value
    return Fingerprint(parts | {name: content_digest(value) for name, value in described.items()})


def versions(task: Trainable) -> dict[str, str]:
    """What else a number may depend on: the versions that trained it, and the kind of device."""
    return {
        "stepsize": __version__,
        "torch": str(torch.__version__),
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "device": task.device.type,
    }


def content_digest(value: Any, known: frozenset[int] = frozenset()) -> str:
    """A digest of a value's content that is the same in every process.

    Objects whose ids are `known` are described elsewhere, and count as nothing here.
    """
    state = hashlib.sha256()
    for piece in _describe(value, known):
        state.update(piece if isinstance(piece, bytes) else piece.encode())
        state.update(b"\0")
    return state.hexdigest()[:32]


def weights_of(model: nn.Module) -> dict[str, torch.Tensor]:
    """Its parameters and buffers, by name."""
    return {name: tensor.detach() for name, tensor in (*model.named_parameters(), *model.named_buffers())}


def _factory(model: Any) -> Any:
    return type(model) if isinstance(model, nn.Module) else model


def _data(source: Source) -> Any:
    if isinstance(source, Tensors):
        return source.tree
    if isinstance(source, Items):
        return (source.dataset, source.index)
    assert isinstance(source, Stream)
    return source.make


Piece = str | bytes
Above = frozenset[int]


def _describe(value: Any, path: Above) -> Iterator[Piece]:
    """A value as a sequence of texts and bytes; `path` holds ids that are not gone into: those on the way."""
    if id(value) in path:
        yield "again"
        return
    path = path | {id(value)}
    if value is None or isinstance(value, (str, bytes, bool, numbers.Number, np.generic)):
        yield f"{type(value).__name__} {value!r}"
    elif isinstance(value, (torch.dtype, torch.device, Enum, Path)):
        yield str(value)
    elif isinstance(value, torch.Tensor):
        yield _tensor_digest(value)
    elif isinstance(value, np.ndarray) and value.dtype != object:
        yield _array_digest(value)
    elif isinstance(value, OPAQUE):
        yield _name(value if isinstance(value, types.ModuleType) else type(value))
    elif isinstance(value, (list, tuple)):
        yield f"{type(value).__name__} of {len(value)}"
        for item in value:
            yield from _describe(item, path)
    elif isinstance(value, (set, frozenset)):
        yield from sorted(content_digest(item, path) for item in value)
    elif isinstance(value, Mapping):
        yield f"mapping of {len(value)}"
        for key in sorted(value, key=repr):
            yield f"key {key!r}"
            yield from _describe(value[key], path)
    else:
        yield from _describe_code(value, path)


def _describe_code(value: Any, path: Above) -> Iterator[Piece]:
    if isinstance(value, functools.partial):
        yield "partial"
        yield from _describe((value.func, value.args, value.keywords), path)
    elif isinstance(value, types.MethodType):
        yield f"method {value.__name__}"
        yield from _describe((value.__func__, value.__self__), path)
    elif isinstance(value, types.FunctionType):
        yield from _describe_function(value, path)
    elif isinstance(value, types.CodeType):
        yield from _describe_bytecode(value, path)
    elif isinstance(value, type):
        yield _name(value)
        if not defined_in(value, LIBRARIES):
            for name in sorted(vars(value)):
                member = inspect.unwrap(getattr(vars(value)[name], "__func__", vars(value)[name]))
                if isinstance(member, (types.FunctionType, property)) or _is_constant(member):
                    yield name
                    yield from _describe(member.fget if isinstance(member, property) else member, path)
            yield from _describe(value.__bases__, path)
    elif callable(value) and not hasattr(value, "__dict__"):
        yield _name(value)
    elif isinstance(value, Continued):
        yield from _describe(value.content(), path)
    else:
        yield from _describe(type(value), path)
        yield from _describe(_fields(value), path)


def _describe_function(value: types.FunctionType, path: Above) -> Iterator[Piece]:
    yield _name(value)
    if defined_in(value, LIBRARIES):
        return
    yield from _describe_bytecode(value.__code__, path)
    yield from _describe((value.__defaults__, value.__kwdefaults__), path)
    state = _assigned(value.__code__)
    for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
        if name in state:
            continue
        try:
            yield from _describe(cell.cell_contents, path)
        except ValueError:
            yield "empty"
    for name in sorted(global_names(value.__code__)):
        if name in value.__globals__ and name not in state:
            yield f"global {name}"
            yield from _describe(value.__globals__[name], path)


def _assigned(code: types.CodeType) -> set[str]:
    """Outer names that the code itself assigns, such as a counter of its calls: they change as it runs."""
    names = {str(i.argval) for i in dis.get_instructions(code) if i.opname in ("STORE_GLOBAL", "STORE_DEREF")}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _assigned(constant)
    return names


def _describe_bytecode(code: types.CodeType, path: Above) -> Iterator[Piece]:
    """The instructions and what they name, but neither file nor line, so that code may be moved."""
    yield code.co_code
    yield f"{code.co_argcount} {code.co_kwonlyargcount} {code.co_flags & _CODE_FLAGS}"
    yield from (*code.co_names, *code.co_varnames, *code.co_freevars)
    yield from _describe(code.co_consts, path)


def _fields(value: Any) -> dict[str, Any]:
    slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    fields = {name: getattr(value, name) for name in slots if hasattr(value, name)}
    return fields | getattr(value, "__dict__", {})


def _is_constant(value: Any) -> bool:
    return isinstance(value, (str, int, float, bool, bytes)) and not isinstance(value, type)


def _name(value: Any) -> str:
    return (
        f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', getattr(value, '__name__', ''))}"
    )


def _array_digest(array: np.ndarray) -> str:
    state = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
    state.update(np.ascontiguousarray(array).view(np.uint8).data if array.size else b"")
    return state.hexdigest()


_seen: dict[int, tuple[Any, int, str]] = {}
"""Digests of large tensors that are alive: id, a weak reference, version, digest."""


def _tensor_digest(tensor: torch.Tensor) -> str:
    known = _seen.get(id(tensor))
    if known is not None and known[0]() is tensor and known[1] == tensor._version:
        return known[2]
    plain = tensor.detach().to("cpu").contiguous()
    state = hashlib.sha256(f"{plain.dtype} {tuple(plain.shape)} {tensor.requires_grad}".encode())
    if plain.numel():
        state.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    _seen[id(tensor)] = (weakref.ref(tensor), tensor._version, state.hexdigest())
    return _seen[id(tensor)][2]
