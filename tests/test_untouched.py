"""Generators of a user's own are found wherever a task's code refers to them, and come out unchanged."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from stepsize._rng import seed_rng
from stepsize._untouched import drawing_untouched, generators_of

OUTER = np.random.default_rng(3)


def in_a_global() -> tuple[Any, float]:
    return OUTER, float(OUTER.random())


def in_a_closure() -> Callable[[], tuple[Any, float]]:
    own = torch.Generator().manual_seed(1)

    def draw() -> tuple[Any, float]:
        return own, float(torch.rand(1, generator=own))

    return draw


def given(own: random.Random) -> tuple[Any, float]:
    return own, own.random()


class Noisy(nn.Module):
    """Has one among its attributes, inside of a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn = {"noise": np.random.default_rng(2)}

    def draw(self) -> tuple[Any, float]:
        return self.drawn["noise"], float(self.drawn["noise"].random())


@pytest.mark.parametrize(
    "draw",
    [in_a_global, in_a_closure(), partial(given, random.Random(5)), Noisy().draw],
    ids=["global", "closure", "partial", "module"],
)
def test_a_generator_is_found_seeded_with_the_run_and_put_back(
    draw: Callable[[], tuple[Any, float]],
) -> None:
    own, _ = draw()
    assert any(found is own for found in generators_of({"loss": draw}))
    inside = []
    with drawing_untouched({"loss": draw}):
        for seed in (1, 2, 1):
            seed_rng(seed)
            inside.append(draw()[1])
    assert inside[0] == inside[2] != inside[1]
    before: list[float] = []

    def break_down() -> None:
        with drawing_untouched({"loss": draw}):
            before.append(draw()[1])
            raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        break_down()
    assert before == [draw()[1]]


def test_libraries_are_not_searched() -> None:
    assert generators_of({"model": nn.Linear(2, 2), "loss": nn.functional.cross_entropy, "x": [1, "a"]}) == ()
