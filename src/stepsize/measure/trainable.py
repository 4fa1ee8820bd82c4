"""Whether a task can be trained at a batch size at all: BatchNorm, for one, takes no batch of one sample."""

from __future__ import annotations

import torch

from stepsize._rng import isolated_rng
from stepsize.data import Stream
from stepsize.task import Task


def obstacle(task: Task, batch_size: int) -> str:
    """What stands in the way of training at a batch size, empty if nothing does.

    Forward and backward run on a batch of that size, and on the smaller one that an epoch ends with.
    """
    sizes = [batch_size]
    if not isinstance(task.train, Stream) and batch_size < task.train.size:
        sizes += [rest for rest in [task.train.size % batch_size] if rest]
    with isolated_rng(task.seed), torch.enable_grad():
        for size in sizes:
            model = task.make_model(task.seed).train()
            try:
                task.loss(model, task.trial_batch(size)).backward()
            except (RuntimeError, ValueError, MemoryError) as error:
                what = "a batch" if size == batch_size else f"an epoch's last batch, of {size:,},"
                reason = (str(error).splitlines() or [""])[0]
                return f"{what} raises {type(error).__name__}: {reason}"
    return ""
