"""Probe: a training loop that stepsize does not own, measured where it stands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import nn

from stepsize._check_task import integer
from stepsize.data import Batch
from stepsize.schedules.groups import write

Step = Callable[[Batch], Any]
"""Trains on one batch and returns the loss: a number, a tensor with one element, or a mapping with "loss"."""


class Probe:
    """A training step of the user's own, with the objects that it changes.

    Measurements call `step` as the user's loop does, set the optimizers' rates, and put everything in `state`
    back afterwards: the present weights are the start of every run. Under torchrun a measurement is called on
    every rank, which then decide alike; a wrapped module goes into `state` with its wrapper.

    Args:
        step: called with a batch; trains on it and returns the loss. What it does inside is its own affair:
            several optimizers, mixed precision with a gradient scaler, clipping, weight averages, schedulers.
        state: the objects that `step` changes, besides the optimizers and the global random generators, which
            are always included: modules, schedulers, scalers, generators, tensors, dicts, lists, and what has
            `state_dict` and `load_state_dict`.
        optimizers: one, or all of those that `step` steps. A swept rate is the largest group's; the others
            keep their present proportion to it (their initial one under a scheduler). The rate is
            set before every step of the optimizer, over whatever a scheduler says.
        evaluate: called with a batch of held-out data; gives the loss without training. Without it,
            the loss of `step` at rate 0 on batches of their own is what rates are judged on.
        accumulate: calls of `step` from one update of the weights to the next; a rate is held for all.
        seed: first of the seeds that measurements count up from.
        name: how results call it.

    Raises:
        TypeError: an argument has a type that cannot work.
        ValueError: no optimizer, none with a rate above 0, or one over weights that `state` does not hold.
    """

    def __init__(
        self,
        step: Step,
        state: Sequence[Any] | Any,
        optimizers: Sequence[torch.optim.Optimizer] | torch.optim.Optimizer,
        *,
        evaluate: Callable[[Batch], Any] | None = None,
        accumulate: int = 1,
        seed: int = 0,
        name: str = "probe",
    ) -> None:
        for argument, function in (("step", step), ("evaluate", evaluate)):
            if function is not None and not callable(function):
                raise TypeError(
                    f"{argument} must be callable as {argument}(batch), but is a {type(function).__name__}"
                )
        self.step, self.evaluate = step, evaluate
        self.optimizers = _optimizers(optimizers)
        self.state = _with(state, self.optimizers)
        self.accumulate = integer("accumulate", accumulate, at_least=1)
        self.seed = integer("seed", seed, at_least=0)
        self.name = name
        self.ratios = _ratios(self.optimizers)
        self.device = _trained(self.optimizers)[0].device
        _check_held(self.optimizers, self.state)

    def shares(self, optimizer: torch.optim.Optimizer) -> list[float]:
        """What each group of one of the optimizers gets of a rate."""
        return next(
            ratios for own, ratios in zip(self.optimizers, self.ratios, strict=True) if own is optimizer
        )

    def set_rate(self, optimizer: torch.optim.Optimizer, lr: float) -> None:
        """Give each group of one of the optimizers its share of `lr`."""
        for group, ratio in zip(optimizer.param_groups, self.shares(optimizer), strict=True):
            write(group, "lr", lr * ratio)

    def __repr__(self) -> str:
        steps = "" if self.accumulate == 1 else f", {self.accumulate} batches an update"
        names = ", ".join(type(optimizer).__name__ for optimizer in self.optimizers)
        return f"Probe({self.name!r}: {names}{steps}, {self.device})"


def _optimizers(given: Any) -> tuple[torch.optim.Optimizer, ...]:
    several: Iterable[Any] = given if isinstance(given, (list, tuple)) else [given]
    found = tuple(_plain(optimizer) for optimizer in several)
    if not found:
        raise ValueError("optimizers must not be empty: pass optimizers=[optimizer]")
    return found


def _plain(optimizer: Any) -> torch.optim.Optimizer:
    """The optimizer that steps, from inside of a wrapper such as accelerate's."""
    inner = getattr(optimizer, "optimizer", None)
    if isinstance(inner, torch.optim.Optimizer):
        return _plain(inner)
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(
            f"optimizers must hold torch optimizers in use, but holds a {type(optimizer).__name__}: pass "
            "optimizers=[torch.optim.SGD(model.parameters(), lr=0.1)]"
        )
    return optimizer


def _with(state: Any, optimizers: Sequence[torch.optim.Optimizer]) -> tuple[Any, ...]:
    given = list(state) if isinstance(state, (list, tuple)) else [state]
    known = {id(item) for item in given}
    return (*given, *(optimizer for optimizer in optimizers if id(optimizer) not in known))


def _ratios(optimizers: Sequence[torch.optim.Optimizer]) -> list[list[float]]:
    rates = [
        [float(group.get("initial_lr", group["lr"])) for group in optimizer.param_groups]
        for optimizer in optimizers
    ]
    largest = max(rate for group in rates for rate in group)
    if not largest > 0:
        raise ValueError(
            f"optimizers must have a group with a rate above 0, but their rates are {rates}, which tell no "
            "proportion: set group['lr']"
        )
    return [[rate / largest for rate in group] for group in rates]


def _trained(optimizers: Sequence[torch.optim.Optimizer]) -> list[torch.Tensor]:
    return [p for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]


def _check_held(optimizers: Sequence[torch.optim.Optimizer], state: Sequence[Any]) -> None:
    held: set[int] = set()
    for item in state:
        if isinstance(item, nn.Module):
            held.update(id(p) for p in item.parameters())
        elif isinstance(item, (torch.Tensor, dict, list)):
            held.update(_tensors_in(item))
    for place, optimizer in enumerate(optimizers):
        missing = sum(id(p) not in held for p in _trained([optimizer]))
        if missing:
            raise ValueError(
                f"state must hold all that is trained, but optimizers[{place}] "
                f"({type(optimizer).__name__}) updates {missing} tensors that are in none of it: add "
                "the module whose parameters they are"
            )


def _tensors_in(item: Any) -> set[int]:
    if isinstance(item, torch.Tensor):
        return {id(item)}
    inner = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
    return {one for entry in inner for one in _tensors_in(entry)}
