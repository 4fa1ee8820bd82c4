"""`stepsize tune`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepsize.cli.load import load_task
from stepsize.cli.options import (
    BatchSize,
    BatchSizes,
    Debug,
    Epochs,
    JsonPath,
    Limit,
    LrMax,
    LrMin,
    Memory,
    ObjectiveName,
    ReportPath,
    Seeds,
    Steps,
    TaskName,
    announce,
    batch_sizes_of,
    changed,
    silent,
)
from stepsize.cli.output import check_outputs, write_files, wrote

if TYPE_CHECKING:
    from stepsize.decide.training_advice import TrainingAdvice

NO_ANSWER = 1


def tune(
    task: TaskName,
    schedule: Annotated[
        str | None, typer.Option("--schedule", help="The real run's, if it is settled; else it is searched.")
    ] = None,
    batch_size: BatchSize = None,
    batch_sizes: BatchSizes = None,
    objective: ObjectiveName = "time",
    limit: Limit = None,
    memory: Memory = None,
    epochs: Epochs = None,
    steps: Steps = None,
    budget: Annotated[
        str | None,
        typer.Option("--budget", help="What the answer may cost: '5 runs', '60 s'; else about 26 full runs."),
    ] = None,
    seeds: Seeds = None,
    lr_min: LrMin = None,
    lr_max: LrMax = None,
    json: JsonPath = None,
    report: ReportPath = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw the rates: PNG, SVG or PDF.")] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Print the answer as shell assignments, and no progress.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Decide how to train TASK: batch size, learning rate, schedule and warm-up.

    With --batch-size or --schedule that part is taken as given and not searched.
    Exit code: 0 with an answer, 1 without, 2 for wrong use.
    """
    from stepsize.decide.advice import COMPLETE
    from stepsize.decide.tune import tune as decide

    if batch_size is not None and batch_sizes is not None:
        raise ValueError(
            f"--batch-size and --batch-sizes exclude each other, but got {batch_size} and {batch_sizes}"
        )
    check_outputs(json, report, plot)
    chosen = changed(load_task(task), batch_size, epochs, steps)
    limits: dict[str, Any] = {"lr_min": lr_min, "lr_max": lr_max}
    advice = decide(
        chosen,
        schedule=schedule,
        objective=objective,  # type: ignore[arg-type] # an unknown one is refused by name
        batch_sizes=chosen.batch_size
        if batch_size is not None
        else None
        if batch_sizes is None
        else batch_sizes_of(batch_sizes),
        limit=limit,
        memory=None if memory is None else memory * 2**20,
        budget=budget,
        seeds=seeds,
        **{name: value for name, value in limits.items() if value is not None},
        progress=False if quiet else None,
        announce=silent if quiet else announce,
    )
    _show(advice, quiet, to_stderr=json is not None and str(json) == "-")
    write_files(advice, json, report, plot)
    if not quiet:
        wrote(json, report, plot)
    if advice.status not in COMPLETE:
        raise typer.Exit(NO_ANSWER)


def _show(advice: TrainingAdvice, quiet: bool, *, to_stderr: bool) -> None:
    if not quiet:
        from stepsize.cli.table import print_training

        print_training(advice, to_stderr=to_stderr)
    elif advice.lr is None:
        typer.echo(f"{advice.status}: {advice.why}", err=True)
    elif not to_stderr:
        schedule = shlex.quote(advice.schedule_text)
        typer.echo(
            f"batch_size={advice.batch_size} lr={advice.lr:.6g} steps={advice.steps} schedule={schedule}"
        )
