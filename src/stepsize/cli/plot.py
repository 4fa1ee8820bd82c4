"""`stepsize plot`: draw any picture of a result that was saved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from stepsize._result import Result


def plot(
    result: Annotated[
        Path,
        typer.Argument(metavar="RESULT", help="What a command wrote with --json.", show_default=False),
    ],
    out: Annotated[
        Path | None,
        typer.Argument(metavar="[OUT]", help="The picture: PNG, SVG or PDF.", show_default=False),
    ] = None,
    figure: Annotated[
        str | None, typer.Option("--figure", help="Which picture, by name; else the result's first.")
    ] = None,
    dark: Annotated[bool, typer.Option("--dark", help="For a dark page.")] = False,
    width: Annotated[float, typer.Option("--width", help="Inches; 3.5 for a column or a phone.")] = 7.2,
    height: Annotated[float, typer.Option("--height", help="Inches.")] = 4.0,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Draw a picture of a saved RESULT; without OUT, list the pictures that it has.

    Exit code: 0 when done, 2 for wrong use.
    """
    from stepsize.cli.output import check_outputs
    from stepsize.report import FIGURES, draw

    loaded = load_result(result)
    if out is None:
        for name, picture in FIGURES.items():
            data = picture.data(loaded)
            if data is not None:
                typer.echo(f"{name:14}{picture.title}. {picture.caption(data)}")
        return
    check_outputs(None, None, out)
    draw(loaded, out, figure=figure, theme="dark" if dark else "light", width=width, height=height)
    typer.echo(f"wrote {out}", err=True)


def load_result(path: Path) -> Result:
    """Read a saved result of whichever kind; raises `ValueError`, naming the file, if it holds none."""
    import msgspec

    import stepsize
    from stepsize._result import Result

    try:
        envelope = msgspec.json.decode(path.read_bytes())
        kind = envelope["stepsize"]
    except (msgspec.MsgspecError, TypeError, KeyError) as error:
        raise ValueError(f"{path} holds no result of stepsize: pass a file that --json wrote") from error
    found = getattr(stepsize, kind) if kind in stepsize.__all__ else None
    if not (isinstance(found, type) and issubclass(found, Result)):
        raise ValueError(f"{path} holds a {kind}, which this version of stepsize does not know")
    return found.load(path)
