"""The floor: the matrix products of one update of K members, and nothing else.

No loss, no bias, no rate. For a layer with inputs h (B, in), weights W (in, out) and output gradients g
(B, out) the products are h W, hᵀ g and g Wᵀ; the last is left out for the first layer, as autograd leaves it
out. A convolution is such a product too, of its unfolded inputs. Whatever can be is allocated beforehand.
Each floor offers several arrangements of the same products, and the fastest one counts.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from benchmarks.rivals import WIDTHS

Arrangements = dict[str, Callable[[], None]]


def _source() -> Callable[..., Tensor]:
    generator = torch.Generator().manual_seed(0)
    return lambda *shape: torch.randn(shape, generator=generator)


class _Layer:
    """The products of one layer of all members, in one `bmm` each."""

    def __init__(self, h: Tensor, inputs: int, outputs: int, *, first: bool = False) -> None:
        members, batch = h.shape[:2]
        normal = _source()
        self.h, self.first = h, first
        self.weight, self.weight_gradient = normal(members, inputs, outputs), normal(members, inputs, outputs)
        self.g, self.input_gradient = normal(members, batch, outputs), normal(members, batch, inputs)

    def __call__(self) -> None:
        torch.bmm(self.h, self.weight, out=self.g)
        torch.bmm(self.h.mT, self.g, out=self.weight_gradient)
        if not self.first:
            torch.bmm(self.g, self.weight.mT, out=self.input_gradient)

    def each(self) -> None:
        """The same, member by member."""
        for k in range(len(self.h)):
            torch.mm(self.h[k], self.weight[k], out=self.g[k])
            torch.mm(self.h[k].T, self.g[k], out=self.weight_gradient[k])
            if not self.first:
                torch.mm(self.g[k], self.weight[k].T, out=self.input_gradient[k])


class _Shared:
    """The products of a first layer, whose inputs all members share: one wide product for all."""

    def __init__(self, h: Tensor, outputs: int) -> None:
        normal = _source()
        self.h = h
        self.weight, self.weight_gradient = normal(h.shape[1], outputs), normal(h.shape[1], outputs)
        self.g = normal(len(h), outputs)

    def __call__(self) -> None:
        torch.mm(self.h, self.weight, out=self.g)
        torch.mm(self.h.T, self.g, out=self.weight_gradient)


class DenseFloor:
    """The floor of the reference net: `each` member by member, `batched`, or `shared` first layer."""

    def __init__(self, *, batch_size: int, members: int) -> None:
        normal = _source()
        batch = normal(batch_size, WIDTHS[0])
        inputs = [
            batch.expand(members, -1, -1),
            *(normal(members, batch_size, width) for width in WIDTHS[1:-1]),
        ]
        self.layers = [
            _Layer(h, *widths, first=not layer)
            for layer, (h, widths) in enumerate(zip(inputs, itertools.pairwise(WIDTHS), strict=True))
        ]
        self._wide = _Shared(batch, members * WIDTHS[1])

    def arrangements(self) -> Arrangements:
        return {
            "each": lambda: _all(*(layer.each for layer in self.layers)),
            "batched": lambda: _all(*self.layers),
            "shared": lambda: _all(self._wide, *self.layers[1:]),
        }


class ConvolutionFloor:
    """The floor of the small CNN: `each` by torch's convolutions, `unfolded` as products of unfolded inputs.

    Unfolding itself is no product, and so is done beforehand. Torch's convolutions allocate what they return.
    """

    def __init__(self, *, batch_size: int, members: int) -> None:
        normal = _source()
        self._images = normal(batch_size, 1, 28, 28)
        self._hidden = normal(members, batch_size, 8, 13, 13)
        self._first, self._second = normal(members, 8, 1, 3, 3), normal(members, 16, 8, 3, 3)
        self._linear = _Layer(normal(members, batch_size, 400), 400, 10)
        self._unfolded: list[Callable[[], None]] = [
            _Shared(normal(batch_size * 26 * 26, 9), members * 8),
            _Layer(normal(members, batch_size * 11 * 11, 8 * 9), 8 * 9, 16),
            self._linear,
        ]

    def arrangements(self) -> Arrangements:
        return {"each": self._each, "unfolded": lambda: _all(*self._unfolded)}

    def _each(self) -> None:
        for k, weight in enumerate(self._first):
            _convolution(self._images, weight, first=True)
            _convolution(self._hidden[k], self._second[k], first=False)
        self._linear.each()


def _convolution(h: Tensor, weight: Tensor, *, first: bool) -> None:
    g = conv2d(h, weight)
    torch.ops.aten.convolution_backward(
        g, h, weight, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1, [not first, True, False]
    )


def _all(*calls: Callable[[], None]) -> None:
    for call in calls:
        call()
