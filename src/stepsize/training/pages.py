"""Freed memory stays with the process while it trains.

glibc gives large blocks back to the system as soon as they are free, and fetches them anew, page by page,
at the next update. With convolutions on a CPU that took half of the time and more (docs/engine.md).
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Callable, Iterator

MAPPED = 32 * 2**20
"""Bytes of a block that glibc always fetches anew: the most that M_MMAP_THRESHOLD can be set to."""

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
NEVER = 2**31 - 1


@contextlib.contextmanager
def kept_pages() -> Iterator[None]:
    """Let glibc keep freed memory inside; elsewhere than on Linux with glibc this does nothing.

    Afterwards glibc gives back again what is free, with the thresholds that its own rule comes to once a
    block of `MAPPED` bytes was freed (mallopt(3)).
    """
    set_threshold = _mallopt()
    if set_threshold is None:
        yield
        return
    set_threshold(M_MMAP_THRESHOLD, MAPPED)
    set_threshold(M_TRIM_THRESHOLD, NEVER)
    try:
        yield
    finally:
        set_threshold(M_TRIM_THRESHOLD, 2 * MAPPED)


def _mallopt() -> Callable[[int, int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), "mallopt", None)
