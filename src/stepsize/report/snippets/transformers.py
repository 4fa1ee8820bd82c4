"""A Trainer of transformers, with its own schedule where it has one."""

from __future__ import annotations

from stepsize.decide.advice import Advice
from stepsize.report.snippets.settings import torch_optimizer
from stepsize.report.snippets.source import imports, value_text
from stepsize.report.snippets.torch_schedule import torch_scheduler
from stepsize.schedules.convert import _transformers
from stepsize.schedules.convert.recipe import ConversionError


def transformers_code(advice: Advice) -> str:
    """`model` and `train_set` are the reader's. The Trainer would clip gradients unless told not to."""
    ours = False
    norm, why = _clipping(advice)
    try:
        scheduler = f"scheduler = {value_text(_transformers.recipe(advice.schedule, advice.run), 0, 12)}"
    except ConversionError:
        scheduler, ours = torch_scheduler(advice)
    return f"""\
{imports(ours, "transformers")}
{torch_optimizer(advice, "model.parameters()")}
{scheduler}
arguments = transformers.TrainingArguments(
    output_dir="out",
    max_steps={advice.steps},
    per_device_train_batch_size={advice.batch_size},  # on one device
    max_grad_norm={norm!r},  # {why}
)
trainer = transformers.Trainer(
    model=model,
    args=arguments,
    train_dataset=train_set,
    optimizers=(optimizer, scheduler),
)
trainer.train()
"""


def _clipping(advice: Advice) -> tuple[float, str]:
    """The norm to clip to, 0 for none, and what to say of it."""
    told, when = advice.clipping, "when the rate was measured"
    if told is None:
        return 0.0, f"or what your loop clipped to {when}"
    if told.norm is not None:
        return told.norm, f"as {when}"
    if told.value is not None:
        return 0.0, f"to {told} {when}; Trainer cannot"
    return 0.0, f"nothing was clipped {when}"
