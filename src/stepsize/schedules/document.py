"""The JSON form of schedules."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from stepsize.schedules.policy import SHAPES, maker
from stepsize.schedules.schedule import Schedule


def to_json(schedule: Schedule) -> str:
    """One line of JSON, such as `{"policy": "cosine", "lr": 0.1, "floor": 0.01}`."""
    return json.dumps(schedule._document(), allow_nan=False)


def from_json(text: str | bytes) -> Schedule:
    """Read what `to_json` wrote; raises `ValueError` saying which part is not a schedule."""
    try:
        return _read(json.loads(text))
    except RecursionError:
        raise ValueError("not a schedule: nested too deeply") from None


def _read(document: Any) -> Schedule:
    if isinstance(document, dict):
        if "policy" in document:
            return _policy(document)
        for key, read in _READERS.items():
            if key in document:
                return read(document)
    raise ValueError(f"not a schedule: {json.dumps(document)[:80]}")


def _policy(document: Mapping[str, Any]) -> Schedule:
    arguments = {name: value for name, value in document.items() if name != "policy"}
    name = document["policy"]
    if not isinstance(name, str) or name not in SHAPES:
        raise ValueError(f"there is no shape named {name!r}")
    return maker(name)(**arguments)


def _sequence(document: Mapping[str, Any]) -> Schedule:
    from stepsize.schedules.combine import sequence

    return sequence(*map(_read, _list(document["sequence"])))


def _product(document: Mapping[str, Any]) -> Schedule:
    from stepsize.schedules.combine import product

    return product(*map(_read, _list(document["product"])))


def _scaled(document: Mapping[str, Any]) -> Schedule:
    factor = document["scale"]
    if isinstance(factor, bool) or not isinstance(factor, int | float):
        raise ValueError(f"scale must be a number, but got {factor!r}")
    return _of(document) * factor


def _clipped(document: Mapping[str, Any]) -> Schedule:
    return _of(document).clip(**_mapping(document["clip"]))


def _lasting(document: Mapping[str, Any]) -> Schedule:
    return _of(document).over(document["over"])


def _joint(document: Mapping[str, Any]) -> Schedule:
    return _of(document).along(**{name: _read(part) for name, part in _mapping(document["along"]).items()})


def _of(document: Mapping[str, Any]) -> Schedule:
    if "of" not in document:
        raise ValueError(f"not a schedule: {json.dumps(document)[:80]} lacks 'of'")
    return _read(document["of"])


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) < 2:
        raise ValueError(
            f"not a schedule: a list of two or more was expected, but got {json.dumps(value)[:80]}"
        )
    return value


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"not a schedule: names and values were expected, but got {json.dumps(value)[:80]}")
    return value


_READERS: dict[str, Callable[[Mapping[str, Any]], Schedule]] = {
    "sequence": _sequence,
    "product": _product,
    "scale": _scaled,
    "clip": _clipped,
    "over": _lasting,
    "along": _joint,
}
