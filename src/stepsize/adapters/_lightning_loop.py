"""Lightning's own loops, driven a batch at a time: the step and the held-out loss of a `Probe`."""

from __future__ import annotations

import importlib
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stepsize.adapters._held import Held
from stepsize.data import Batch, Gathered

MOST_BATCHES = 64
"""Batches within which a module that steps its optimizers itself is expected to have done so."""


def framework(trainer: Any) -> str:
    """The package that a Trainer comes from: `lightning.pytorch` or `pytorch_lightning`.

    Raises:
        TypeError: it is no Lightning Trainer.
    """
    for base in type(trainer).__mro__:
        if base.__name__ == "Trainer" and base.__module__.endswith(".trainer.trainer"):
            return base.__module__.removesuffix(".trainer.trainer")
    raise TypeError(
        f"trainer must be a lightning.Trainer, but is a {type(trainer).__name__}: pass "
        "find_lr(lightning.Trainer(max_epochs=10), module)"
    )


def held_by(trainer: Any, *others: Any) -> Held:
    """What a Trainer, its strategy and its loops hold, and the attributes of `others`, modules among them."""
    from torchmetrics import Metric

    package = framework(trainer)
    callbacks = importlib.import_module(f"{package}.callbacks")
    loggers = importlib.import_module(f"{package}.loggers")
    source = importlib.import_module(f"{package}.trainer.connectors.data_connector")._DataLoaderSource
    return Held(
        trainer,
        *others,
        packages=("lightning", "pytorch_lightning", "lightning_fabric"),
        beside=(callbacks.Callback, loggers.Logger, source),
        counts=lambda module: isinstance(module, Metric),
    )


class _OneBatch:
    """A data fetcher, as an epoch's loop takes it, that gives the batch which it is handed."""

    def __init__(self) -> None:
        self.batch: Batch = None
        self.done = False

    def __next__(self) -> tuple[Batch, int, int]:
        return self.batch, 0, 0


@dataclass(frozen=True)
class _Given:
    """A loader of what it is given; a list would be taken for several loaders."""

    batches: list[Batch]

    def __iter__(self) -> Iterator[Batch]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


@dataclass(frozen=True)
class Pace:
    """Batches from one update to the next, and what an update adds to `global_step`.

    `moved` says of each scheduler that the module steps itself whether it moved in the first update.
    """

    batches: int
    counted: int
    moved: tuple[bool, ...]


