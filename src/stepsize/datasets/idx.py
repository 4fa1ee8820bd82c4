"""The IDX file format, gzip'd: a magic number, the shape, then unsigned bytes."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

UNSIGNED_BYTE = 0x08


def read_idx(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Read a gzip'd IDX file of unsigned bytes; the result has the shape that the file states.

    The format: two zero bytes, the type (0x08 for unsigned bytes), the number of axes d, then d big-endian
    32-bit lengths, then the values, last axis fastest (MNIST's page, "The IDX file format").

    Raises `ValueError`, naming the file, when it is no gzip file, cut short or damaged, of another type, or
    longer or shorter than its header says; `OSError` when it cannot be opened.
    """
    packed = Path(path).read_bytes()
    try:
        return unpack_idx(packed)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from error


def unpack_idx(packed: bytes) -> NDArray[np.uint8]:
    """As `read_idx`, from the bytes of the file."""
    try:
        data = gzip.decompress(packed)
    except EOFError as error:
        raise ValueError(
            f"the gzip stream ends early, after {len(packed)} bytes: the file was cut short"
        ) from error
    except (OSError, zlib.error, struct.error) as error:  # a bad header, a bad checksum, a header cut short
        raise ValueError(f"not a sound gzip file: {error}") from error
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != UNSIGNED_BYTE or data[3] == 0:
        raise ValueError(
            "an IDX file of unsigned bytes starts with 00 00 08 and its number of axes, "
            f"but this one starts with {data[:4].hex(' ') or 'nothing'}"
        )
    axes = data[3]
    start = 4 + 4 * axes
    if len(data) < start:
        raise ValueError(f"the header of {axes} axes needs {start} bytes, but the file holds {len(data)}")
    shape = struct.unpack(f">{axes}I", data[4:start])
    if len(data) - start != math.prod(shape):
        raise ValueError(
            f"shape {shape} needs {math.prod(shape)} bytes of data, but the file holds {len(data) - start}"
        )
    return np.frombuffer(data, dtype=np.uint8, offset=start).reshape(shape)
