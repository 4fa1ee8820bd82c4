"""How a command hands over its result: printed, as JSON, as a page, as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from stepsize._result import Result


def check_outputs(json: Path | None, report: Path | None, plot: Path | None) -> None:
    """Find out before the work whether its result can be written."""
    if json is None and report is None and plot is None:
        return
    from stepsize.report import check_writable

    for path in (json, report, plot):
        if path is not None and str(path) != "-":
            check_writable(path)
    if plot is not None and plot.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise ValueError(f"--plot must end in .png, .svg or .pdf, but is {plot}")


def deliver(
    result: Result,
    short: str | None,
    json: Path | None,
    report: Path | None,
    plot: Path | None,
    quiet: bool,
    text: str | None = None,
) -> None:
    """Print the result, or with `quiet` its `short` form if there is one, and write what was asked for.

    JSON goes to standard output for "-", and what is printed to standard error then. `text` is printed in
    place of the result's own.
    """
    to_stdout = json is not None and str(json) == "-"
    if quiet and short is not None and not to_stdout:
        typer.echo(short)
    elif not quiet:
        typer.echo(str(result) if text is None else text, err=to_stdout)
    write_files(result, json, report, plot)


def write_files(result: Result, json: Path | None, report: Path | None, plot: Path | None) -> None:
    """Write the result's JSON, page and picture where asked for."""
    if json is not None and str(json) == "-":
        typer.echo(result.to_json())
    elif json is not None:
        result.save(json)
    if report is not None:
        result.report(report)
    if plot is not None:
        result.plot(plot)


def wrote(*paths: Path | None) -> None:
    """Tell on standard error which files there are now."""
    for path in paths:
        if path is not None and str(path) != "-":
            typer.echo(f"wrote {path}", err=True)
