"""Lightning's Trainer on the same net, at its leanest."""

from __future__ import annotations

import logging
import time
import warnings

import lightning.pytorch as lightning
import torch
from torch import Tensor, nn

from benchmarks.rivals import LR, MakeNet, Slices

WARM_UP = 100
"""Updates before the clock starts: setting a Trainer up is not what is compared."""


class _Module(lightning.LightningModule):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.loss = net, nn.CrossEntropyLoss()
        self.finished: list[float] = []

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        loss: Tensor = self.loss(self.net(batch[0]), batch[1])
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.net.parameters(), lr=LR)

    def on_train_batch_end(self, *_: object) -> None:
        self.finished.append(time.perf_counter())


def steady_seconds(make: MakeNet, x: Tensor, y: Tensor, *, batch_size: int, updates: int) -> float:
    """Seconds that a Trainer takes for `updates` updates, after `WARM_UP` more: its steady speed.

    Its best case: `barebones`, Lightning's own mode without logging, checkpoints, progress bar, summary and
    checks; and batches sliced from memory, as in the plain loop, instead of a DataLoader's.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Lightning's own deprecated calls into torch
        trainer = lightning.Trainer(
            barebones=True, max_steps=WARM_UP + updates, max_epochs=-1, accelerator="cpu", devices=1
        )
        module = _Module(make())
        trainer.fit(module, Slices(x, y, batch_size))
    if len(module.finished) != WARM_UP + updates:
        raise RuntimeError(f"the Trainer made {len(module.finished)} updates instead of {WARM_UP + updates}")
    return module.finished[-1] - module.finished[WARM_UP - 1]
