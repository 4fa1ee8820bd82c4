"""The public interface as text: every public name with its signature, one thing a line.

`python -m tests.api.interface` writes it to `tests/api/interface.txt`, which `test_interface.py` compares.
"""

from __future__ import annotations

import importlib
import inspect
import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import msgspec
from typer.main import get_command

SNAPSHOT = Path(__file__).with_name("interface.txt")

STARS: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}

MODULES = ("stepsize", "stepsize.schedules", "stepsize.estimate", "stepsize.datasets", "stepsize.chapter")
"""What `import` gives to users; of each, what its `__all__` lists."""


def interface() -> str:
    """All lines, in an order that does not depend on where things stand in the source."""
    lines = [line for name in MODULES for line in _of_module(name)]
    return "\n".join([*lines, *_of_commands()]) + "\n"


def _of_module(name: str) -> Iterator[str]:
    module = importlib.import_module(name)
    for public in sorted(module.__all__):
        if public != "__version__":
            yield from _of(f"{name}.{public}", getattr(module, public))


def _of(path: str, value: Any) -> Iterator[str]:
    if isinstance(value, types.ModuleType):
        yield f"{path}: module"
    elif isinstance(value, type):
        yield from _of_class(path, value)
    elif callable(value) and not isinstance(value, types.GenericAlias) and hasattr(value, "__name__"):
        yield f"{path}{signature(value)}"
    else:
        yield f"{path}: {type(value).__name__}"


def _of_class(path: str, cls: type) -> Iterator[str]:
    made = not issubclass(cls, (msgspec.Struct, BaseException))  # records and errors are not made by users
    yield f"{path}{signature(cls)}: class" if made else f"{path}: class"
    if issubclass(cls, msgspec.Struct):
        for field in sorted(msgspec.structs.fields(cls), key=lambda field: field.name):
            words = get_args(field.type) if get_origin(field.type) is Literal else ()
            yield f"{path}.{field.name}: {' | '.join(words) or _annotation_of(cls, field.name)}"
    for name, member in sorted(own_methods(cls).items()):
        if isinstance(member, property):
            assert member.fget is not None
            yield f"{path}.{name}: property{_returns(member.fget)}"
        else:
            yield f"{path}.{name}{signature(getattr(cls, name))}"


def own_methods(cls: type) -> dict[str, Any]:
    """The public methods and properties that stepsize itself defines for a class."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.partition(".")[0] == "stepsize":
            found |= {
                name: value
                for name, value in vars(base).items()
                if not name.startswith("_")
                and isinstance(value, types.FunctionType | classmethod | staticmethod | property)
            }
    return found


def _annotation_of(cls: type, name: str) -> str:
    return next(
        _text(base.__annotations__[name])
        for base in cls.__mro__
        if name in vars(base).get("__annotations__", {})
    )


def signature(value: Any) -> str:
    """The parameters with annotations and defaults, written alike by every version of Python."""
    parts, keyword_only = [], False
    found = inspect.signature(value)
    for parameter in found.parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            keyword_only = True
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            parts.append("*")
            keyword_only = True
        stars = STARS.get(parameter.kind, "")
        text = stars + parameter.name
        if parameter.annotation is not parameter.empty:
            text += f": {_text(parameter.annotation)}"
        if parameter.default is not parameter.empty:
            text += f" = {_default(parameter.default)}"
        parts.append(text)
    returns = "" if found.return_annotation is found.empty else f" -> {_text(found.return_annotation)}"
    return f"({', '.join(parts)}){returns}"


def _returns(function: Any) -> str:
    annotation = inspect.signature(function).return_annotation
    return "" if annotation is inspect.Signature.empty else f" -> {_text(annotation)}"


def _text(annotation: Any) -> str:
    if isinstance(annotation, str):
        return annotation
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def _default(value: Any) -> str:
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def _of_commands() -> Iterator[str]:
    """Commands of the command line with their arguments and options."""
    from stepsize.cli.app import app

    yield from _of_command("$ stepsize", get_command(app))


def _of_command(path: str, command: Any) -> Iterator[str]:
    for name, inner in sorted(getattr(command, "commands", {}).items()):
        yield from _of_command(f"{path} {name}", inner)
    for parameter in command.params:
        names = "/".join(sorted([*parameter.opts, *parameter.secondary_opts]))
        many = " …" if getattr(parameter, "multiple", False) or parameter.nargs == -1 else ""
        yield f"{path} {names}{many}{' (required)' if parameter.required else ''}"


if __name__ == "__main__":
    SNAPSHOT.write_text(interface(), encoding="utf-8")
