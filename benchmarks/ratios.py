"""A page of ratios of two times: one row a net, the median over turns and its spread."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks.clock import Rival, Speed, circumstances, race
from benchmarks.table import header, row

Seconds = Callable[[], float]


def asked_quick(description: str) -> bool:
    """Whether the command line asks for one small look, of which nothing is written."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="one small look; writes nothing")
    return bool(parser.parse_args().quick)


def times_as_long(slow: Seconds, quick: Seconds, repeats: int) -> Speed:
    """The seconds of one over those of the other, in turn."""
    speeds = race({"quick": Rival(quick, 1), "slow": Rival(slow, 1)}, repeats)
    return speeds["quick"].over(speeds["slow"])


def publish(
    page: str, rows: Iterable[tuple[str, Speed]], results: Path, *, column: str, quick: bool, **fields: object
) -> None:
    """Print the page with its table, and write it unless this is a quick look."""
    lines = [header("", [column, "±"])]
    lines += [row(name, f"{ratio.median:.2f}", f"{ratio.spread:.0%}") for name, ratio in rows]
    command = f"python -m benchmarks.{results.stem}"
    text = page.format(table="\n".join(lines), circumstances=circumstances(command), **fields)
    print(text)
    if not quick:
        results.write_text(text, encoding="utf-8")
