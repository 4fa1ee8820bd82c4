"""A Trainer of transformers, with its own schedule where it has one."""

from __future__ import annotations

from stepsize.decide.advice import Advice
from stepsize.report.snippets.settings import torch_optimizer
from stepsize.report.snippets.source import imports, value_text
from stepsize.report.snippets.torch_schedule import torch_scheduler
from stepsize.schedules.convert import _transformers
from stepsize.schedules.convert.recipe import ConversionError


def transformers_code(advice: Advice) -> str:
    """`model` and `train_set` are the reader's. Gradients were not clipped when the rate was measured."""
    ours = False
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
    max_grad_norm=0.0,  # nothing was clipped when the rate was measured
)
trainer = transformers.Trainer(
    model=model,
    args=arguments,
    train_dataset=train_set,
    optimizers=(optimizer, scheduler),
)
trainer.train()
"""
