"""`stepsize find`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepsize.cli.load import load_task
from stepsize.cli.options import (
    BatchSize,
    BudgetText,
    Debug,
    Epochs,
    JsonPath,
    LrMax,
    LrMin,
    PlotPath,
    ReportPath,
    ScheduleText,
    Seeds,
    Steps,
    TaskName,
    changed,
)
from stepsize.cli.output import check_outputs, write_files, wrote

if TYPE_CHECKING:
    from stepsize.decide.advice import Advice
    from stepsize.task import Task

NO_ANSWER = 1


def find(
    task: TaskName,
    schedule: ScheduleText = "fixed",
    batch_size: BatchSize = None,
    epochs: Epochs = None,
    steps: Steps = None,
    budget: BudgetText = None,
    seeds: Seeds = None,
    lr_min: LrMin = None,
    lr_max: LrMax = None,
    json: JsonPath = None,
    report: ReportPath = None,
    plot: PlotPath = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the rate alone, and no progress.")] = False,
    debug: Debug = False,
) -> None:
    """Find the learning rate for TASK by rehearsing the real run.

    Exit code: 0 with an answer, 1 without, 2 for wrong use.
    """
    from stepsize.decide.advice import COMPLETE
    from stepsize.decide.find_lr import find_lr

    check_outputs(json, report, plot)
    chosen = changed(load_task(task), batch_size, epochs, steps)
    limits: dict[str, Any] = {"lr_min": lr_min, "lr_max": lr_max}
    advice = find_lr(
        chosen,
        schedule=schedule,
        budget=budget,
        seeds=seeds,
        **{name: value for name, value in limits.items() if value is not None},
        progress=False if quiet else None,
    )
    _show(advice, chosen, quiet, to_stderr=json is not None and str(json) == "-")
    write_files(advice, json, report, plot)
    if not quiet:
        wrote(json, report, plot)
    if advice.status not in COMPLETE:
        raise typer.Exit(NO_ANSWER)


def _show(advice: Advice, task: Task, quiet: bool, *, to_stderr: bool) -> None:
    if quiet:
        if advice.lr is not None and not to_stderr:
            typer.echo(f"{advice.lr:.6g}")
        elif advice.lr is None:
            typer.echo(f"{advice.status}: {advice.why}", err=True)
        return
    from stepsize.cli.table import print_advice

    print_advice(advice, task, to_stderr=to_stderr)
