"""`stepsize compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stepsize.cli.load import load_task
from stepsize.cli.options import (
    BatchSize,
    Debug,
    Epochs,
    JsonPath,
    ReportPath,
    Steps,
    TaskName,
    announce,
    changed,
    silent,
)
from stepsize.cli.output import check_outputs, deliver

NO_ANSWER = 1


def compare(
    task: TaskName,
    schedules: Annotated[
        list[str] | None,
        typer.Option(
            "--schedule",
            help="One to compare, given twice or more; else fixed, linear, cosine and warmup-stable-decay.",
        ),
    ] = None,
    lr: Annotated[
        float | None, typer.Option("--lr", help="About where rates are tried; else what find_lr finds.")
    ] = None,
    batch_size: BatchSize = None,
    epochs: Epochs = None,
    steps: Steps = None,
    seeds: Annotated[int, typer.Option("--seeds", help="Runs of each rate.")] = 3,
    budget: Annotated[
        str | None,
        typer.Option("--budget", help="What it may cost: '4 runs', '60 s'; else runs have full length."),
    ] = None,
    json: JsonPath = None,
    report: ReportPath = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw losses over rates: PNG, SVG or PDF.")
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Print the schedule advised alone, and no progress.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Compare schedules on TASK at equal budget, each at its own best rate.

    Exit code: 0 with an answer, 1 without, 2 for wrong use.
    """
    from stepsize.decide.schedule_comparison import SCHEDULES, compare_schedules

    check_outputs(json, report, plot)
    found = compare_schedules(
        changed(load_task(task), batch_size, epochs, steps),
        schedules or SCHEDULES,
        lr=lr,
        seeds=seeds,
        budget=budget,
        progress=False if quiet else None,
        announce=silent if quiet else announce,
    )
    deliver(found, found.advised, json, report, plot, quiet)
    if found.best is None:
        raise typer.Exit(NO_ANSWER)
