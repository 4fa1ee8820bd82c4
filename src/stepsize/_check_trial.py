"""The checks that a Task makes by trying its loss on a few samples of its data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map

from stepsize.data import Source, Tensors, first_batch, samples_in
from stepsize.losses import Supervised, predict

TRIAL_SAMPLES = 8
"""Samples of a trial batch: enough for BatchNorm, few enough for any model."""


def check_trial(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Any,
    train: Source,
    batch_size: int,
    *,
    clipped: bool,
) -> None:
    """One forward and backward pass on a few samples: shapes, types, and that a gradient arrives.

    Where gradients are to be `clipped`, also that none is sparse, which torch cannot clip.
    """
    batch = first_batch(train, min(batch_size, TRIAL_SAMPLES))
    # BatchNorm refuses a single sample in training mode, which is no fault of a task with larger batches.
    model.train(samples_in(batch) > 1)
    with torch.enable_grad():
        value = _call("loss", loss, model, batch, "train")
        if not value.requires_grad:
            raise ValueError(
                "loss returned a tensor without a gradient: it must depend on the model's "
                "trainable parameters, "
                "so do not detach it, call .item(), or wrap it in torch.no_grad()"
            )
        trained = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
        gradients = torch.autograd.grad(value, trained, allow_unused=True) if trained else ()
    if all(g is None for g in gradients):
        raise ValueError(
            "loss must depend on a parameter that the optimizer trains, but reaches none of "
            f"its {len(trained)} "
            "with requires_grad=True: check params, and which layers are frozen"
        )
    if clipped and any(g is not None and g.layout is not torch.strided for g in gradients):
        raise ValueError(
            "clip_grad_norm and clip_grad_value need dense gradients, but an embedding gives sparse ones, "
            "which torch cannot clip: make it with sparse=False, or leave clipping out"
        )


def check_evaluation(
    model: nn.Module, loss: Any, metrics: Mapping[str, Any], val: Source, batch_size: int
) -> bool:
    """The loss and every metric on a few held-out samples, in evaluation mode.

    Returns whether torch must record what they do, since one of them takes a gradient itself.
    """
    batch = first_batch(val, min(batch_size, TRIAL_SAMPLES))
    model.eval()
    functions = {"loss": loss, **{f"metrics[{name!r}]": metric for name, metric in metrics.items()}}

    def call_all() -> None:
        for name, function in functions.items():
            _call(name, function, model, batch, "val")

    try:
        with torch.no_grad():
            call_all()
        return False
    except RuntimeError:
        pass  # and not called again here, where its error would be shown beside that of the second call
    with torch.enable_grad():
        call_all()
    return True


def check_labels(model: nn.Module, loss: Any, data: Mapping[str, Tensors]) -> None:
    """Class labels lie within the model's outputs: a bad one deep in the data is found now, not in hours."""
    if not (isinstance(loss, Supervised) and isinstance(loss.criterion, (nn.CrossEntropyLoss, nn.NLLLoss))):
        return
    model.eval()
    for argument, source in data.items():
        few = source.take(torch.arange(min(2, source.size)))
        target = _target(source.tree, loss)
        classes = _classes(model, few, loss)
        if target is None or classes is None or target.is_floating_point():
            continue
        bad = ((target < 0) | (target >= classes)) & (target != loss.criterion.ignore_index)
        if bool(bad.any()):
            where = tuple(int(i) for i in bad.nonzero()[0])
            raise ValueError(
                f"{argument} must have labels within 0…{classes - 1}, the model's {classes} outputs, but the "
                f"label of sample {where[0]} is {int(target[where])}: number the classes from 0, or give the "
                "model an output for each"
            )


def _call(argument: str, function: Any, model: nn.Module, batch: Any, data: str) -> torch.Tensor:
    leaves = [leaf for leaf in tree_leaves(batch) if isinstance(leaf, torch.Tensor)]
    versions = [leaf._version for leaf in leaves]
    try:
        value = function(model, batch)
    except Exception as error:
        shapes = tree_map(
            lambda leaf: (
                f"{tuple(leaf.shape)} {str(leaf.dtype).removeprefix('torch.')}"
                if isinstance(leaf, torch.Tensor)
                else leaf
            ),
            batch,
        )
        raise RuntimeError(
            f"{argument}(model, batch) raised {type(error).__name__} on a trial batch of {data}, "
            f"{shapes}: {error}"
        ) from error
    if [leaf._version for leaf in leaves] != versions:
        raise ValueError(
            f"{argument} must leave its batch as it is, since the same data is used again, but it, or the "
            "model, changed a tensor of it in place: write x = x / 255 instead of x /= 255, or "
            "nn.ReLU() instead of nn.ReLU(inplace=True) for the first layer"
        )
    if not isinstance(value, torch.Tensor):
        raise TypeError(
            f"{argument} must return a scalar tensor, but returned a {type(value).__name__}: "
            "return the tensor itself, without .item()"
        )
    if value.ndim != 0:
        raise ValueError(
            f"{argument} must return a scalar, the mean over the batch, but returned shape "
            f"{tuple(value.shape)}: end it with .mean()"
        )
    return value


def _target(tree: Any, loss: Supervised) -> torch.Tensor | None:
    if isinstance(tree, dict):
        found = tree.get(loss.target)
    else:
        found = tree[-1] if isinstance(tree, (tuple, list)) and len(tree) > 1 else None
    return found if isinstance(found, torch.Tensor) else None


def _classes(model: nn.Module, batch: Any, loss: Supervised) -> int | None:
    """Outputs per sample; None where the model does not run, which the trial batch reports."""
    try:
        with torch.no_grad():
            output, _ = predict(model, batch, loss.target)
        return int(output.shape[1] if output.ndim > 1 else output.shape[0])
    except Exception:  # noqa: BLE001 - a user's model may raise anything
        return None
