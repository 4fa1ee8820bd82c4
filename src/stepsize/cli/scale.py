"""`stepsize scale`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepsize.cli.load import load_task
from stepsize.cli.options import (
    Debug,
    Epochs,
    JsonPath,
    ReportPath,
    ScheduleText,
    Steps,
    announce,
    batch_sizes_of,
    changed,
    silent,
)
from stepsize.cli.output import check_outputs, deliver

if TYPE_CHECKING:
    from stepsize.estimate.scaling import Hyperparameters

NO_ANSWER = 1


def scale(
    task: Annotated[
        str,
        typer.Argument(
            metavar="TASK|RATE",
            help="A task, as for `stepsize find`, to measure on; or a rate, for a rule alone.",
            show_default=False,
        ),
    ],
    to: Annotated[int, typer.Option("--to", help="The batch size wanted.")],
    from_: Annotated[
        int | None, typer.Option("--from", help="The batch size that the rate belongs to; else the task's.")
    ] = None,
    rule: Annotated[
        str | None,
        typer.Option("--rule", help="linear, sqrt, adascale, surge; or measured, which a task's is."),
    ] = None,
    lr: Annotated[
        float | None, typer.Option("--lr", help="The task's best rate at --from; else find_lr's.")
    ] = None,
    noise: Annotated[
        float | None, typer.Option("--noise", help="Gradient noise scale in samples; a task's is measured.")
    ] = None,
    betas: Annotated[
        str | None, typer.Option("--betas", help="With a rate: Adam's, as '0.9,0.999'; else it is SGD.")
    ] = None,
    weight_decay: Annotated[
        float, typer.Option("--weight-decay", help="With a rate: SGD's or AdamW's.")
    ] = 0.0,
    warmup: Annotated[int | None, typer.Option("--warmup", help="With a rate: updates of warm-up.")] = None,
    samples: Annotated[
        int | None, typer.Option("--samples", help="With a rate: how many there are to train on.")
    ] = None,
    averages: Annotated[
        str, typer.Option("--averages", help="What becomes of Adam's betas: sde or half_life.")
    ] = "sde",
    batch_sizes: Annotated[
        str | None, typer.Option("--batch-sizes", help="To measure at, as '16,128,1024'.")
    ] = None,
    schedule: ScheduleText = "fixed",
    epochs: Epochs = None,
    steps: Steps = None,
    seeds: Annotated[int, typer.Option("--seeds", help="How many decide at each batch size.")] = 3,
    budget: Annotated[
        str | None, typer.Option("--budget", help="What measuring may cost: '4 runs', '5 min'.")
    ] = None,
    json: JsonPath = None,
    report: ReportPath = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw the rates: PNG, SVG or PDF.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the rate alone, and no progress.")] = False,
    debug: Debug = False,
) -> None:
    """Move a learning rate to another batch size, by a rule or as measured on TASK.

    Exit code: 0 with an answer, 1 without, 2 for wrong use.
    """
    from stepsize.decide.scale_lr import scale_lr

    check_outputs(json, report, plot)
    options: dict[str, Any] = {"noise": noise, "averages": averages}
    rate = _rate(task)
    if rate is not None:
        subject: Any = _hyperparameters(rate, betas, weight_decay, warmup, steps)
        options["samples"] = samples
    else:
        if betas is not None or weight_decay or warmup is not None or samples is not None:
            raise ValueError(
                "--betas, --weight-decay, --warmup and --samples go with a rate: a task's optimizer and data "
                "are known"
            )
        subject = changed(load_task(task), None, epochs, steps)
        options |= {
            "lr": lr,
            "schedule": schedule,
            "batch_sizes": None if batch_sizes is None else batch_sizes_of(batch_sizes),
            "seeds": seeds,
            "budget": budget,
            "progress": False if quiet else None,
            "announce": silent if quiet else announce,
        }
    found = scale_lr(subject, from_, to, rule, **options)  # type: ignore[arg-type] # a rule is refused by name
    deliver(found, None if found.lr is None else f"{found.lr:.6g}", json, report, plot, quiet)
    if found.lr is None:
        raise typer.Exit(NO_ANSWER)


def _rate(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _hyperparameters(
    lr: float, betas: str | None, weight_decay: float, warmup: int | None, steps: int | None
) -> Hyperparameters:
    from stepsize.estimate.scaling import Hyperparameters

    averages = None
    if betas is not None:
        parts = betas.split(",")
        try:
            averages = (float(parts[0]), float(parts[1]))
        except (ValueError, IndexError):
            raise ValueError(f"--betas must be two numbers, as 0.9,0.999, but is {betas!r}") from None
    return Hyperparameters(lr=lr, betas=averages, weight_decay=weight_decay, warmup=warmup, steps=steps)
