"""12.3.4: one rate at four batch sizes, over updates and over epochs."""

from __future__ import annotations

import numpy as np

from stepsize.chapter.lab import Lab, Section, Training
from stepsize.chapter.result import Claim, Findings, Lines, NamedTable, Series
from stepsize.chapter.rules import best_of, difference, rising
from stepsize.chapter.sections.figures import (
    apart,
    arm_of,
    band,
    curves,
    estimate,
    finals,
    listed,
    percent,
    points,
)
from stepsize.chapter.sections.rates import RATES_32, RATES_128, zoomed
from stepsize.chapter.tasks import textbook
from stepsize.report.numbers import count
from stepsize.report.picture import Table

LR = 0.5
BATCH_64 = Training("batch 64: 0.5", textbook, (LR,), batch_sizes=(64,))
BATCH_256 = Training("batch 256: 0.5", textbook, (LR,), batch_sizes=(256,))
SIZES = {32: RATES_32, 64: BATCH_64, 128: RATES_128, 256: BATCH_256}


def _find(lab: Lab) -> Findings:
    found = {size: lab.runs(training) for size, training in SIZES.items()}
    arms = {size: arm_of(runs, LR, size) for size, runs in found.items()}
    ends = {size: finals(found[size], arms[size]) for size in SIZES}
    lines = {size: curves(found[size], arms[size]) for size in SIZES}
    shared = min(updates[-1] for updates, _ in lines.values())
    at_shared = {
        size: rows[:, int(np.searchsorted(updates, shared * (1 + 1e-9), side="right")) - 1]
        for size, (updates, rows) in lines.items()
    }
    told = listed(f"{size}: {percent(float(end.mean()))}" for size, end in ends.items())
    told_shared = listed(f"{size}: {percent(float(end.mean()))}" for size, end in at_shared.items())
    drop = difference(ends[32], ends[256])
    return Findings(
        claims=(
            Claim(
                id="12.3.4/batches, epochs",
                row="12.3.4",
                book="Too large a batch generalises worse: the validation error rises with it.",
                measured=(
                    f"At rate 0.5, after the same epochs: {told}. 32 − 256: {points(drop)}. A larger batch "
                    "has made fewer updates by then, which is part of the difference."
                ),
                verdict=best_of(ends[32], [ends[size] for size in (64, 128, 256)])
                if drop.verdict == "holds"
                else drop.verdict,
                rule="Batch 32 must end above each larger batch, by a 95% interval over paired seeds.",
                evidence=(
                    *(estimate(f"accuracy, batch {size}", end, "accuracy") for size, end in ends.items()),
                    apart("32 − 256", drop, "accuracy"),
                ),
            ),
            Claim(
                id="12.3.4/batches, updates",
                row="12.3.4",
                book="A large batch needs fewer iterations: its gradient is steadier.",
                measured=f"At rate 0.5, after about {count(shared)} updates each: {told_shared}.",
                verdict=rising([at_shared[size] for size in SIZES]),
                rule=(
                    "After the same number of updates each batch must be ahead of the next smaller one, by "
                    "a 95% interval over paired seeds."
                ),
                evidence=tuple(
                    estimate(f"accuracy, batch {size}", end, "accuracy") for size, end in at_shared.items()
                ),
            ),
        ),
        drawings=_drawings(lines),
        tables=(
            NamedTable(
                caption="Validation accuracy at rate 0.5",
                table=Table(
                    ("batch", "updates", "at the end", f"after about {count(shared)} updates"),
                    tuple(
                        (
                            str(size),
                            count(lines[size][0][-1]),
                            percent(float(ends[size].mean())),
                            percent(float(at_shared[size].mean())),
                        )
                        for size in SIZES
                    ),
                ),
            ),
        ),
    )


def _drawings(lines: dict[int, tuple[np.ndarray, np.ndarray]]) -> tuple[Lines, ...]:
    by_updates = tuple(  # without the start, which a logarithmic axis has no place for
        band(f"batch {size}", updates[1:], rows[:, 1:]) for size, (updates, rows) in lines.items()
    )
    last = max(float(updates[-1]) for updates, _ in lines.values())
    by_epochs: tuple[Series, ...] = tuple(
        band(f"batch {size}", updates / updates[-1], rows) for size, (updates, rows) in lines.items()
    )
    return (
        Lines(
            name="batches-updates",
            title="Rate 0.5 at four batch sizes, over updates",
            caption=(
                "Mean of the seeds, with the lowest and the highest. Each line ends after the same epochs."
            ),
            alt="Validation accuracy over updates for batch 32, 64, 128 and 256; larger batches end earlier.",
            x_label="update",
            y_label="validation accuracy",
            series=by_updates,
            x_scale="log" if last > 2_000 else "count",
            y_range=zoomed(by_updates),
        ),
        Lines(
            name="batches-epochs",
            title="The same runs over epochs",
            caption="Over samples seen, smaller batches are ahead: they make more updates of them.",
            alt="Validation accuracy over the share of the run for batch 32, 64, 128 and 256.",
            x_label="share of the epochs",
            y_label="validation accuracy",
            series=by_epochs,
            y_range=zoomed(by_epochs),
        ),
    )


SECTION = Section(
    slug="batch-sizes",
    title="One rate at four batch sizes",
    rows=("12.3.4",),
    idea=(
        "Rate 0.5 at batch 32, 64, 128 and 256, for the same epochs. The same runs tell two stories: over "
        "updates, and over samples seen."
    ),
    code="""\
import stepsize as ss

task = ss.datasets.mnist_task(epochs=10)
runs = ss.sweep(task, 0.5, batch_size=[32, 64, 128, 256], seeds=3, store="runs.db")
print(runs)
""",
    find=_find,
    trainings=(RATES_32, BATCH_64, RATES_128, BATCH_256),
)
