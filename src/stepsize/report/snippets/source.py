"""Python source text: calls laid out over lines, and what several libraries' snippets share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stepsize.decide.advice import Advice
from stepsize.schedules.convert.recipe import Call

WIDTH = 88
"""Letters in a line, as most formatters have it."""


class Verbatim(str):
    """Source text that stands for itself where a value is expected."""


def called(name: str, *positional: Any, indent: int = 0, used: int = 0, **named: Any) -> str:
    """A call on one line if it fits beside the `used` letters before it, else an argument a line."""
    return _laid_out(f"{name}(", [*_words(positional), *_pairs(named)], ")", indent, used)


def value_text(value: Any, indent: int = 0, used: int = 0) -> str:
    """A number, string, list, mapping or call of another library as source text."""
    match value:
        case Verbatim():
            return str(value)
        case Call():
            own = [("", Verbatim("optimizer"))] if value.optimizer else []
            return _laid_out(f"{value.path}(", [*own, *_pairs(value.arguments)], ")", indent, used)
        case list():
            return _laid_out("[", _words(value), "]", indent, used)
        case _:
            return repr(value)


def _words(values: Any) -> list[tuple[str, Any]]:
    return [("", value) for value in values]


def _pairs(named: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(f"{name}=", value) for name, value in named.items()]


def _laid_out(start: str, items: list[tuple[str, Any]], end: str, indent: int, used: int) -> str:
    short = f"{start}{', '.join(name + value_text(value) for name, value in items)}{end}"
    if "\n" not in short and indent + used + len(short) <= WIDTH:
        return short
    inner = indent + 4
    lines = [f"{' ' * inner}{name}{value_text(value, inner, len(name) + 1)},\n" for name, value in items]
    return f"{start}\n{''.join(lines)}{' ' * indent}{end}"


def imports(ours: bool, *libraries: str) -> str:
    """The lines that import torch and these; stepsize too where a snippet is not independent of it."""
    lines = [f"import {name}" for name in sorted(("torch", *libraries))]
    return "".join(f"{line}\n" for line in [*lines, *(["", "import stepsize as ss"] if ours else [])])


def run_text(advice: Advice) -> str:
    """The run as `Run` would be called for it."""
    if advice.samples is None:
        return f"ss.Run(steps={advice.steps})"
    return f"ss.Run(steps={advice.steps}, samples={advice.samples}, batch_size={advice.batch_size})"


def loader_text(advice: Advice) -> str:
    """A loader of torch; a stream is not shuffled."""
    shuffle = {} if advice.samples is None else {"shuffle": True}
    return "loader = " + called(
        "torch.utils.data.DataLoader",
        Verbatim("train_set"),
        used=9,
        batch_size=advice.batch_size,
        **shuffle,
    )
