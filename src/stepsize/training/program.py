"""A recorded list of kernels as one straight Python function: as little as possible between two kernels.

What `torch.fx` prints calls each kernel through its schema, which takes about a microsecond more than torch's
own functions do, and makes the views of weights anew at every call, though the weights stay where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch.fx import Graph, Node

from stepsize.training.kernels import VIEWS, is_call, shares_memory, written_to
from stepsize.training.record import Kernels

aten = torch.ops.aten

QUICK: dict[Any, Callable[..., Any]] = {
    aten.add.Tensor: torch.add,
    aten.bmm.default: torch.bmm,
    aten.clone.default: torch.clone,
    aten.div.Tensor: torch.div,
    aten.exp.default: torch.exp,
    aten.expand.default: torch.Tensor.expand,
    aten.gather.default: torch.gather,
    aten.mm.default: torch.mm,
    aten.mul.Tensor: torch.mul,
    aten.neg.default: torch.neg,
    aten.permute.default: torch.permute,
    aten.relu.default: torch.relu,
    aten.sigmoid.default: torch.sigmoid,
    aten.sub.Tensor: torch.sub,
    aten.sum.default: torch.sum,
    aten.sum.dim_IntList: torch.sum,
    aten.tanh.default: torch.tanh,
    aten.transpose.int: torch.transpose,
    aten.unsqueeze.default: torch.unsqueeze,
    aten.view.default: torch.Tensor.view,
    aten.where.self: torch.where,
}
"""Functions of torch that do exactly what a kernel does, with the same arguments, and are called faster."""

LASTING = (*VIEWS[:1], *VIEWS[2:], aten.unsqueeze.default, aten.permute.default, aten.t.default)
"""Views: what they give of a tensor that stays in its place stays in its place too."""


class Product(NamedTuple):
    """A result left to be multiplied by who uses it: `bmm(left, right)`, of (K, n, m) and (K, m, p)."""

    left: torch.Tensor
    right: torch.Tensor

    def value(self) -> torch.Tensor:
        return torch.bmm(self.left, self.right)


class Program:
    """Runs a record on the leaves of its arguments.

    The first `lasting` leaves are tensors that are changed in place, if at all, from one call to the next:
    views of them are made once. With `products`, a result that is a batched product of tensors other than
    these is given as a `Product`.
    """

    def __init__(self, record: Kernels, *, lasting: int = 0, products: bool = False) -> None:
        graph = record.graph
        inputs = [node for node in graph.nodes if node.op == "placeholder"]
        held = set(inputs[:lasting])
        views = _views(graph, held)
        (output,) = (node for node in graph.nodes if node.op == "output")
        later = _products(graph, output.args[0], held) if products else set()
        results = [node.args if node in later else node for node in output.args[0]]
        steps = [node for node in graph.nodes if node.op in ("call_function", "get_attr")]
        body = [node for node in steps if node not in views and node not in later]
        writer = _Writer(record.held)
        self._lasting = lasting
        self._products = [node in later for node in output.args[0]]
        self._make_views = writer.function(inputs[:lasting], views, [views])
        self._run = writer.function([*inputs, *views], body, results)
        self._of: list[torch.Tensor] = []
        self._views: tuple[torch.Tensor, ...] = ()

    def __call__(self, leaves: Sequence[torch.Tensor]) -> tuple[torch.Tensor | Product, ...]:
        held = leaves[: self._lasting]
        if len(self._of) != len(held) or not all(a is b for a, b in zip(self._of, held, strict=True)):
            self._of = list(held)
            (self._views,) = self._make_views(*held)
        results = self._run(*leaves, *self._views)
        return tuple(
            Product(*result) if multiplied else result
            for result, multiplied in zip(results, self._products, strict=True)
        )

    def release(self) -> None:
        """Let go of the tensors of the last call."""
        self._of, self._views = [], ()


def _views(graph: Graph, held: set[Node]) -> list[Node]:
    """The nodes that are views of the held inputs alone."""
    found: dict[Node, None] = {}
    for node in graph.nodes:
        sources = node.all_input_nodes
        if node.target in LASTING and sources and all(n in held or n in found for n in sources):
            found[node] = None
    return list(found)


def _products(graph: Graph, results: Sequence[Any], held: set[Node]) -> set[Node]:
    """The results that may be multiplied later: nothing that they are made of changes until then."""
    changing = held | written_to(graph)
    for node in graph.nodes:
        if is_call(node) and shares_memory(node) and any(n in changing for n in node.all_input_nodes):
            changing.add(node)
    return {
        node
        for node in results
        if isinstance(node, Node)
        and node.target is aten.bmm.default
        and len(node.users) == 1
        and not any(argument in changing for argument in node.all_input_nodes)
    }


class _Writer:
    """Writes functions in Python; whatever is no plain value stands among their globals."""

    def __init__(self, held: Mapping[str, torch.Tensor]) -> None:
        self._held = held
        self._globals: dict[str, Any] = {}
        self._names: dict[int, str] = {}

    def function(self, inputs: Sequence[Node], steps: Sequence[Node], results: Any) -> Callable[..., Any]:
        """The function of `inputs` that takes these steps; a value is let go after its last use."""
        last = self._last_uses(steps, results)
        lines = [f"def run({', '.join(node.name for node in inputs)}):"]
        for node in steps:
            done = [n.name for n in last.get(node, ()) if n.op != "get_attr"]
            lines.append(f"    {node.name} = {self._call(node)}")
            if done:
                lines.append(f"    {' = '.join(done)} = None")
        lines.append(f"    return {self._text(list(results))}")
        scope = dict(self._globals)
        exec("\n".join(lines), scope)
        written: Callable[..., Any] = scope["run"]
        return written

    def _last_uses(self, steps: Sequence[Node], results: Any) -> dict[Node, list[Node]]:
        kept: list[Node] = []
        torch.fx.map_arg(results, kept.append)
        uses = {used: node for node in steps for used in node.all_input_nodes if used not in kept}
        last: dict[Node, list[Node]] = {}
        for used, node in uses.items():
            last.setdefault(node, []).append(used)
        return last

    def _call(self, node: Node) -> str:
        if node.op == "get_attr":
            return self._global(self._held[str(node.target)])
        kernel = QUICK.get(node.target, getattr(node.target, "_op", node.target))
        parts = [self._text(argument) for argument in node.args]
        parts += [f"{name}={self._text(value)}" for name, value in node.kwargs.items()]
        return f"{self._global(kernel)}({', '.join(parts)})"

    def _text(self, value: Any) -> str:
        if isinstance(value, Node):
            return value.name
        if isinstance(value, (list, tuple)):
            inner = "".join(f"{self._text(item)}, " for item in value)
            return f"[{inner}]" if isinstance(value, list) else f"({inner})"
        if value is None or isinstance(value, (bool, int, str)):
            return repr(value)
        return self._global(value)

    def _global(self, value: Any) -> str:
        name = self._names.setdefault(id(value), f"_{len(self._names)}")
        self._globals[name] = value
        return name
