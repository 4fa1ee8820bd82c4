"""`stepsize batch`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stepsize.cli.load import load_task
from stepsize.cli.options import (
    BatchSizes,
    Debug,
    Epochs,
    JsonPath,
    Limit,
    Memory,
    ObjectiveName,
    ReportPath,
    Steps,
    TaskName,
    announce,
    batch_sizes_of,
    changed,
    silent,
)
from stepsize.cli.output import check_outputs, deliver

NO_ANSWER = 1


def batch(
    task: TaskName,
    batch_sizes: BatchSizes = None,
    objective: ObjectiveName = "time",
    limit: Limit = None,
    lr: Annotated[
        float | None, typer.Option("--lr", help="Where the rates begin; else what find_lr finds.")
    ] = None,
    epochs: Epochs = None,
    steps: Steps = None,
    seeds: Annotated[int, typer.Option("--seeds", help="Runs of each rate.")] = 3,
    budget: Annotated[
        str | None,
        typer.Option("--budget", help="What the answer may cost: '20 runs', '5 min'."),
    ] = None,
    memory: Memory = None,
    noise: Annotated[
        bool, typer.Option("--noise/--no-noise", help="Predict from the noise scale as well.")
    ] = True,
    json: JsonPath = None,
    report: ReportPath = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw the times: PNG, SVG or PDF.")] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Print the batch size alone, and no progress.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Find the batch size for TASK: for time, for compute and for a budget.

    Exit code: 0 with an answer, 1 without, 2 for wrong use.
    """
    from stepsize.decide.find_batch_size import find_batch_size

    check_outputs(json, report, plot)
    found = find_batch_size(
        changed(load_task(task), None, epochs, steps),
        objective,  # type: ignore[arg-type] # an unknown one is refused by name
        batch_sizes=None if batch_sizes is None else batch_sizes_of(batch_sizes),
        limit=limit,
        memory=None if memory is None else memory * 2**20,
        lr=lr,
        seeds=seeds,
        budget=budget,
        noise=noise,
        progress=False if quiet else None,
        announce=silent if quiet else announce,
    )
    short = None if found.batch_size is None else str(found.batch_size)
    deliver(found, short, json, report, plot, quiet, f"{found.critical}\n\n{found}")
    if found.batch_size is None:
        raise typer.Exit(NO_ANSWER)
