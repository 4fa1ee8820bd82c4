"""The command line: `stepsize tune`, `find`, `sweep`, `schedule`. No logic of its own."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0 ok, 1 no answer, 2 wrong use.

    Any error is one line on stderr; `--debug` shows its traceback.
    """
    from stepsize.cli.app import run

    return run(list(sys.argv[1:] if argv is None else argv))
