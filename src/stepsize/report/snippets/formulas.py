"""Shapes that another library has no name for, as a formula of the update."""

from __future__ import annotations

from stepsize.schedules.convert.recipe import Part


def formula(part: Part, t: str) -> str | None:
    """The factor of the peak rate at update `t` of this part, as source text; None for other shapes.

    The formulas hold their last value past the end, and so are safe one update too late.
    """
    steps = part.horizon
    z = f"min({t} / {steps}, 1)"
    if part.name == "warmup" and part["shape"] == "linear":
        done = t if part["zero_first"] else f"({t} + 1)"
        return _blend(part["start"], f"min({done} / {steps}, 1)")
    if part.name == "linear":
        return f"{part['start']!r} + {part['end'] - part['start']!r} * {z}"
    if part.name == "decay" and part["shape"] in _FALLS:
        return _blend(part["floor"], _FALLS[part["shape"]].format(z=z))
    return None


_FALLS = {"linear": "(1 - {z})", "1-sqrt": "(1 - {z} ** 0.5)", "1-square": "(1 - {z} ** 2)"}


def _blend(floor: float, share: str) -> str:
    """From the floor to the peak as `share` goes from 0 to 1."""
    if floor == 0:
        return share.removeprefix("(").removesuffix(")") if share.startswith("(") else share
    return f"{floor!r} + {1 - floor!r} * {share}"
