"""The naive twin of the engine: the loop that anyone would write, for one run at a time.

It knows nothing of stepsize: batches come in from outside, since their order is the engine's to choose.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn


def seed_everything(seed: int) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


def plain_loop(
    make_model: Callable[[], nn.Module],
    loss: Callable[[nn.Module, Any], torch.Tensor],
    batches: Iterator[Any],
    make_optimizer: Callable[[Iterable[Any], float], torch.optim.Optimizer],
    rates: Iterable[float],
    *,
    seed: int = 0,
    params: Callable[[nn.Module], Any] = nn.Module.parameters,
    momentum: Iterable[float] | None = None,
    masks: AbstractContextManager[Any] | None = None,
) -> tuple[np.ndarray, nn.Module]:
    """Train one model; the loss before each update, and the model as training left it.

    Groups with an `lr_scale` get that multiple of the rate. `masks` is entered while training, for layers
    whose own dropout masks depend on how their tensors happen to lie in memory.
    """
    rates = list(rates)
    seed_everything(seed)
    model = make_model()
    optimizer = make_optimizer(params(model), rates[0])
    factors = [group["lr"] / rates[0] * group.get("lr_scale", 1.0) for group in optimizer.param_groups]
    losses = []
    clock = [None] * len(rates) if momentum is None else list(momentum)
    seed_everything(seed)
    with masks or nullcontext():
        for lr, beta in zip(rates, clock, strict=True):
            for group, factor in zip(optimizer.param_groups, factors, strict=True):
                group["lr"] = lr * factor
                if beta is not None and "betas" in group:
                    group["betas"] = (beta, group["betas"][1])
                elif beta is not None:
                    group["momentum"] = beta
            optimizer.zero_grad()
            value = loss(model, next(batches))
            value.backward()
            optimizer.step()
            losses.append(value.item())
    return np.array(losses), model


def evaluate(
    model: nn.Module, functions: Mapping[str, Callable[..., torch.Tensor]], batch: Any
) -> dict[str, float]:
    """Each function's value on one batch, in evaluation mode."""
    model.eval()
    with torch.no_grad():
        return {name: float(function(model, batch)) for name, function in functions.items()}
