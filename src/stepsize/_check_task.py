"""The checks that a Task makes on its arguments: each error names the argument and shows a right call."""

from __future__ import annotations

import copy
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from stepsize._rng import isolated_rng
from stepsize.data import Source, Tensors, first_batch, samples_in
from stepsize.losses import Supervised

TRIAL_LRS = (2.0**-10, 2.0**-9)
"""Two rates, one twice the other, that tell how each parameter group follows the rate."""


def integer(argument: str, value: Any, *, at_least: int) -> int:
    """A whole number, NumPy's included; never a bool, never a rounded float."""
    if not isinstance(value, bool):
        try:
            number = operator.index(value)
        except TypeError:
            pass
        else:
            if number >= at_least:
                return number
    raise ValueError(f"{argument} must be a whole number >= {at_least}, but is {value!r}")


def positive_rate(argument: str, value: float) -> None:
    """Refuse anything but a finite number above zero."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.floating, np.integer)):
        raise TypeError(f"{argument} must be a number, but is {value!r}")
    if not 0 < value < math.inf:
        raise ValueError(f"{argument} must be finite and above 0, but is {value}")


def check_single_object(model: nn.Module | Callable[[], nn.Module]) -> nn.Module:
    """One model to try things on; refuses factories whose models share weights, and models without any."""
    if isinstance(model, nn.Module):
        first = copy.deepcopy(model)
    elif isinstance(model, type) or callable(model):
        with isolated_rng(0):
            first = _call_factory(model)
            second = _call_factory(model)
        shared = {id(p) for p in first.parameters()} & {id(p) for p in second.parameters()}
        if shared:
            what = "the same object twice" if first is second else "two models that share parameters"
            raise ValueError(
                f"model must be a factory that makes a new model at each call, but it gave {what}: "
                "pass model=lambda: make_model(), or the module itself to start from its weights"
            )
    else:
        raise TypeError(
            f"model must be a module or a factory without arguments, but is a {type(model).__name__}: "
            "pass model=make_model, or model=my_module"
        )
    parameters = list(first.parameters())
    if not parameters:
        raise ValueError(f"model {type(first).__name__} has no parameters, so there is nothing to train")
    if not any(p.requires_grad for p in parameters):
        raise ValueError(
            f"model {type(first).__name__} has only frozen parameters ({len(parameters)} with requires_grad=False): "
            "unfreeze some, for example model.head.requires_grad_(True)"
        )
    return first


def _call_factory(model: Callable[[], nn.Module]) -> nn.Module:
    try:
        made = model()
    except TypeError as error:
        raise TypeError(
            f"model must be callable without arguments, but {error}: pass model=lambda: Net(…)"
        ) from error
    if not isinstance(made, nn.Module):
        raise TypeError(f"model() must return a torch.nn.Module, but returned a {type(made).__name__}")
    return made


def check_optimizer(
    factory: Any, params: Callable[[nn.Module], Iterable[Any]], model: nn.Module
) -> tuple[float, ...]:
    """How each parameter group follows the rate: its own rate divided by the one asked for."""
    if isinstance(factory, torch.optim.Optimizer):
        raise TypeError(
            f"optimizer is a {type(factory).__name__} that is already made, but each run needs its own: "
            f"pass the class, optimizer=torch.optim.{type(factory).__name__}, or a functools.partial of it"
        )
    if not callable(factory):
        raise TypeError(
            f"optimizer must be callable as optimizer(params, lr=lr), but is a {type(factory).__name__}: "
            "pass optimizer=torch.optim.SGD"
        )
    low, high = (_group_lrs(factory, params, model, lr) for lr in TRIAL_LRS)
    if len(low) == len(high) and all(a == b for a, b in zip(low, high, strict=True)):
        raise ValueError(
            f"optimizer ignores lr: asked for {TRIAL_LRS[0]} and {TRIAL_LRS[1]}, its groups had {low} both times: "
            "pass optimizer=lambda params, lr: SGD(params, lr=lr)"
        )
    for number, (a, b) in enumerate(zip(low, high, strict=True)):
        if not math.isclose(b, 2 * a, rel_tol=1e-9):
            raise ValueError(
                f"optimizer group {number} must follow lr in proportion, but for lr={TRIAL_LRS[0]} and "
                f"{TRIAL_LRS[1]} its rates were {a} and {b}: give the group a multiplier, "
                "{'params': …, 'lr_scale': 0.1}, instead of a rate of its own"
            )
    return tuple(a / TRIAL_LRS[0] for a in low)


def _group_lrs(
    factory: Any, params: Callable[[nn.Module], Iterable[Any]], model: nn.Module, lr: float
) -> list[float]:
    try:
        optimizer = factory(params(model), lr=lr)
    except TypeError as error:
        raise TypeError(
            f"optimizer must be callable as optimizer(params, lr=lr), but {error}: pass optimizer=torch.optim.SGD"
        ) from error
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(
            f"optimizer(params, lr=lr) must return a torch optimizer, but returned a {type(optimizer).__name__}"
        )
    return [float(group["lr"]) * float(group.get("lr_scale", 1.0)) for group in optimizer.param_groups]


def check_trial(
    model: nn.Module, loss: Any, metrics: Mapping[str, Any], train: Source, batch_size: int
) -> None:
    """One forward and backward pass on a few samples: shapes, types, and that a gradient arrives."""
    batch = first_batch(train, min(batch_size, 8))
    # BatchNorm refuses a single sample in training mode, which is no fault of a task whose batches are larger.
    model.train(samples_in(batch) > 1)
    value = _call("loss", loss, model, batch)
    if not value.requires_grad:
        raise ValueError(
            "loss returned a tensor without a gradient: it must depend on the model's trainable parameters, "
            "so do not detach it, call .item(), or wrap it in torch.no_grad()"
        )
    gradients = torch.autograd.grad(
        value, [p for p in model.parameters() if p.requires_grad], allow_unused=True
    )
    if all(g is None for g in gradients):
        raise ValueError("loss does not depend on any trainable parameter of the model")
    model.eval()
    with torch.no_grad():
        for name, metric in metrics.items():
            _call(f"metrics[{name!r}]", metric, model, batch)


def _call(argument: str, function: Any, model: nn.Module, batch: Any) -> torch.Tensor:
    try:
        value = function(model, batch)
    except Exception as error:
        shapes = torch.utils._pytree.tree_map(
            lambda leaf: (
                f"{tuple(leaf.shape)} {str(leaf.dtype).removeprefix('torch.')}"
                if isinstance(leaf, torch.Tensor)
                else leaf
            ),
            batch,
        )
        raise RuntimeError(
            f"{argument}(model, batch) raised {type(error).__name__} on a trial batch of {shapes}: {error}"
        ) from error
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"{argument} must return a scalar tensor, but returned a {type(value).__name__}")
    if value.ndim != 0:
        raise ValueError(
            f"{argument} must return a scalar, the mean over the batch, but returned shape {tuple(value.shape)}: "
            "end it with .mean()"
        )
    return value


def check_labels(model: nn.Module, loss: Any, data: Mapping[str, Tensors]) -> None:
    """Class labels of every sample lie within the model's outputs; a bad one deep in the data is found now."""
    if not (isinstance(loss, Supervised) and isinstance(loss.criterion, (nn.CrossEntropyLoss, nn.NLLLoss))):
        return
    for argument, source in data.items():
        tree = source.tree
        target = tree.get(loss.target) if isinstance(tree, dict) else tree[-1]
        if target is None or target.is_floating_point():
            continue
        few = source.take(torch.arange(min(2, source.size), device=target.device))
        inputs = {k: v for k, v in few.items() if k != loss.target} if isinstance(few, dict) else few[:-1]
        with torch.no_grad():
            model.eval()
            output = model(**inputs) if isinstance(inputs, dict) else model(*inputs)
        classes = output.shape[1] if output.ndim > 1 else output.shape[0]
        ignored = loss.criterion.ignore_index
        bad = ((target < 0) | (target >= classes)) & (target != ignored)
        if bool(bad.any()):
            where = tuple(int(i) for i in bad.nonzero()[0])
            raise ValueError(
                f"{argument} has labels outside 0…{classes - 1}, the model's {classes} outputs: "
                f"the label of sample {where[0]} is {int(target[where])}"
            )
