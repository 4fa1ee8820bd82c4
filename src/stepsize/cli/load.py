"""From a name on the command line to a Task."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stepsize.task import Task


class TaskNotFoundError(ValueError):
    """No task can be had under the name that was given."""


def load_task(name: str) -> Task:
    """The Task behind an embedded name, `file.py:object` or `package.module:object`.

    The object is a Task, or a function without arguments that returns one. Raises `TaskNotFoundError` when
    there is none, saying what there is; errors of the user's own code are chained to it.
    """
    from stepsize.task import Task

    if ":" not in name:
        return _embedded(name)
    place, _, attribute = name.rpartition(":")
    module = _load_file(place) if place.endswith(".py") else _load_module(place)
    found = _attribute(module, place, attribute)
    if not isinstance(found, Task) and callable(found):
        try:
            found = found()
        except Exception as error:
            raise TaskNotFoundError(
                f"{attribute}() in {place} raised {type(error).__name__}: {error}"
            ) from error
    if not isinstance(found, Task):
        raise TaskNotFoundError(
            f"{attribute!r} in {place} must be a stepsize.Task or a function that returns one, but is a "
            f"{type(found).__name__}"
        )
    return found


def _embedded(name: str) -> Task:
    from stepsize.datasets.tasks import TASKS

    if name in TASKS:
        return TASKS[name]()
    if name.endswith(".py"):
        raise TaskNotFoundError(f"TASK {name!r} names a file but no object in it: write {name}:task")
    near = difflib.get_close_matches(name, TASKS, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise TaskNotFoundError(
        f"TASK {name!r} is not an embedded task ({', '.join(TASKS)}){hint} "
        "For one of your own write my_project.py:task or package.module:task"
    )


def _load_file(place: str) -> ModuleType:
    path = Path(place)
    if not path.is_file():
        raise TaskNotFoundError(f"there is no file {place}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise TaskNotFoundError(f"{place} cannot be read as a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(
        0, str(path.resolve().parent)
    )  # so that the file's own imports work, as with `python file.py`
    sys.modules[path.stem] = module
    _execute(place, lambda: spec.loader.exec_module(module))
    return module


def _load_module(place: str) -> ModuleType:
    sys.path.insert(0, str(Path.cwd()))
    loaded: list[ModuleType] = []
    _execute(place, lambda: loaded.append(importlib.import_module(place)))
    return loaded[0]


def _execute(place: str, load: Any) -> None:
    try:
        load()
    except SyntaxError as error:
        raise TaskNotFoundError(
            f"{error.filename or place}, line {error.lineno}: syntax error: {error.msg}\n"
            f"    {(error.text or '').strip()}"
        ) from error
    except Exception as error:
        raise TaskNotFoundError(f"importing {place} raised {type(error).__name__}: {error}") from error


def _attribute(module: ModuleType, place: str, attribute: str) -> Any:
    try:
        return getattr(module, attribute)
    except AttributeError as error:
        from stepsize.task import Task

        tasks = sorted(k for k, v in vars(module).items() if isinstance(v, Task))
        functions = sorted(
            k
            for k, v in vars(module).items()
            if callable(v) and getattr(v, "__module__", "") == module.__name__
        )
        there = tasks or functions
        raise TaskNotFoundError(
            f"{place} has no object {attribute!r}" + (f"; it has {', '.join(there)}" if there else "")
        ) from error
