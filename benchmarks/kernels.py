"""Where the time of a stacked update goes: by kind of kernel, and what lies between the kernels.

    python -m benchmarks.kernels            # half a minute; writes benchmarks/kernels.md
    python -m benchmarks.kernels --quick    # a look, for CI: writes nothing

Kernels are timed by torch's profiler, which slows down what is around them; the whole update is timed
without it, as the least of three tries.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

import stepsize as ss
from benchmarks.clock import circumstances
from benchmarks.rivals import LR, reference_net
from benchmarks.table import header, row

RESULTS = Path(__file__).with_name("kernels.md")
MEMBERS = 16
BATCH_SIZES = (16, 32, 128)

KINDS = {
    "matrix products": ("bmm", "mm", "addmm", "baddbmm_"),
    "softmax and picking the label": (
        *(
            "_log_softmax",
            "_log_softmax_backward_data",
            "gather",
            "scatter",
            "scatter_",
            "where",
            "ne",
            "neg",
        ),
    ),
    "activations": ("sigmoid", "sigmoid_backward", "tanh", "tanh_backward"),
    "biases and their sums": ("add", "sum", "addcmul_"),
    "the batch": ("index_select", "randperm"),
}

PAGE = """\
# Where the time goes

<!-- --8<-- [start:table] -->
Microseconds of one update of the reference net, {members} members, plain SGD, and their share. "Between the
kernels" is Python, torch's dispatch, and small kernels not named.

{table}

{circumstances}
<!-- --8<-- [end:table] -->
"""


def measured(x: torch.Tensor, y: torch.Tensor, batch_size: int, updates: int) -> dict[str, float]:
    """Microseconds of an update by kind, and "in all"."""
    task = ss.Task(
        model=reference_net,
        loss=ss.supervised(nn.CrossEntropyLoss()),
        train=(x, y),
        val=(x[:2], y[:2]),
        optimizer=torch.optim.SGD,
        batch_size=batch_size,
        steps=3 * updates,
        device="cpu",
    )
    members = [ss.Member(lr=LR, seed=0)] * MEMBERS

    def seconds(count: int) -> float:
        start = time.perf_counter()
        ss.train(task, members, np.full(count, LR), engine="stack")
        return time.perf_counter() - start

    def kernels(count: int) -> Counter[str]:
        with profile(activities=[ProfilerActivity.CPU]) as record:
            ss.train(task, members, np.full(count, LR), engine="stack")
        times = Counter[str]()
        for event in record.key_averages():
            times[event.key.removeprefix("aten::")] += event.self_cpu_time_total
        return times

    seconds(updates)
    # The difference of a long and a short call: set-up, recording and checks are in both.
    least = [min(seconds(count) for _ in range(3)) for count in (updates, 3 * updates)]
    whole = (least[1] - least[0]) / (2 * updates) * 1e6
    long, short = kernels(3 * updates), kernels(updates)
    found = {
        kind: sum(long[name] - short[name] for name in names) / (2 * updates) for kind, names in KINDS.items()
    }
    return {**found, "between the kernels": whole - sum(found.values()), "in all": whole}


def table(columns: dict[int, dict[str, float]]) -> str:
    lines = [header("", [f"batch {size}" for size in columns])]
    for kind in next(iter(columns.values())):
        cells = [f"{times[kind]:,.0f} ({times[kind] / times['in all']:.0%})" for times in columns.values()]
        lines.append(row(kind, *cells))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Show where the time of a stacked update goes.")
    parser.add_argument("--quick", action="store_true", help="one small look; writes nothing")
    quick = parser.parse_args().quick
    digits = ss.datasets.mnist()
    x, y = torch.from_numpy(digits.train.images).flatten(1), torch.from_numpy(digits.train.labels)
    sizes, updates = (BATCH_SIZES[:1], 30) if quick else (BATCH_SIZES, 400)
    text = PAGE.format(
        members=MEMBERS,
        table=table({size: measured(x, y, size, updates) for size in sizes}),
        circumstances=circumstances("python -m benchmarks.kernels"),
    )
    print(text)
    if not quick:
        RESULTS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
