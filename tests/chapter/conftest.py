"""The whole chapter in a setting so small that a test can wait for it, run once."""

from __future__ import annotations

import pytest

from stepsize.chapter import Chapter, Settings, run

TINY = Settings(seeds=2, epochs=1, images=1_280, held=200, quick=True)


@pytest.fixture(scope="session")
def whole() -> Chapter:
    """Every section, by one process."""
    return run(settings=TINY, workers=1, progress=False)
