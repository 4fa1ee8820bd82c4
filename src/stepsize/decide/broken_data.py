"""Samples that hold no numbers: a search on a part of the data may miss what the real run meets."""

from __future__ import annotations

from stepsize.data import Tensors
from stepsize.training.probed import ProbeRun, Trainable


def broken_data(task: Trainable) -> list[str]:
    """Which data hold NaN or infinities, in words, as far as they lie in memory."""
    if isinstance(task, ProbeRun):
        return []
    found = []
    for name, source in (("training", task.train), ("held-out", task.val)):
        if isinstance(source, Tensors) and (count := source.not_finite()):
            found.append(
                f"the {name} data hold NaN or infinite values in {count:,} of {source.size:,} samples"
            )
    return found
