"""The chapter's pages show what their code draws and prints: each script runs once while the site is built.

A page includes `docs/chapter/code/NAME.py` as a snippet, shows the picture that it saves as
`pictures/NAME.svg`, and has what it prints in the place of `<!-- printed by NAME -->`. A page and its twin in
the other language share the run.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import NamedTuple

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

HERE = Path(__file__).parent
PRINTED = re.compile(r"<!-- printed by (\w+) -->")


class Ran(NamedTuple):
    """What a script printed, and the pictures that it saved, by name."""

    printed: str
    pictures: dict[str, bytes]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Called by mkdocs with the files of the site: the scripts' pictures join them."""
    for ran in everything().values():
        for name, content in ran.pictures.items():
            files.append(File.generated(config, f"chapter/pictures/{name}", content=content))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Called by mkdocs with the source of every page."""
    return PRINTED.sub(lambda mark: f"```text\n{everything()[mark[1]].printed}```", markdown)


def everything() -> dict[str, Ran]:
    """Every script by its name, run on all processors."""
    scripts = sorted((HERE / "code").glob("*.py"))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        ran: Iterable[Ran] = pool.map(
            run, scripts, [script.read_text(encoding="utf-8") for script in scripts]
        )
        return dict(zip((script.stem for script in scripts), ran, strict=True))


@cache
def run(script: Path, code: str) -> Ran:
    """Run one script in a folder of its own; `mkdocs serve` runs it again only if its code changes."""
    surroundings = {"OMP_NUM_THREADS": "1", "MPLBACKEND": "agg", "MATPLOTLIBRC": str(HERE / "matplotlibrc")}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=folder,
            env={**os.environ, **surroundings},
            capture_output=True,
            text=True,
            encoding="utf-8",
        )
        if done.returncode:
            raise PluginError(f"{script} ended with code {done.returncode}:\n{done.stderr}")
        return Ran(done.stdout, {path.name: path.read_bytes() for path in Path(folder).glob("*.svg")})
