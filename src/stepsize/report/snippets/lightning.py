"""A LightningModule's optimizer and the Trainer's length."""

from __future__ import annotations

from typing import Any

from stepsize.decide.advice import Advice
from stepsize.report.snippets.settings import torch_optimizer
from stepsize.report.snippets.source import Verbatim, called, imports, loader_text
from stepsize.report.snippets.torch_schedule import torch_scheduler


def lightning_code(advice: Advice) -> str:
    """`YourModule`, a LightningModule, and `train_set` are the reader's."""
    scheduler, ours = torch_scheduler(advice, indent=8)
    return f"""\
{imports(ours, "lightning")}

class Advised(YourModule):
    def configure_optimizers(self):
        {torch_optimizer(advice, "self.parameters()", indent=8)}
        {scheduler}
        every_update = {{"scheduler": scheduler, "interval": "step"}}
        return {{"optimizer": optimizer, "lr_scheduler": every_update}}


{loader_text(advice)}
trainer = {called("lightning.Trainer", used=10, max_steps=advice.steps, **_clipping(advice))}
trainer.fit(Advised(), loader)
"""


def _clipping(advice: Advice) -> dict[str, Any]:
    """The Trainer's arguments for it; its algorithm is "norm" unless told."""
    told = advice.clipping
    if told is None or not told:
        return {}
    if told.norm is not None:
        return {"gradient_clip_val": told.norm}
    return {"gradient_clip_val": told.value, "gradient_clip_algorithm": Verbatim('"value"')}
