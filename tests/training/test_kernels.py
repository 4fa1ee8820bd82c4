"""Simplified records give bit for bit what the records gave, from fewer calls."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.func import grad, vmap
from torch.nn import functional as F  # noqa: N812 - the field's name for it

from stepsize.training.kernels import simplify
from stepsize.training.record import record
from tests.training.callable_kernels import module

x, w, y = torch.randn(5, 4), torch.randn(3, 2, 4), torch.tensor([0, 1, 1, 0, 1])


def cross_entropy(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    stacked: torch.Tensor = vmap(grad(lambda w: F.cross_entropy(F.linear(x, w), y)))(w)
    return stacked


def same_view_twice(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    return x.view(5, 4).view(5, 4).transpose(0, 1).transpose(0, 1) * 1 + w.sum() * 1


def writes_into_a_view(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    fresh = torch.zeros_like(x)
    before = fresh.view(5, 4) + 0
    fresh.view(-1)[3:].add_(x.flatten()[3:])
    return before + fresh.view(5, 4) + 0


def same_sum_before_and_after_writing(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    fresh = x.clone()
    before = fresh.sum()
    fresh.mul_(2)
    return before + 10 * fresh.sum()


def draws_twice(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    return x * torch.rand(4) + x * torch.rand(4)


def draws_a_mask(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    return x * torch.empty(4).bernoulli_(0.5).div_(0.5)


def one_as_int_and_float(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    whole = torch.arange(4)
    return torch.add(whole, 1).sum() / 3 + torch.add(whole, 1.0).sum() / 3 + x.sum()


@pytest.mark.parametrize(
    "function",
    [
        cross_entropy,
        same_view_twice,
        writes_into_a_view,
        same_sum_before_and_after_writing,
        draws_twice,
        draws_a_mask,
        one_as_int_and_float,
    ],
)
def test_the_same_bits_and_the_same_random_numbers(function: Callable[..., torch.Tensor]) -> None:
    kernels = record(lambda *inputs: (function(*inputs),), (x, w))
    results, states = [], []
    for simplified in (False, True):
        if simplified:
            simplify(kernels)
        for data in (x, 2 * x):
            torch.manual_seed(3)
            results.append(module(kernels)(data, w)[0])
            states.append(torch.get_rng_state())
    for before, after in zip(results[:2], results[2:], strict=True):
        assert torch.equal(before, after)
    for before, after in zip(states[:2], states[2:], strict=True):
        assert torch.equal(before, after)


def test_a_stacked_cross_entropy_needs_fewer_calls() -> None:
    kernels = record(lambda *inputs: (cross_entropy(*inputs),), (x, w))
    calls = sum(node.op == "call_function" for node in kernels.graph.nodes)
    simplify(kernels)
    assert sum(node.op == "call_function" for node in kernels.graph.nodes) < 0.75 * calls
