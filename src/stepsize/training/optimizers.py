"""Optimizers over stacked parameters: K members at once, each with its own rate.

The native updates repeat torch's single-tensor arithmetic line by line on tensors of shape (K, …), with the
rate as a (K, 1, …) tensor. Any other optimizer is run as K real ones over views of the stacked parameters.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import nn

from stepsize._rng import capture_rng, restore_rng
from stepsize.training.program import Product

Group = Mapping[str, Any]
Slot = dict[str, torch.Tensor]
"""State of one stacked parameter; every tensor has the members as its first dimension."""


Gradient = torch.Tensor | Product
"""A stacked gradient (K, …), or the two factors of one, (K, n, m) and (K, m, p)."""


def dense(gradient: Gradient) -> torch.Tensor:
    """The gradient itself."""
    return gradient.value() if isinstance(gradient, Product) else gradient


class StackedOptimizer(Protocol):
    """Updates stacked parameters in place."""

    def step(self, grads: Sequence[Gradient], lr: torch.Tensor) -> None:
        """One update; `grads` are (K, …) and `lr` is (K,), before each group's ratio."""
        ...

    def set(self, name: str, value: float) -> None:
        """Set a hyperparameter, such as "momentum" or "weight_decay", in every group that has it."""
        ...

    def keep(self, rows: torch.Tensor, params: Sequence[torch.Tensor]) -> None:
        """Go on with a subset of the members, whose parameters are now `params`."""
        ...


def _sgd(p: torch.Tensor, g: torch.Tensor, lr: torch.Tensor, slot: Slot, group: Group, step: int) -> None:
    if group["maximize"]:
        g = -g
    if group["weight_decay"] != 0:
        g = g.add(p, alpha=group["weight_decay"])
    if group["momentum"] != 0:
        if "momentum_buffer" in slot:
            slot["momentum_buffer"].mul_(group["momentum"]).add_(g, alpha=1 - group["dampening"])
        else:
            slot["momentum_buffer"] = g.clone()
        buffer = slot["momentum_buffer"]
        g = g.add(buffer, alpha=group["momentum"]) if group["nesterov"] else buffer
    p.addcmul_(g, lr, value=-1)


def _sgd_of_product(
    p: torch.Tensor, g: Product, lr: torch.Tensor, slot: Slot, group: Group, step: int
) -> None:
    """`_sgd` that adds the product to the weights as it is made: the large gradient never lies in memory."""
    plain = group["weight_decay"] == 0 and not group["maximize"] and not group["nesterov"]
    if not plain or p.dtype != lr.dtype or (group["momentum"] != 0 and "momentum_buffer" not in slot):
        _sgd(p, g.value(), lr, slot, group, step)
    elif group["momentum"] == 0:
        p.baddbmm_(g.left * lr, g.right, alpha=-1)
    else:
        buffer = slot["momentum_buffer"]
        buffer.baddbmm_(g.left, g.right, beta=group["momentum"], alpha=1 - group["dampening"])
        p.addcmul_(buffer, lr, value=-1)


def _adam(p: torch.Tensor, g: torch.Tensor, lr: torch.Tensor, slot: Slot, group: Group, step: int) -> None:
    beta1, beta2 = group["betas"]
    if group["maximize"]:
        g = -g
    if group["weight_decay"] != 0:
        if group.get("decoupled_weight_decay", False):
            p.mul_(1 - lr * group["weight_decay"])
        else:
            g = g.add(p, alpha=group["weight_decay"])
    if not slot:
        slot["exp_avg"], slot["exp_avg_sq"] = torch.zeros_like(p), torch.zeros_like(p)
        if group["amsgrad"]:
            slot["max_exp_avg_sq"] = torch.zeros_like(p)
    slot["exp_avg"].lerp_(g, 1 - beta1)
    slot["exp_avg_sq"].mul_(beta2).addcmul_(g, g, value=1 - beta2)
    second = slot["exp_avg_sq"]
    if group["amsgrad"]:
        second = torch.maximum(slot["max_exp_avg_sq"], second, out=slot["max_exp_avg_sq"])
    denominator = second.sqrt().div_((1 - beta2**step) ** 0.5).add_(group["eps"])
    p.addcmul_(denominator.reciprocal_().mul_(slot["exp_avg"]), lr, value=-1 / (1 - beta1**step))


