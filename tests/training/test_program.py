"""A record run as one function: the same results, views made once, products left to who adds them up."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.func import grad_and_value, vmap
from torch.nn import functional as F  # noqa: N812 - the field's name for it

from stepsize.training.kernels import simplify
from stepsize.training.optimizers import NATIVE, Native
from stepsize.training.program import Product, Program
from stepsize.training.record import Kernels, record
from stepsize.training.rewrites import aten, turn_short_softmax
from tests.training.callable_kernels import module

double = partial(torch.randn, dtype=torch.float64)
x, y = double(20, 5), torch.arange(20) % 3
w, v = double(4, 6, 5), double(4, 3, 6)


def loss(w: torch.Tensor, v: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(F.linear(torch.tanh(F.linear(x, w)), v), y)


def update(w: torch.Tensor, v: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    (of_w, of_v), value = vmap(grad_and_value(loss, argnums=(0, 1)), in_dims=(0, 0, None))(w, v, x)
    return value, of_w, of_v


def simplified(function: Callable[..., Any], *args: torch.Tensor) -> Kernels:
    return simplify(record(function, args))


def test_a_program_gives_what_the_record_gives() -> None:
    kernels = simplified(update, w, v, x)
    expected = module(kernels)(w, v, x)
    for got, wanted in zip(Program(simplified(update, w, v, x))([w, v, x]), expected, strict=True):
        assert isinstance(got, torch.Tensor)
        torch.testing.assert_close(got, wanted, rtol=0, atol=0)


def test_views_follow_the_weights_in_place_and_when_they_are_others() -> None:
    program = Program(simplified(update, w, v, x), lasting=2)
    own, other = w.clone(), v.clone()
    for _ in range(3):
        for got, wanted in zip(program([own, other, x]), update(own, other, x), strict=True):
            torch.testing.assert_close(got, wanted)
        own.mul_(0.9)
        other = other + 0.1


def test_a_gradient_is_left_as_a_product() -> None:
    value, *grads = Program(simplified(update, w, v, x), lasting=2, products=True)([w, v, x])
    assert isinstance(value, torch.Tensor)
    for got, wanted in zip(grads, update(w, v, x)[1:], strict=True):
        assert isinstance(got, Product)
        torch.testing.assert_close(got.value(), wanted)


def test_a_product_of_weights_is_made_before_they_change() -> None:
    """The gradient of w·v by w holds v, which the optimizer changes before w's gradient is used."""

    def factors(w: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        several = x.expand(4, 20, 5)
        return torch.bmm(several.mT, several), torch.bmm(several, w.mT)

    shared, of_weights = Program(simplified(factors, w, x), lasting=1, products=True)([w, x])
    assert isinstance(shared, Product)
    assert isinstance(of_weights, torch.Tensor)


def test_a_write_that_no_result_names_is_still_made() -> None:
    def writes(w: torch.Tensor) -> tuple[torch.Tensor, ...]:
        fresh = w.clone()
        fresh.view(-1)[1:3].add_(1.0)
        return (fresh * 2,)

    (got,) = Program(simplified(writes, w), lasting=1, products=True)([w])
    assert isinstance(got, torch.Tensor)
    torch.testing.assert_close(got, writes(w)[0], rtol=0, atol=0)


@pytest.mark.parametrize("softmax", [F.log_softmax, F.softmax])
@pytest.mark.parametrize("shape", [(20, 3), (2, 20, 15), (3, 2, 16, 1)])
def test_a_short_softmax_is_turned_and_gives_the_same(softmax: Any, shape: tuple[int, ...]) -> None:
    z, weights = double(*shape), double(*shape)

    def both_ways(z: torch.Tensor) -> tuple[torch.Tensor, ...]:
        result, pull, *_ = torch.func.vjp(lambda z: softmax(z, -1), z)
        return result, *pull(weights)

    turned = turn_short_softmax(record(both_ways, [z]))
    dims = [
        n.args[1]
        for n in turned.graph.nodes
        if n.target in (aten._log_softmax.default, aten._softmax.default)
    ]
    assert dims == [len(shape) - 2]
    for got, wanted in zip(module(turned)(z), both_ways(z), strict=True):
        torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("shape", [(20, 16), (4, 3), (3,)])
def test_other_softmaxes_are_left_alone(shape: tuple[int, ...]) -> None:
    plain = record(lambda z: (F.log_softmax(z, -1),), [double(*shape)])
    before = str(plain.graph)
    assert str(turn_short_softmax(plain).graph) == before


@pytest.mark.parametrize(
    "options",
    [{}, {"momentum": 0.9}, {"momentum": 0.9, "dampening": 0.1}, {"momentum": 0.9, "nesterov": True},
     {"weight_decay": 0.1}, {"maximize": True}],
    ids=str,
)  # fmt: skip
def test_sgd_takes_a_product_as_it_takes_the_gradient(options: dict[str, Any]) -> None:
    group = torch.optim.SGD([nn.Parameter(w[0])], lr=1.0, **options).param_groups[0]
    lr = torch.tensor([0.1, 0.2, 0.0, 0.3], dtype=torch.float64)
    ends = []
    for whole in (True, False):
        weights = w.clone()
        native = Native(NATIVE[torch.optim.SGD], [weights], [group], [1.0], ([{}], 0))
        for step in range(3):
            product = Product(
                double(4, 6, 7, generator=torch.Generator().manual_seed(step)), x[None, :7].expand(4, 7, 5)
            )
            native.step([product.value() if whole else product], lr)
        ends.append(weights)
    torch.testing.assert_close(*ends)
