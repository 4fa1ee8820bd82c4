"""What a probe's run is, as digests of its parts: where it starts, what its step does, and its batches."""

from __future__ import annotations

import random
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader

from stepsize.loaders import Loader, Replay
from stepsize.runs.fingerprint import Fingerprint, content_digest, digest, weights_of
from stepsize.training.probed import ProbeRun
from stepsize.training.state import preserved

FIRST = 8
"""Batches by which an iterator that is read ahead is known."""

_RATES = ("lr", "initial_lr", "params")
_SCHEDULED = ("base_lrs", "_last_lr", "max_lrs")
_REPEATED = ("data_source", "dataset", "sampler", "generator", "epoch")


def probe_fingerprint(run: ProbeRun, identity: str | None = None) -> Fingerprint:
    """The digests of a probe's parts; its rates are no part, since a sweep sets them.

    What `state` holds counts by its content where it stands, and not again where `step` refers to it. With
    `identity`, that text stands for everything but the starting weights.
    """
    probe = run.probe
    parts = {"start weights": content_digest([_weights(item) for item in probe.state])}
    if identity is not None:
        return Fingerprint({**parts, "identity": digest(identity)})
    held = frozenset(id(one) for item in probe.state for one in _inside(item))
    with preserved(*run.state):
        start = {
            "optimizer": [
                (type(one), _hyperparameters(one), one.state_dict()["state"], ratios)
                for one, ratios in zip(probe.optimizers, probe.ratios, strict=True)
            ],
            "model": [_built(item) for item in probe.state],
            "state": [_further(item) for item in probe.state],
        }
        course = {
            "step": (probe.step, probe.accumulate),
            "evaluate": probe.evaluate,
            "batches": _batches(run.loader),
            "held-out batches": None if run.val is None else _batches(run.val),
        }
        parts |= {name: content_digest(value) for name, value in start.items()}
        parts |= {name: content_digest(value, held) for name, value in course.items()}
    return Fingerprint(parts)


def _weights(item: Any) -> Any:
    if isinstance(item, nn.Module):
        return weights_of(item)
    return item if isinstance(item, torch.Tensor) else None


def _built(item: Any) -> Any:
    """A module by its layers and the code of their classes."""
    return (repr(item), [type(m) for m in item.modules()]) if isinstance(item, nn.Module) else None


def _inside(item: Any) -> list[Any]:
    """An object of `state` with what of it a step may refer to by itself."""
    if isinstance(item, nn.Module):
        return [*item.modules(), *item.parameters(), *item.buffers()]
    return [item]


def _hyperparameters(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    return [{k: v for k, v in group.items() if k not in _RATES} for group in optimizer.param_groups]


def _further(item: Any) -> Any:
    """What is neither weights nor an optimizer's: schedulers, scalers, counters, generators."""
    if isinstance(item, (nn.Module, torch.Tensor, torch.optim.Optimizer)):
        return None
    if isinstance(item, torch.Generator):
        return item.get_state()
    if isinstance(item, np.random.Generator):
        return item.bit_generator.state
    if isinstance(item, random.Random):
        return item.getstate()
    if isinstance(item, (dict, list)) or not hasattr(item, "state_dict"):
        return item
    state = item.state_dict()
    if isinstance(item, LRScheduler):  # the rates that it sets are set over
        state = {name: value for name, value in state.items() if name not in _SCHEDULED}
    return type(item), state


def _batches(loader: Loader) -> Any:
    batches = loader.source
    if isinstance(batches, Replay):
        return Replay, list(islice(batches.ahead(), FIRST))
    if isinstance(batches, DataLoader):
        samplers = [_order(batches.sampler), _order(batches.batch_sampler)]
        return batches.dataset, batches.batch_size, batches.drop_last, batches.collate_fn, samplers
    return batches


def _order(sampler: Any) -> Any:
    """A sampler without its data, and without what every pass of a measurement sets."""
    fields = vars(sampler) if hasattr(sampler, "__dict__") else {}
    return type(sampler), {name: value for name, value in fields.items() if name not in _REPEATED}
