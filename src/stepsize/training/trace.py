"""A function of tensors, traced once per set of shapes and then run as a plain list of kernels.

`vmap` and `grad` decide anew at every call how each operation is batched. `record` notes the kernels that
come out of it, and running that record costs only the kernels. A record is trusted after it has given the
function's own result on several batches, random numbers included; it is compared again later, since a model
may change its behaviour while it trains.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from stepsize._capabilities import first_line
from stepsize._rng import capture_rng, restore_rng, same_rng
from stepsize.training.dropout import InParts
from stepsize.training.kernels import simplify
from stepsize.training.program import Product, Program
from stepsize.training.record import record
from stepsize.training.rewrites import turn_short_softmax

TRACE_AT = 6
"""Call (of one set of shapes) at which recording pays: it takes about as long as the calls before it."""

COMPARE_AFTER = frozenset((1, 2, 100, 1000))
"""Calls after recording at which the record is compared again: at once on other data, since what was read
from the first batch may have been frozen into the record; later, since a model may change."""

RTOL = {torch.float64: 1e-9, torch.float32: 1e-4}
"""Largest relative difference, in the maximum norm, that rounding may explain."""


SHRUNK = 0.1
"""What has become smaller than this share of what it was when it was first compared is held to that share: of
a loss near zero, and of its gradients, rounding leaves few digits."""

NONE = slice(0, 0)
"""No results."""


class NotRecordableError(Exception):
    """The function is not one fixed list of kernels; the message says why."""


class Traced:
    """A function of trees of tensors that runs as recorded kernels once it has been called a few times.

    With `required`, the first call already records, and `NotRecordableError` is raised when that fails or
    when a record turns out to be wrong. Without, the function then runs as it is.

    With `lasting`, the first argument is a dict of tensors that stay where they are between calls and are
    changed in place. With `products`, a record may give a result as a `Product`, which is still to be
    multiplied. `gradients` are the results that are compared on one scale for each member, the first axis:
    one of them may be zero but for rounding (of a bias under BatchNorm). All three are for a function that
    gives a flat tuple.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        required: bool = False,
        lasting: bool = False,
        products: bool = False,
        gradients: slice = NONE,
    ) -> None:
        self._function, self._required = function, required
        self._gradients = gradients
        self._scales: list[float] = []  # of the results when they were first compared
        self._lasting, self._products = lasting, products
        self._calls: dict[Any, int] = {}
        self._records: dict[Any, _Record | None] = {}
        self._recorded_at: dict[Any, int] = {}
        self._held: Any = None
        self._held_leaves: list[torch.Tensor] = []
        self._held_layout: tuple[Any, ...] = ()

    def __call__(self, *args: Any) -> Any:
        try:
            leaves, key = self._read(args)
        except TypeError as error:
            if self._required:
                raise NotRecordableError(str(error)) from error
            return self._function_with_masks(*args)
        calls = self._calls[key] = self._calls.get(key, 0) + 1
        if key not in self._records:
            if calls < TRACE_AT and (self._records or not self._required):
                return self._function_with_masks(*args)
            self._recorded_at[key] = calls
            return self._record(key, args, leaves)
        record = self._records[key]
        if record is None:
            return self._function_with_masks(*args)
        if calls - self._recorded_at[key] in COMPARE_AFTER:
            return self._checked(key, record, args, leaves)
        return record(leaves)

    def release(self) -> None:
        """Let go of the tensors of the last call; what was recorded stays."""
        self._held, self._held_leaves, self._held_layout = None, [], ()
        for kept in self._records.values():
            if kept is not None:
                kept.release()

    def _read(self, args: tuple[Any, ...]) -> tuple[list[torch.Tensor], Any]:
        """The arguments' leaves, and all that a record rests on; lasting ones are read once."""
        leaves: list[torch.Tensor] = []
        layout: list[Any] = []
        if not self._lasting:
            _read(args, leaves, layout)
            return leaves, tuple(layout)
        if self._held is not args[0]:
            _read(args[0], leaves, layout)
            self._held, self._held_leaves, self._held_layout = args[0], leaves, tuple(layout)
            leaves, layout = [], []
        _read(args[1:], leaves, layout)
        return self._held_leaves + leaves, (self._held_layout, *layout)

    def _function_with_masks(self, *args: Any) -> Any:
        with InParts():
            return self._function(*args)

    def _record(self, key: Any, args: Any, leaves: list[torch.Tensor]) -> Any:
        before = capture_rng()
        try:
            lasting = len(tree_flatten(args[0])[0]) if self._lasting else 0
            record = _Record(self._function_with_masks, args, lasting=lasting, products=self._products)
        except Exception as error:  # a decision that rests on a tensor's value, or on chance
            if self._required:
                raise NotRecordableError(
                    f"an update is not one fixed list of kernels ({first_line(error)})"
                ) from error
            restore_rng(before)
            self._records[key] = None
            return self._function_with_masks(*args)
        restore_rng(before)
        return self._checked(key, record, args, leaves)

    def _checked(self, key: Any, record: _Record, args: Any, leaves: list[torch.Tensor]) -> Any:
        """The plain result; the record is kept if it gives the same and draws the same random numbers."""
        before = capture_rng()
        recorded = record(leaves)
        after = capture_rng()
        restore_rng(before)
        plain = self._function_with_masks(*args)
        (ours, shape), (theirs, other) = tree_flatten(_multiplied(recorded)), tree_flatten(plain)
        same = shape == other and same_rng(after, capture_rng())
        same = same and self._agree(ours, theirs)
        if not same and self._required:
            raise NotRecordableError("the model or its loss changes its own behaviour while it trains")
        self._records[key] = record if same else None
        return plain

    def _agree(self, ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> bool:
        """Whether a record's results are the function's own, up to rounding."""
        ours, theirs = ([result.detach() for result in results] for results in (ours, theirs))
        if not self._scales:
            self._scales = [SHRUNK * largest(result) for result in theirs]
        scales = list(self._scales)
        together = scales[self._gradients]
        same = alike(ours[self._gradients], theirs[self._gradients], max(together, default=0.0))
        del ours[self._gradients], theirs[self._gradients], scales[self._gradients]
        return same and all(close(a, b, scale) for a, b, scale in zip(ours, theirs, scales, strict=True))


class _Record:
    """The kernels of one call, simplified; called with the leaves of its arguments."""

    def __init__(self, function: Callable[..., Any], args: Any, *, lasting: int, products: bool) -> None:
        leaves, inputs = tree_flatten(args)
        outputs: list[tuple[TreeSpec, bool]] = []

        def flat(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
            found = function(*tree_unflatten(tensors, inputs))
            results, spec = tree_flatten(found)
            outputs.append((spec, type(found) is tuple and all(isinstance(f, torch.Tensor) for f in found)))
            return tuple(results)

        kernels = simplify(record(flat, leaves))
        if all(leaf.device.type == "cpu" for leaf in leaves):
            turn_short_softmax(kernels)
        self._outputs, self._flat = outputs[-1]
        self._kernels = Program(kernels, lasting=lasting, products=products and self._flat)

    def __call__(self, leaves: list[torch.Tensor]) -> Any:
        results = self._kernels(leaves)
        return results if self._flat else tree_unflatten(results, self._outputs)

    def release(self) -> None:
        self._kernels.release()


def _multiplied(results: Any) -> Any:
    if type(results) is tuple:
        return tuple(r.value() if isinstance(r, Product) else r for r in results)
    return results


def _read(tree: Any, leaves: list[torch.Tensor], layout: list[Any]) -> None:
    """Collect a tree's tensors, in torch's own order, and all that a record of them rests on.

    Raises `TypeError` for a leaf that is no tensor.
    """
    if isinstance(tree, torch.Tensor):
        leaves.append(tree)
        layout += (tree.shape, tree.stride(), tree.dtype)
    elif type(tree) is dict:
        layout.append(len(tree))
        for key, value in tree.items():
            layout.append(key)
            _read(value, leaves, layout)
    elif type(tree) in (tuple, list):
        layout += (type(tree), len(tree))
        for value in tree:
            _read(value, leaves, layout)
    else:
        inner, spec = tree_flatten(tree)
        if spec.is_leaf():
            raise TypeError(f"besides tensors the batch holds values of type {type(tree).__name__}")
        layout.append(spec)
        _read(inner, leaves, layout)


def largest(tensor: torch.Tensor) -> float:
    """The largest absolute value among the finite ones; 0 if there is none."""
    if not tensor.is_floating_point():
        return 0.0
    finite = tensor[torch.isfinite(tensor)]
    return float(finite.abs().max()) if finite.numel() else 0.0


def alike(ours: Sequence[torch.Tensor], theirs: Sequence[torch.Tensor], scale: float = 0.0) -> bool:
    """Whether gradients (K, …) are equal up to rounding of each member's largest one, or of `scale`."""
    if any(a.shape != b.shape or a.dtype != b.dtype for a, b in zip(ours, theirs, strict=True)):
        return False
    if not ours:
        return True
    sizes, errors, allowed = [], [], []
    for a, b in zip(ours, theirs, strict=True):
        x, y = a.reshape(len(a), -1), b.reshape(len(b), -1)  # a parameter may be a single number
        finite = torch.isfinite(x)
        if not torch.equal(finite, torch.isfinite(y)):
            return False
        x, y = x.where(finite, 0).double(), y.where(finite, 0).double()
        sizes.append(torch.maximum(x.abs(), y.abs()).amax(1).clamp(min=scale))
        errors.append((x - y).abs().amax(1))
        allowed.append(RTOL.get(a.dtype, 1e-2))
    size = torch.stack(sizes).amax(0) + torch.finfo(ours[0].dtype).tiny
    return all(bool((error <= rtol * size).all()) for error, rtol in zip(errors, allowed, strict=True))


def close(a: torch.Tensor, b: torch.Tensor, scale: float = 0.0) -> bool:
    """Whether two tensors are equal up to rounding; non-finite entries must stand in the same places.

    Rounding is reckoned from the larger of their own size and `scale`.
    """
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if not a.is_floating_point():
        return torch.equal(a, b)
    if bool(torch.isfinite(a).all()) and bool(torch.isfinite(b).all()):
        x, y = a, b
    else:
        finite = torch.isfinite(a)
        if not torch.equal(finite, torch.isfinite(b)):
            return False
        x, y = a[finite], b[finite]
    if x.numel() == 0:
        return True
    scale = max(scale, float(x.abs().max()), float(y.abs().max()))
    return float((x - y).abs().max()) <= RTOL.get(a.dtype, 1e-2) * scale + torch.finfo(a.dtype).tiny
