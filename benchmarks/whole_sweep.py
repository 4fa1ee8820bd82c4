"""A whole sweep, end to end, against a DataLoader loop that trains the same runs.

python -m benchmarks.whole_sweep            # some minutes; writes benchmarks/whole_sweep.md
python -m benchmarks.whole_sweep --full     # the loop trains every run, instead of an epoch per batch size
python -m benchmarks.whole_sweep --quick    # a look, for CI: writes nothing
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import stepsize as ss
from benchmarks.child import fresh_processes, peak_bytes
from benchmarks.clock import Rival, Speed, circumstances, race, stopwatch
from benchmarks.rivals import loader, reference_net
from benchmarks.table import header, row
from benchmarks.targets import HEADER, Target

RESULTS = Path(__file__).with_name("whole_sweep.md")
RATES = (0.1, 0.3, 0.5, 0.7)
BATCH_SIZES = (16, 32, 128)
SEEDS = 3
EPOCHS = 10
EVALUATIONS = 2
"""Validations an epoch."""

VALIDATION_BATCH = 1024
REPEATS = 3
FASTER = Target("the DataLoader loop's time, over that of `stepsize.sweep`", 5.0, unit="×")
MEMORY = Target("peak memory of the process", 2.0, at_most=True, unit=" GB")

PAGE = """\
# A whole sweep

{grid}: {runs} runs of {epochs} epochs each of the textbook's net,
784-64-16-10 with plain SGD, on {samples:,} images of MNIST. Validation {evaluations} times an epoch: loss and
accuracy on {held:,} other images.

{targets}

{times}

- **stepsize**: one call of `stepsize.sweep` in a new process, from the call to the table of results:
  planning, training, validation, a ledger on disk. The peak is that of the whole process (its largest
  resident set, `ru_maxrss`), with Python, torch and the data. Measured once; runs that diverged and so
  ended early: {diverged}.
- **DataLoader loop**: one run after the other, fed by a shuffling `DataLoader` without workers, and validated
  by another one in batches of {validation}. {share}

## Measured

{circumstances}
"""

SHARE = """\
Its time is that of one epoch at each batch size, validation included, times {times}
  epochs: an epoch costs the same at every rate, seed and age. Medians of {repeats} turns: {each}."""
ALL = "All runs were trained."


@dataclass(frozen=True)
class Swept:
    """Seconds of the whole sweep, the process's peak in bytes, and how many runs diverged."""

    seconds: float
    peak: int
    diverged: int


Images = tuple[Tensor, Tensor]


def images(samples: int | None) -> tuple[Images, Images]:
    """Training and held-out images with their labels; `samples` of the former, or all."""
    digits = ss.datasets.mnist()
    train, held = (
        (torch.from_numpy(split.images), torch.from_numpy(split.labels))
        for split in (digits.train, digits.validation)
    )
    return (train[0][:samples], train[1][:samples]), held


def sweep(samples: int | None, epochs: int, folder: str) -> Swept:
    """Train all runs in this process, which should be fresh."""
    train, held = images(samples)
    task = ss.datasets.mnist_task(epochs=epochs, device="cpu").replace(train=train, val=held)
    start = time.perf_counter()
    runs = ss.sweep(
        task,
        RATES,
        batch_size=BATCH_SIZES,
        seeds=SEEDS,
        evaluate=f"{EVALUATIONS} an epoch",
        store=Path(folder) / "runs.db",
        progress=False,
    )
    seconds = time.perf_counter() - start
    return Swept(seconds, peak_bytes(), sum(run.status != "ok" for run in runs.runs))


