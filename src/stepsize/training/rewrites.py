"""Rewrites of a recorded list of kernels that give the same up to rounding, and faster on a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import Graph, Node

from stepsize.training.record import Kernels

aten = torch.ops.aten

SHORT = 16
"""Below this length torch's softmax along the last dimension is slow: it vectorises along that dimension."""

SOFTMAX = (aten._log_softmax.default, aten._softmax.default)
BACKWARD = (aten._log_softmax_backward_data.default, aten._softmax_backward_data.default)


def turn_short_softmax(record: Kernels) -> Kernels:
    """Let a softmax over a short last dimension run along the one before it, on a transposed copy.

    Changes the record and returns it. With 16 members, 128 samples and 10 classes the kernels take 27 µs
    instead of 170, and 10 to 20 instead of 90 backward.
    """
    graph = record.graph
    turned: dict[Node, Node] = {}  # the new result of a softmax → its transpose, which is what runs
    for node in list(graph.nodes):
        if node.target in SOFTMAX and _is_short(node, node.args[1]):
            with graph.inserting_before(node):
                run = _turn(graph, node, [_transposed_copy(graph, node.args[0])], *node.args[2:])
            turned[_replace(graph, node, run)] = run
        elif node.target in BACKWARD and _is_short(node, node.args[2]):
            grad, result, _, dtype = node.args
            with graph.inserting_before(node):
                inputs = [
                    _transposed_copy(graph, grad),
                    turned.get(result) or _transposed_copy(graph, result),
                ]
                run = _turn(graph, node, inputs, dtype)
            _replace(graph, node, run)
    graph.lint()
    return record


def _turn(graph: Graph, node: Node, inputs: list[Node], *rest: Any) -> Node:
    dim = len(shape_of(node)) - 2
    return graph.call_function(node.target, (*inputs, dim, *rest))  # type: ignore[arg-type]


def _transposed_copy(graph: Graph, source: Any) -> Node:
    swapped = graph.call_function(aten.transpose.int, (source, -1, -2))
    return graph.call_function(aten.clone.default, (swapped,), {"memory_format": torch.contiguous_format})


def _replace(graph: Graph, node: Node, run: Node) -> Node:
    with graph.inserting_after(run):
        back = graph.call_function(aten.transpose.int, (run, -1, -2))
    back.meta = dict(node.meta)
    node.replace_all_uses_with(back)
    graph.erase_node(node)
    return back


def _is_short(node: Node, dim: Any) -> bool:
    shape = shape_of(node)
    return len(shape) >= 2 and dim in (-1, len(shape) - 1) and shape[-1] < SHORT <= shape[-2]


def shape_of(node: Node) -> tuple[int, ...]:
    """Shape of a node's tensor; empty where it is not known."""
    meta = node.meta.get("tensor_meta")
    return () if meta is None else tuple(meta.shape)
