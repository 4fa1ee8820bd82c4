"""How much of an update's time its arithmetic takes, beside the calls to torch."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from stepsize._rng import isolated_rng
from stepsize.task import Task

CALLS = {"cpu": 8e6, "cuda": 1e9}
"""Floating-point operations that take as long as the calls to torch for one parameter tensor do: what fits
the seventeen nets of benchmarks/regret best, within a factor of two or so, one core; guessed for a GPU."""

CONVOLUTION = 5.0
"""How much longer an operation of a convolution takes than one of a matrix product, one core."""

PER_WEIGHT = 100.0
"""Operations that take as long as passing once through one weight of the optimizer's state does."""

PER_PRODUCT = 6.0
"""Floating-point operations of an update for each weight and sample, 2 forward and 4 backward."""

FEW = 8
"""Samples of the update whose operations are counted."""


def arithmetic_share(task: Task, model: nn.Module) -> float:
    """Share of an update's time on one thread; reckoned from the operations of a small one, not timed."""
    weights = [p for p in model.parameters() if p.requires_grad]
    size = sum(p.numel() for p in weights)
    convolves = any(isinstance(m, (nn.Conv1d, nn.Conv2d, nn.Conv3d)) for m in model.modules())
    work = _operations(task, model, size) * task.batch_size * (CONVOLUTION if convolves else 1.0)
    work += PER_WEIGHT * size
    calls = CALLS.get(task.device.type, CALLS["cuda"]) * max(1, len(weights))
    return float(work / (work + calls))


def _operations(task: Task, model: nn.Module, size: int) -> float:
    """Floating-point operations of an update for each sample, of a model with so many weights."""
    batch_size = min(task.batch_size, FEW)
    try:
        with isolated_rng(task.seed), torch.enable_grad(), FlopCounterMode(display=False) as counter:
            task.loss(model, task.trial_batch(batch_size)).backward()
    except RuntimeError:  # torch's counter cannot follow a loss that takes a gradient itself
        return PER_PRODUCT * size
    return float(counter.get_total_flops() / batch_size)
