"""What an offline run of Weights & Biases wrote: its file is a LevelDB log of protocol buffers."""

from __future__ import annotations

import importlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HEADER, BLOCK, RECORD = 7, 32768, 7
"""Bytes of the file's header, of a block, and of the header of each piece of a record in it."""


def payloads(path: Path) -> Iterator[bytes]:
    """The records of the file, put together from their pieces."""
    data, at, whole = path.read_bytes(), HEADER, b""
    while at + RECORD <= len(data):
        if BLOCK - at % BLOCK < RECORD:  # what is left of a block is filled with zeros
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + RECORD])
        whole += data[at + RECORD : at + RECORD + length]
        at += RECORD + length
        if kind in (1, 4):  # whole, or the last piece
            yield whole
            whole = b""


def read(folder: Path) -> tuple[list[dict[str, Any]], dict[str, Any], dict[str, Any]]:
    """Rows of the history, the configuration and the summary of the one run in a folder.

    A run that is finished may still be on its way to its file, so the process that writes it is ended first.
    """
    importlib.import_module("wandb").teardown()
    (path,) = folder.glob("**/run-*.wandb")
    protocol = importlib.import_module("wandb.proto.wandb_internal_pb2")
    rows: list[dict[str, Any]] = []
    config: dict[str, Any] = {}
    summary: dict[str, Any] = {}
    for payload in payloads(path):
        record = protocol.Record()
        record.ParseFromString(payload)
        rows += [_items(record.history.item)] if record.HasField("history") else []
        config |= _items(record.config.update) if record.HasField("config") else {}
        config |= _items(record.run.config.update) if record.HasField("run") else {}
        summary |= _items(record.summary.update) if record.HasField("summary") else {}
    return rows, config, summary


def _items(items: Any) -> dict[str, Any]:
    """Keys may be nested; then they come as lists of their parts."""
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}
