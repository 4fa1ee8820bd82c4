"""What can be measured on a task, found by trying, with the reason for what cannot."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import torch
from torch import nn
from torch.func import functional_call, grad, jvp, vmap
from torch.utils._pytree import tree_map

from stepsize.data import samples_in
from stepsize.losses import BoundLoss


class Capability(msgspec.Struct, frozen=True):
    """Whether something can be measured; `why` says how, or what stands in the way."""

    available: bool
    why: str

    def __bool__(self) -> bool:
        return self.available


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a task allows to be measured.

    `held_out_loss`: the loss on data not trained on. `stack`: many runs as one computation.
    `per_example_gradients`: the gradient of each sample (noise scale). `curvature`: Hessian-vector
    products (sharpness).
    """

    held_out_loss: Capability
    stack: Capability
    per_example_gradients: Capability
    curvature: Capability

    def __str__(self) -> str:
        rows = ((name, getattr(self, name)) for name in self.__struct_fields__)
        return "\n".join(
            f"{'yes' if c else 'no ':3}  {name.replace('_', ' '):22}  {c.why}" for name, c in rows
        )


def probe_capabilities(model: nn.Module, loss: Any, batch: Any, loss_kind: str) -> Capabilities:
    """Try each measurement's mechanism on a small batch; the model passed in is used up."""
    params = {k: v.detach() for k, v in model.named_parameters()}
    buffers = {k: v.detach() for k, v in model.named_buffers()}
    wrapped = BoundLoss(model, loss)

    def scalar(p: dict[str, torch.Tensor], b: dict[str, torch.Tensor], data: Any) -> torch.Tensor:
        state = {f"model.{k}": v.clone() for k, v in (p | b).items()}
        value: torch.Tensor = functional_call(wrapped, state, (data,))[0]
        return value

    def stack() -> None:
        if why := known_obstacle(model):
            raise TypeError(why)
        weights, rest = ({k: torch.stack([v, v]) for k, v in state.items()} for state in (params, buffers))
        mapped: Callable[..., Any] = vmap(grad(scalar), in_dims=(0, 0, None), randomness="same")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            mapped(weights, rest, batch)
        # The stack computes attention from plain products, so its fused kernels stand in nobody's way.
        if (missing := missing_rule(caught)) and "scaled_dot_product" not in missing:
            raise TypeError(f"torch has no batching rule for {missing}")

    def per_example() -> None:
        for name, module in model.named_modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                raise TypeError(f"{type(module).__name__} {name!r} mixes the samples of a batch")

        def one(p: dict[str, torch.Tensor], sample: Any) -> torch.Tensor:
            return scalar(p, buffers, tree_map(lambda leaf: leaf.unsqueeze(0), sample))

        vmap(grad(one), in_dims=(None, 0), randomness="different")(params, batch)

    def curvature() -> None:
        tangent = {k: torch.ones_like(v) for k, v in params.items()}
        jvp(lambda p: grad(scalar)(p, buffers, batch), (params,), (tangent,))

    return Capabilities(
        held_out_loss=Capability(True, loss_kind),
        stack=_try(stack, f"vmap over the weights works ({type(model).__name__})"),
        per_example_gradients=_try(per_example, f"vmap over {samples_in(batch)} samples works"),
        curvature=_try(curvature, "the gradient can be differentiated again"),
    )


def _try(mechanism: Callable[[], None], works: str) -> Capability:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            mechanism()
        except Exception as error:  # noqa: BLE001 - whatever it raises is the reason
            return Capability(False, first_line(error))
    return Capability(True, works)


def known_obstacle(model: nn.Module) -> str | None:
    """Why vmap cannot map this model, where its modules alone tell."""
    for name, module in model.named_modules():
        if isinstance(module, nn.LSTM):
            return f"{name or 'the model'} is an LSTM, whose fused kernel has no batching rule"
        if type(module).__name__ == "OptimizedModule":
            return f"{name or 'the model'} is compiled, and vmap cannot look inside"
    return None


def missing_rule(caught: Iterable[warnings.WarningMessage]) -> str | None:
    """The operation that vmap warned of, because it maps it one by one; None without such a warning."""
    for warning in caught:
        if "batching rule" in (message := str(warning.message)):
            return message.split("for ")[-1].split(". ")[0]
    return None


def first_line(error: BaseException) -> str:
    """An exception as one line: its class and the first line of its message."""
    message = str(error).strip().splitlines()
    return f"{type(error).__name__}: {message[0]}" if message else type(error).__name__
