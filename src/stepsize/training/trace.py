"""A function of tensors, traced once per set of shapes and then run as a plain list of kernels.

`vmap` and `grad` decide anew at every call how each operation is batched. `make_fx` records the kernels that
come out of it, and running that record costs only the kernels. A record is trusted after it has given the
function's own result on real data, random numbers included; it is compared again later, since a model may
change its behaviour while it trains.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_flatten

from stepsize._rng import capture_rng, restore_rng
from stepsize.training.dropout import RowMajorDropout

TRACE_AT = 3
"""Call (of one set of shapes) at which tracing starts: a rare shape is never worth it."""

COMPARE_AT = frozenset((100, 1000))
"""Later calls at which the record is compared again."""

RTOL = {torch.float64: 1e-9, torch.float32: 1e-4}
"""Largest relative difference, in the maximum norm, that rounding may explain."""


class ChangedBehaviour(Exception):
    """The function no longer gives what was recorded."""


class Traced:
    """A function of trees of tensors that runs as recorded kernels once it has been called a few times."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._calls: dict[Any, int] = {}
        self._records: dict[Any, GraphModule | None] = {}

    def __call__(self, *args: Any) -> Any:
        leaves, tree = tree_flatten(args)
        if not all(isinstance(leaf, torch.Tensor) for leaf in leaves):
            return self._plain(args)
        key = (tree, tuple((leaf.shape, leaf.dtype) for leaf in leaves))
        calls = self._calls[key] = self._calls.get(key, 0) + 1
        if calls < TRACE_AT:
            return self._plain(args)
        if calls == TRACE_AT:
            return self._record(key, args)
        record = self._records[key]
        if record is None:
            return self._plain(args)
        if calls in COMPARE_AT:
            result, same = self._compare(record, args)
            if not same:
                raise ChangedBehaviour("the model changes its own behaviour while it trains")
            return result
        return record(*args)

    def _plain(self, args: Any) -> Any:
        with RowMajorDropout():
            return self._function(*args)

    def _record(self, key: Any, args: Any) -> Any:
        before = capture_rng()
        self._records[key] = None
        try:
            with RowMajorDropout():
                record = make_fx(self._function)(*args)
        except Exception:  # what cannot be recorded (say, .item() outside of vmap) still runs as it is
            restore_rng(before)
            return self._plain(args)
        restore_rng(before)
        result, same = self._compare(record, args)
        if same:
            self._records[key] = record
        return result

    def _compare(self, record: GraphModule, args: Any) -> tuple[Any, bool]:
        """The plain result, and whether the record gives the same and draws the same random numbers."""
        before = capture_rng()
        recorded = record(*args)
        after = capture_rng()
        restore_rng(before)
        plain = self._plain(args)
        pairs = zip(tree_flatten(recorded)[0], tree_flatten(plain)[0], strict=True)
        return plain, torch.equal(after.cpu, capture_rng().cpu) and all(close(a, b) for a, b in pairs)


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two tensors are equal up to rounding; non-finite entries must stand in the same places."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if not a.is_floating_point():
        return torch.equal(a, b)
    finite = torch.isfinite(a)
    if not torch.equal(finite, torch.isfinite(b)):
        return False
    x, y = a[finite].double(), b[finite].double()
    if x.numel() == 0:
        return True
    scale = float(torch.maximum(x.abs().max(), y.abs().max()))
    return float((x - y).abs().max()) <= RTOL.get(a.dtype, 1e-2) * scale + torch.finfo(a.dtype).tiny
