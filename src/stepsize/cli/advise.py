"""`stepsize tune` and `stepsize find`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepsize.cli.load import load_task
from stepsize.cli.output import check_outputs, write_files

if TYPE_CHECKING:
    from stepsize.decide.advice import Advice
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
Quiet = Annotated[bool, typer.Option("--quiet", help="Print the rate alone, and no progress.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]

NO_ANSWER = 1


def _command(module: str, name: str, summary: str) -> Callable[..., None]:
    """A command around `decide` functions, which share their arguments; imported when it runs."""

    def command(
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
        quiet: Quiet = False,
        debug: Debug = False,
    ) -> None:
        decide = getattr(importlib.import_module(module), name)
        options = {
            "schedule": schedule,
            "budget": budget,
            "seeds": seeds,
            "lr_min": lr_min,
            "lr_max": lr_max,
        }
        _advise(decide, task, options, (batch_size, epochs, steps), (json, report, plot), quiet)

    command.__doc__ = f"{summary}\n\nExit code: 0 with an answer, 1 without, 2 for wrong use."
    return command


tune = _command(
    "stepsize.decide.tune",
    "tune",
    "Decide how to train TASK: the learning rate, at its batch size and schedule.",
)
find = _command(
    "stepsize.decide.find_lr", "find_lr", "Find the learning rate for TASK by rehearsing the real run."
)


def _advise(
    decide: Callable[..., Advice],
    name: str,
    options: dict[str, Any],
    changes: tuple[str | None, float | None, int | None],
    outputs: tuple[Path | None, Path | None, Path | None],
    quiet: bool,
) -> None:
    json, report, plot = outputs
    check_outputs(json, report, plot)
    task = changed(load_task(name), *changes)
    given = {key: value for key, value in options.items() if value is not None}
    advice = decide(task, **given, progress=False if quiet else None)
    _show(advice, task, quiet, to_stderr=json is not None and str(json) == "-")
    write_files(advice, json, report, plot)
    if not quiet:
        for path in (json, report, plot):
            if path is not None and str(path) != "-":
                typer.echo(f"wrote {path}", err=True)
    if advice.status != "ok":
        raise typer.Exit(NO_ANSWER)


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


def _show(advice: Advice, task: Task, quiet: bool, *, to_stderr: bool) -> None:
    if quiet:
        if advice.lr is not None and not to_stderr:
            typer.echo(f"{advice.lr:.6g}")
        elif advice.lr is None:
            typer.echo(f"{advice.status}: {advice.why}", err=True)
        return
    from stepsize.cli.table import print_advice

    print_advice(advice, task, to_stderr=to_stderr)
