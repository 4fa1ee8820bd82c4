"""A recorded list of kernels, freed of what does nothing: the same results from fewer calls.

`vmap` leaves views that change no shape, transpositions that undo each other, the same comparison made
four times over, and constants made anew at every call. Each costs as much as a small kernel.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.fx import Graph, Node

from stepsize.training.record import Kernels

aten = torch.ops.aten

VIEWS = (aten.view.default, aten._unsafe_view.default, aten.expand.default, aten.transpose.int)
SAME = (aten.alias.default, aten.detach.default, aten.lift_fresh.default)
ONES = {aten.mul.Tensor: 1, aten.mul.Scalar: 1, aten.div.Tensor: 1, aten.add.Scalar: 0}
"""Operations with the number that makes them do nothing."""

SMALL = 4096
"""Elements of a tensor that may be kept as a constant: a large one is cheaper to fill than to fetch."""

FILLED = {aten.ones_like.default: 1, aten.zeros_like.default: 0}
"""Operations whose result depends on no more than their argument's shape, with what it is filled with."""


def simplify(record: Kernels) -> Kernels:
    """Take out of a record what does nothing; changes the record and returns it."""
    graph = record.graph
    touched = written_to(graph)
    _drop_no_ops(graph, touched)
    _hoist_constants(record, touched)
    _merge_equal(graph, touched)
    graph.eliminate_dead_code()
    graph.lint()
    return record


def written_to(graph: Graph) -> set[Node]:
    """Nodes that share memory with something that a kernel writes into: these are left as they stand."""
    touched: set[Node] = set()
    for node in graph.nodes:
        if is_call(node) and node.target._schema.is_mutable:
            touched |= {node, *node.all_input_nodes}
    aliases = [n for n in graph.nodes if is_call(n) and shares_memory(n)]
    known = -1
    while known != len(touched):
        known = len(touched)
        for node in aliases:
            if touched & {node, *node.all_input_nodes}:
                touched |= {node, *node.all_input_nodes}
    return touched


def _drop_no_ops(graph: Graph, touched: set[Node]) -> None:
    for node in list(graph.nodes):
        if not is_call(node) or node in touched:
            continue
        source = _equal_input(node)
        if source is not None and source not in touched:
            node.replace_all_uses_with(source)
            graph.erase_node(node)


def _equal_input(node: Node) -> Node | None:
    """The node that this one merely repeats; None if it does something."""
    source = node.args[0] if node.args else None
    if not isinstance(source, Node):
        return None
    if node.target in SAME:
        return source
    if node.target in ONES and node.args[1] == ONES[node.target] and _like(node) == _like(source):
        return source
    if node.target is aten.transpose.int and source.target is aten.transpose.int:
        original = source.args[0]
        return original if isinstance(original, Node) and _like(original) == _like(node) else None
    return source if node.target in VIEWS[:3] and _like(node) == _like(source) else None


def _like(node: Node) -> tuple[Any, ...] | None:
    """Shape, strides and type of a node's tensor; None where they are not known."""
    meta = node.meta.get("tensor_meta")
    return (node,) if meta is None else (meta.shape, meta.stride, meta.dtype)


def _hoist_constants(record: Kernels, touched: set[Node]) -> None:
    """Make once what rests on no input: filled tensors and what is computed from them alone."""
    graph = record.graph
    made: dict[Node, torch.Tensor] = {}
    for node in list(graph.nodes):
        if not is_call(node) or node in touched or _draws(node):
            continue
        value = _constant(node, made)
        if value is None:
            continue
        made[node] = value
    for number, (node, value) in enumerate(made.items()):
        if any(user not in made for user in node.users):
            name = f"_constant_{number}"
            record.held[name] = value
            with graph.inserting_before(node):
                kept = graph.get_attr(name)
            kept.meta = dict(node.meta)
            node.replace_all_uses_with(kept)


def _constant(node: Node, made: dict[Node, torch.Tensor]) -> torch.Tensor | None:
    """What a node gives on every call; None if it rests on an input, or is too large to keep."""
    kernel: Callable[..., Any] = node.target  # type: ignore[assignment]
    if node.target in FILLED:
        source = node.args[0]
        meta = source.meta.get("tensor_meta") if isinstance(source, Node) else None
        retyped = set(node.kwargs) - {"pin_memory", "memory_format"}
        if meta is None or retyped or math.prod(meta.shape) > SMALL:
            return None
        return torch.as_tensor(kernel(torch.empty(meta.shape, dtype=meta.dtype, device=meta.device)))
    if any(inner not in made for inner in node.all_input_nodes):
        return None
    args, kwargs = torch.fx.map_arg((node.args, dict(node.kwargs)), lambda inner: made[inner])
    value = kernel(*args, **kwargs)
    return value if isinstance(value, torch.Tensor) and value.numel() <= SMALL else None


def _merge_equal(graph: Graph, touched: set[Node]) -> None:
    """Let one kernel serve where several compute the same from the same."""
    first: dict[Any, Node] = {}
    for node in list(graph.nodes):
        if not is_call(node) or _draws(node) or touched & {node, *node.all_input_nodes}:
            continue
        key = (node.target, _hashable(node.args), _hashable(dict(node.kwargs)))
        earlier = first.setdefault(key, node)
        if earlier is not node:
            node.replace_all_uses_with(earlier)
            graph.erase_node(node)


def _hashable(value: Any) -> Any:
    if isinstance(value, dict):
        return tuple(sorted((k, _hashable(v)) for k, v in value.items()))
    if isinstance(value, (list, tuple)):
        return tuple(_hashable(v) for v in value)
    # 1, 1.0 and True are equal as keys, and not the same as arguments.
    return value if isinstance(value, Node) else (type(value), value)


def is_call(node: Node) -> bool:
    return node.op == "call_function" and isinstance(node.target, torch._ops.OpOverload)


def shares_memory(node: Node) -> bool:
    """Whether a result may lie in the memory of an argument."""
    returns = node.target._schema.returns  # type: ignore[union-attr]
    return node.target in (*VIEWS, *SAME) or any(result.alias_info is not None for result in returns)


def _draws(node: Node) -> bool:
    """Whether a kernel draws random numbers: then no two calls are the same."""
    return torch.Tag.nondeterministic_seeded in node.target.tags  # type: ignore[union-attr]
