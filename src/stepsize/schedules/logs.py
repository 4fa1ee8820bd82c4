"""Learning rates that a run has logged: CSV, JSON lines, TensorBoard event files, or plain sequences."""

from __future__ import annotations

import csv
import json
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stepsize.schedules.clock import Array

Log = str | os.PathLike[str] | Mapping[int, float] | Iterable[float]
"""A file, {update: rate}, or the rates of the updates 0, 1, 2, …"""

_STEP_NAMES = ("step", "global_step", "update", "iteration", "trainer/global_step", "t")
_RATE_NAMES = (
    "lr",
    "learning_rate",
    "lr-SGD",
    "lr-Adam",
    "lr-AdamW",
    "train/lr",
    "train/learning_rate",
    "rate",
)


def read_log(log: Log, *, column: str | None = None) -> tuple[npt.NDArray[np.int64], Array]:
    """The updates (n,), rising, and the rates (n,) that were in force there.

    A file's kind is told by its name: .csv, .jsonl, or TensorBoard's `events.out.tfevents…`. `column` names
    the rate where it has an unusual name. When an update is logged twice, the later entry counts, as after a
    resume. Raises `ValueError` naming the file and line of what cannot be read.
    """
    pairs = dict(_pairs(log, column))
    if not pairs:
        raise ValueError("the log holds no learning rate")
    updates = np.array(sorted(pairs), dtype=np.int64)
    rates = np.array([pairs[int(update)] for update in updates], dtype=np.float64)
    if updates[0] < 0 or not np.isfinite(rates).all() or (rates < 0).any():
        raise ValueError("a log has updates from 0 and finite rates that are not negative")
    return updates, rates


def _pairs(log: Log, column: str | None) -> Iterator[tuple[int, float]]:
    if isinstance(log, str | os.PathLike):
        path = Path(log)
        yield from _reader(path)(path, column)
    elif isinstance(log, Mapping):
        yield from ((int(update), float(rate)) for update, rate in log.items())
    else:
        yield from enumerate(map(float, log))


def _reader(path: Path) -> Callable[[Path, str | None], Iterator[tuple[int, float]]]:
    if "tfevents" in path.name:
        return _tensorboard
    if path.suffix == ".csv":
        return _csv
    if path.suffix in (".jsonl", ".ndjson"):
        return _json_lines
    raise ValueError(f"{path}: a log is .csv, .jsonl or TensorBoard's events.out.tfevents…")


def _csv(path: Path, column: str | None) -> Iterator[tuple[int, float]]:
    with path.open(newline="", encoding="utf-8") as file:
        yield from _rows(path, csv.DictReader(file), column)


def _json_lines(path: Path, column: str | None) -> Iterator[tuple[int, float]]:
    def rows() -> Iterator[Mapping[str, Any]]:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except ValueError as error:
                    raise ValueError(f"{path}:{number}: not JSON: {error}") from None
                if not isinstance(row, dict):
                    raise ValueError(f"{path}:{number}: a line must be an object, but is {line.strip()[:40]}")
                yield row

    yield from _rows(path, rows(), column)


def _rows(path: Path, rows: Iterable[Mapping[str, Any]], column: str | None) -> Iterator[tuple[int, float]]:
    names = (column,) if column else _RATE_NAMES
    seen: set[str] = set()
    found = False
    for number, row in enumerate(rows):
        seen.update(name for name in row if name)
        rate = _first(row, names)
        if rate is None:
            continue
        found = True
        step = _first(row, _STEP_NAMES)
        try:
            yield (number if step is None else int(float(step)), float(rate))
        except (TypeError, ValueError):
            raise ValueError(
                f"{path}: entry {number + 1}: {rate!r} at {step!r} is not a rate at an update"
            ) from None
    if not found:
        raise ValueError(
            f"{path}: no column {' or '.join(names)}: it has {', '.join(sorted(seen)) or 'none'}"
        )


def _first(row: Mapping[str, Any], names: Iterable[str | None]) -> Any:
    for name in names:
        value = row.get(name) if name else None
        if value is not None and value != "":
            return value
    return None


def _tensorboard(path: Path, column: str | None) -> Iterator[tuple[int, float]]:
    names = (column,) if column else _RATE_NAMES
    seen: set[str] = set()
    found = False
    for step, tag, value in _scalars(path):
        seen.add(tag)
        if tag in names:
            found = True
            yield step, value
    if not found:
        raise ValueError(
            f"{path}: no scalar {' or '.join(names)}: it has {', '.join(sorted(seen)) or 'none'}"
        )


def _scalars(path: Path) -> Iterator[tuple[int, str, float]]:
    """Scalars of an event file: TFRecord frames around `Event` messages
    (tensorflow/core/util/event.proto).
    """
    data = path.read_bytes()
    place = 0
    while place + 12 <= len(data):
        (size,) = struct.unpack_from("<Q", data, place)
        body = data[place + 12 : place + 12 + size]
        if len(body) < size:
            return  # the last record of a run that was killed
        place += 16 + size
        try:
            yield from _event(body)
        except (IndexError, struct.error, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: a damaged record before byte {place}: {error}") from None


def _event(body: bytes) -> Iterator[tuple[int, str, float]]:
    step = 0
    summaries = []
    for field, value in _fields(body):
        if field == 2 and isinstance(value, int):
            step = value
        elif field == 5 and isinstance(value, bytes):
            summaries.append(value)
    for summary in summaries:
        for field, value in _fields(summary):
            if field == 1 and isinstance(value, bytes):
                tag, number = _value(value)
                if number is not None:
                    yield step, tag, number


def _value(body: bytes) -> tuple[str, float | None]:
    tag, number = "", None
    for field, value in _fields(body):
        if not isinstance(value, bytes):
            continue
        if field == 1:
            tag = value.decode()
        elif field == 2 and len(value) == 4:
            number = struct.unpack("<f", value)[0]
        elif field == 8:
            for inner, content in _fields(value):
                if isinstance(content, bytes) and inner in (4, 5) and len(content) == 4:
                    number = struct.unpack("<f", content)[0]
    return tag, number


def _fields(body: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Fields of a protocol-buffer message: varints as integers, all else as bytes."""
    place = 0
    while place < len(body):
        key, place = _varint(body, place)
        kind = key & 7
        if kind == 0:
            value, place = _varint(body, place)
            yield key >> 3, value
            continue
        if kind == 2:
            size, place = _varint(body, place)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise IndexError(f"wire type {kind}")
        yield key >> 3, body[place : place + size]
        place += size


def _varint(body: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = body[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if not byte & 0x80:
            return value, place
