from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import stepsize as ss
from stepsize.losses import BoundLoss


class TwoInputs(nn.Module):
    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return a - b


A, B, Y = torch.tensor([[3.0], [5.0]]), torch.tensor([[1.0], [1.0]]), torch.tensor([[0.0], [0.0]])


def test_the_last_entry_of_a_tuple_is_the_target() -> None:
    assert float(ss.supervised(nn.MSELoss())(TwoInputs(), (A, B, Y))) == 10.0


def test_a_dict_names_its_target_and_its_inputs() -> None:
    batch = {"y": Y, "b": B, "a": A}
    assert float(ss.supervised(nn.MSELoss(), target="y")(TwoInputs(), batch)) == 10.0


def test_accuracy_counts_over_positions_too() -> None:
    scores = torch.tensor([[[0.1, 0.9], [0.9, 0.1]], [[0.1, 0.9], [0.9, 0.1]]])  # (B, classes, positions)
    target = torch.tensor([[1, 0], [1, 1]])
    assert float(ss.accuracy()(nn.Identity(), (scores, target))) == 0.75
    assert float(ss.accuracy(target="y")(Keyed(), {"x": scores, "y": target})) == 0.75


class Keyed(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


class Trainable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(()))


BAD: dict[str, tuple[Any, type[Exception], str]] = {
    "a class": (nn.CrossEntropyLoss, TypeError, r"criterion is the class CrossEntropyLoss: pass an instance"),
    "a word": ("mse", TypeError, r"criterion must be callable, but is a str: pass nn.CrossEntropyLoss\(\)"),
    "a sum": (
        nn.MSELoss(reduction="sum"),
        ValueError,
        r"must be 'mean'.*is 'sum': pass MSELoss\(reduction='mean'\)",
    ),
    "trainable": (Trainable(), ValueError, "criterion Trainable has trainable parameters"),
}


@pytest.mark.parametrize(("criterion", "kind", "message"), BAD.values(), ids=BAD)
def test_a_criterion_that_cannot_work_is_named(criterion: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        ss.supervised(criterion)


@pytest.mark.parametrize("batch", [A, (A,), {"a": A, "b": B}], ids=["tensor", "one entry", "dict"])
def test_a_batch_without_a_target_is_named(batch: Any) -> None:
    with pytest.raises(ValueError, match=r"pass supervised|pass train="):
        ss.supervised(nn.MSELoss())(TwoInputs(), batch)


def test_a_bound_loss_returns_buffers_as_the_loss_left_them() -> None:
    class Counts(nn.Module):
        filled: torch.Tensor
        replaced: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("filled", torch.zeros(1))
            self.register_buffer("replaced", torch.zeros(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.filled += 1
            self.replaced = self.replaced + 2
            return x

    value, buffers = BoundLoss(Counts(), lambda model, batch: model(batch).sum())(torch.ones(3))
    assert float(value) == 3
    assert {name: float(buffer) for name, buffer in buffers.items()} == {
        "model.filled": 1.0,
        "model.replaced": 2.0,
    }
