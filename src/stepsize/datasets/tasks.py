"""Tasks on the embedded data, known to the command line by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from stepsize.datasets.digits import Split, mnist, pixels
from stepsize.task import Task, accuracy, supervised


def textbook_net() -> nn.Module:
    """784-64-16-10: Linear, sigmoid, Linear, tanh, Linear; Xavier-uniform weights, zero biases."""
    net = nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 64),
        nn.Sigmoid(),
        nn.Linear(64, 16),
        nn.Tanh(),
        nn.Linear(16, 10),
    )
    for layer in net:
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return net


def _first(split: Split, count: int | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels from 0 to 1 (n, 28, 28), float32, and labels (n,) of a raw split's first images."""
    return torch.from_numpy(pixels(split.images[:count])), torch.from_numpy(split.labels[:count])


def mnist_task(
    *,
    batch_size: int = 128,
    epochs: float = 10,
    seed: int = 0,
    device: str | None = None,
    images: int | None = None,
    held: int | None = None,
) -> Task:
    """The reference task: the textbook's net on MNIST with plain SGD, 55,000 images, 5,000 held out.

    One epoch at batch 128 is 430 updates, the last batch partial. `images` and `held` take the first so many
    of the training and the held-out images, each (28, 28), pixels from 0 to 1.
    """
    digits = mnist(raw=True)
    train, validation = _first(digits.train, images), _first(digits.validation, held)
    whole = images is None and held is None
    return Task(
        model=textbook_net,
        loss=supervised(nn.CrossEntropyLoss()),
        train=train,
        val=validation,
        optimizer=torch.optim.SGD,
        batch_size=batch_size,
        epochs=epochs,
        metrics={"accuracy": accuracy()},
        seed=seed,
        device=device,
        name="mnist" if whole else f"mnist {images} {held}",
    )


def small_cnn() -> nn.Module:
    """Two convolutions with pooling, for 28 x 28 images: 8 and 16 channels, 5,994 weights."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 10),
    )


def mnist_cnn_task(
    *, batch_size: int = 64, steps: int = 300, seed: int = 0, device: str | None = None
) -> Task:
    """A small convolutional net with Adam on 6,000 MNIST images, 1,000 held out."""
    digits = mnist(raw=True)
    images, labels = _first(digits.train, 6000)
    held_images, held_labels = _first(digits.validation, 1000)
    return Task(
        model=small_cnn,
        loss=supervised(nn.CrossEntropyLoss()),
        train=(images[:, None], labels),
        val=(held_images[:, None], held_labels),
        optimizer=partial(torch.optim.Adam, betas=(0.9, 0.999)),
        batch_size=batch_size,
        steps=steps,
        metrics={"accuracy": accuracy()},
        seed=seed,
        device=device,
        name="mnist-cnn",
    )


TASKS: dict[str, Callable[..., Task]] = {"mnist": mnist_task, "mnist-cnn": mnist_cnn_task}
"""The embedded tasks, by the name that the command line knows."""
