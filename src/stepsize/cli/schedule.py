"""`stepsize schedule`: draw, tabulate, check and convert schedules."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Target(StrEnum):
    """Libraries that a schedule can be written for."""

    torch = "torch"
    optax = "optax"
    transformers = "transformers"
    timm = "timm"
    keras = "keras"
    caffe = "caffe-prototxt"


def schedule(
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SCHEDULE...", help="Such as cosine, or \"0.1 * (warmup('2%') | cosine(floor=0.01))\"."
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Updates of the run.", show_default="1000")] = None,
    samples: Annotated[int | None, typer.Option(help="Training samples, instead of --steps.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Batch size per device.")] = None,
    accumulation: Annotated[int, typer.Option(help="Micro-batches per update.")] = 1,
    world_size: Annotated[int, typer.Option(help="Devices.")] = 1,
    epochs: Annotated[float | None, typer.Option(help="Passes over the data.")] = None,
    tokens_per_sample: Annotated[float | None, typer.Option(help="For lengths in tokens.")] = None,
    table: Annotated[bool, typer.Option("--table", help="Print rates instead of a chart.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Look for traps; exit code 1 if there are any.")
    ] = False,
    plot: Annotated[Path | None, typer.Option(help="Write a picture: PNG, SVG or PDF.")] = None,
    to: Annotated[Target | None, typer.Option(help="Print the same schedule for another library.")] = None,
    list_all: Annotated[bool, typer.Option("--list", help="List every schedule, one line each.")] = False,
) -> None:
    """Draw, tabulate, check or convert learning-rate schedules."""
    from stepsize.schedules.schedule import Schedule
    from stepsize.schedules.terminal import chart, listing
    from stepsize.schedules.terminal import table as tabulate
    from stepsize.schedules.units import Run

    try:
        if list_all:
            typer.echo(listing())
            return
        if not texts:
            raise ValueError("name a schedule, for example: stepsize schedule cosine (--list shows all)")
        schedules = {text: Schedule.parse(text) for text in texts}
        if steps is None and samples is None and epochs is None:
            steps = 1000
        run = Run(
            steps=steps,
            samples=samples,
            batch_size=batch_size,
            accumulation=accumulation,
            world_size=world_size,
            epochs=epochs,
            tokens_per_sample=tokens_per_sample,
        )
        sound = True
        if to is not None:
            for one in schedules.values():
                typer.echo(one.code(to.value, run).rstrip("\n"))
        elif table:
            typer.echo(tabulate(schedules, run))
        elif not check:
            typer.echo(chart(schedules, run))
        if check:
            for text, one in schedules.items():
                report = one.check(run)
                sound = sound and report.ok
                typer.echo(f"{text}\n{report}")
        if plot is not None:
            from stepsize.schedules.plot import plot as draw
            from stepsize.schedules.plot import save

            save(draw(schedules, run), plot)
    except (ValueError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    if not sound:
        raise typer.Exit(1)
