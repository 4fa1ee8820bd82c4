"""The same nets in JAX: `vmap` over the members, `lax.scan` over the updates, one compiled call.

Data and labels are resident; each update gathers its batch inside the scan. Each epoch is a new permutation
whose last, partial batch is left out, since all steps of a scan have one shape.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from jax import lax
from torch import Tensor, nn

from benchmarks.rivals import LR

Weights = list[tuple[Any, Any]]
"""Kernel and bias of each layer: (in, out) and (out,); a convolution's is unfolded, (3 · 3 · in, out)."""


def dense(weights: Weights, x: Any) -> Any:
    """The reference net on (B, 784)."""
    (a, b), (c, d), (e, f) = weights
    return jnp.tanh(jax.nn.sigmoid(x @ a + b) @ c + d) @ e + f


def convolutional(weights: Weights, x: Any) -> Any:
    """The small CNN on (B, 1, 28, 28), channels last.

    Convolutions are products of unfolded images: with 16 members on two cores, 6 to 10 times as fast as
    `lax.conv_general_dilated`, which `vmap` turns into grouped convolutions.
    """
    (a, b), (c, d), (e, f) = weights
    h = jnp.moveaxis(x, 1, -1)
    h = _pool(jax.nn.relu(_unfold(h) @ a + b))
    h = _pool(jax.nn.relu(_unfold(h) @ c + d))
    return h.reshape(len(h), -1) @ e + f


def _unfold(x: Any) -> Any:
    height, width = x.shape[1] - 2, x.shape[2] - 2
    return jnp.concatenate([x[:, i : i + height, j : j + width] for i in range(3) for j in range(3)], axis=-1)


def _pool(x: Any) -> Any:
    """Largest of each 2 x 2, an odd last row and column left out, as torch leaves them out."""
    batch, height, width, channels = x.shape
    x = x[:, : height // 2 * 2, : width // 2 * 2]
    return x.reshape(batch, height // 2, 2, width // 2, 2, channels).max(axis=(2, 4))


def weights_of(net: nn.Module) -> Weights:
    """A torch net's weights in the layout used here."""
    weights, channels = [], None
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            kernel, channels = layer.weight.permute(2, 3, 1, 0).flatten(0, 2), layer.out_channels
        elif isinstance(layer, nn.Linear):
            kernel = layer.weight.T
            if channels is not None:  # the images that it reads come channels last
                kernel = kernel.unflatten(0, (channels, -1)).transpose(0, 1).flatten(0, 1)
                channels = None
        else:
            continue
        assert layer.bias is not None
        weights.append((kernel.detach().numpy(), layer.bias.detach().numpy()))
    return weights


class Scan:
    """K members over T updates as one compiled call, in two timed halves: `compile()`, then `run()`."""

    def __init__(
        self,
        forward: Callable[[Weights, Any], Any],
        net: nn.Module,
        x: Tensor,
        y: Tensor,
        *,
        batch_size: int,
        members: int,
        updates: int,
    ) -> None:
        self._forward = forward
        self._x, self._y = jnp.asarray(x.numpy()), jnp.asarray(y.numpy().astype(np.int32))
        self._batch_size, self._updates = batch_size, updates
        self._weights = jax.tree.map(
            lambda leaf: jnp.broadcast_to(leaf, (members, *leaf.shape)) + 0.0, weights_of(net)
        )
        self._lr = jnp.full(members, LR)
        self._compiled: Any = None

    def compile(self) -> float:
        """Trace and compile anew; seconds."""
        jax.clear_caches()
        start = time.perf_counter()
        order = jax.ShapeDtypeStruct((self._updates, self._batch_size), jnp.int32)
        self._compiled = (
            jax.jit(self._train).lower(self._weights, self._lr, self._x, self._y, order).compile()
        )
        return time.perf_counter() - start

    def run(self) -> float:
        """Train from the start, the order of the data drawn and moved included; seconds."""
        start = time.perf_counter()
        jax.block_until_ready(self.trained(self._order()))
        return time.perf_counter() - start

    def trained(self, order: np.ndarray) -> tuple[Weights, Any]:
        """Weights with a first axis of K, and losses (T, K), after the batches `order` (T, B)."""
        result: tuple[Weights, Any] = self._compiled(
            self._weights, self._lr, self._x, self._y, jnp.asarray(order.astype(np.int32))
        )
        return result

    def _order(self) -> np.ndarray:
        per_epoch = len(self._x) // self._batch_size
        epochs = [
            torch.randperm(len(self._x))[: per_epoch * self._batch_size].view(per_epoch, -1)
            for _ in range(-(-self._updates // per_epoch))
        ]
        return torch.cat(epochs)[: self._updates].numpy()

    def _train(self, weights: Weights, lr: Any, x: Any, y: Any, order: Any) -> Any:
        def loss(weights: Weights, x: Any, y: Any) -> Any:
            scores = jax.nn.log_softmax(self._forward(weights, x))
            return -jnp.take_along_axis(scores, y[:, None], axis=1).mean()

        def update(weights: Weights, index: Any) -> tuple[Weights, Any]:
            batch, labels = x[index], y[index]

            def member(weights: Weights, lr: Any) -> tuple[Weights, Any]:
                value, slope = jax.value_and_grad(loss)(weights, batch, labels)
                return jax.tree.map(lambda w, g: w - lr * g, weights, slope), value

            trained: tuple[Weights, Any] = jax.vmap(member)(weights, lr)
            return trained

        return lax.scan(update, weights, order)
