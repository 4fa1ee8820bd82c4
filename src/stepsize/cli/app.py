"""The commands, and how their errors reach the user."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from stepsize._version import __version__
from stepsize.cli.batch import batch
from stepsize.cli.chapter import chapter
from stepsize.cli.compare import compare
from stepsize.cli.find import find
from stepsize.cli.noise import noise
from stepsize.cli.plot import plot
from stepsize.cli.report import report
from stepsize.cli.scale import scale
from stepsize.cli.schedule import schedule
from stepsize.cli.selftest import selftest
from stepsize.cli.sweep import sweep
from stepsize.cli.tune import tune

NO_ANSWER, WRONG_USE = 1, 2

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Which learning rate, schedule and batch size to use, measured on your own PyTorch task.",
)
app.command("tune")(tune)
app.command("find")(find)
app.command("noise")(noise)
app.command("compare")(compare)
app.command("batch")(batch)
app.command("scale")(scale)
app.command("plot")(plot)
app.command("report")(report)
app.command("schedule")(schedule)
app.command("selftest")(selftest)
app.command("chapter")(chapter)
app.add_typer(sweep, name="sweep")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"stepsize {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    pass


def run(arguments: list[str]) -> int:
    """Run one command line and turn whatever happens into an exit code."""
    try:
        app(arguments, prog_name="stepsize")
    except SystemExit as exit:  # typer has shown what there was to show
        return exit.code if isinstance(exit.code, int) else NO_ANSWER
    except BrokenPipeError:
        # The reader of our output has gone, as `head` does; Python would complain again at exit.
        sys.stderr.close()
        return NO_ANSWER
    except Exception as error:
        if "--debug" in arguments:
            raise
        sys.stderr.write(f"error: {str(error) or type(error).__name__}\n(the traceback: add --debug)\n")
        return WRONG_USE
    return 0
