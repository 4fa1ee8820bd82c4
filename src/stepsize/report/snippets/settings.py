"""The optimizer that an advice rests on, as far as it is known."""

from __future__ import annotations

import msgspec

from stepsize.decide.advice import Advice
from stepsize.decide.training_advice import TrainingAdvice
from stepsize.report.snippets.source import Verbatim, called

WITH_MOMENTUM, WITH_BETAS = ("SGD",), ("Adam", "AdamW", "NAdam", "RAdam", "Adamax")
"""Optimizers of torch that are fully described by what an advice tells of them."""


YOURS = "# the optimizer that the rate was measured with, and its settings, are yours"
"""Stands where an advice tells too little of it."""


class Settings(msgspec.Struct, frozen=True):
    """What the optimizer was set to besides its rate; `name` is "" where that is not known."""

    name: str = ""
    momentum: float = 0.0
    nesterov: bool = False
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0


def settings_of(advice: Advice) -> Settings:
    """Read from an advice on training; one on the rate alone, or an optimizer not in the lists, has none."""
    if not isinstance(advice, TrainingAdvice):
        return Settings()
    name = dict(advice.settings).get("optimizer", "")
    try:
        told = advice.hyperparameters
        if name in WITH_MOMENTUM:
            return Settings(name, told["momentum"], told["nesterov"], weight_decay=told["weight_decay"])
        if name in WITH_BETAS:
            first, second = told["betas"]
            return Settings(name, betas=(first, second), weight_decay=told["weight_decay"])
    except (KeyError, ValueError):  # an advice that was written by other hands
        pass
    return Settings()


def clip_text(advice: Advice, parameters: str, indent: int = 0) -> str:
    """The line that clips gradients as they were when the rate was measured; none where they were not."""
    told = advice.clipping
    if not told:
        return ""
    name, limit = ("norm", told.norm) if told.norm is not None else ("value", told.value)
    return f"{' ' * indent}torch.nn.utils.clip_grad_{name}_({parameters}, {limit!r})\n"


def left_to_the_reader(advice: Advice) -> str:
    """What stands above an optimizer that is not known, or that a library has not."""
    clipped = f"# with gradients clipped to {advice.clipping}\n" if advice.clipping else ""
    return f"{YOURS}\n{clipped}"


def torch_optimizer(advice: Advice, parameters: str, indent: int = 0) -> str:
    """The statement that makes it, with the rate that its schedule multiplies."""
    told, lr = settings_of(advice), advice.schedule.peak
    if not told.name:
        return f"{YOURS}\n{' ' * indent}optimizer = make_optimizer({parameters}, lr={lr!r})"
    further: dict[str, object] = {}
    if told.name in WITH_BETAS:
        further = {"betas": told.betas, "weight_decay": told.weight_decay}
    else:
        if told.momentum:
            further["momentum"] = told.momentum
        if told.nesterov:
            further["nesterov"] = True
        if told.weight_decay:
            further["weight_decay"] = told.weight_decay
    made = called(f"torch.optim.{told.name}", Verbatim(parameters), indent=indent, used=12, lr=lr, **further)
    return f"optimizer = {made}"
