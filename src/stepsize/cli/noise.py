"""`stepsize noise`."""

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
    ScheduleText,
    Steps,
    TaskName,
    announce,
    changed,
    silent,
)
from stepsize.cli.output import check_outputs, deliver

NO_ANSWER = 1


def noise(
    task: TaskName,
    lr: Annotated[
        float | None, typer.Option("--lr", help="The run's peak rate; else the one that find_lr finds.")
    ] = None,
    schedule: ScheduleText = "fixed",
    batch_size: BatchSize = None,
    epochs: Epochs = None,
    steps: Steps = None,
    kind: Annotated[
        str, typer.Option("--kind", help="auto, simple, preconditioned or gauss_newton.")
    ] = "auto",
    checkpoints: Annotated[int, typer.Option("--checkpoints", help="Points along the run.")] = 4,
    precision: Annotated[
        float, typer.Option("--precision", help="Relative standard deviation to reach at each point.")
    ] = 0.1,
    examples: Annotated[int | None, typer.Option("--examples", help="Samples per point at most.")] = None,
    budget: Annotated[
        str | None, typer.Option("--budget", help="Stop after '60 s' or '2 runs'; else when precise enough.")
    ] = None,
    json: JsonPath = None,
    report: ReportPath = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw the points: PNG, SVG or PDF.")] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Print the last scale alone, and no progress.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Measure the gradient noise scale of TASK along a run: how large a batch pays.

    Exit code: 0 with an answer, 1 without, 2 for wrong use.
    """
    from stepsize.decide.noise import noise_with_budget

    check_outputs(json, report, plot)
    found = noise_with_budget(
        changed(load_task(task), batch_size, epochs, steps),
        lr,
        budget=budget,
        schedule=schedule,
        kind=kind,
        checkpoints=checkpoints,
        precision=precision,
        examples=examples,
        progress=False if quiet else None,
        announce=silent if quiet else announce,
    )
    deliver(found, None if found.scale is None else f"{found.scale:.6g}", json, report, plot, quiet)
    if found.scale is None:
        raise typer.Exit(NO_ANSWER)
