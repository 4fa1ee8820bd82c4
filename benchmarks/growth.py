"""What more members, larger batches and wider nets cost, in time and in memory.

    python -m benchmarks.growth            # some 2 minutes; writes benchmarks/growth.md
    python -m benchmarks.growth --quick    # a look, for CI: writes nothing

Each configuration is trained in a process of its own.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

import stepsize as ss
from benchmarks.child import fresh_processes, peak_bytes
from benchmarks.clock import circumstances
from benchmarks.growth_page import Point, page
from benchmarks.rivals import LR, plain_loop, reference_net

RESULTS = Path(__file__).with_name("growth.md")
MEMBERS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
BATCH_SIZES = (16, 32, 128)
LARGER = (256, 512)
HIDDEN = (16, 32, 64, 128, 256, 512)
WIDE_MEMBERS = (1, 4, 16, 64)
FEW, BATCH, WIDTH = 16, 32, 64
"""What stands still while something else grows: members, batch size, hidden units."""

SAMPLES, UPDATES = 60_000, 250
QUICK_SAMPLES, QUICK_UPDATES = 2_000, 120


def measure(members: int, batch_size: int, hidden: int, samples: int, updates: int) -> Point:
    """Train in this process, which should be fresh: seconds per update once under way, bytes above the data.

    `train` reports its progress every so many updates. The first report, which holds the set-up, is left out,
    and the median of the others counts.
    """
    x, y = _data(samples)
    task = ss.Task(
        model=partial(reference_net, hidden),
        loss=ss.supervised(nn.CrossEntropyLoss()),
        train=(x, y),
        val=(x[:2], y[:2]),
        optimizer=torch.optim.SGD,
        batch_size=batch_size,
        steps=updates,
        device="cpu",
    )
    reports: list[tuple[float, float]] = []

    def report(member_updates: int) -> None:
        reports.append((time.perf_counter(), member_updates / members))

    before = peak_bytes()
    ss.train(
        task,
        [ss.Member(lr=LR, seed=0)] * members,
        np.full(updates, LR),
        engine="stack",
        memory=64 * 2**30,  # one wave, however large
        progress=report,
    )
    peak = peak_bytes() - before
    spent = [(now - earlier) / count for (earlier, _), (now, count) in itertools.pairwise(reports)]
    return Point(seconds=statistics.median(spent), peak=peak)


def plain_seconds(batch_size: int, samples: int, updates: int) -> float:
    """Seconds per update of the plain loop in this process, after a first call untimed."""
    x, y = _data(samples)
    plain_loop(reference_net, x, y, batch_size=batch_size, updates=20)
    start = time.perf_counter()
    plain_loop(reference_net, x, y, batch_size=batch_size, updates=updates)
    return (time.perf_counter() - start) / updates


def _data(samples: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise in MNIST's shape: it costs as much as digits, and making it takes no memory besides."""
    generator = torch.Generator().manual_seed(0)
    return torch.rand(samples, 784, generator=generator), torch.arange(samples) % 10


def _measured(
    pool: ProcessPoolExecutor, cases: Sequence[tuple[int, int, int]], samples: int, updates: int
) -> Mapping[tuple[int, int, int], Point]:
    """By members, batch size and hidden units."""
    points = {}
    for case in cases:
        points[case] = point = pool.submit(measure, *case, samples, updates).result()
        members, batch_size, hidden = case
        print(
            f"{members:4} members, batch {batch_size:3}, {hidden:3} hidden: "
            f"{1e3 * point.seconds:8.2f} ms per update, {point.peak / 1e6:7.1f} MB",
            flush=True,
        )
    return points


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how the engine's cost grows.")
    parser.add_argument("--quick", action="store_true", help="a few small cases; writes nothing")
    quick = parser.parse_args().quick
    members, batch_sizes = (MEMBERS[:4], BATCH_SIZES[:1]) if quick else (MEMBERS, BATCH_SIZES)
    larger, hidden = ((), HIDDEN[:2]) if quick else (LARGER, HIDDEN)
    wide_members = WIDE_MEMBERS[:2] if quick else WIDE_MEMBERS
    samples, updates = (QUICK_SAMPLES, QUICK_UPDATES) if quick else (SAMPLES, UPDATES)
    cases = [
        *((k, batch_size, WIDTH) for batch_size in batch_sizes for k in members),
        *((FEW, batch_size, WIDTH) for batch_size in larger),
        *((k, BATCH, width) for width in hidden for k in wide_members),
    ]
    with fresh_processes(["benchmarks.rivals", "stepsize.training"]) as pool:
        points = _measured(pool, list(dict.fromkeys(cases)), samples, updates)
        plain = {
            batch_size: pool.submit(plain_seconds, batch_size, samples, updates).result()
            for batch_size in (*batch_sizes, *larger)
        }
    text = page(points, plain, FEW, BATCH, circumstances("make bench"))
    print("", text, sep="\n")
    if not quick:
        RESULTS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
