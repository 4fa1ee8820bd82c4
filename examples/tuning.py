"""Batch size, rate, schedule and warm-up for a net of one's own, for about the price of twenty seconds."""

import torch
from torch import nn

import stepsize as ss


def make_model() -> nn.Module:
    """A normalized layer between two linear ones."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.LayerNorm(64), nn.GELU(), nn.Linear(64, 10))


if __name__ == "__main__":
    digits = ss.datasets.mnist()
    task = ss.Task(
        model=make_model,
        loss=ss.supervised(nn.CrossEntropyLoss()),
        train=(digits.train.images[:10_000], digits.train.labels[:10_000]),
        val=digits.validation,
        optimizer=torch.optim.AdamW,
        batch_size=64,
        epochs=4,
        name="my net",
    )
    advice = ss.tune(task, budget="20 s", announce=print)
    print(advice)
    if advice.lr is not None:
        rates = advice.schedule.values(advice.run)  # one for every update of the real run
        print(f"The rate begins at {rates[0]:.2g}, peaks at {max(rates):.2g} and ends at {rates[-1]:.2g}.")
    advice.report("tuning.html")
