"""A schedule as a scheduler of torch: its own classes, formulas where they lack one, or stepsize's."""

from __future__ import annotations

from typing import Any

from stepsize.decide.advice import Advice
from stepsize.report.snippets.formulas import formula
from stepsize.report.snippets.source import Verbatim, run_text, value_text
from stepsize.schedules.convert import _torch
from stepsize.schedules.convert.recipe import Call, ConversionError, Part, parts

HOME = "torch.optim.lr_scheduler."


def torch_scheduler(advice: Advice, indent: int = 0) -> tuple[str, bool]:
    """The statement that makes it for `optimizer`, and whether it needs `import stepsize as ss`."""
    try:
        call = _call(parts(advice.schedule, advice.run, "torch"), advice.schedule.peak)
    except ConversionError:
        parsed = f"schedule = ss.Schedule.parse({advice.schedule_text!r})"
        return f"{parsed}\n{' ' * indent}scheduler = schedule.as_torch(optimizer, {run_text(advice)})", True
    return f"scheduler = {value_text(call, indent, 12)}", False


def _call(pieces: list[Part], peak: float) -> Call:
    """The pieces one after another; raises `ConversionError` for a piece that neither way knows."""
    calls: list[Any] = []
    for piece in pieces:
        if piece.lr != peak:
            raise ConversionError("torch's schedulers all multiply the rate of the optimizer")
        calls.append(_piece(piece))
    if len(calls) == 1:
        only: Call = calls[0]
        return only
    milestones, at = [], 0
    for piece in pieces[:-1]:
        at += piece.horizon
        milestones.append(at)
    return Call(HOME + "SequentialLR", {"schedulers": calls, "milestones": milestones}, optimizer=True)


def _piece(piece: Part) -> Call:
    try:
        return _torch.call_of(piece)
    except ConversionError:
        expression = formula(piece, "t")
        if expression is None:
            raise
        return Call(HOME + "LambdaLR", {"lr_lambda": Verbatim(f"lambda t: {expression}")}, optimizer=True)
