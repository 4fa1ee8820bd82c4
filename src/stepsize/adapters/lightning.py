"""Lightning: the rate for a LightningModule as a Trainer trains it, and a callback that finds and sets it."""

from __future__ import annotations

import importlib
from typing import Any

from stepsize.adapters import required
from stepsize.adapters._lightning_find import (
    Question,
    apply,
    check_alone,
    follow,
    measure,
    quiet,
    signals_kept,
)
from stepsize.adapters._lightning_loaders import read_ahead
from stepsize.adapters._lightning_loop import framework, held_by
from stepsize.adapters._outcome import names_a_rate
from stepsize.decide.advice import Advice
from stepsize.schedules import Schedule
from stepsize.training.state import preserved

_Callback: Any = importlib.import_module(f"{required('lightning').__name__}.callbacks").Callback


def find_lr(
    trainer: Any,
    module: Any,
    datamodule: Any = None,
    *,
    train_dataloaders: Any = None,
    val_dataloaders: Any = None,
    schedule: Schedule | str | None = None,
    steps: int | None = None,
    monitor: str | None = None,
    loss: str | None = None,
    **options: Any,
) -> Advice:
    """Find the learning rate of a LightningModule, trained as this Trainer trains it.

    The Trainer begins to `fit`, up to the first epoch, and its own loops then make every step: the module's
    hooks, its optimizers (several of them, and manual optimization, too), its schedulers, gradient
    accumulation and clipping, precision. Its callbacks, loggers and checkpoints are left out. Afterwards the
    module, the data module, the Trainer and all random number generators are as they were.

    Args:
        trainer: a `lightning.Trainer`, or one of `pytorch_lightning`, on one device.
        module: what it is to fit; its present weights are the start.
        datamodule: with its data, or pass loaders.
        train_dataloaders, val_dataloaders: as `Trainer.fit` takes them; of several held-out loaders the first
            is judged on.
        schedule: the real run's; by default that of the module's own scheduler, or "fixed" without one.
        steps: updates of the real run; by default what the Trainer's `max_steps` and `max_epochs` come to.
        monitor: the name under which `validation_step` logs the held-out loss; by default what it returns, or
            the one name it logs with "loss" in it. Without a held-out loss, fresh training batches judge.
        loss: the name under which `training_step` logs what is to be low, where it returns no loss.
        options: `budget`, `seeds`, `lr_min`, `lr_max`, `progress` of `stepsize.find_lr`.

    Returns:
        An `Advice`. Its `lr` is the peak rate of the largest param group; `batch_size` counts all samples of
            an update.

    Raises:
        TypeError: `trainer` is no Lightning Trainer, or a loader is an iterator.
        ValueError: the Trainer has several devices or no end, a loss cannot be told, or the module's schedule
            has no form that is known.
    """
    package = framework(trainer)
    check_alone(trainer)
    question = Question(schedule, steps, monitor, loss, options)
    found: list[Advice | BaseException] = []

    class Measure(_Callback):  # type: ignore[misc]  # the class of an optional package
        """Measures at the start of the first epoch, and ends `fit` there."""

        def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
            try:
                found.append(measure(trainer, question).advice)
            except BaseException as error:  # noqa: BLE001 - raised again when Lightning has cleaned up
                found.append(error)
            raise importlib.import_module(f"{package}.utilities.exceptions")._TunerExitException

    objects = [held_by(trainer, module, *([] if datamodule is None else [datamodule])), module]
    with preserved(*objects), quiet(), signals_kept():
        trainer.callbacks = [Measure()]
        dummy = importlib.import_module(f"{package}.loggers.logger").DummyLogger
        trainer.loggers = [dummy()] if trainer.loggers else []
        trainer.num_sanity_val_steps = 0
        trainer.fit(module, read_ahead(train_dataloaders), read_ahead(val_dataloaders), datamodule)
    if not found:
        raise ValueError(
            "trainer must have something to fit, but it ended before its first epoch: pass train_dataloaders "
            "or a datamodule, and Trainer(max_epochs=…) above 0"
        )
    if isinstance(found[0], BaseException):
        raise found[0]
    return found[0]


class StepsizeLRFinder(_Callback):  # type: ignore[misc]  # the class of an optional package
    """Finds the learning rate when `fit` begins its first epoch, and trains with it.

    The arguments are those of `find_lr`. The rate is written to `lr` or `learning_rate` of the module or its
    `hparams`, if they are there, and the optimizers are configured anew; where that does not set it, the
    param groups get it. A `schedule` that was given is then what the optimizers follow. `advice` holds the
    result. Without an answer nothing is changed. A run that goes on from a checkpoint keeps the rate and
    the schedule that it had. Ctrl-C ends the search and the fit.

    Raises:
        ValueError: as `find_lr`; and with manual optimization where a `schedule` was given, or where the
            module has schedulers of its own and no attribute that sets its rate.
    """

    def __init__(
        self,
        *,
        schedule: Schedule | str | None = None,
        steps: int | None = None,
        monitor: str | None = None,
        loss: str | None = None,
        **options: Any,
    ) -> None:
        self.advice: Advice | None = None
        self._question = Question(schedule, steps, monitor, loss, options)
        self._followed: dict[str, Any] = {}

    def setup(self, trainer: Any, module: Any, stage: str) -> None:
        """Forget the answer of an earlier fit."""
        self.advice, self._followed = None, {}

    def state_dict(self) -> dict[str, Any]:
        """The schedule that was put in the place of the module's, for a checkpoint."""
        return self._followed

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """What `state_dict` gave."""
        self._followed = state_dict

    def on_train_start(self, trainer: Any, module: Any) -> None:
        """In a run that goes on, follow the schedule that it followed."""
        if self._followed and trainer.global_step > 0:
            follow(trainer, Schedule.parse(self._followed["schedule"]), self._followed["steps"])

    def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
        """Find the rate and set it, once."""
        if self.advice is not None or trainer.fast_dev_run or trainer.global_step > 0:
            return
        if self._question.schedule is not None and not module.automatic_optimization:
            raise ValueError(
                "schedule must be None with manual optimization, where the module steps its schedulers "
                "itself: make them in configure_optimizers, and their schedule is read there"
            )
        measured = measure(trainer, self._question)
        self.advice = measured.advice
        if not names_a_rate(self.advice):
            return
        if apply(trainer, measured, given=self._question.schedule is not None):
            self._followed = {"schedule": self.advice.schedule_text, "steps": self.advice.steps}