def _adamw(p: torch.Tensor, g: torch.Tensor, lr: torch.Tensor, slot: Slot, group: Group, step: int) -> None:
    # Before torch 2.7, AdamW had no `decoupled_weight_decay` among its options.
    _adam(p, g, lr, slot, {**group, "decoupled_weight_decay": True}, step)


def _rmsprop(p: torch.Tensor, g: torch.Tensor, lr: torch.Tensor, slot: Slot, group: Group, step: int) -> None:
    if group["maximize"]:
        g = -g
    if group["weight_decay"] != 0:
        g = g.add(p, alpha=group["weight_decay"])
    if not slot:
        slot["square_avg"] = torch.zeros_like(p)
        if group["centered"]:
            slot["grad_avg"] = torch.zeros_like(p)
        if group["momentum"] > 0:
            slot["momentum_buffer"] = torch.zeros_like(p)
    slot["square_avg"].mul_(group["alpha"]).addcmul_(g, g, value=1 - group["alpha"])
    if group["centered"]:
        slot["grad_avg"].lerp_(g, 1 - group["alpha"])
        root = slot["square_avg"].addcmul(slot["grad_avg"], slot["grad_avg"], value=-1).sqrt_()
    else:
        root = slot["square_avg"].sqrt()
    scaled = g / root.add_(group["eps"])
    if group["momentum"] > 0:
        scaled = slot["momentum_buffer"].mul_(group["momentum"]).add_(scaled)
    p.addcmul_(scaled, lr, value=-1)


def _adagrad(p: torch.Tensor, g: torch.Tensor, lr: torch.Tensor, slot: Slot, group: Group, step: int) -> None:
    if group["maximize"]:
        g = -g
    if group["weight_decay"] != 0:
        g = g.add(p, alpha=group["weight_decay"])
    if not slot:
        slot["sum"] = torch.full_like(p, group["initial_accumulator_value"])
    slot["sum"].addcmul_(g, g)
    p.addcmul_(g / slot["sum"].sqrt().add_(group["eps"]), lr, value=-1 / (1 + (step - 1) * group["lr_decay"]))


NATIVE: dict[type[torch.optim.Optimizer], Callable[..., None]] = {
    torch.optim.SGD: _sgd,
    torch.optim.Adam: _adam,
    torch.optim.AdamW: _adamw,
    torch.optim.RMSprop: _rmsprop,
    torch.optim.Adagrad: _adagrad,
}
"""Exact types only: a subclass may do anything."""


def native_update(optimizer: torch.optim.Optimizer) -> Callable[..., None] | None:
    """The update that repeats this optimizer on stacked tensors; None if it, or a hook on it, may do more."""
    hooked = optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks
    return None if hooked or "step" in vars(optimizer) else NATIVE.get(type(optimizer))


def needs_closure(optimizer: torch.optim.Optimizer) -> bool:
    """Whether `step` asks for a function that evaluates the loss again, as LBFGS does."""
    parameters = inspect.signature(optimizer.step).parameters.values()
    return any(
        p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters
    )


def carried_state(
    optimizer: torch.optim.Optimizer, params: Sequence[torch.Tensor]
) -> tuple[list[Slot], int] | None:
    """Each parameter's state and the updates done so far; None if these differ between parameters."""
    states = [optimizer.state.get(p, {}) for p in params]
    steps = {int(state.get("step", 0)) for state in states}
    if len(steps) > 1:
        return None
    slots = [
        {name: value for name, value in state.items() if name != "step" and value is not None}
        for state in states
    ]
    return slots, steps.pop() if steps else 0


