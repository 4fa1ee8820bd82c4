"""A probe's step as it is called: at a rate that is held, and with a loss that is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from stepsize._ranks import current
from stepsize.probe import Probe
from stepsize.training.optimizers import set_control


def mean_of_ranks(loss: float) -> float:
    """The loss over all ranks' batches, for what every rank decides alike."""
    return float(current().mean(np.array(loss)))


def loss_of(returned: Any, function: str = "step") -> float:
    """What `step` or `evaluate` returned, as a number."""
    value = returned.get("loss") if isinstance(returned, Mapping) else returned
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        return float(value.detach())
    if isinstance(value, (int, float, np.number)) and not isinstance(value, bool):
        return float(value)
    what = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else f"{value!r:.60}"
    raise TypeError(
        f"{function} must return the loss as a number, a tensor with one element, or a mapping with 'loss', "
        f"but returned {what}: end it with `return loss`"
    )


class Rates:
    """Holds a probe's optimizers at a rate, over what schedulers set, while it is entered as a context."""

    def __init__(self, probe: Probe) -> None:
        self._probe, self.lr = probe, 0.0
        self.stepped = False
        """Whether an optimizer has stepped since this was last set to False."""

    def set(self, lr: float, controls: Mapping[str, float] | None = None) -> None:
        """The rate of the largest group, and further hyperparameters, from here on."""
        self.lr = lr
        for optimizer in self._probe.optimizers:
            self._probe.set_rate(optimizer, lr)
            for group in optimizer.param_groups:
                for name, value in (controls or {}).items():
                    set_control(group, name, value)

    def __enter__(self) -> Rates:
        self._handles = [
            handle
            for optimizer in self._probe.optimizers
            for handle in (
                optimizer.register_step_pre_hook(self._before),
                optimizer.register_step_post_hook(self._after),
            )
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _before(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        self._probe.set_rate(optimizer, self.lr)

    def _after(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        self.stepped = True
