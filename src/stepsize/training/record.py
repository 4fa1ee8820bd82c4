"""Recording: the kernels that a function of tensors calls, as a graph of `torch.fx`.

`torch.fx.experimental.proxy_tensor.make_fx` gives the same graph, but spends more than a millisecond on each
kernel, most of it on a fake tensor as a description: as much time as hundreds of updates of a small net.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch.fx import Graph, Node
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

aten = torch.ops.aten


class Meta(NamedTuple):
    """What is known of a node's tensor, as `node.meta["tensor_meta"]`."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device


class Kernels(NamedTuple):
    """A record: its graph, and the tensors that nodes of kind `get_attr` name.

    It is no `GraphModule`, which writes and compiles its code anew whenever it is made or changed;
    `GraphModule(held, graph)` makes one, to be called.
    """

    graph: Graph
    held: dict[str, torch.Tensor]


def record(function: Callable[..., Sequence[torch.Tensor]], inputs: Sequence[torch.Tensor]) -> Kernels:
    """Call the function once, and return its kernels, a graph of the same inputs.

    Raises:
        RuntimeError: it reads a tensor's value, and what it does next may rest on that.
    """
    recorder = _Recorder(inputs)
    with recorder:
        results = function(*inputs)
    return recorder.finished(results)


class _Recorder(TorchDispatchMode):
    """Below autograd and vmap: what comes here are plain tensors and the kernels that run on them."""

    def __init__(self, inputs: Sequence[torch.Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._graph = Graph()
        self._held: dict[str, torch.Tensor] = {}
        self._nodes: dict[int, Node] = {}
        self._tensors: list[torch.Tensor] = []  # kept, since a node is found by its tensor's identity
        for number, tensor in enumerate(inputs):
            self._name(tensor, self._graph.placeholder(f"input_{number}"))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func._can_decompose():
            with self:
                found = func.decompose(*args, **kwargs)
            if found is not NotImplemented:
                return found
        result = func(*args, **kwargs)
        node = self._graph.call_function(func, tree_map(self._of, args), tree_map(self._of, kwargs))
        if isinstance(result, torch.Tensor):
            self._name(result, node)
        elif isinstance(result, (tuple, list)):
            for place, part in enumerate(result):
                if isinstance(part, torch.Tensor):
                    self._name(part, self._graph.call_function(operator.getitem, (node, place)))
        elif result is not None:
            raise RuntimeError(f"{func} reads the value of a tensor, on which the next step may rest")
        return result

    def finished(self, results: Sequence[torch.Tensor]) -> Kernels:
        self._graph.output(tuple(self._of(result) for result in results))
        return Kernels(self._graph, self._held)

    def _name(self, tensor: torch.Tensor, node: Node) -> None:
        stride = tensor.stride() if tensor.layout is torch.strided else ()
        node.meta["tensor_meta"] = Meta(tuple(tensor.shape), stride, tensor.dtype, tensor.device)
        self._nodes[id(tensor)] = node
        self._tensors.append(tensor)

    def _of(self, value: Any) -> Any:
        """The node of a tensor; one that comes from nowhere is a constant of the record."""
        if not isinstance(value, torch.Tensor):
            return value
        if id(value) not in self._nodes:
            name = f"_held_{len(self._tensors)}"
            self._held[name] = value
            self._name(value, self._graph.get_attr(name))
        return self._nodes[id(value)]
