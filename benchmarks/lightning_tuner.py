"""Two answers for the same LightningModule: Lightning's own Tuner, and rehearsals of its real run.

python -m benchmarks.lightning_tuner            # some minutes; writes benchmarks/lightning_tuner.md
python -m benchmarks.lightning_tuner --quick    # one module, one seed: writes nothing
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import torch
from lightning.pytorch.tuner import Tuner
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import stepsize as ss
from benchmarks.clock import circumstances
from benchmarks.table import header, row
from stepsize.adapters.lightning import find_lr
from stepsize.datasets.tasks import small_cnn, textbook_net

RESULTS = Path(__file__).with_name("lightning_tuner.md")
SAMPLES, HELD_OUT, BATCH, EPOCHS, SEEDS = 6000, 2000, 64, 5, 3

PAGE = """\
# Lightning's Tuner

<!-- --8<-- [start:table] -->
One LightningModule each, {samples:,} MNIST digits, batch {batch}, {epochs} epochs. Held-out loss on {held_out:,}
others at the end of the full run with the suggested rate: mean over {seeds} seeds, ± half of their range.
`Tuner.lr_find` at its defaults, {updates} updates; `find_lr` at its default budget. The last column is the best
of a grid of rates with a factor of 2 between them, run in full.

{table}

{circumstances}
<!-- --8<-- [end:table] -->
"""


@dataclass(frozen=True)
class Case:
    """A net, its optimizer, and its scheduler for so many updates."""

    net: Callable[[], nn.Module]
    optimizer: Callable[..., torch.optim.Optimizer]
    scheduler: Callable[[Any, int], Any]
    usual: float


CASES = {
    "784-64-16-10, SGD": Case(
        textbook_net, torch.optim.SGD, lambda o, steps: torch.optim.lr_scheduler.ConstantLR(o, 1.0), 0.1
    ),
    "small CNN, AdamW, cosine": Case(
        small_cnn, torch.optim.AdamW, torch.optim.lr_scheduler.CosineAnnealingLR, 1e-3
    ),
    "small CNN, SGD with momentum, cosine": Case(
        small_cnn,
        lambda params, lr: torch.optim.SGD(params, lr=lr, momentum=0.9),
        torch.optim.lr_scheduler.CosineAnnealingLR,
        0.01,
    ),
}


class Module(lightning.LightningModule):
    """As in Lightning's documentation, its rate in `lr`."""

    def __init__(self, case: Case, lr: float, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.case, self.lr, self.net = case, lr, case.net()

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", nn.functional.cross_entropy(self.net(batch[0]), batch[1]))

    def configure_optimizers(self) -> Any:
        optimizer = self.case.optimizer(self.parameters(), lr=self.lr)
        scheduler = self.case.scheduler(optimizer, int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def data() -> dict[str, Any]:
    """Loaders, as `Trainer.fit` takes them."""
    digits = ss.datasets.mnist()

    def loader(images: Any, labels: Any, count: int, batch_size: int, *, shuffle: bool) -> DataLoader[Any]:
        tensors = torch.from_numpy(images[:count, None]), torch.from_numpy(labels[:count])
        return DataLoader(TensorDataset(*tensors), batch_size=batch_size, shuffle=shuffle)

    return {
        "train_dataloaders": loader(*digits.train, SAMPLES, BATCH, shuffle=True),
        "val_dataloaders": loader(*digits.validation, HELD_OUT, 500, shuffle=False),
    }


def trainer(folder: str) -> Any:
    """On the CPU, without bars and files."""
    return lightning.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        devices=1,
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


@dataclass(frozen=True)
class Answer:
    """A suggested rate and the seconds that it took."""

    lr: float | None
    seconds: float


def by_the_tuner(case: Case, folder: str) -> Answer:
    """Lightning's own."""
    started = time.perf_counter()
    found = Tuner(trainer(folder)).lr_find(Module(case, case.usual, 0), **data(), update_attr=False)
    return Answer(None if found is None else found.suggestion(), time.perf_counter() - started)


def by_rehearsal(case: Case, folder: str) -> Answer:
    """Ours."""
    started = time.perf_counter()
    advice = find_lr(trainer(folder), Module(case, case.usual, 0), **data(), progress=False)
    return Answer(advice.lr, time.perf_counter() - started)


def full_runs(case: Case, lr: float, folder: str, seeds: int) -> np.ndarray:
    """The held-out loss at the end of the full run, for every seed."""
    losses = []
    for seed in range(seeds):
        own, module = trainer(folder), Module(case, lr, seed)
        own.fit(module, **data())
        losses.append(float(own.callback_metrics["val_loss"]))
    return np.array(losses)


def shown(answer: Answer, losses: np.ndarray | None) -> tuple[str, str]:
    """The rate and the loss, as cells."""
    if answer.lr is None or losses is None:
        return "none", "—"
    return f"{answer.lr:.3g}", f"{losses.mean():.3f} ± {np.ptp(losses) / 2:.3f}"


def compared(name: str, case: Case, folder: str, seeds: int) -> str:
    """A row: both rates, their losses and prices, and the best of the grid."""
    answers = {"tuner": by_the_tuner(case, folder), "ours": by_rehearsal(case, folder)}
    losses = {
        key: None if one.lr is None else full_runs(case, one.lr, folder, seeds)
        for key, one in answers.items()
    }
    grid = case.usual * 2.0 ** np.arange(-2, 6)
    ends = {float(lr): full_runs(case, float(lr), folder, seeds) for lr in grid} if seeds > 1 else {}
    best = min(ends, key=lambda lr: np.nan_to_num(ends[lr].mean(), nan=np.inf), default=None)
    cells = [*shown(answers["tuner"], losses["tuner"]), f"{answers['tuner'].seconds:.1f} s"]
    cells += [*shown(answers["ours"], losses["ours"]), f"{answers['ours'].seconds:.1f} s"]
    cells += ["—" if best is None else f"{ends[best].mean():.3f} at {best:.3g}"]
    return row(name, *cells)


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare find_lr with Lightning's Tuner.")
    parser.add_argument("--quick", action="store_true", help="one module, one seed; writes nothing")
    quick = parser.parse_args().quick
    for name in ("lightning", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.simplefilter("ignore")  # Lightning's own
    cases = dict(list(CASES.items())[:1]) if quick else CASES
    seeds = 1 if quick else SEEDS
    head = [
        "Tuner: rate",
        "held-out loss",
        "time",
        "find_lr: rate",
        "held-out loss",
        "time",
        "best of a grid",
    ]
    with tempfile.TemporaryDirectory() as folder:
        lines = [header("module", head), *(compared(*one, folder, seeds) for one in cases.items())]
    text = PAGE.format(
        samples=SAMPLES,
        held_out=HELD_OUT,
        batch=BATCH,
        epochs=EPOCHS,
        seeds=seeds,
        updates=100,
        table="\n".join(lines),
        circumstances=circumstances("python -m benchmarks.lightning_tuner", "lightning"),
    )
    print(text)
    if not quick:
        RESULTS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
