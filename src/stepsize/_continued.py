"""An optimizer in use as an optimizer factory: training goes on from a copy of its state."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn


class Continued:
    """Called as `factory(params, lr=lr)`, gives a copy of an optimizer and its state over other parameters.

    The groups keep their hyperparameters and the proportion of their rates: the largest gets `lr`, by its
    present rate or, under a scheduler, by its initial one.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        model: nn.Module,
        params: Callable[[nn.Module], Iterable[Any]],
    ) -> None:
        self._optimizer, self._olds = optimizer, _flat(params(model))
        known = {id(p) for p in self._olds}
        strangers = sum(id(p) not in known for group in optimizer.param_groups for p in group["params"])
        if strangers:
            raise ValueError(
                f"optimizer must be over the parameters of model, but {strangers} of its parameters are "
                "others: pass the module that it trains, or a class, "
                f"optimizer=torch.optim.{type(optimizer).__name__}, to start anew"
            )
        rates = [float(group.get("initial_lr", group["lr"])) for group in optimizer.param_groups]
        if not max(rates) > 0:
            raise ValueError(
                f"optimizer must have a group with a rate above 0, but its rates are {rates}, which tell no "
                "proportion: set group['lr']"
            )
        self._ratios = [rate / max(rates) for rate in rates]

    def __call__(self, params: Iterable[Any], lr: float) -> torch.optim.Optimizer:
        news = _flat(params)
        memo = {id(old): new for old, new in zip(self._olds, news, strict=True)}
        continued = copy.deepcopy(self._optimizer, memo)
        for group, ratio in zip(continued.param_groups, self._ratios, strict=True):
            group["lr"] = lr * ratio
            group.pop("initial_lr", None)
            group.pop("lr_scale", None)  # it is in the rates already
        return continued

    def content(self) -> Any:
        """What two optimizers must agree in to go on alike: class, groups and state, by place."""
        return type(self._optimizer).__qualname__, self._optimizer.state_dict(), self._ratios


def _flat(params: Iterable[Any]) -> list[torch.Tensor]:
    """The parameters of what an optimizer takes: parameters, (name, parameter) pairs or groups of them."""
    found: list[torch.Tensor] = []
    for item in params:
        if isinstance(item, dict):
            inner = item["params"]
            found += [inner] if isinstance(inner, torch.Tensor) else _flat(inner)
        else:
            found.append(item[1] if isinstance(item, tuple) else item)
    return found
