"""One finished sweep that many tests ask questions of."""

from __future__ import annotations

from pathlib import Path

import pytest

import stepsize as ss
from tests.runs.grids import RATES, SEEDS, small_task


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger that holds a whole small sweep; to be copied before it is changed."""
    store = tmp_path_factory.mktemp("sweep") / "runs.db"
    ss.sweep(small_task(), RATES, seeds=SEEDS, batch_size=[30, 50], store=store)
    return store


@pytest.fixture(scope="session")
def runs(stored: Path) -> ss.Runs:
    """Its results."""
    return ss.Runs.open(stored)
