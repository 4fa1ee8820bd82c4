"""A function of tensors, traced once per set of shapes and then run as a plain list of kernels.

`vmap` and `grad` decide anew at every call how each operation is batched. `make_fx` records the kernels that
come out of it, and running that record costs only the kernels. A record is trusted after it has given the
function's own result on several batches, random numbers included; it is compared again later, since a model
may change its behaviour while it trains.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_flatten

from stepsize._capabilities import first_line
from stepsize._rng import capture_rng, restore_rng, same_rng
from stepsize.training.dropout import RowMajorDropout

TRACE_AT = 30
"""Call (of one set of shapes) at which recording pays: it takes about as long as the calls before it."""

COMPARE_AFTER = frozenset((1, 2, 100, 1000))
"""Calls after recording at which the record is compared again: at once on other data, since what was read
from the first batch may have been frozen into the record; later, since a model may change."""

RTOL = {torch.float64: 1e-9, torch.float32: 1e-4}
"""Largest relative difference, in the maximum norm, that rounding may explain."""


class NotRecordableError(Exception):
    """The function is not one fixed list of kernels; the message says why."""


class Traced:
    """A function of trees of tensors that runs as recorded kernels once it has been called a few times.

    With `required`, the first call already records, and `NotRecordableError` is raised when that fails or
    when a record turns out to be wrong. Without, the function then runs as it is.
    """

    def __init__(self, function: Callable[..., Any], *, required: bool = False) -> None:
        self._function, self._required = function, required
        self._calls: dict[Any, int] = {}
        self._records: dict[Any, GraphModule | None] = {}
        self._recorded_at: dict[Any, int] = {}

    def __call__(self, *args: Any) -> Any:
        leaves, tree = tree_flatten(args)
        others = {type(leaf).__name__ for leaf in leaves if not isinstance(leaf, torch.Tensor)}
        if others:
            if self._required:
                raise NotRecordableError(
                    f"besides tensors the batch holds values of type {', '.join(sorted(others))}"
                )
            return self._plain(args)
        key = (tree, tuple((leaf.shape, leaf.stride(), leaf.dtype) for leaf in leaves))
        calls = self._calls[key] = self._calls.get(key, 0) + 1
        if key not in self._records:
            if calls < TRACE_AT and (self._records or not self._required):
                return self._plain(args)
            self._recorded_at[key] = calls
            return self._record(key, args)
        record = self._records[key]
        if record is None:
            return self._plain(args)
        if calls - self._recorded_at[key] in COMPARE_AFTER:
            return self._checked(key, record, args)
        return record(*args)

    def _plain(self, args: Any) -> Any:
        with RowMajorDropout():
            return self._function(*args)

    def _record(self, key: Any, args: Any) -> Any:
        before = capture_rng()
        try:
            with RowMajorDropout():
                record = make_fx(lambda *inputs: self._function(*inputs))(*args)
        except Exception as error:  # a decision that rests on a tensor's value, or on chance
            if self._required:
                raise NotRecordableError(
                    f"an update is not one fixed list of kernels ({first_line(error)})"
                ) from error
            restore_rng(before)
            self._records[key] = None
            return self._plain(args)
        restore_rng(before)
        return self._checked(key, record, args)

    def _checked(self, key: Any, record: GraphModule, args: Any) -> Any:
        """The plain result; the record is kept if it gives the same."""
        result, same = self._compare(record, args)
        if not same and self._required:
            raise NotRecordableError("the model or its loss changes its own behaviour while it trains")
        self._records[key] = record if same else None
        return result

    def _compare(self, record: GraphModule, args: Any) -> tuple[Any, bool]:
        """The plain result, and whether the record gives the same and draws the same random numbers."""
        before = capture_rng()
        recorded = record(*args)
        after = capture_rng()
        restore_rng(before)
        plain = self._plain(args)
        (ours, shape), (theirs, other) = tree_flatten(recorded), tree_flatten(plain)
        same = shape == other and same_rng(after, capture_rng())
        return plain, same and all(close(a, b) for a, b in zip(ours, theirs, strict=True))


def close(a: torch.Tensor, b: torch.Tensor, scale: float = 0.0) -> bool:
    """Whether two tensors are equal up to rounding; non-finite entries must stand in the same places.

    Rounding is reckoned from the larger of their own size and `scale`.
    """
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
    scale = max(scale, float(torch.maximum(x.abs().max(), y.abs().max())))
    return float((x - y).abs().max()) <= RTOL.get(a.dtype, 1e-2) * scale + torch.finfo(a.dtype).tiny
