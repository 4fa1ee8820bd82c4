"""Data that comes with the package, and the tasks built on it: nothing is downloaded."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from stepsize.datasets.digits import Mnist, Split, mnist
from stepsize.datasets.idx import read_idx

if TYPE_CHECKING:
    from stepsize.datasets.tasks import TASKS, mnist_task

__all__ = ["TASKS", "Mnist", "Split", "mnist", "mnist_task", "read_idx"]


def __getattr__(name: str) -> Any:
    """The tasks need torch, and so are imported when first asked for."""
    if name in {"TASKS", "mnist_task"}:
        return getattr(importlib.import_module("stepsize.datasets.tasks"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
