"""A model of Keras 3, with one of its schedules where it has the advised one."""

from __future__ import annotations

import math
from typing import Any

from stepsize.decide.advice import Advice
from stepsize.report.snippets.settings import left_to_the_reader, settings_of
from stepsize.report.snippets.source import Verbatim, called, run_text, value_text
from stepsize.schedules.convert import _keras
from stepsize.schedules.convert.recipe import ConversionError

EPSILON = 1e-8
"""Of torch's Adam; that of Keras is ten times as large."""


def keras_code(advice: Advice) -> str:
    """`model`, `loss_function` and `x, y`, or `batches`, are the reader's."""
    schedule, ours = _schedule(advice)
    imports = "import keras\n" + ("\nimport stepsize as ss\n" if ours else "")
    return f"""\
{imports}
{schedule}
{_optimizer(advice)}
model.compile(optimizer=optimizer, loss=loss_function)
{_fit(advice)}
"""


def _schedule(advice: Advice) -> tuple[str, bool]:
    """The statements that make `schedule`, and whether they need stepsize."""
    try:
        return f"schedule = {value_text(_keras.recipe(advice.schedule, advice.run), 0, 11)}", False
    except ConversionError:
        table = f"ss.Schedule.parse({advice.schedule_text!r}).values({run_text(advice)})"
        return (
            f"rates = {table}\n\n\n"
            "class Advised(keras.optimizers.schedules.LearningRateSchedule):\n"
            "    def __call__(self, step):\n"
            '        table = keras.ops.convert_to_tensor(rates, "float32")\n'
            '        last = keras.ops.minimum(keras.ops.cast(step, "int32"), len(rates) - 1)\n'
            "        return keras.ops.take(table, last)\n\n"
            "    def get_config(self):\n"
            "        return {}\n\n\n"
            "schedule = Advised()"
        ), True


def _optimizer(advice: Advice) -> str:
    told = settings_of(advice)
    named: dict[str, Any] | None = None
    if told.name == "SGD" and not told.weight_decay:
        named = {"momentum": told.momentum} if told.momentum else {}
        if told.nesterov:
            named["nesterov"] = True
    elif told.name == "AdamW" or (told.name == "Adam" and not told.weight_decay):
        named = {"beta_1": told.betas[0], "beta_2": told.betas[1], "epsilon": EPSILON}
        if told.name == "AdamW":
            named["weight_decay"] = told.weight_decay
    if named is None:  # among them weight decay that is added to the gradient, which Keras has not
        return f"{left_to_the_reader(advice)}optimizer = make_optimizer(schedule)"
    if advice.clipping:
        norm, value = advice.clipping.norm, advice.clipping.value
        named |= {"clipvalue": value} if norm is None else {"global_clipnorm": norm}
    return "optimizer = " + called(f"keras.optimizers.{told.name}", Verbatim("schedule"), used=12, **named)


def _fit(advice: Advice) -> str:
    if advice.samples is None:
        told = f"# of {advice.batch_size} samples each"
        return f"model.fit(batches, epochs=1, steps_per_epoch={advice.steps})  {told}"
    epochs = math.ceil(advice.steps / math.ceil(advice.samples / advice.batch_size))
    return f"model.fit(x, y, batch_size={advice.batch_size}, epochs={epochs})  # {advice.steps} updates"
