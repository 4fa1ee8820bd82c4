"""What a page consists of, before any HTML."""

from __future__ import annotations

import msgspec

from stepsize._result import Provenance
from stepsize._words import duration, plural
from stepsize.report.numbers import count, number
from stepsize.report.picture import Table
from stepsize.report.snippets import Snippet
from stepsize.training.history import Cost


class Captioned(msgspec.Struct, frozen=True):
    """A table with what stands above it."""

    caption: str
    table: Table


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """The words and tables of a page; the pictures come from the registry.

    `headline` is the answer in one sentence and `lead` what follows from it. `value` is the number to set
    large, with `value_label` above it; both are empty when there is no answer, and then `answered` is False.
    `facts` are the answer as a table, `snippets` the code that applies it. `choices` is a table that belongs
    to the answer, `tables` are those behind it.
    """

    title: str
    kicker: str
    headline: str
    lead: str
    answered: bool
    value: str = ""
    value_label: str = ""
    interval: str = ""
    interval_label: str = ""
    facts: tuple[tuple[str, str], ...]
    snippets: tuple[Snippet, ...] = ()
    choices: Captioned | None = None
    warnings: tuple[str, ...]
    method: tuple[str, ...]
    tables: tuple[Captioned, ...] = ()
    cost: tuple[tuple[str, str], ...]
    provenance: tuple[tuple[str, str], ...]


def cost_rows(cost: Cost) -> tuple[tuple[str, str], ...]:
    """What it took, in four units."""
    return (
        ("updates", count(cost.updates)),
        ("samples", count(cost.samples)),
        ("time", duration(cost.seconds)),
        ("in full runs", number(cost.runs, 2)),
    )


def provenance_rows(provenance: Provenance) -> tuple[tuple[str, str], ...]:
    """What to install and set to run it again."""
    return (
        ("stepsize", provenance.stepsize),
        ("PyTorch", provenance.torch),
        ("NumPy", provenance.numpy),
        ("Python", provenance.python),
        ("device", f"{provenance.device}, {plural(provenance.threads, 'thread')}"),
        ("seeds", ", ".join(map(str, provenance.seeds)) or "none"),
    )


def sentence(text: str) -> str:
    """A message as a sentence: a capital first, a full stop last."""
    text = text.strip()
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")


def captioned(caption: str, table: Table | None) -> tuple[Captioned, ...]:
    """The table under its caption, if there is one."""
    return () if table is None else (Captioned(caption, table),)
