"""A learning rate for a network of your own, on real data, in ten lines."""

import torch
from torch import nn

import stepsize as ss

if __name__ == "__main__":
    digits = ss.datasets.mnist()
    task = ss.Task(
        model=lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10)),
        loss=ss.supervised(nn.CrossEntropyLoss()),
        train=digits.train,
        val=digits.validation,
        optimizer=torch.optim.AdamW,
        batch_size=128,
        epochs=3,
    )
    advice = ss.find_lr(task, schedule="cosine")
    print(advice)
    advice.plot("quickstart.png")
    advice.report("quickstart.html")
