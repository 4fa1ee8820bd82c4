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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import torch
from lightning.pytorch.tuner.tuning import Tuner
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import stepsize as ss
from benchmarks.clock import circumstances
from benchmarks.regret.rivals import before_2_5_3
from benchmarks.table import row
from stepsize.adapters.lightning import find_lr
from stepsize.datasets.tasks import small_cnn, textbook_net

RESULTS = Path(__file__).with_name("lightning_tuner.md")
SAMPLES, HELD_OUT, BATCH, EPOCHS, SEEDS = 6000, 2000, 64, 5, 3

PAGE = """\
# Lightning's Tuner

<!-- --8<-- [start:table] -->
The same LightningModule, {samples:,} MNIST digits, batch {batch}, {epochs} epochs. The loss is that on
{held_out:,} others at the end of the full run at the rate: mean over {seeds} seeds ± half of their range.
`Tuner.lr_find` at its defaults, 100 updates, and what its releases before 2.5.3 suggested on the same curve;
`find_lr` at its defaults; the best of eight rates a factor of 2 apart, each run in full.

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


@cache
def sets() -> tuple[TensorDataset, TensorDataset]:
    """What is trained on, and what is held out."""
    digits = ss.datasets.mnist()
    parts = (digits.train, SAMPLES), (digits.validation, HELD_OUT)
    train, held_out = (
        TensorDataset(
            torch.from_numpy(part.images[:count, None].copy()), torch.from_numpy(part.labels[:count])
        )
        for part, count in parts
    )
    return train, held_out


def data() -> dict[str, Any]:
    """Loaders, as `Trainer.fit` takes them."""
    train, held_out = sets()
    return {
        "train_dataloaders": DataLoader(train, batch_size=BATCH, shuffle=True),
        "val_dataloaders": DataLoader(held_out, batch_size=500),
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
    """A rate, and the seconds that it took to find."""

    lr: float | None
    seconds: float


def by_the_tuner(case: Case, folder: str) -> dict[str, Answer]:
    """Lightning's own."""
    started = time.perf_counter()
    found = Tuner(trainer(folder)).lr_find(Module(case, case.usual, 0), **data(), update_attr=False)
    assert found is not None
    now, seconds = found.suggestion(), time.perf_counter() - started
    before = before_2_5_3(found.results["lr"], found.results["loss"])
    return {"`Tuner.lr_find`": Answer(now, seconds), "its rule before 2.5.3": Answer(before, seconds)}


def by_rehearsal(case: Case, folder: str) -> dict[str, Answer]:
    """Ours."""
    started = time.perf_counter()
    advice = find_lr(trainer(folder), Module(case, case.usual, 0), **data(), progress=False)
    return {"stepsize `find_lr`": Answer(advice.lr, time.perf_counter() - started)}


def full_runs(case: Case, lr: float, folder: str, seeds: int) -> np.ndarray:
    """The held-out loss at the end of the full run, for every seed."""
    losses = []
    for seed in range(seeds):
        own, module = trainer(folder), Module(case, lr, seed)
        own.fit(module, **data())
        losses.append(float(own.callback_metrics["val_loss"]))
    return np.array(losses)


def best_of_a_grid(case: Case, folder: str, seeds: int) -> dict[str, Answer]:
    """The rate whose full runs end lowest on average."""
    started = time.perf_counter()
    rates = [case.usual * 2.0**power for power in range(-2, 6)]
    means = [full_runs(case, rate, folder, seeds).mean() for rate in rates]
    best = rates[int(np.argmin(np.nan_to_num(means, nan=np.inf)))]
    return {f"best of a grid, {len(rates) * seeds} runs": Answer(best, time.perf_counter() - started)}


def compared(name: str, case: Case, folder: str, seeds: int) -> Iterator[str]:
    """Rows: every answer, its loss and its price."""
    ways: list[Callable[[Case, str], dict[str, Answer]]] = [by_the_tuner, by_rehearsal]
    if seeds > 1:
        ways.append(partial(best_of_a_grid, seeds=seeds))
    for way in ways:
        for finder, answer in way(case, folder).items():
            if answer.lr is None:
                yield row(name, finder, "none", "—", f"{answer.seconds:.1f} s")
                continue
            losses = full_runs(case, answer.lr, folder, seeds)
            loss = f"{losses.mean():.3f} ± {np.ptp(losses) / 2:.3f}"
            yield row(name, finder, f"{answer.lr:.3g}", loss, f"{answer.seconds:.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare find_lr with Lightning's Tuner.")
    parser.add_argument("--quick", action="store_true", help="one module, one seed; writes nothing")
    quick = parser.parse_args().quick
    for name in ("lightning", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.simplefilter("ignore")  # Lightning's own
    cases = dict(list(CASES.items())[:1]) if quick else CASES
    seeds = 1 if quick else SEEDS
    with tempfile.TemporaryDirectory() as folder:
        lines = []
        for name, case in cases.items():
            for line in compared(name, case, folder, seeds):
                print(line, flush=True)
                lines.append(line)
    table = "\n".join([row("module", "finder", "rate", "loss", "time"), "|:--|:--|--:|--:|--:|", *lines])
    text = PAGE.format(
        samples=SAMPLES,
        held_out=HELD_OUT,
        batch=BATCH,
        epochs=EPOCHS,
        seeds=seeds,
        table=table,
        circumstances=circumstances("python -m benchmarks.lightning_tuner", "lightning"),
    )
    print(text)
    if not quick:
        RESULTS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
