"""Modules and data modules as people write them for Lightning, each on the small digits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torchmetrics import MeanMetric

from tests.tasks import digits, net

Batch = Any


class Classifier(lightning.LightningModule):
    """Logs in both steps, counts in hooks, keeps a list of its own and a metric that adds up."""

    def __init__(self, lr: float = 0.05) -> None:
        super().__init__()
        self.save_hyperparameters()
        torch.manual_seed(1)
        self.net: Any = net()
        self.mean = MeanMetric()
        self.losses: list[torch.Tensor] = []
        self.calls: dict[str, int] = {}

    def count(self, hook: str) -> None:
        self.calls[hook] = self.calls.get(hook, 0) + 1

    def training_step(self, batch: Batch, batch_idx: int) -> Any:
        x, y = batch
        assert self.trainer.global_step >= 0
        loss = nn.functional.cross_entropy(self.net(x), y)
        self.mean.update(loss.detach())
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        self.log("mean", self.mean, on_step=False, on_epoch=True)
        self.losses.append(loss.detach())
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> Any:
        self.log("val_loss", nn.functional.cross_entropy(self.net(batch[0]), batch[1]))

    def on_train_epoch_start(self) -> None:
        self.count("epoch start")
        self.losses.clear()

    def on_train_epoch_end(self) -> None:
        self.count("epoch end")
        if self.losses:  # a fit that goes on from the end of an epoch ends that epoch first
            self.log("epoch_mean", torch.stack(self.losses).mean())

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> int | None:
        self.count("batch start")
        return None

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        self.count("optimizer step")
        super().optimizer_step(*args, **kwargs)

    def configure_gradient_clipping(self, *args: Any, **kwargs: Any) -> None:
        self.count("clipping")
        super().configure_gradient_clipping(*args, **kwargs)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=self.hparams["lr"], momentum=0.5)


class WithSchedule(Classifier):
    """Its rate falls by a cosine, update by update."""

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=self.hparams["lr"], momentum=0.5)
        steps = int(self.trainer.estimated_stepping_batches)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class OnDicts(Classifier):
    """Nested batches, a loss that validation returns, and no attribute that holds the rate."""

    def __init__(self) -> None:
        super().__init__()
        self.hparams.pop("lr")

    def training_step(self, batch: Batch, batch_idx: int) -> Any:
        return {"loss": super().training_step((batch["image"]["pixels"], batch["label"]), batch_idx)}

    def validation_step(self, batch: Batch, batch_idx: int) -> Any:
        return nn.functional.cross_entropy(self.net(batch["image"]["pixels"]), batch["label"])

    def configure_optimizers(self) -> Any:
        first, last = self.net[0], self.net[2]
        optimizer = torch.optim.AdamW(
            [{"params": first.parameters(), "lr": 1e-3}, {"params": last.parameters(), "lr": 4e-3}]
        )
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)]


class Adversarial(lightning.LightningModule):
    """A GAN: manual optimization, two optimizers; it returns nothing and logs its losses."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.noise = torch.Generator().manual_seed(9)
        torch.manual_seed(1)
        self.maker = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 196), nn.Sigmoid())
        self.judge = nn.Sequential(nn.Linear(196, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        optimizers: Any = self.optimizers()
        make, tell = optimizers
        bce = nn.functional.binary_cross_entropy_with_logits
        real = batch[0]
        fake = self.maker(torch.randn(len(real), 8, generator=self.noise))
        yes, no = torch.ones(len(real), 1), torch.zeros(len(real), 1)
        self.toggle_optimizer(tell)
        told = bce(self.judge(real), yes) + bce(self.judge(fake.detach()), no)
        tell.zero_grad()
        self.manual_backward(told)
        tell.step()
        self.untoggle_optimizer(tell)
        made = bce(self.judge(fake), yes)
        make.zero_grad()
        self.manual_backward(made)
        make.step()
        self.log_dict({"told": told, "made": made})

    def configure_optimizers(self) -> Any:
        make = torch.optim.Adam(self.maker.parameters(), lr=1e-3, betas=(0.5, 0.999))
        tell = torch.optim.Adam(self.judge.parameters(), lr=4e-3, betas=(0.5, 0.999))
        return [make, tell]


class Digits(lightning.LightningDataModule):
    """Its data sets are made in `setup`."""

    def __init__(self, *, shuffle: bool = True) -> None:
        super().__init__()
        self.shuffle = shuffle

    def setup(self, stage: str) -> None:
        x, y, xv, yv = digits()
        self.train_set, self.val_set = TensorDataset(x[:450], y[:450]), TensorDataset(xv[:200], yv[:200])

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.train_set, batch_size=50, shuffle=self.shuffle)

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.val_set, batch_size=100)


class _Records(Dataset[Any]):
    def __init__(self, start: int, stop: int) -> None:
        x, y, _, _ = digits()
        self.x, self.y = x[start:stop], y[start:stop]

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> Batch:
        return {"image": {"pixels": self.x[i]}, "label": self.y[i]}


def loader(*, shuffle: bool = True, samples: int = 450) -> DataLoader[Any]:
    x, y, _, _ = digits()
    return DataLoader(TensorDataset(x[:samples], y[:samples]), batch_size=50, shuffle=shuffle)


def held_out() -> DataLoader[Any]:
    _, _, x, y = digits()
    return DataLoader(TensorDataset(x[:200], y[:200]), batch_size=100)


@dataclass
class Setting:
    """A module, how the Trainer is set up, its data, what a search has to be told, and how sure it is."""

    module: Callable[[], lightning.LightningModule]
    trainer: dict[str, Any] = field(default_factory=dict)
    shuffle: bool = True
    datamodule: bool = False
    asked: dict[str, Any] = field(default_factory=dict)
    status: str = "ok"

    def data(self, *, shuffle: bool | None = None) -> dict[str, Any]:
        """Keyword arguments of `Trainer.fit`."""
        order = self.shuffle if shuffle is None else shuffle
        if self.datamodule:
            return {"datamodule": Digits(shuffle=order)}
        if self.module is OnDicts:
            return {
                "train_dataloaders": DataLoader(_Records(0, 450), batch_size=50, shuffle=order),
                "val_dataloaders": DataLoader(_Records(450, 650), batch_size=100),
            }
        held = {} if self.module is Adversarial else {"val_dataloaders": held_out()}
        return {"train_dataloaders": loader(shuffle=order), **held}

    def make_trainer(self, folder: Path, **changes: Any) -> Any:
        """On the CPU, with a logger and a checkpoint that are looked at afterwards."""
        arguments: dict[str, Any] = {
            "accelerator": "cpu",
            "devices": 1,
            "default_root_dir": folder,
            "logger": CSVLogger(folder, name="", version=""),
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "log_every_n_steps": 1,
            "max_epochs": 2,
        }
        return lightning.Trainer(**{**arguments, **self.trainer, **changes})


SETTINGS = {
    # 9 batches an epoch: the fifth update of an epoch has one batch only
    "accumulating": Setting(WithSchedule, {"accumulate_grad_batches": 2, "gradient_clip_val": 0.5}),
    "dicts in bfloat16": Setting(OnDicts, {"precision": "bf16-mixed"}, status="uncertain"),
    "adversarial": Setting(Adversarial, asked={"loss": "told"}),
    "a data module": Setting(
        Classifier, {"max_steps": 12, "max_epochs": -1}, datamodule=True, status="uncertain"
    ),
}
