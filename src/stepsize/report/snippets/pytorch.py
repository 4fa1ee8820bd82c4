"""A training loop of PyTorch alone."""

from __future__ import annotations

from stepsize.decide.advice import Advice
from stepsize.report.snippets.settings import clip_text, torch_optimizer
from stepsize.report.snippets.source import imports, loader_text
from stepsize.report.snippets.torch_schedule import torch_scheduler


def torch_code(advice: Advice) -> str:
    """`model`, `loss_function` and `train_set` are the reader's."""
    scheduler, ours = torch_scheduler(advice)
    clip = clip_text(advice, "model.parameters()", indent=8)
    return f"""\
{imports(ours)}
{torch_optimizer(advice, "model.parameters()")}
{scheduler}
{loader_text(advice)}

update = 0
while update < {advice.steps}:
    for inputs, targets in loader:
        optimizer.zero_grad()
        loss_function(model(inputs), targets).backward()
{clip}        optimizer.step()
        scheduler.step()
        update += 1
        if update == {advice.steps}:
            break
"""
