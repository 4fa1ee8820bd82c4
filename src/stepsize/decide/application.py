"""An advice put to use: optimizers in use get what was advised, each group as it was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from stepsize.decide.advice import Advice
from stepsize.decide.training_advice import TrainingAdvice
from stepsize.schedules.groups import proportions, share_out

if TYPE_CHECKING:
    from stepsize.schedules.torch_scheduler import StepsizeScheduler


def applied(
    advice: Advice, optimizers: Sequence[torch.optim.Optimizer], start: int
) -> list[StepsizeScheduler]:
    """A scheduler for each optimizer, which has set it for the update `start` already."""
    if advice.lr is None:
        raise ValueError(f"no learning rate to apply, the advice is {advice.status!r}: {advice.why}")
    if not optimizers:
        raise ValueError("optimizer must not be an empty list: pass advice.apply(optimizer)")
    for optimizer in optimizers:
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise TypeError(
                f"optimizer must be a torch optimizer, or a list of them, but is a "
                f"{type(optimizer).__name__}: pass advice.apply(optimizer)"
            )
    ratios = _ratios(advice.group_ratios, optimizers)
    advice.schedule.resolve(advice.run)  # raises before anything is changed
    if isinstance(advice, TrainingAdvice):
        for optimizer in optimizers:
            _set_up(advice, optimizer)
    for optimizer, own in zip(optimizers, ratios, strict=True):
        share_out(optimizer, own)
    return [advice.schedule.as_torch(optimizer, start=start) for optimizer in optimizers]


def _ratios(
    measured: Sequence[Sequence[float]], optimizers: Sequence[torch.optim.Optimizer]
) -> Sequence[Sequence[float]]:
    """What each group gets of the rate: as it was measured, or in its own proportion to the largest.

    Groups that were all measured at one rate may be split otherwise now.
    """
    counts = [len(optimizer.param_groups) for optimizer in optimizers]
    uneven = len({ratio for groups in measured for ratio in groups}) > 1
    if uneven and counts != [len(groups) for groups in measured]:
        shares = "; ".join(", ".join(f"{ratio:.3g}" for ratio in groups) for groups in measured)
        raise ValueError(
            f"optimizer must have the parameter groups that the rate was measured with, which got {shares} "
            f"times the rate, but has {', '.join(map(str, counts))}: make it as it was measured and in that "
            "order, or set proportions of your own with advice.schedule.as_torch(optimizer)"
        )
    if uneven:
        return measured
    share = next((ratio for groups in measured for ratio in groups), 1.0)
    own = [proportions(optimizer) for optimizer in optimizers]
    largest = max(rate for groups in own for rate in groups)
    return [[share * rate / largest for rate in groups] for groups in own]


def _set_up(advice: TrainingAdvice, optimizer: torch.optim.Optimizer) -> None:
    """Momentum, betas and weight decay as measured, in groups that have the optimizer's own default."""
    told = dict(advice.settings).get("optimizer", "")
    if told not in {base.__name__ for base in type(optimizer).__mro__}:
        raise ValueError(
            f"optimizer must be of the kind that the rate was measured with, {told}, but is a "
            f"{type(optimizer).__name__}: make that one, or set the rate alone with "
            "advice.schedule.as_torch(optimizer)"
        )
    for name, value in advice.hyperparameters.items():
        for group in optimizer.param_groups:
            if name in group and _is_default(group, optimizer.defaults, name):
                group[name] = value


def _is_default(group: Mapping[str, Any], defaults: Mapping[str, Any], name: str) -> bool:
    """Whether a group has what the optimizer was made with, and no value of its own."""
    return name not in defaults or group[name] == defaults[name]
