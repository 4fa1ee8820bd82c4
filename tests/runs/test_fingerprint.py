"""A task's fingerprint: it changes with what matters, and with nothing else."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import stepsize as ss
from stepsize.runs.fingerprint import content_digest, fingerprint
from tests.tasks import digits, digits_task, net

FACTOR = 2.0


def scaled_loss(model: nn.Module, batch: Any) -> torch.Tensor:
    value: torch.Tensor = model(batch[0])
    return FACTOR * value.square().mean()


def other_net() -> nn.Module:
    return nn.Sequential(nn.Linear(196, 24), nn.ReLU(), nn.Linear(24, 10))


class Noisy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = net()

    def forward(self, x: torch.Tensor) -> Any:
        return self.inner(x) * 2


class Louder(Noisy):
    def forward(self, x: torch.Tensor) -> Any:
        return self.inner(x) * 3


def differences(**changes: Any) -> list[str]:
    return fingerprint(digits_task()).differences(fingerprint(digits_task(**changes)))


def with_one_pixel_changed() -> tuple[torch.Tensor, torch.Tensor]:
    x, y, *_ = digits()
    x = x.clone()
    x[700, 3] += 1e-6
    return x, y


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({}, []),
        ({"batch_size": 10, "steps": 7, "seed": 5, "name": "other"}, []),
        ({"train": with_one_pixel_changed()}, ["training data"]),
        ({"val": None}, ["training data", "held-out data"]),
        ({"model": other_net}, ["model"]),
        ({"optimizer": functools.partial(torch.optim.SGD, momentum=0.6)}, ["optimizer"]),
        ({"optimizer": torch.optim.Adam}, ["optimizer"]),
        ({"loss": ss.supervised(nn.CrossEntropyLoss(label_smoothing=0.1))}, ["loss"]),
        ({"metrics": {"accuracy": ss.accuracy()}}, ["metrics"]),
        ({"params": lambda m: [{"params": m.parameters(), "lr_scale": 0.5}]}, ["parameter groups"]),
    ],
)
def test_the_parts_that_changed_are_named(changes: dict[str, Any], parts: list[str]) -> None:
    assert differences(**changes) == parts


def test_weights_count_by_their_values() -> None:
    torch.manual_seed(0)
    one, two = net(), net()
    a, b = (fingerprint(digits_task(model=model)) for model in (one, two))
    assert a.differences(b) == ["start weights"]


def test_the_code_of_a_class_counts_and_that_of_its_bases() -> None:
    assert content_digest(Noisy) != content_digest(Louder)


def test_a_global_that_a_function_reads_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    before = content_digest(scaled_loss)
    assert content_digest(scaled_loss) == before
    monkeypatch.setitem(globals(), "FACTOR", 3.0)
    assert content_digest(scaled_loss) != before


def test_what_a_function_closes_over_counts() -> None:
    def make(weight: float) -> Any:
        return lambda x: weight * x

    assert content_digest(make(1.0)) == content_digest(make(1.0))
    assert content_digest(make(1.0)) != content_digest(make(2.0))


def test_what_a_function_counts_up_itself_does_not_count() -> None:
    def make() -> Any:
        calls = 0

        def counted(x: Any) -> Any:
            nonlocal calls
            calls += 1
            return x

        return counted

    function = make()
    before = content_digest(function)
    function(1)
    assert content_digest(function) == before


def test_moving_code_changes_nothing() -> None:
    source = "def f(x):\n    return [y + 1 for y in x if y in {'a', 'b', 'c'}]\n"
    first: dict[str, Any] = {"__name__": "m"}
    second: dict[str, Any] = {"__name__": "m"}
    exec(compile(source, "one.py", "exec"), first)
    exec(compile("\n\n\n" + source, "two.py", "exec"), second)
    assert content_digest(first["f"]) == content_digest(second["f"])


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([1, 2], (1, 2)),
        (1, 1.0),
        (1, True),
        ({"a": 1}, {"a": 2}),
        ([[1], [2]], [[1, 2]]),
        (np.zeros(3, np.float32), np.zeros(3)),
        (torch.zeros(2, 3), torch.zeros(3, 2)),
        ({1, 2}, {1, 3}),
        ("ab", b"ab"),
        (["ab", "c"], ["a", "bc"]),
    ],
)
def test_values_that_differ_have_different_digests(a: Any, b: Any) -> None:
    assert content_digest(a) != content_digest(b)


def test_a_tensor_changed_in_place_is_seen_anew() -> None:
    x = torch.zeros(4)
    before = content_digest(x)
    x[0] = 1
    assert content_digest(x) != before


def test_cycles_end_and_generators_count_by_their_kind() -> None:
    knot: list[Any] = [1]
    knot.append(knot)
    assert content_digest(knot) == content_digest(knot)
    assert content_digest(torch.Generator().manual_seed(1)) == content_digest(torch.Generator())


def test_it_is_the_same_in_every_process() -> None:
    script = (
        "from tests.runs.test_fingerprint import *\n"
        "f = fingerprint(digits_task(loss=scaled_loss, metrics={'accuracy': ss.accuracy()}))\n"
        "sys.stdout.write(f.digest)"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", script], env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(digests) == 1
    assert all(digests)
