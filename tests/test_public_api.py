"""The public interface: one sorted list, lazily importable, documented."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import stepsize
from tests.api.interface import own_methods


def documented(value: object) -> bool:
    """A class must speak for itself: inherited words, and those that dataclasses generate, do not count."""
    text = (value.__doc__ if isinstance(value, type) else inspect.getdoc(value)) or ""
    return text.strip() != "" and not text.startswith(f"{getattr(value, '__name__', '')}(")


def test_all_is_sorted_without_repeats() -> None:
    assert stepsize.__all__ == sorted(set(stepsize.__all__))


def test_dir_lists_what_all_lists() -> None:
    assert sorted(dir(stepsize)) == stepsize.__all__


@pytest.mark.parametrize("name", stepsize.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    scope: dict[str, object] = {}
    exec(f"from stepsize import {name}", scope)
    assert scope[name] is getattr(stepsize, name)


@pytest.mark.parametrize("name", [name for name in stepsize.__all__ if name != "__version__"])
def test_every_public_object_is_documented(name: str) -> None:
    value = getattr(stepsize, name)
    assert documented(value)
    if isinstance(value, type):
        assert [method for method, function in own_methods(value).items() if not documented(function)] == []


def test_type_checkers_see_the_names_that_exist_at_run_time() -> None:
    source = Path(str(stepsize.__file__)).read_text(encoding="utf-8")
    branch = next(
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    seen = {
        alias.asname or alias.name
        for node in branch.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == set(stepsize.__all__) - {"__version__"}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'find_rl'"):
        _ = stepsize.find_rl


@pytest.mark.parametrize(
    "package",
    ["stepsize", "stepsize.schedules", "stepsize.estimate", "stepsize.datasets", "stepsize.cli"],
)
def test_importing_is_light(package: str) -> None:
    script = f"import sys, {package}; print(*(sys.modules.keys() & {{'torch', 'matplotlib.pyplot'}}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_version_is_the_installed_one() -> None:
    from importlib.metadata import version

    assert stepsize.__version__ == version("stepsize")


def test_types_are_shipped() -> None:
    assert Path(str(stepsize.__file__)).with_name("py.typed").is_file()
