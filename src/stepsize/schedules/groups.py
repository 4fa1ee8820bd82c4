"""Writing a rate into an optimizer's param groups, each keeping its ratio to the others."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from stepsize.schedules.schedule import Schedule

_RATIOS = "stepsize_ratios"
"""Key in a param group: its own hyperparameters divided by the optimizer's defaults, seen once.

It is saved with the optimizer's state, so a resumed run keeps the ratios that it began with.
"""


def check_scale(optimizer: Optimizer, schedule: Schedule) -> None:
    """Refuse a bare shape on an optimizer that has a rate of its own: one of the two was not meant.

    Raises `ValueError` with the call that says which.
    """
    rate = float(optimizer.defaults.get("lr") or 0.0)
    if schedule.planned is None and schedule.peak == 1.0 and rate not in (0.0, 1.0):
        raise ValueError(
            f"the schedule peaks at 1.0, but the optimizer was made with lr={rate:g}: rates are absolute, "
            f"so write {rate:g} * schedule, or make the optimizer with lr=1.0"
        )


def share_out(optimizer: Optimizer, ratios: Sequence[float]) -> None:
    """Let `set_rates` give each group this multiple of the rate, whatever rate it has of its own."""
    for group, ratio in zip(optimizer.param_groups, ratios, strict=True):
        group.setdefault(_RATIOS, {})["lr"] = ratio


def proportions(optimizer: Optimizer) -> list[float]:
    """What each group gets of a rate so far: its own rate; if all are 0, what was shared out, or alike."""
    own = [float(group.get("initial_lr", group["lr"])) for group in optimizer.param_groups]
    return own if any(own) else [group.get(_RATIOS, {}).get("lr", 1.0) for group in optimizer.param_groups]


def set_rates(optimizer: Optimizer, rate: float, controls: Mapping[str, float]) -> None:
    """Give every param group its rate: `rate` times the group's own lr over the optimizer's default.

    Groups added late are met here for the first time and get their ratio then. `momentum` goes to
    `betas[0]` where the optimizer has no momentum. Raises `ValueError` for a control that a group lacks.
    """
    for group in optimizer.param_groups:
        ratios = group.setdefault(_RATIOS, {})
        write(group, "lr", rate * _ratio(optimizer, group, ratios, "lr"))
        for name, value in controls.items():
            if name == "momentum" and "momentum" not in group and "betas" in group:
                group["betas"] = (value, *group["betas"][1:])
            elif name not in group:
                raise ValueError(f"{type(optimizer).__name__} has no {name!r} to follow the schedule")
            elif name == "weight_decay":
                write(group, name, value * _ratio(optimizer, group, ratios, name))
            else:
                write(group, name, value)


def _ratio(
    optimizer: Optimizer, group: Mapping[str, Any], ratios: MutableMapping[str, float], name: str
) -> float:
    if name not in ratios:
        own = float(group.get(f"initial_{name}", group[name]))
        default = optimizer.defaults.get(name)
        ratios[name] = own / float(default) if default else 1.0
    return ratios[name]


def write(group: MutableMapping[str, Any], name: str, value: float) -> None:
    """Set a hyperparameter of a group."""
    present = group[name]
    if hasattr(present, "fill_"):  # a tensor rate, which a captured graph reads in place
        present.fill_(value)
    else:
        group[name] = value
