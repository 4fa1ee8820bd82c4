"""Arguments and options that several commands share, and the task with those that change it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from stepsize.task import Task

TaskName = Annotated[
    str,
    typer.Argument(
        metavar="TASK",
        help="An embedded task (mnist, mnist-cnn), file.py:object or package.module:object.",
        show_default=False,
    ),
]
ScheduleText = Annotated[
    str, typer.Option("--schedule", help="The real run's schedule; see `stepsize schedule --list`.")
]
BatchSize = Annotated[
    str | None, typer.Option("--batch-size", help="Samples per update, or 'full'; else the task's.")
]
Epochs = Annotated[
    float | None, typer.Option("--epochs", help="The real run's horizon in epochs; else the task's.")
]
Steps = Annotated[
    int | None, typer.Option("--steps", help="The real run's horizon in updates; else the task's.")
]
BudgetText = Annotated[
    str | None,
    typer.Option("--budget", help="What the answer may cost: '0.5 runs', '60 s'; else about one full run."),
]
Seeds = Annotated[
    int | None, typer.Option("--seeds", help="How many seeds decide; else as the budget allows.")
]
LrMin = Annotated[float | None, typer.Option("--lr-min", help="No smaller rate is tried.")]
LrMax = Annotated[float | None, typer.Option("--lr-max", help="No larger rate is tried.")]
JsonPath = Annotated[
    Path | None, typer.Option("--json", help="Write the result as JSON; '-' for standard output.")
]
ReportPath = Annotated[
    Path | None, typer.Option("--report", help="Write one HTML page that shows the evidence.")
]
PlotPath = Annotated[Path | None, typer.Option("--plot", help="Draw the rehearsals: PNG, SVG or PDF.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Memory = Annotated[
    int | None, typer.Option("--memory", help="MiB that a batch may use; else as the device has.")
]
BatchSizes = Annotated[
    str | None,
    typer.Option("--batch-sizes", help="To try, as '16,64,256'; else seven about the task's own."),
]
ObjectiveName = Annotated[
    str, typer.Option("--objective", help="What the batch size is for: time, compute or budget.")
]
Limit = Annotated[
    str | None,
    typer.Option("--limit", help="Training time for the objective budget: '10 min' or '0.5 runs'."),
]


def changed(task: Task, batch_size: str | None, epochs: float | None, steps: int | None) -> Task:
    changes: dict[str, Any] = {}
    if batch_size is not None:
        if batch_size != "full" and not batch_size.isdecimal():
            raise ValueError(f"--batch-size must be a whole number above 0 or 'full', but is {batch_size!r}")
        changes["batch_size"] = batch_size if batch_size == "full" else int(batch_size)
    if epochs is not None and steps is not None:
        raise ValueError(f"--epochs and --steps exclude each other, but got {epochs} and {steps}")
    if epochs is not None:
        changes["epochs"] = epochs
    if steps is not None:
        changes["steps"] = steps
    return task.replace(**changes) if changes else task


def batch_sizes_of(text: str) -> list[int]:
    """Read '16,64,256'."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise ValueError(f"--batch-sizes must be whole numbers and commas, as 16,64,256, but is {text!r}")
    return [int(part) for part in parts]


def announce(text: str) -> None:
    """Tell on standard error what is going to be done."""
    typer.echo(text, err=True)


def silent(text: str) -> None:
    """Tell nothing."""
