"""`stepsize chapter`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stepsize.cli.options import Debug

INTERRUPTED = 1


def chapter(
    sections: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SECTION]...", help="Names as --list prints them; else all.", show_default=False
        ),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", help="Runs behind each curve.")] = 3,
    epochs: Annotated[
        float | None,
        typer.Option(
            "--epochs", help="Length of the figures' runs on MNIST.", show_default="10, with --quick 2"
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="The page to write.")] = Path("chapter.html"),
    store: Annotated[
        Path | None,
        typer.Option(
            "--store", help="The ledger that keeps every finished run.", show_default="beside the page, .db"
        ),
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write the result as JSON too.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A look: 1,280 images, small experiments.")] = False,
    workers: Annotated[
        int | None,
        typer.Option("--workers", help="Processes that train.", show_default="processors, 4 at most"),
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="Print the sections and stop.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing, and no progress.")] = False,
    debug: Debug = False,
) -> None:
    """Run the source chapter's experiments and write a page of its claims beside what was measured.

    The same call goes on where it was stopped. Exit code: 0 when complete, 1 when interrupted, 2 for
    wrong use.
    """
    from stepsize.chapter import SECTIONS, Settings, run
    from stepsize.chapter.crew import rare_collections
    from stepsize.chapter.page import draw_ahead
    from stepsize.chapter.registry import chosen
    from stepsize.chapter.settings import quick as quick_settings
    from stepsize.cli.output import check_outputs

    if listing:
        for slug, section in SECTIONS.items():
            typer.echo(f"{slug:16} {section.title} ({', '.join(section.rows)})")
        return
    check_outputs(json, out, None)
    chosen(sections or ())
    settings = (
        quick_settings(seeds, 2 if epochs is None else epochs)
        if quick
        else Settings(seeds=seeds, epochs=10 if epochs is None else epochs)
    )
    with rare_collections():
        found = run(
            sections or (),
            settings=settings,
            store=out.with_suffix(".db") if store is None else store,
            workers=workers,
            loops=not quick,
            each=draw_ahead,
            progress=False if quiet else None,
        )
        found.report(out)
    if json is not None:
        found.save(json)
    if not quiet:
        typer.echo(str(found))
        for path in (out, json):
            if path is not None:
                typer.echo(f"wrote {path}", err=True)
    if found.status == "interrupted":
        typer.echo("interrupted; the same command goes on from here", err=True)
        raise typer.Exit(INTERRUPTED)
