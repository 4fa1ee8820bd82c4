"""A schedule and an optimizer of optax, and the loop that uses them."""

from __future__ import annotations

from typing import Any

from stepsize.decide.advice import Advice
from stepsize.report.snippets.formulas import formula
from stepsize.report.snippets.settings import left_to_the_reader, settings_of
from stepsize.report.snippets.source import Verbatim, called, run_text, value_text
from stepsize.schedules.convert import _optax
from stepsize.schedules.convert.recipe import Call, ConversionError, Part, parts


def optax_code(advice: Advice) -> str:
    """`params`, `loss_function(params, batch)` and `batches` are the reader's."""
    schedule, imports = _schedule(advice)
    return f"""\
import jax
{imports}import optax
{schedule}
{_optimizer(advice)}

state = optimizer.init(params)
for _, batch in zip(range({advice.steps}), batches):  # of {advice.batch_size} samples each
    grads = jax.grad(loss_function)(params, batch)
    updates, state = optimizer.update(grads, state, params)
    params = optax.apply_updates(params, updates)
"""


def _schedule(advice: Advice) -> tuple[str, str]:
    """The statements that make `schedule`, and the imports besides jax and optax that they need."""
    try:
        pieces = parts(advice.schedule, advice.run, "optax")
        calls = [_piece(piece) for piece in pieces]
    except ConversionError:
        table = (
            f"run = {run_text(advice)}\n"
            f"rates = jnp.asarray(ss.Schedule.parse({advice.schedule_text!r}).values(run))\n\n\n"
            "def schedule(count):\n    return rates[count]\n\n"
        )
        return f"import stepsize as ss\n\n{table}", "import jax.numpy as jnp\n"
    imports = "import jax.numpy as jnp\n" if any(isinstance(call, Verbatim) for call in calls) else ""
    boundaries, at = [], 0
    for piece in pieces[:-1]:
        at += piece.horizon
        boundaries.append(at)
    joined = (
        calls[0]
        if len(calls) == 1
        else Call("optax.join_schedules", {"schedules": calls, "boundaries": boundaries})
    )
    return f"\nschedule = {value_text(joined, 0, 11)}", imports


def _piece(piece: Part) -> Call | Verbatim:
    try:
        return _optax.call_of(piece)
    except ConversionError:
        expression = formula(piece, "count")
        if expression is None:
            raise
        return Verbatim(f"lambda count: {piece.lr!r} * ({expression.replace('min(', 'jnp.minimum(')})")


def _optimizer(advice: Advice) -> str:
    told = settings_of(advice)
    named: dict[str, Any] = {}
    before = _clipping(advice)
    decay = f"optax.add_decayed_weights({told.weight_decay!r})" if told.weight_decay else ""
    if told.name == "SGD":
        if told.momentum:
            named["momentum"] = told.momentum
        if told.nesterov:
            named["nesterov"] = True
    elif told.name in ("Adam", "AdamW"):
        named = {"b1": told.betas[0], "b2": told.betas[1]}
        if told.name == "AdamW":
            named["weight_decay"], decay = told.weight_decay, ""
    else:
        return f"{left_to_the_reader(advice)}optimizer = make_optimizer(schedule)"
    made = called(f"optax.{told.name.lower()}", Verbatim("schedule"), used=12, **named)
    if decay:  # as torch adds it, to the gradient that was clipped
        before.append(Verbatim(decay))
    if before:
        made = called("optax.chain", *before, Verbatim(made), used=12)
    return f"optimizer = {made}"


def _clipping(advice: Advice) -> list[Verbatim]:
    """The transformation that clips as the task did, if it did."""
    told = advice.clipping
    if told is None or not told:
        return []
    if told.norm is not None:
        return [Verbatim(f"optax.clip_by_global_norm({told.norm!r})")]
    return [Verbatim(f"optax.clip({told.value!r})")]
