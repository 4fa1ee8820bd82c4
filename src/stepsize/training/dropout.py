"""Dropout masks that are the same in the stack and in the loop.

torch fills a mask in the memory order of the tensor that it is for, and a stacked tensor may be laid out
otherwise than a single one. While this mode is active, masks are drawn in plain row-major order, so a
member gets the masks that it would get alone, and all members of a seed share theirs (common random
numbers: their losses differ by their rates, not by their luck). In a stack, fused kernels that vmap cannot
batch are computed from their parts as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar
from unittest import mock

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import nn
from torch.autograd.graph import _engine_run_backward
from torch.overrides import TorchFunctionMode

from stepsize.losses import Supervised

_fused_attention: Callable[..., torch.Tensor] = F.scaled_dot_product_attention


def dropout(
    input: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> torch.Tensor:
    """`torch.nn.functional.dropout` with a row-major mask."""
    return _masked(input, p, training, inplace, tuple(input.shape))


def dropout_channels(
    input: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> torch.Tensor:
    """`dropout2d`, and its siblings for batched input: whole channels are dropped."""
    return _masked(input, p, training, inplace, (*input.shape[:2], *[1] * (input.ndim - 2)))


def _channels_of(batched: int) -> Callable[..., torch.Tensor]:
    """`dropout1d` and `dropout3d`, which take input of one dimension less as a single sample."""

    def dropped(
        input: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> torch.Tensor:
        if input.ndim == batched:
            return dropout_channels(input, p, training, inplace)
        return _masked(input, p, training, inplace, (len(input), *[1] * (input.ndim - 1)))

    return dropped


def _masked(
    input: torch.Tensor, p: float, training: bool, inplace: bool, shape: tuple[int, ...]
) -> torch.Tensor:
    if not training or p == 0.0:
        return input
    keep = 1.0 - p
    mask = torch.empty(shape, dtype=input.dtype, device=input.device).bernoulli_(keep)
    if keep > 0.0:
        mask.div_(keep)
    return input.mul_(mask) if inplace else input * mask


def attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """`scaled_dot_product_attention` from plain products: the fused kernels have no batching rule."""
    if enable_gqa:
        repeat = query.shape[-3] // key.shape[-3]
        key, value = (t.repeat_interleave(repeat, dim=-3) for t in (key, value))
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = query * scale @ key.transpose(-2, -1)
    if is_causal:
        allowed = torch.ones(scores.shape[-2:], dtype=torch.bool, device=query.device).tril()
        scores = scores.masked_fill(~allowed, -math.inf)
    if attn_mask is None:
        return dropout(scores.softmax(dim=-1), p=dropout_p) @ value
    # torch gives a query that may attend to nothing the weights 0, where softmax alone gives NaN. The mask
    # tells which do, and is mostly much smaller than the scores.
    if attn_mask.dtype == torch.bool:
        nothing = ~attn_mask.any(dim=-1, keepdim=True)
        scores = scores.masked_fill(~(attn_mask | nothing), -math.inf)
    else:
        nothing = (attn_mask == -math.inf).all(dim=-1, keepdim=True)
        scores = scores + attn_mask.masked_fill(nothing, 0.0)
    return (dropout(scores.softmax(dim=-1), p=dropout_p) @ value).masked_fill(nothing, 0.0)


def masked_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    *args: Any,
    **options: Any,
) -> torch.Tensor:
    """`scaled_dot_product_attention`, fused unless it draws a mask."""
    compute = _fused_attention if dropout_p == 0 else attention
    return compute(query, key, value, attn_mask, dropout_p, *args, **options)


def embedding_bag(
    input: torch.Tensor,
    weight: torch.Tensor,
    offsets: torch.Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    *args: Any,
    **options: Any,
) -> torch.Tensor:
    """`embedding_bag`, which has no batching rule; of rows (B, L) and without options by plain look-ups."""
    rest = [max_norm, scale_grad_by_freq, *args, *options.values()]
    if (
        input.ndim == 2
        and mode in ("sum", "mean")
        and not any(value is not None and value is not False for value in rest)
    ):
        found = F.embedding(input, weight)
        return found.sum(dim=1) if mode == "sum" else found.mean(dim=1)
    return F.embedding_bag(
        input, weight, offsets, max_norm, norm_type, scale_grad_by_freq, mode, *args, **options
    )


_MASKED: dict[Any, Any] = {
    F.dropout: dropout,
    F.dropout1d: _channels_of(3),
    F.dropout2d: dropout_channels,  # three dimensions are a batch too, by torch's own rule
    F.dropout3d: _channels_of(5),
    torch.dropout: lambda input, p, train: dropout(input, p, train),
    _fused_attention: masked_attention,
}
_IN_PARTS: dict[Any, Any] = {**_MASKED, _fused_attention: attention, F.embedding_bag: embedding_bag}


class RowMajorDropout(TorchFunctionMode):
    """Replaces dropout, also inside attention, by masks drawn in row-major order."""

    replaced: ClassVar[dict[Any, Any]] = _MASKED

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in self.replaced:
            return self.replaced[func](*args, **kwargs)
        if func is F.multi_head_attention_forward:
            # torch runs this function's body with the mode off, so what it calls is replaced there.
            with (
                mock.patch.object(F, "dropout", dropout),
                mock.patch.object(F, "scaled_dot_product_attention", self.replaced[_fused_attention]),
            ):
                return func(*args, **kwargs)
        if func is torch.Tensor.backward:
            return self._backward(*args, **kwargs)
        return func(*args, **kwargs)

    def _backward(
        self,
        loss: torch.Tensor,
        gradient: torch.Tensor | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: torch.Tensor | Sequence[torch.Tensor] | None = None,
    ) -> None:
        """`Tensor.backward`, which torch runs with the mode off, with it on.

        A backward pass may compute parts of the forward pass again (`torch.utils.checkpoint`). With other
        masks than there its gradients would be wrong.
        """
        if retain_graph is None:
            retain_graph = create_graph
        start = torch.ones_like(loss) if gradient is None else gradient
        into = (inputs,) if isinstance(inputs, torch.Tensor) else tuple(inputs or ())
        with self:
            _engine_run_backward(
                (loss,),
                (start,),
                retain_graph,
                create_graph,
                into,
                allow_unreachable=True,
                accumulate_grad=True,
            )


class InParts(RowMajorDropout):
    """Computes fused kernels that have no batching rule from their parts, besides."""

    replaced = _IN_PARTS


def needs_row_major(model: nn.Module, loss: Any) -> bool:
    """Whether training may draw masks: the mode costs time on every call, so known models go without."""
    return not isinstance(loss, Supervised) or any(
        not type(module).__module__.startswith("torch.nn.modules")
        or isinstance(module, (nn.modules.dropout._DropoutNd, nn.MultiheadAttention))
        for module in model.modules()
    )
