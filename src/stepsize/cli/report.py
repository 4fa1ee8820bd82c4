"""`stepsize report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stepsize.cli.options import Debug
from stepsize.cli.output import check_outputs, write_files, wrote

NO_ANSWER = 1


def report(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A page, or a result saved as JSON.", show_default=False)
    ],
    json: Annotated[bool, typer.Option("--json", help="Print the result's JSON.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Write the page again.")] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw its first picture: PNG, SVG or PDF.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Get a result out of its page, or make its page from saved JSON; else print it.

    Exit code: 0 if it holds an answer, 1 if not, 2 for wrong use.
    """
    check_outputs(None, out, plot)
    from stepsize.report import holds_answer, load, result_text

    result = load(file)
    if json:
        typer.echo(result_text(file))
    elif out is None and plot is None:
        typer.echo(str(result))
    write_files(result, None, out, plot)
    wrote(out, plot)
    if not holds_answer(result):
        raise typer.Exit(NO_ANSWER)