class Steps:
    """The steps of a Trainer in the middle of `fit`, at the start of an epoch.

    `train` is what the Trainer does with a batch and at the end of an epoch, by its own loop: every hook of
    the module, its optimizers and schedulers, gradient clipping, precision and `log`. `evaluate` is its
    validation loop on one batch. `loss` and `monitor` are names of logged values; see `find_lr`.
    """

    def __init__(self, trainer: Any, *, loss: str | None, monitor: str | None) -> None:
        self.trainer, self.module = trainer, trainer.lightning_module
        self._loop = trainer.fit_loop
        self._batches = self._loop.epoch_loop
        self._loss, self.monitor = loss, monitor
        self._fetcher = _OneBatch()
        self.record = _record_of(framework(trainer))

    def go_alone(self) -> None:
        """Leave out the Trainer's callbacks, loggers and validations, and begin an epoch."""
        trainer, package = self.trainer, framework(self.trainer)
        held_out = trainer.enable_validation
        if held_out:
            trainer.validating = True
            self._batches.val_loop.setup_data()
            trainer.training = True
        dummy = importlib.import_module(f"{package}.loggers.logger").DummyLogger
        trainer.callbacks = [self.record]
        trainer.loggers = [dummy()] if trainer.loggers else []
        trainer.profiler = importlib.import_module(f"{package}.profilers").PassThroughProfiler()
        trainer.reload_dataloaders_every_n_epochs = 0
        trainer.limit_val_batches = 0  # none within an epoch: they are held when asked for
        trainer.strategy.lr_scheduler_configs = steady(trainer)
        self._loop.on_advance_start()
        self._batches.reset()

    def train(self, update: Gathered) -> Any:
        """Train on the batches of one update, and the mean of their losses."""
        losses = [
            self._batch(batch, last=update.last and place == len(update.parts) - 1)
            for place, batch in enumerate(update.parts)
        ]
        return sum(losses) / len(losses)

    def _batch(self, batch: Batch, *, last: bool) -> Any:
        self._fetcher.batch, self._fetcher.done = batch, last
        self.record.trained = None
        try:
            self._batches.advance(self._fetcher)
        except StopIteration:
            raise ValueError(
                "on_train_batch_start must not return -1 while a rate is looked for: it ends the epoch "
                "without a loss"
            ) from None
        loss = self._loss_of_step()
        self._batches.on_advance_end(self._fetcher)
        self._batches.on_iteration_done()
        if self._batches._num_ready_batches_reached():
            self._loop.on_advance_end()
            self._loop.on_iteration_done()
            self._loop.on_advance_start()
            self._batches.reset()
        return loss

    def _loss_of_step(self) -> Any:
        if self._loss is not None:
            return _named(self.trainer.callback_metrics, "loss", "training_step", self._loss)
        found = self.record.trained
        returned = found.get("loss") if isinstance(found, Mapping) else found
        if returned is None:
            names = sorted(self.trainer.callback_metrics)
            raise ValueError(
                "training_step must return the loss, or loss must name what it logs in its place, but it "
                f"returned none and loss is None; it logs {names}: pass loss='…', or end it with "
                "`return loss`"
            )
        scale = self.trainer.accumulate_grad_batches if self.module.automatic_optimization else 1
        return returned * scale  # the automatic loop has divided it

    def evaluate(self, update: Gathered) -> Any:
        """The held-out loss on one batch: as logged, or as returned where `monitor` is None."""
        (batch,) = update.parts
        logged = self._validate(batch)
        if self.monitor is not None:
            return _named(logged, "monitor", "validation_step", self.monitor)
        return _loss_in(self.record.validated)

    def _validate(self, batch: Batch) -> dict[str, Any]:
        """Hold the validation loop on this batch alone; what was logged."""
        loop, trainer = self._batches.val_loop, self.trainer
        count = len(loop._combined_loader.flattened)
        loaders = [_Given([batch]), *(_Given([]) for _ in range(count - 1))]
        loop._combined_loader = type(loop._combined_loader)(loaders, "sequential")
        loop._max_batches = [len(loader.batches) for loader in loaders]
        self.record.validated = None
        trainer.validating = True
        try:
            (logged, *_) = loop.run() or [{}]
        finally:
            trainer.training = True
        return {name.partition("/dataloader_idx_")[0]: value for name, value in logged.items()}

    def choose_monitor(self, batch: Batch) -> bool:
        """Find out which value is the held-out loss; False if there is none. Changes the Trainer.

        Raises:
            ValueError: it could be several.
        """
        logged = self._validate(batch)
        if self.monitor is not None or _loss_in(self.record.validated) is not None:
            return True
        names = [name for name in logged if "loss" in name.lower()]
        if len(names) > 1 and "val_loss" not in names:
            raise ValueError(
                f"monitor must name the held-out loss, since validation_step logs {sorted(names)} and "
                f"returns none: pass monitor={names[0]!r}"
            )
        self.monitor = "val_loss" if "val_loss" in names else names[0] if names else None
        return self.monitor is not None

    def pace(self, batches: Iterator[Batch]) -> Pace:
        """How often the module updates its weights; one that does so by itself is tried out and changed.

        Raises:
            ValueError: it steps no optimizer.
        """
        if self.module.automatic_optimization:
            return Pace(int(self.trainer.accumulate_grad_batches), 1, ())
        before, epochs = self.trainer.global_step, [c.scheduler.last_epoch for c in steady(self.trainer)]
        for count, batch in enumerate(itertools.islice(batches, MOST_BATCHES), start=1):
            self._batch(batch, last=False)
            if self.trainer.global_step > before:
                moved = [c.scheduler.last_epoch for c in steady(self.trainer)]
                steps = int(self.trainer.global_step - before)
                return Pace(count, steps, tuple(a != b for a, b in zip(epochs, moved, strict=True)))
        raise ValueError(
            f"training_step must step the optimizers, but in its first {MOST_BATCHES} batches it stepped "
            "none: call self.optimizers().step() in it, or leave automatic_optimization True"
        )


def steady(trainer: Any) -> list[Any]:
    """The configurations of the schedulers that wait for no metric."""
    return [config for config in trainer.lr_scheduler_configs if not config.reduce_on_plateau]


def horizon(trainer: Any, pace: Pace) -> int:
    """Updates of the run from where the Trainer stands.

    Raises:
        ValueError: it has no end.
    """
    if trainer.lightning_module.automatic_optimization:
        total = trainer.estimated_stepping_batches
        total = math.inf if total == -1 else total  # of data without a length
    else:
        epochs = math.inf if trainer.max_epochs in (None, -1) else trainer.max_epochs
        by_epochs = epochs * (trainer.num_training_batches / pace.batches)
        total = min(by_epochs, math.inf if trainer.max_steps == -1 else trainer.max_steps // pace.counted)
    left = float(total - trainer.global_step / pace.counted)
    if not math.isfinite(left):
        raise ValueError(
            "steps must be given, since the Trainer runs without an end: pass steps=5000, the updates of the "
            "real run, or Trainer(max_epochs=…) or Trainer(max_steps=…)"
        )
    return math.ceil(left)


def _named(values: Mapping[str, Any], argument: str, step: str, name: str) -> Any:
    if name not in values:
        raise ValueError(
            f"{argument} must be a name that {step} logs, but is {name!r}; it logs {sorted(values)}"
        )
    return values[name]


def _loss_in(returned: Any) -> Any:
    return returned.get("loss") if isinstance(returned, Mapping) else returned


def _record_of(package: str) -> Any:
    """A callback that keeps what the module's steps returned last."""
    base = importlib.import_module(f"{package}.callbacks").Callback

    class Record(base):  # type: ignore[misc, valid-type]  # the class of an optional package
        trained: Any = None
        validated: Any = None

        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, *_: Any) -> None:
            self.trained = outputs

        def on_validation_batch_end(self, trainer: Any, module: Any, outputs: Any, *_: Any) -> None:
            self.validated = outputs

    return Record()
