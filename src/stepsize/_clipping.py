"""Gradient clipping: what a task's gradients are clipped to before each update."""

from __future__ import annotations

import msgspec
import torch
from torch import nn

from stepsize._check_task import positive_rate


class Clipping(msgspec.Struct, frozen=True):
    """As torch's `clip_grad_norm_` does it, or `clip_grad_value_`; false where nothing is clipped.

    `norm` is the largest Euclidean norm that all gradients may have together, `value` the largest size of a
    single one.
    """

    norm: float | None = None
    value: float | None = None

    @classmethod
    def checked(cls, norm: float | None, value: float | None) -> Clipping:
        """From a task's arguments `clip_grad_norm` and `clip_grad_value`.

        Raises `ValueError` unless at most one is given, finite and above 0; `TypeError` for no number.
        """
        given = {"clip_grad_norm": norm, "clip_grad_value": value}
        for name, limit in given.items():
            if limit is not None:
                positive_rate(name, limit)
        if norm is not None and value is not None:
            raise ValueError(
                f"at most one of clip_grad_norm and clip_grad_value may be given, but both are, {norm:g} and "
                f"{value:g}: leave one out"
            )
        return cls(None if norm is None else float(norm), None if value is None else float(value))

    def __bool__(self) -> bool:
        return self.norm is not None or self.value is not None

    def __str__(self) -> str:
        if self.norm is not None:
            return f"norm {self.norm:g}"
        return "none" if self.value is None else f"values {self.value:g}"

    def clip(self, params: list[torch.Tensor]) -> None:
        """Clip the gradients of these parameters in place; those that have none are left alone."""
        if self.norm is not None:
            nn.utils.clip_grad_norm_(params, self.norm)
        elif self.value is not None:
            nn.utils.clip_grad_value_(params, self.value)

    def clip_stacked(self, grads: list[torch.Tensor]) -> list[torch.Tensor]:
        """The gradients (K, …) of K members, each member's clipped as `clip` would; new tensors."""
        if self.value is not None:
            return [grad.clamp(-self.value, self.value) for grad in grads]
        if self.norm is None or not grads:
            return grads
        # As torch has it: a norm of norms, and a little added, so that a norm of 0 divides nothing.
        rows = (grad.reshape(len(grad), -1) for grad in grads)
        each = torch.stack([torch.linalg.vector_norm(row, dim=1) for row in rows])
        share = (self.norm / (torch.linalg.vector_norm(each, dim=0) + 1e-6)).clamp(max=1.0)
        return [torch.mul(grad, share.view(-1, *[1] * (grad.ndim - 1))).to(grad.dtype) for grad in grads]
