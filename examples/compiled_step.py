"""A compiled model with its loss in `forward` and gradient checkpointing, on dicts from a generator."""

from collections.abc import Iterator

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import stepsize as ss

Batch = dict[str, torch.Tensor]


class Classifier(nn.Module):
    """Takes a batch as it comes from the loader and returns a dict with the loss, as many trainers expect."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(784, 64), nn.GELU(), nn.Linear(64, 64), nn.GELU())
        self.head = nn.Linear(64, 10)

    def forward(self, batch: Batch) -> Batch:
        """{"pixels": (n, 784), "labels": (n,)} -> {"loss": (), "logits": (n, 10)}."""
        hidden = checkpoint(self.body, batch["pixels"], use_reentrant=False)
        logits = self.head(hidden)
        return {"loss": nn.functional.cross_entropy(logits, batch["labels"]), "logits": logits}


def stream(images: torch.Tensor, labels: torch.Tensor, size: int) -> Iterator[Batch]:
    """Random batches without an end: nothing that could be taken back to its start."""
    draw = torch.Generator().manual_seed(0)
    while True:
        index = torch.randint(len(images), (size,), generator=draw)
        yield {"pixels": images[index], "labels": labels[index]}


if __name__ == "__main__":
    train = ss.datasets.mnist().train
    images, labels = torch.from_numpy(train.images[:4000]).flatten(1), torch.from_numpy(train.labels[:4000])

    torch.manual_seed(0)
    model = torch.compile(Classifier(), backend="aot_eager")  # the default backend asks for a C++ compiler
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def step(batch: Batch) -> Batch:
        """As in any loop; the dict's "loss" is what is watched."""
        optimizer.zero_grad()
        output: Batch = model(batch)
        output["loss"].backward()
        optimizer.step()
        return output

    batches = ss.Replay(stream(images, labels, 64))  # train on this: what is read ahead comes again
    print(ss.find_lr(ss.Probe(step, state=[model], optimizers=optimizer), batches=batches, steps=300))
    next(batches)
