from __future__ import annotations

import gc
import random
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from torch.func import vmap

from stepsize.training.trace import COMPARE_AFTER, TRACE_AT, NotRecordableError, Traced, alike, close


def test_recorded_kernels_equal_the_function_random_numbers_included() -> None:
    def noisy(x: torch.Tensor) -> torch.Tensor:
        return (x * torch.empty(3).bernoulli_(0.5)).cumsum(-1).sin()

    traced, plain = Traced(vmap(noisy, randomness="same")), vmap(noisy, randomness="same")
    for call in range(TRACE_AT + 5):
        x = torch.randn(2, 3)
        state = torch.get_rng_state()
        expected = plain(x)
        after = torch.get_rng_state()
        torch.set_rng_state(state)
        torch.testing.assert_close(traced(x), expected, rtol=0, atol=0)
        assert torch.equal(torch.get_rng_state(), after), f"call {call}"
    assert list(traced._records.values()) != [None]


def test_the_function_is_called_only_until_it_is_recorded() -> None:
    calls = []

    def counted(x: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return x + 1

    traced = Traced(counted)
    for _ in range(TRACE_AT + 50):
        traced(torch.ones(2))
    assert len(calls) == TRACE_AT + 1 + sum(after <= 50 for after in COMPARE_AFTER)


def test_each_shape_is_recorded_on_its_own() -> None:
    traced = Traced(lambda x: x.view(-1).sum() * len(x))
    for size in (2, 3) * (TRACE_AT + 2):
        assert float(traced(torch.ones(size, 2))) == 2 * size * size
    strided = torch.ones(2, 2, 2)[:, :, 0].reshape(2, 2)
    assert float(traced(strided)) == 8


@pytest.mark.parametrize("draw", [random.random, np.random.rand], ids=["python", "numpy"])
def test_draws_that_torch_does_not_see_are_not_recorded(draw: Any) -> None:
    def chancy(x: torch.Tensor) -> torch.Tensor:
        return x.mul(draw())

    with pytest.raises(NotRecordableError, match="changes its own behaviour"):
        Traced(chancy, required=True)(torch.ones(2))
    free = Traced(chancy)
    values = {float(free(torch.ones((), dtype=torch.float64))) for _ in range(TRACE_AT + 9)}
    assert len(values) == TRACE_AT + 9


def test_what_the_first_data_froze_into_a_record_is_found_on_the_next() -> None:
    sizes = iter([1.0, 1.0, 2.0])
    frozen = Traced(lambda x: x * next(sizes), required=True)  # a number from nowhere, read once per call
    frozen(torch.ones(2))
    with pytest.raises(NotRecordableError, match="changes its own behaviour"):
        frozen(torch.ones(2))


def test_a_later_change_is_found_when_the_record_is_compared_again() -> None:
    factor = [1.0]
    traced = Traced(lambda x: x * factor[0], required=True)
    for _ in range(48):
        traced(torch.ones(2))
    factor[0] = 3.0
    for _ in range(52):
        traced(torch.ones(2))
    with pytest.raises(NotRecordableError, match="changes its own behaviour"):
        traced(torch.ones(2))


def test_without_need_a_function_that_cannot_be_recorded_runs_as_it_is() -> None:
    traced = Traced(lambda x: x * 2 if float(x.sum()) > 0 else x)
    for sign in (1, -1) * TRACE_AT:
        assert float(traced(torch.tensor(float(sign)))) == (2.0 if sign > 0 else -1.0)
    with pytest.raises(NotRecordableError, match="not one fixed list of kernels"):
        Traced(lambda x: x * 2 if float(x.sum()) > 0 else x, required=True)(torch.ones(()))


@pytest.mark.parametrize(
    ("a", "b", "scale", "expected"),
    [
        (torch.tensor([1.0, torch.nan]), torch.tensor([1.0, torch.nan]), 0.0, True),
        (torch.tensor([1.0, torch.nan]), torch.tensor([torch.nan, 1.0]), 0.0, False),
        (torch.tensor([1.0]), torch.tensor([1.0 + 5e-5]), 0.0, True),
        (torch.tensor([1.0]), torch.tensor([1.001]), 0.0, False),
        (torch.tensor([1e-9]), torch.tensor([-2e-9]), 0.0, False),
        (torch.tensor([1e-9]), torch.tensor([-2e-9]), 1.0, True),
        (torch.ones(1).double(), torch.ones(1).double() + 1e-8, 0.0, False),
        (torch.tensor([1.0]), torch.tensor([1.0]).double(), 0.0, False),
        (torch.tensor([1, 2]), torch.tensor([1, 2]), 0.0, True),
        (torch.tensor([1, 2]), torch.tensor([1, 3]), 0.0, False),
        (torch.zeros(0), torch.zeros(0), 0.0, True),
        (torch.zeros(2), torch.zeros(3), 0.0, False),
    ],
)
def test_close_means_equal_up_to_rounding(
    a: torch.Tensor, b: torch.Tensor, scale: float, expected: bool
) -> None:
    assert close(a, b, scale) is expected


def test_a_gradient_that_is_zero_but_for_rounding_is_held_to_the_others() -> None:
    def update(params: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        w = params["w"]
        zero = (w.exp().log() - w).sum(1, keepdim=True)  # rounding alone, and another one in another order
        return w.square().sum(1), 2 * w, zero * torch.rand(1)

    traced = Traced(update, required=True, lasting=True, gradients=slice(1, 3))
    w = torch.linspace(0.1, 3.0, 60).reshape(3, 20)
    for _ in range(5):
        traced({"w": w})
    assert list(traced._records.values()) != [None]


def test_alike_takes_each_members_own_scale() -> None:
    large, small = torch.tensor([[1e6], [1.0]]), torch.tensor([[0.0], [1e-3]])
    assert alike([large, small], [large, small + 1e-6])
    assert not alike([large, small], [large, small + torch.tensor([[0.0], [1e-3]])])
    assert alike([large, small], [large, small + torch.tensor([[1.0], [0.0]])])
    assert not alike([large], [large * torch.tensor([[1.0], [torch.nan]])])
    assert not alike([large], [large.double()])


def test_what_has_shrunk_is_held_to_a_share_of_what_it_was() -> None:
    noise = iter([0.0] * 6 + [1e-6] * 200)

    def fading(x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    traced = Traced(fading, required=True)
    traced(torch.ones(4))
    for _ in range(120):
        traced(torch.full((4,), 1e-9) + next(noise))
    assert list(traced._records.values()) != [None]


def test_released_tensors_are_let_go() -> None:
    traced = Traced(lambda params: (params["w"].t() + 1,), required=True, lasting=True)
    w = torch.ones(2, 3)
    kept = weakref.ref(w)
    for _ in range(3):
        traced({"w": w})
    del w
    traced.release()
    gc.collect()
    assert kept() is None
    assert torch.equal(traced({"w": torch.zeros(2, 3)})[0], torch.ones(3, 2))
