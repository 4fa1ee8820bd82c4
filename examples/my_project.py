"""A task in a file, for `stepsize find my_project.py:task`."""

import torch
from torch import nn

import stepsize as ss


def make_model() -> nn.Module:
    """A fresh network, with fresh starting weights, each time it is called."""
    hidden = nn.Linear(784, 32)
    return nn.Sequential(nn.Flatten(), hidden, nn.ReLU(), nn.Linear(32, 10))


def task() -> ss.Task:
    """2,000 digits, 1,000 others to judge on, five epochs of SGD."""
    digits = ss.datasets.mnist()
    images, labels = digits.train
    held_images, held_labels = digits.validation
    return ss.Task(
        model=make_model,
        loss=ss.supervised(nn.CrossEntropyLoss()),
        train=(images[:2000], labels[:2000]),
        val=(held_images[:1000], held_labels[:1000]),
        optimizer=torch.optim.SGD,
        batch_size=64,
        epochs=5,
        name="my project",
    )
