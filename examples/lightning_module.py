"""A LightningModule finds its rate as `fit` begins, and trains with it: one callback."""

import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import stepsize as ss
from stepsize.adapters.lightning import StepsizeLRFinder


class Classifier(lightning.LightningModule):
    def __init__(self, lr: float = 1e-3) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))

    def training_step(self, batch, batch_idx):
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", nn.functional.cross_entropy(self.net(batch[0]), batch[1]))

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=self.hparams.lr, momentum=0.9)
        steps = int(self.trainer.estimated_stepping_batches)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.hparams.lr, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


if __name__ == "__main__":
    digits = ss.datasets.mnist()
    images, labels = (torch.from_numpy(array[:6000]) for array in digits.train)
    held_images, held_labels = (torch.from_numpy(array[:1000]) for array in digits.validation)
    train = DataLoader(TensorDataset(images, labels), batch_size=64, shuffle=True)
    val = DataLoader(TensorDataset(held_images, held_labels), batch_size=500)

    finder = StepsizeLRFinder()
    trainer = lightning.Trainer(
        max_epochs=3, accelerator="cpu", callbacks=[finder], logger=False, enable_checkpointing=False
    )
    module = Classifier()
    trainer.fit(module, train, val)
    print(finder.advice)
    print(f"trained at {module.hparams.lr:.3g}; held-out loss {trainer.callback_metrics['val_loss']:.3f}")
