"""Ready-made losses and metrics of the form `(model, batch) -> scalar mean`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class Supervised:
    """The loss `criterion(model(*inputs), target)`; made by `supervised`."""

    criterion: Callable[[Any, Any], torch.Tensor]
    target: str | None = None

    def __call__(self, model: nn.Module, batch: Any) -> torch.Tensor:
        output, target = predict(model, batch, self.target)
        return self.criterion(output, target)


def supervised(criterion: Callable[[Any, Any], torch.Tensor], *, target: str | None = None) -> Supervised:
    """A loss from a criterion such as `nn.CrossEntropyLoss()`.

    The last entry of a tuple batch is the target and all before it are the model's positional
    arguments. In a dict batch `target` names the target, and the rest are keyword arguments.

    Raises:
        TypeError: `criterion` cannot be called, or is a class instead of an instance.
        ValueError: the criterion does not average over the batch (`reduction` other than "mean"), or has
            trainable parameters, which no optimizer would train.
    """
    if isinstance(criterion, type):
        raise TypeError(
            f"criterion is the class {criterion.__name__}: pass an instance, {criterion.__name__}()"
        )
    if not callable(criterion):
        raise TypeError(
            f"criterion must be callable, but is a {type(criterion).__name__}: pass nn.CrossEntropyLoss()"
        )
    if isinstance(criterion, nn.Module) and any(p.requires_grad for p in criterion.parameters()):
        raise ValueError(
            f"criterion {type(criterion).__name__} has trainable parameters, which belong to "
            "no model and would "
            "stay as they are: make it a part of the model, and pass a loss that uses model.criterion"
        )
    reduction = getattr(criterion, "reduction", "mean")
    if reduction != "mean":
        raise ValueError(
            "criterion.reduction must be 'mean', since a rate is tied to the mean loss, but "
            f"is {reduction!r}: "
            f"pass {type(criterion).__name__}(reduction='mean')"
        )
    return Supervised(criterion, target)


@dataclass(frozen=True)
class Accuracy:
    """The share of samples whose largest output is the target's class; made by `accuracy`."""

    target: str | None = None

    def __call__(self, model: nn.Module, batch: Any) -> torch.Tensor:
        output, target = predict(model, batch, self.target)
        share: torch.Tensor = (output.argmax(dim=1) == target).float().mean()
        return share


def accuracy(*, target: str | None = None) -> Accuracy:
    """Classification accuracy in [0, 1], for `Task(metrics={"accuracy": ss.accuracy()})`.

    Outputs are (B, classes, …) and targets (B, …) of class indices, as `nn.CrossEntropyLoss` takes them.
    """
    return Accuracy(target)


def predict(model: nn.Module, batch: Any, target: str | None) -> tuple[Any, Any]:
    """The model's output for a supervised batch, and the target."""
    if isinstance(batch, Mapping):
        if target is None or target not in batch:
            raise ValueError(
                f"target must name one of the batch's keys {sorted(batch)}, but is {target!r}: "
                "pass supervised(criterion, target='labels')"
            )
        return model(**{key: value for key, value in batch.items() if key != target}), batch[target]
    if isinstance(batch, Sequence) and len(batch) >= 2:
        return model(*batch[:-1]), batch[-1]
    raise ValueError(
        f"a supervised batch must be (inputs, …, target) or a dict, but is a {type(batch).__name__}: "
        "pass train=(x, y), or your own loss=lambda model, batch: …"
    )


class BoundLoss(nn.Module):
    """A model together with its loss, for `torch.func.functional_call` to swap the weights of both.

    Returns the loss and the buffers as the loss left them, whether it changed them in place or replaced them.
    """

    def __init__(self, model: nn.Module, loss: Callable[[nn.Module, Any], torch.Tensor]) -> None:
        super().__init__()
        self.model = model
        self.loss = loss

    def forward(self, batch: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        value = self.loss(self.model, batch)
        return value, {f"model.{name}": buffer for name, buffer in self.model.named_buffers()}
