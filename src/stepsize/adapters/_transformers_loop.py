"""The update of a transformers Trainer, outside of its loop: the step and the held-out loss of a `Probe`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

from stepsize.adapters._held import Held
from stepsize.adapters._updates import Updates
from stepsize.data import Batch, Gathered


def held_by(trainer: Any, *others: Any) -> Held:
    """What a Trainer, its arguments and its accelerator hold, and the attributes of `others`, modules too."""
    from transformers import TrainerCallback

    roots = (trainer, trainer.args, trainer.callback_handler, *others)
    return Held(*roots, packages=("transformers", "accelerate"), beside=(TrainerCallback,))


class UpdateSteps:
    """The updates of a Trainer that is about to begin its loop.

    `train` is what the Trainer's own loop does for one update: its `training_step` on each batch, with the
    number of items in all of them, clipping, the optimizer and its scheduler. `evaluate` is its
    `prediction_step`.
    """

    def __init__(self, trainer: Any) -> None:
        self.trainer, self.model = trainer, trainer.model_wrapped

    def train(self, update: Gathered) -> torch.Tensor:
        """Train on the batches of one update; the loss over all of them."""
        trainer, accelerator = self.trainer, self.trainer.accelerator
        parts, items = trainer.get_batch_samples(iter(update.parts), len(update.parts), trainer.args.device)
        trainer.current_gradient_accumulation_steps = len(parts)
        loss = torch.zeros((), device=trainer.args.device)
        for place, inputs in enumerate(parts):
            accelerator.gradient_state._set_sync_gradients(place == len(parts) - 1)
            loss = loss + trainer.training_step(self.model, inputs, items)
        if trainer.args.max_grad_norm > 0:
            accelerator.clip_grad_norm_(self.model.parameters(), trainer.args.max_grad_norm)
        trainer.optimizer.step()
        if not accelerator.optimizer_step_was_skipped and steady(trainer.lr_scheduler):
            trainer.lr_scheduler.step()
        self.model.zero_grad()
        trainer.state.global_step += 1
        return loss

    def evaluate(self, update: Gathered) -> Any:
        """The loss of one batch of the evaluation set."""
        self.model.eval()
        (inputs,) = update.parts
        loss, _, _ = self.trainer.prediction_step(self.model, inputs, prediction_loss_only=True)
        if loss is None:
            raise ValueError(
                "eval_dataset must give what the loss is taken on, but the Trainer finds none of the labels "
                f"{self.trainer.label_names} in {sorted(inputs)}: name them by "
                "TrainingArguments(label_names=[…]), or pass Trainer(eval_dataset=None)"
            )
        return loss


def steady(scheduler: Any) -> bool:
    """Whether a scheduler goes by updates alone, and waits for no metric."""
    return not isinstance(scheduler, ReduceLROnPlateau) and type(scheduler).__name__ != "GreedyLR"


def training_updates(trainer: Any, per_update: int) -> Updates:
    """Passes over the training data, each by a loader of its own: its order is that of the pass's seed."""

    def open_pass() -> Iterator[Batch]:
        return iter(trainer.get_train_dataloader())

    return Updates(open_pass, per_update)


def held_out_batches(trainer: Any) -> Updates | None:
    """A pass over the evaluation set, the first of several, batch by batch; None without one."""
    dataset = trainer.eval_dataset
    if dataset is None:
        return None
    if isinstance(dataset, dict):
        dataset = next(iter(dataset.values()))

    def open_pass() -> Iterator[Batch]:
        return iter(trainer.get_eval_dataloader(dataset))

    return Updates(open_pass, 1)


def horizon(trainer: Any, loader: Any, per_update: int) -> int:
    """Updates of the run: `max_steps`, or those of all epochs.

    Raises:
        ValueError: neither tells.
    """
    args = trainer.args
    if args.max_steps > 0:
        return int(args.max_steps)
    try:
        batches = len(loader)
    except TypeError:
        raise ValueError(
            "steps must be given, since the training data have no length and max_steps is not set: pass "
            "TrainingArguments(max_steps=5000), the updates of the real run"
        ) from None
    return math.ceil(float(args.num_train_epochs) * math.ceil(batches / per_update))
