"""What every test shares: repeatable random numbers, no window, and nothing left changed behind it."""

from __future__ import annotations

import gc
import os
import random
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import settings

os.environ["MPLBACKEND"] = "Agg"
os.environ["KERAS_BACKEND"] = "torch"  # chosen when keras is first imported

# Examples that depend on nothing but the test; no deadline, since speed is a matter for benchmarks/.
settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("repeatable")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that train for long come first, so that no core is left alone with one at the end."""
    long = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in long)


def pytest_collection_finish() -> None:
    """What all the imports left need not be looked through again with every collection of garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Every test starts from the same random numbers, whichever ran before it."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _nothing_left_changed() -> Iterator[None]:
    """No test, and nothing that it calls, may leave torch's settings changed or a figure open."""
    before = _torch_settings()
    yield
    assert _torch_settings() == before
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


def _torch_settings() -> dict[str, object]:
    return {
        "default dtype": torch.get_default_dtype(),
        "gradients": torch.is_grad_enabled(),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "threads": torch.get_num_threads(),
    }
