"""What pages register is forgotten afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from stepsize.adapters import ADAPTERS
from stepsize.estimate import RULES
from stepsize.report import FIGURES
from stepsize.schedules import SHAPES


@pytest.fixture
def registries() -> Iterator[None]:
    """Schedules, rules, figures and adapters are the same ones after the test."""
    kept: list[tuple[dict[str, Any], dict[str, Any]]] = [
        (registry, dict(registry)) for registry in (SHAPES, RULES, FIGURES, ADAPTERS)
    ]
    yield
    for registry, entries in kept:
        registry.clear()
        registry.update(entries)
