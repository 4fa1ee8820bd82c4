"""`stepsize sweep`: train a grid, look into a ledger, write its table for other programs."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from typer.core import TyperGroup

from stepsize.cli.load import load_task

if TYPE_CHECKING:
    from stepsize.runs import Runs
    from stepsize.task import Task

INTERRUPTED = 1


class TaskFirst(TyperGroup):
    """Commands, of which `run` may be left out: `stepsize sweep mnist` is `stepsize sweep run mnist`.

    A task called like a command is still reached by `stepsize sweep run show`.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in {*self.commands, "--help"}:
            args = ["run", *args]
        return super().parse_args(ctx, args)


sweep = typer.Typer(
    cls=TaskFirst,
    no_args_is_help=True,
    help="Train every combination of rates, batch sizes, seeds and schedules, and never lose a run.\n\n"
    "`stepsize sweep TASK --lr 0.1,0.3` is short for `stepsize sweep run TASK --lr 0.1,0.3`.",
)

StorePath = Annotated[
    Path, typer.Argument(metavar="STORE", help="A ledger, such as runs.db.", show_default=False)
]
Number = Annotated[int | None, typer.Option("--number", help="Which sweep of the ledger; else the last.")]
JsonPath = Annotated[
    Path | None, typer.Option("--json", help="Write the result as JSON; '-' for standard output.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


@sweep.command("run")
def run(
    task: Annotated[
        str,
        typer.Argument(
            metavar="TASK",
            help="An embedded task (mnist, mnist-cnn), file.py:object or package.module:object.",
            show_default=False,
        ),
    ],
    lr: Annotated[str | None, typer.Option("--lr", help="Rates, such as 0.1,0.3,0.5.")] = None,
    batch_size: Annotated[
        str | None, typer.Option("--batch-size", help="Sizes, such as 16,32,full; else the task's.")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option("--seeds", help="How many, or which: 0,5,9.", show_default="3")
    ] = None,
    schedule: Annotated[
        list[str] | None,
        typer.Option("--schedule", help="A schedule; repeat the option for several.", show_default="fixed"),
    ] = None,
    store: Annotated[
        Path | None, typer.Option("--store", help="The ledger that keeps every finished run.")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with the last sweep in --store; no other option is needed."),
    ] = False,
    evaluate: Annotated[
        str | None,
        typer.Option(
            "--evaluate",
            help="When the held-out loss is taken: '20 a run', 'every 500 updates'.",
            show_default="twice an epoch",
        ),
    ] = None,
    epochs: Annotated[
        float | None, typer.Option("--epochs", help="The horizon in epochs; else the task's.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", help="The horizon in updates; else the task's.")
    ] = None,
    executor: Annotated[str, typer.Option("--executor", help="local, or ray.")] = "local",
    address: Annotated[
        str | None, typer.Option("--address", help="An existing Ray cluster, as ray.init takes it.")
    ] = None,
    halving: Annotated[
        bool, typer.Option("--halving", help="Leave out the worse half of the rates after 1/8 and 1/4.")
    ] = False,
    name: Annotated[str | None, typer.Option("--name", help="How the ledger calls the task.")] = None,
    json: JsonPath = None,
    report: Annotated[Path | None, typer.Option("--report", help="Write one HTML page.")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw the result: PNG, SVG or PDF.")] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Print the best rate alone, and no progress.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Train every combination to the task's horizon, each once.

    Exit code: 0 when every cell is there, 1 when interrupted, 2 for wrong use.
    """
    from stepsize.cli.output import check_outputs
    from stepsize.runs import sweep as run_sweep

    check_outputs(json, report, plot)
    options: dict[str, Any] = {
        "lr": None if lr is None else _numbers("--lr", lr),
        "batch_size": None if batch_size is None else _sizes(batch_size),
        "seeds": None if seeds is None else _seeds(seeds),
        "schedule": schedule or None,
        "evaluate": None if evaluate is None else _rhythm(evaluate),
        "epochs": epochs,
        "steps": steps,
        "halving": {} if halving else None,
    }
    loaded = load_task(task)
    if resume:
        options, loaded = _resumed(options, store, loaded, name)
    if options["lr"] is None:
        raise ValueError(
            "--lr is missing: pass --lr 0.1,0.3,0.5, or --resume to go on with the sweep in --store"
        )
    runs = run_sweep(
        _changed(loaded, options.pop("epochs"), options.pop("steps")),
        **_given(options),
        store=store,
        executor=_executor(executor, address),
        name=name,
        progress=False if quiet else None,
    )
    _show(runs, json, report, plot, quiet)
    if runs.status == "interrupted":
        if store is not None:
            again = f"stepsize sweep {shlex.quote(task)} --store {shlex.quote(str(store))} --resume"
            again += "" if name is None else f" --name {shlex.quote(name)}"
            typer.echo(f"interrupted with {len(runs)} of {runs.planned} cells; go on with: {again}", err=True)
        raise typer.Exit(INTERRUPTED)


@sweep.command("show")
def show(store: StorePath, number: Number = None, json: JsonPath = None, debug: Debug = False) -> None:
    """List the sweeps of a ledger, and show the last one."""
    from stepsize.runs import Runs
    from stepsize.runs.assemble import list_sweeps

    runs = Runs.open(store, number)
    to_stderr = json is not None and str(json) == "-"
    for line in list_sweeps(store):
        begun = time.strftime("%Y-%m-%d %H:%M", time.localtime(line.started))
        typer.echo(
            f"sweep {line.number}  {begun}  {line.task}: {line.done:,} of {line.planned:,} cells  "
            f"{line.versions}",
            err=to_stderr,
        )
    typer.echo("", err=to_stderr)
    _show(runs, json, None, None, quiet=False)


@sweep.command("export")
def export(
    store: StorePath,
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", help="A .csv or .parquet table, or .jsonl with all curves.", show_default=False
        ),
    ],
    number: Number = None,
    debug: Debug = False,
) -> None:
    """Write a sweep's table for other programs."""
    from stepsize.runs import Runs
    from stepsize.runs.export import check_format

    check_format(out)
    runs = Runs.open(store, number)
    runs.export(out)
    typer.echo(f"wrote {len(runs):,} cells to {out}", err=True)


def _show(runs: Runs, json: Path | None, report: Path | None, plot: Path | None, quiet: bool) -> None:
    to_stderr = json is not None and str(json) == "-"
    best = runs.best()
    if not quiet:
        typer.echo(str(runs), err=to_stderr)
    elif best is not None and not to_stderr:
        typer.echo(f"{best.arm.lr:g}")
    if json is not None:
        if to_stderr:
            typer.echo(runs.to_json())
        else:
            runs.save(json)
    if report is not None:
        runs.report(report)
    if plot is not None:
        runs.plot(plot)
    for path in (json, report, plot):
        if path is not None and str(path) != "-" and not quiet:
            typer.echo(f"wrote {path}", err=True)


def _resumed(
    options: dict[str, Any], store: Path | None, task: Task, name: str | None
) -> tuple[dict[str, Any], Task]:
    """The last call of this task in the ledger, which no option may change."""
    from stepsize.runs.assemble import last_arguments

    if store is None:
        raise ValueError("--resume needs the ledger to go on with: pass --store runs.db")
    before = last_arguments(store, name or task.name)
    for option, value in options.items():
        if value is not None:
            raise ValueError(
                f"--resume goes on with the sweep in {store} as it is, with {option}={before[option]}: leave "
                f"--{option.replace('_', '-')} out, or leave --resume out to begin another sweep"
            )
    return before, task


def _given(options: dict[str, Any]) -> dict[str, Any]:
    from stepsize.runs import Halving

    given = {key: value for key, value in options.items() if value is not None}
    if "halving" in given:
        given["halving"] = msgspec.convert(given["halving"], Halving)
    return given


def _changed(task: Task, epochs: float | None, steps: int | None) -> Task:
    if epochs is not None and steps is not None:
        raise ValueError(f"--epochs and --steps exclude each other, but got {epochs} and {steps}")
    if epochs is not None:
        return task.replace(epochs=epochs)
    return task if steps is None else task.replace(steps=steps)


def _executor(name: str, address: str | None) -> Any:
    if address is not None:
        if name != "ray":
            raise ValueError(f"--address is a Ray cluster's, but --executor is {name!r}: pass --executor ray")
        from stepsize.runs.ray_executor import RayExecutor

        return RayExecutor(address)
    return name


def _numbers(option: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"{option} must be numbers with commas between them, but is {text!r}") from None


def _sizes(text: str) -> list[int | str]:
    parts = [part.strip() for part in text.split(",")]
    if bad := [part for part in parts if part != "full" and not part.isdecimal()]:
        raise ValueError(f"--batch-size must be whole numbers or 'full', but holds {bad[0]!r}")
    return [part if part == "full" else int(part) for part in parts]


def _seeds(text: str) -> int | list[int]:
    parts = [part.strip() for part in text.split(",")]
    if bad := [part for part in parts if not part.isdecimal()]:
        raise ValueError(f"--seeds must be a number, or several with commas between, but holds {bad[0]!r}")
    return int(parts[0]) if len(parts) == 1 else [int(part) for part in parts]


def _rhythm(text: str) -> int | str:
    return int(text) if text.isdecimal() else text
