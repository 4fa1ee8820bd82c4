"""The whole chapter in a setting so small that a test can wait for it, run once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stepsize.chapter import Chapter, Settings, run

TINY = Settings(seeds=2, epochs=1, images=1_280, held=200, quick=True)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Chapter:
    """Every section, by one process; of several workers the first one leaves it to the others."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return run(settings=TINY, workers=1, progress=False)
    kept: Path = tmp_path_factory.getbasetemp().parent / "chapter.json"
    if not kept.exists():
        run(settings=TINY, workers=1, progress=False).save(kept)
    return Chapter.load(kept)
