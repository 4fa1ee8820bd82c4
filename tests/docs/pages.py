"""The examples of a documentation page, as sybil finds them, and what it means to run each kind."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import sys
from collections.abc import Iterable
from importlib.metadata import entry_points
from pathlib import Path
from unittest import SkipTest

import pytest
from sybil import Document, Example, Region, Sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import SkipParser
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

ROOT = Path(__file__).parents[2]

PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    if not path.is_relative_to(ROOT / "docs/chapter")  # its code runs while the site is built
)

SHOWN = {"text", "toml", "markdown"}
"""Languages of blocks that are read and not run."""

INCLUDE = re.compile(r'^[ \t]*--8<-- "(.+)"$', re.MULTILINE)
TITLE = re.compile(r'title="(.+?)"')

_fences = RawFencedCodeBlockLexer(re.compile(r"(?P<language>[\w-]*)(?P<options>[^\n]*)\n"))


def parse(page: Path) -> Document:
    """The page with its examples, and the marks that leave one out: `<!-- skip: next "why" -->`."""
    return Sybil([examples, SkipParser()]).parse(page)


def run_page(document: Document) -> None:
    """Every example in order, but for those that a mark leaves out."""
    document.namespace["__name__"] = "__main__"
    for example in document.examples():
        with contextlib.suppress(SkipTest):
            example.evaluate()


def examples(document: Document) -> Iterable[Region]:
    """A region for every fenced block that does something; blocks of an unknown language fail."""
    for region in _fences(document):
        language = region.lexemes["language"]
        if language in SHOWN:
            continue
        region.parsed = region.lexemes["source"]
        if language == "console":
            region.evaluator = run_console
        elif language == "python":
            region.evaluator = write_file if TITLE.search(region.lexemes["options"]) else PythonEvaluator()
        else:
            region.evaluator = refuse
        yield region


def write_file(example: Example) -> None:
    """A block with a title is the file of that name, in the folder where the page's commands run."""
    title = TITLE.search(example.region.lexemes["options"])
    assert title is not None
    Path(title[1]).write_text(INCLUDE.sub(included, example.parsed), encoding="utf-8")


def included(line: re.Match[str]) -> str:
    """What the snippet extension puts in the place of such a line."""
    return (ROOT / line[1]).read_text(encoding="utf-8")


def commands(source: str) -> list[list[str]]:
    """The words of every command of a console block; the other lines are output."""
    joined = source.replace("\\\n", " ")
    return [shlex.split(line[2:], comments=True) for line in joined.splitlines() if line.startswith("$ ")]


def run_console(example: Example) -> str | None:
    """`stepsize` is run and must succeed; of `make` and `python` what they name must be there."""
    found = commands(example.parsed)
    if not found:
        return "a console block holds no line that begins with '$ '"
    return next(filter(None, map(run, found)), None)


def run(words: list[str]) -> str | None:
    """What is wrong with one command, or None; `> file` at its end takes what it prints."""
    program, *arguments = words
    if program == "stepsize":
        if words[-2:-1] == [">"]:
            return run_stepsize(words[:-2], Path(words[-1]))
        return run_stepsize(words)
    if program == "make":
        target = next(word for word in arguments if "=" not in word)
        known = re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        return None if target in known else f"the Makefile has no {target!r}: it has {', '.join(known)}"
    if program == "python" and arguments[0] != "-m":
        return None if (ROOT / arguments[0]).is_file() else f"there is no {arguments[0]}"
    return None if program in ("pip", "python", ".ci/run") else f"nothing is known of the command {program!r}"


def run_stepsize(words: list[str], into: Path | None = None) -> str | None:
    """The installed command, by its entry point and in this process: to import torch anew takes long.

    What it prints goes `into` a file, if there is one.
    """
    (command,) = entry_points(group="console_scripts", name="stepsize")
    written = io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.ExitStack() as stack,
        contextlib.redirect_stdout(written if into is None else stack.enter_context(into.open("w"))),
        contextlib.redirect_stderr(written),
    ):
        patch.setattr(sys, "argv", words)
        patch.setattr(sys, "path", list(sys.path))  # a file's folder is put first
        code = command.load()()
    return f"{shlex.join(words)} ended with code {code}:\n{written.getvalue()}" if code else None


def refuse(example: Example) -> str:
    """Not to run a block must be a decision, and not a misspelt language."""
    return (
        f"blocks are python or console, which are run, or {', '.join(sorted(SHOWN))}; "
        f"this one is {example.region.lexemes['language']!r}"
    )
