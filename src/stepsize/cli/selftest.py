"""`stepsize selftest`."""

from __future__ import annotations

import typer
from rich.console import Console
from rich.table import Table

FAILED = 1


def selftest() -> None:
    """Reproduce known figures on this machine: expected, found, and whether they agree. Takes some seconds.

    Exit code: 0 if all agree, 1 if not.
    """
    from stepsize.estimate.selftest import run_checks

    console = Console()
    table = Table(box=None, pad_edge=False)
    for name, justify in (("figure", "left"), ("expected", "right"), ("found", "right"), ("", "left")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    with console.status("checking"):
        checks = list(run_checks())
    for check in checks:
        mark = "[green]ok[/]" if check.ok else "[red]differs[/]"
        table.add_row(check.name, f"{check.expected:.6g}", f"{check.found:.6g}", mark)
    console.print(table)
    wrong = sum(not check.ok for check in checks)
    if wrong:
        console.print(f"{wrong} of {len(checks)} figures differ: please report this with your versions.")
        raise typer.Exit(FAILED)
    console.print(f"all {len(checks)} figures agree")