def loader_run(
    train: Images, held: Images, *, lr: float, batch_size: int, seed: int, epochs: int
) -> list[tuple[float, float]]:
    """Train one run as most tutorials do; held-out loss and accuracy at each validation."""
    torch.manual_seed(seed)
    net, loss = nn.Sequential(nn.Flatten(), reference_net()), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    batches = loader(*train, batch_size)
    validation = DataLoader(TensorDataset(*held), batch_size=VALIDATION_BATCH)
    stops = {-(-len(batches) * part // EVALUATIONS) for part in range(1, EVALUATIONS + 1)}
    found = []
    for _ in range(epochs):
        for done, (inputs, labels) in enumerate(batches, 1):
            optimizer.zero_grad()
            loss(net(inputs), labels).backward()
            optimizer.step()
            if done in stops:
                found.append(_validate(net, validation))
    return found


@torch.no_grad()
def _validate(net: nn.Module, validation: DataLoader[tuple[Tensor, ...]]) -> tuple[float, float]:
    net.eval()
    loss = right = count = 0.0
    for inputs, labels in validation:
        outputs = net(inputs)
        loss += float(nn.functional.cross_entropy(outputs, labels, reduction="sum"))
        right += float((outputs.argmax(dim=1) == labels).sum())
        count += len(labels)
    net.train()
    return loss / count, right / count


def epoch_speeds(train: Images, held: Images, repeats: int) -> dict[int, Speed]:
    """Epochs per second of the DataLoader loop, validation included, by batch size."""
    rivals = {
        str(size): Rival(
            stopwatch(partial(loader_run, train, held, lr=RATES[0], batch_size=size, seed=0, epochs=1)),
            work=1,
        )
        for size in BATCH_SIZES
    }
    return {int(name): speed for name, speed in race(rivals, repeats).items()}


def scaled(speeds: Mapping[int, Speed], runs: int, epochs: int) -> Speed:
    """Sweeps per second: so many runs of so many epochs at each batch size, at these epochs per second."""
    turns = zip(*(speed.per_second for speed in speeds.values()), strict=True)
    return Speed(tuple(1 / sum(runs * epochs / speed for speed in turn) for turn in turns))


def every_run(train: Images, held: Images, epochs: int) -> Speed:
    """Sweeps per second of the DataLoader loop, all runs trained."""
    start = time.perf_counter()
    for size, seed, lr in itertools.product(BATCH_SIZES, range(SEEDS), RATES):
        loader_run(train, held, lr=lr, batch_size=size, seed=seed, epochs=epochs)
        print(f"DataLoader loop: batch {size}, seed {seed}, rate {lr} done", flush=True)
    return Speed((1 / (time.perf_counter() - start),))


def page(swept: Swept, theirs: Speed, share: str, train: Images, held: Images, epochs: int, flag: str) -> str:
    """The page, as Markdown."""
    faster = Speed((1 / swept.seconds,) * len(theirs.per_second)).over(theirs)
    gigabytes = swept.peak / 1e9
    seconds = 1 / theirs.median
    return PAGE.format(
        grid=f"Rates {_listed(RATES)}, batch sizes {_listed(BATCH_SIZES)}, {SEEDS} seeds each",
        runs=len(RATES) * len(BATCH_SIZES) * SEEDS,
        epochs=epochs,
        samples=len(train[0]),
        held=len(held[0]),
        evaluations=EVALUATIONS,
        validation=VALIDATION_BATCH,
        targets="\n".join([HEADER, FASTER.row(faster.median, faster.spread), MEMORY.row(gigabytes)]),
        times="\n".join(
            [
                header("", ["seconds", "peak memory"]),
                row("`stepsize.sweep`", f"{swept.seconds:,.0f}", f"{gigabytes:.2f} GB"),
                row("DataLoader loop", f"{seconds:,.0f}", "not measured"),
            ]
        ),
        diverged=swept.diverged,
        share=share,
        circumstances=circumstances(f"python -m benchmarks.whole_sweep{flag}"),
    )


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time a whole sweep against a DataLoader loop.")
    parser.add_argument("--quick", action="store_true", help="a small sweep; writes nothing")
    parser.add_argument("--full", action="store_true", help="the loop trains every run; hours")
    arguments = parser.parse_args()
    samples, epochs, repeats = (1_000, 1, 1) if arguments.quick else (None, EPOCHS, REPEATS)
    train, held = images(samples)
    with tempfile.TemporaryDirectory() as folder, fresh_processes(["stepsize.training"]) as pool:
        swept = pool.submit(sweep, samples, epochs, folder).result()
    print(f"stepsize.sweep: {swept.seconds:.1f} s, peak {swept.peak / 1e9:.2f} GB", flush=True)
    if arguments.full:
        theirs, share = every_run(train, held, epochs), ALL
    else:
        each = epoch_speeds(train, held, repeats)
        runs = len(RATES) * SEEDS
        theirs = scaled(each, runs, epochs)
        seconds = ", ".join(f"{1 / speed.median:.2f} s at {size}" for size, speed in each.items())
        share = SHARE.format(times=f"{runs} runs × {epochs}", repeats=repeats, each=seconds)
    text = page(swept, theirs, share, train, held, epochs, " --full" if arguments.full else "")
    print("", text, sep="\n")
    if not arguments.quick:
        RESULTS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