class Native:
    """One of the updates above over all members at once, each starting from a copy of the `state` given."""

    def __init__(
        self,
        update: Callable[..., None],
        params: Sequence[torch.Tensor],
        groups: Sequence[Group],
        ratios: Sequence[float],
        state: tuple[Sequence[Slot], int],
    ) -> None:
        self._update = update
        self._params = list(params)
        self._groups = [dict(group) for group in groups]  # one per parameter
        self._ratios = ratios
        slots, self._step = state
        self._slots: list[Slot] = [
            {name: value.expand(len(p), *value.shape).clone() for name, value in slot.items()}
            for p, slot in zip(self._params, slots, strict=True)
        ]

    def step(self, grads: Sequence[Gradient], lr: torch.Tensor) -> None:
        self._step += 1
        rates: dict[tuple[float, torch.dtype], torch.Tensor] = {}
        for p, g, slot, group, ratio in zip(
            self._params, grads, self._slots, self._groups, self._ratios, strict=True
        ):
            # Never less than float32, as torch reckons with rates: 1 - lr·decay rounds to 1 in bfloat16.
            kind = ratio, torch.promote_types(p.dtype, torch.float32)
            if kind not in rates:
                rates[kind] = (lr if ratio == 1 else lr * ratio).to(kind[1])
            rate = rates[kind].view(-1, *[1] * (p.ndim - 1))
            if isinstance(g, Product) and self._update is _sgd:
                _sgd_of_product(p, g, rate, slot, group, self._step)
            else:
                self._update(p, dense(g), rate, slot, group, self._step)

    def set(self, name: str, value: float) -> None:
        for group in self._groups:
            set_control(group, name, value)

    def keep(self, rows: torch.Tensor, params: Sequence[torch.Tensor]) -> None:
        self._params = list(params)
        self._slots = [
            {key: state.index_select(0, rows) for key, state in slot.items()} for slot in self._slots
        ]


class Separate:
    """K real optimizers over views of the stacked parameters: slower, and exact for any optimizer."""

    def __init__(
        self,
        make: Callable[[nn.Module], torch.optim.Optimizer],
        models: Sequence[nn.Module],
        names: Sequence[str],
    ) -> None:
        self._optimizers = [make(model) for model in models]
        self._base = [
            [float(group["lr"]) for group in optimizer.param_groups] for optimizer in self._optimizers
        ]
        named = [dict(model.named_parameters()) for model in models]
        self._views = [[parameters[name] for name in names] for parameters in named]
        self._stacked: list[torch.Tensor] = []

    def step(self, grads: Sequence[Gradient], lr: torch.Tensor) -> None:
        before = capture_rng()
        gradients = [dense(grad) for grad in grads]
        for row, (optimizer, base) in enumerate(zip(self._optimizers, self._base, strict=True)):
            restore_rng(
                before
            )  # an optimizer that draws noise draws for each member what it would draw alone
            for view, grad in zip(self._views[row], gradients, strict=True):
                view.grad = grad[row].contiguous()
            rate = float(lr[row])
            for group, ratio in zip(optimizer.param_groups, base, strict=True):
                group["lr"] = rate * ratio
            optimizer.step()
            self._gather(row)

    def _gather(self, row: int) -> None:
        """Take back parameters that the optimizer replaced (`p.data = …`) instead of filling them."""
        for view, stacked in zip(self._views[row], self._stacked, strict=True):
            if view.data_ptr() != stacked[row].data_ptr():
                stacked[row].copy_(view)
                view.data = stacked[row]

    def set(self, name: str, value: float) -> None:
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                set_control(group, name, value)

    def keep(self, rows: torch.Tensor, params: Sequence[torch.Tensor]) -> None:
        kept = rows.tolist()
        self._optimizers = [self._optimizers[row] for row in kept]
        self._base = [self._base[row] for row in kept]
        self._views = [self._views[row] for row in kept]
        self.bind(params)

    def bind(self, params: Sequence[torch.Tensor]) -> None:
        """Let every member's parameters be views of the stacked ones."""
        self._stacked = list(params)
        for row, views in enumerate(self._views):
            for view, stacked in zip(views, params, strict=True):
                view.data = stacked[row]


def has_control(group: Group, name: str) -> bool:
    """Whether `set_control` would find this hyperparameter."""
    return name in group or (name == "momentum" and "betas" in group)


def set_control(group: dict[str, Any], name: str, value: float) -> None:
    """Set a hyperparameter where the group has it; "momentum" is the first beta of Adam-like optimizers."""
    if name == "momentum" and "betas" in group:
        group["betas"] = (value, *group["betas"][1:])
    elif name in group:
        group[name] = value
