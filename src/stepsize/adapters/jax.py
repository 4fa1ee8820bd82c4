"""JAX: a loss `(params, batch) -> scalar` and an optimizer of optax, measured like any other training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._pytree import tree_map

from stepsize.adapters.foreign import foreign_probe
from stepsize.data import Batch
from stepsize.decide.advice import Advice
from stepsize.decide.find_lr import find_lr as _find_lr
from stepsize.probe import Probe

try:
    import jax
    import optax
except ImportError as error:
    raise ImportError(
        f"stepsize.adapters.jax needs jax and optax ({error}): pip install 'stepsize[optax]'"
    ) from error

Loss = Callable[..., Any]
"""`(params, batch) -> scalar`; with a key, `(params, batch, key) -> scalar`."""

PLATFORMS = {"gpu": "cuda", "tpu": "xla"}
"""What torch calls the devices of jax; the others have the same name."""


def find_lr(
    loss: Loss,
    params: Any,
    batches: Any,
    *,
    optimizer: Callable[[Any], Any],
    steps: int,
    val: Any = None,
    opt_state: Any = None,
    key: Any = None,
    evaluate: Loss | None = None,
    seed: int = 0,
    name: str = "jax",
    **options: Any,
) -> Advice:
    """Find the learning rate by rehearsing the real run, as `stepsize.find_lr` does.

        advice = find_lr(loss, params, batches, optimizer=lambda lr: optax.adam(lr), steps=5000, val=held_out)
        schedule = advice.schedule.to("optax")

    Args:
        loss, params, optimizer, opt_state, key, evaluate, seed, name: as for `probe`.
        batches: what is trained on: a loader, a list of batches, or a function of a seed that gives an
            iterator; arrays of JAX, NumPy or torch.
        steps: the updates of the real run, from where `params` stand.
        val: held-out batches, likewise; they are read once and kept.
        options: `schedule`, `budget` and all else that `stepsize.find_lr` takes.

    Raises:
        ValueError: as `probe` and `stepsize.find_lr`.
        TypeError: as these.
    """
    probed = probe(
        loss,
        params,
        optimizer=optimizer,
        opt_state=opt_state,
        key=key,
        evaluate=evaluate,
        seed=seed,
        name=name,
    )
    return _find_lr(probed, batches=batches, val=val, steps=steps, **options)


def probe(
    loss: Loss,
    params: Any,
    *,
    optimizer: Callable[[Any], Any],
    opt_state: Any = None,
    key: Any = None,
    evaluate: Loss | None = None,
    seed: int = 0,
    name: str = "jax",
) -> Probe:
    """A JAX loss and an optax optimizer as a `Probe`, for every measurement that takes one.

    Args:
        loss: called as `loss(params, batch)`, and compiled; the mean over the batch.
        params: where training starts, a tree of arrays.
        optimizer: called with a rate, which may be traced, gives the gradient transformation.
        opt_state: its state, to go on from; by default a fresh one.
        key: a random key; with it, the loss is called as `loss(params, batch, key)`, with another one at
            each update.
        evaluate: `(params, batch) -> scalar` on held-out data; needed with a key, else `loss` by default.
        seed: first of the seeds that measurements count up from.
        name: how results call it.

    Raises:
        TypeError: `loss` or `optimizer` cannot be called, or `optimizer` gives no gradient transformation.
        ValueError: `params` hold no array, or `optimizer` does more with the rate than to reckon with it.
    """
    if not callable(loss):
        raise TypeError(f"loss must be callable as loss(params, batch), but is a {type(loss).__name__}")
    _check_optimizer(optimizer, params)
    held_out = evaluate or (loss if key is None else None)
    first = optimizer(1.0).init(params) if opt_state is None else opt_state

    def step(state: Any, batch: Batch, lr: Any) -> tuple[Any, Any]:
        params, inner, key = state
        keys: tuple[Any, ...] = ()
        if key is not None:
            key, drawn = jax.random.split(key)
            keys = (drawn,)
        value, grads = jax.value_and_grad(loss)(params, batch, *keys)
        updates, inner = optimizer(lr).update(grads, inner, params)
        return (optax.apply_updates(params, updates), inner, key), value

    return step_probe(
        step,
        (params, first, key),
        evaluate=held_out and (lambda state, batch: held_out(state[0], batch)),
        seed=seed,
        name=name,
    )


def step_probe(
    step: Callable[[Any, Batch, Any], tuple[Any, Any]],
    state: Any,
    *,
    evaluate: Callable[[Any, Batch], Any] | None = None,
    seed: int = 0,
    name: str = "jax",
) -> Probe:
    """A training step of one's own, such as one over a `TrainState` of flax with batch statistics.

    Args:
        step: `(state, batch, lr) -> (state, loss)`, a pure function; it is compiled.
        state: where training starts, a tree of arrays.
        evaluate: `(state, batch) -> loss` on held-out data; compiled too.
        seed, name: as for `probe`.
    """
    compiled, judged = jax.jit(step), evaluate and jax.jit(evaluate)
    place = [state]

    def update(batch: Batch, lr: float) -> float:
        place[0], value = compiled(place[0], _arrays(batch), lr)
        return float(value)

    return foreign_probe(
        update,
        save=lambda: place[0],  # arrays of JAX do not change
        load=lambda kept: place.__setitem__(0, kept),
        evaluate=judged and (lambda batch: float(judged(place[0], _arrays(batch)))),
        device=_device(state),
        seed=seed,
        name=name,
    )


def _arrays(batch: Batch) -> Batch:
    """A batch whose tensors of torch, as its loaders give them, are arrays."""
    return tree_map(lambda leaf: leaf.numpy() if isinstance(leaf, torch.Tensor) else leaf, batch)


def _device(state: Any) -> str:
    array = next(leaf for leaf in jax.tree.leaves(state) if hasattr(leaf, "shape"))
    platform = next(iter(array.devices())).platform if isinstance(array, jax.Array) else "cpu"
    return PLATFORMS.get(platform, platform)


def _check_optimizer(optimizer: Any, params: Any) -> None:
    if not any(hasattr(leaf, "shape") for leaf in jax.tree.leaves(params)):
        raise ValueError(f"params must be a tree of arrays, but are {params!r:.60}")
    if not callable(optimizer) or hasattr(optimizer, "update"):
        raise TypeError(
            f"optimizer must be a function of the rate, but is a {type(optimizer).__name__}: pass "
            "optimizer=lambda lr: optax.adam(lr)"
        )

    def made(lr: Any) -> Any:
        transformation = optimizer(lr)
        if not (hasattr(transformation, "init") and hasattr(transformation, "update")):
            raise TypeError(
                f"optimizer must give a gradient transformation, but gave a {type(transformation).__name__}: "
                "pass optimizer=lambda lr: optax.adam(lr)"
            )
        return transformation.init(params)

    try:
        jax.eval_shape(made, jax.ShapeDtypeStruct((), jax.numpy.float32))
    except jax.errors.ConcretizationTypeError as error:
        raise ValueError(
            "optimizer must only reckon with the rate, which is traced, and not look at its value (no if, no "
            "float()): pass optimizer=lambda lr: optax.adam(lr)"
        ) from error
