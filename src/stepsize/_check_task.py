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
        first = _copied(model)
    elif isinstance(model, type) or callable(model):
        first, second = _call_factory(model), _call_factory(model)
        shared = {id(p) for p in first.parameters()} & {id(p) for p in second.parameters()}
        if shared:
            what = "the same object twice" if first is second else "two models that share parameters"
            raise ValueError(
                f"model must be a factory that makes a new model at each call, but it gave {what}: "
                "pass model=lambda: make_model(), or the module itself to start from its weights"
            )
        _check_repeatable(first, second)
    else:
        raise TypeError(
            f"model must be a module or a factory without arguments, but is a {type(model).__name__}: "
            "pass model=make_model, or model=my_module"
        )
    parameters = list(first.parameters())
    lazy = [
        name for name, p in first.named_parameters() if isinstance(p, nn.parameter.UninitializedParameter)
    ]
    if lazy:
        raise ValueError(
            f"model {type(first).__name__} must have all its parameters, but {lazy[0]} waits "
            "for a first batch: "
            "give lazy layers their sizes, or run a batch through the model and pass the module itself"
        )
    if not parameters:
        raise ValueError(f"model {type(first).__name__} has no parameters, so there is nothing to train")
    if not any(p.requires_grad for p in parameters):
        raise ValueError(
            f"model {type(first).__name__} has only frozen parameters ({len(parameters)} with "
            "requires_grad=False): "
            "unfreeze some, for example model.head.requires_grad_(True)"
        )
    return first


def _copied(model: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(model)
    except Exception as error:
        raise TypeError(
            f"model must be a module that copy.deepcopy can copy, but {type(error).__name__}: {error}: "
            "pass a factory, model=lambda: make_model()"
        ) from error


def _check_repeatable(first: nn.Module, second: nn.Module) -> None:
    """Two models made from the same random numbers are the same."""
    one, other = dict(first.named_parameters()), dict(second.named_parameters())
    for name, p in one.items():
        if isinstance(p, nn.parameter.UninitializedParameter):
            continue
        if name not in other or not torch.equal(p.isnan(), other[name].isnan()):
            break
        if not torch.equal(p.nan_to_num(), other[name].nan_to_num()):
            break
    else:
        return
    raise ValueError(
        "model must be a factory that depends on the global random numbers alone (torch's, "
        "NumPy's, Python's), "
        f"but two models made from the same ones differ in {name}: "
        "draw the weights from torch's global generator, or pass the module itself to start from its weights"
    )


def _call_factory(model: Callable[[], nn.Module]) -> nn.Module:
    try:
        with isolated_rng(0):
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
) -> tuple[torch.optim.Optimizer, tuple[float, ...]]:
    """An optimizer of this model, and each group's own rate divided by the one asked for."""
    if isinstance(factory, torch.optim.Optimizer):
        raise TypeError(
            f"optimizer is a {type(factory).__name__} that is already made, but each run needs its own: "
            f"pass the class, optimizer=torch.optim.{type(factory).__name__}, or a functools.partial of it; "
            "or, to go on from a checkpoint, also the module that it trains, model=net"
        )
    if not callable(factory):
        raise TypeError(
            f"optimizer must be callable as optimizer(params, lr=lr), but is a {type(factory).__name__}: "
            "pass optimizer=torch.optim.SGD"
        )
    if not callable(params):
        raise TypeError(
            f"params must be callable as params(model), but is a {type(params).__name__}: "
            "pass params=lambda model: model.head.parameters()"
        )
    optimizers = [_make_optimizer(factory, params, model, lr) for lr in TRIAL_LRS]
    low, high = (_group_lrs(optimizer) for optimizer in optimizers)
    if len(low) == len(high) and all(a == b for a, b in zip(low, high, strict=True)):
        raise ValueError(
            f"optimizer ignores lr: asked for {TRIAL_LRS[0]} and {TRIAL_LRS[1]}, its groups "
            f"had {low} both times: "
            "pass optimizer=lambda params, lr: SGD(params, lr=lr)"
        )
    for number, (a, b) in enumerate(zip(low, high, strict=True)):
        if not math.isclose(b, 2 * a, rel_tol=1e-9):
            raise ValueError(
                f"optimizer group {number} must follow lr in proportion, but for lr={TRIAL_LRS[0]} and "
                f"{TRIAL_LRS[1]} its rates were {a} and {b}: give the group a multiplier, "
                "{'params': …, 'lr_scale': 0.1}, instead of a rate of its own"
            )
    if not all(0 <= a < math.inf for a in low) or not any(low):
        raise ValueError(
            f"lr_scale must be finite, >= 0, and above 0 in one group at least, but the groups' rates are "
            f"{[a / TRIAL_LRS[0] for a in low]} times lr: pass for example {{'params': …, 'lr_scale': 0.1}}"
        )
    return optimizers[0], tuple(a / TRIAL_LRS[0] for a in low)


def _make_optimizer(
    factory: Any, params: Callable[[nn.Module], Iterable[Any]], model: nn.Module, lr: float
) -> torch.optim.Optimizer:
    try:
        optimizer = factory(params(model), lr=lr)
    except TypeError as error:
        raise TypeError(
            f"optimizer must be callable as optimizer(params, lr=lr), but {error}: "
            "pass optimizer=torch.optim.SGD"
        ) from error
    except Exception as error:
        raise ValueError(
            f"optimizer(params(model), lr={lr}) raised {type(error).__name__}: {error}: "
            "check its arguments, and that params(model) gives parameters or groups of them"
        ) from error
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(
            "optimizer(params, lr=lr) must return a torch optimizer, but returned a "
            f"{type(optimizer).__name__}: pass optimizer=torch.optim.SGD"
        )
    own = {id(p) for p in model.parameters()}
    strangers = sum(id(p) not in own for group in optimizer.param_groups for p in group["params"])
    if strangers:
        raise ValueError(
            f"params(model) must give parameters of the model that it is called with, but {strangers} of the "
            "optimizer's belong to something else: make them a part of the model, or pass "
            "params=lambda model: model.parameters()"
        )
    return optimizer


def _group_lrs(optimizer: torch.optim.Optimizer) -> list[float]:
    return [float(group["lr"]) * float(group.get("lr_scale", 1.0)) for group in optimizer.param_groups]


def check_metrics(metrics: Any) -> dict[str, Any]:
    """A mapping from names to functions; "loss" is the name of the loss itself."""
    if not isinstance(metrics, Mapping):
        raise TypeError(
            f"metrics must be a dict from names to functions, but is a {type(metrics).__name__}: "
            "pass metrics={'accuracy': ss.accuracy()}"
        )
    for name, metric in metrics.items():
        if name == "loss":
            raise ValueError("metrics must not hold 'loss', the name of the loss itself: pass another name")
        if not callable(metric):
            raise TypeError(
                f"metrics[{name!r}] must be callable as metric(model, batch), but is a "
                f"{type(metric).__name__}: pass metrics={{{name!r}: ss.accuracy()}}"
            )
    return dict(metrics)
