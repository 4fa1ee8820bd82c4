"""transformers: the rate for a model as its Trainer trains it, and a callback that finds and sets it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch.optim.lr_scheduler import LambdaLR

from stepsize._check_task import integer
from stepsize.adapters import required
from stepsize.adapters._outcome import names_a_rate
from stepsize.adapters._schedule import lambda_lr, own_schedule
from stepsize.adapters._transformers_loop import (
    UpdateSteps,
    held_by,
    held_out_batches,
    horizon,
    steady,
    training_updates,
)
from stepsize.decide.advice import Advice
from stepsize.decide.find_lr import checked_schedule
from stepsize.decide.find_lr import find_lr as find_lr_of_probe
from stepsize.probe import Probe
from stepsize.schedules import Schedule
from stepsize.schedules.convert.recipe import ConversionError
from stepsize.training.state import preserved

_transformers: Any = required("transformers")


class _DoneError(Exception):
    """Leaves `train` once the rate is known."""


def find_lr(
    trainer: Any,
    *,
    schedule: Schedule | str | None = None,
    steps: int | None = None,
    world_size: int = 1,
    **options: Any,
) -> Advice:
    """Find the learning rate for a `transformers.Trainer`, trained as it trains.

    The Trainer begins to `train`, up to its first update, and its own parts then make every update: its data
    loader and collator, `compute_loss` with label smoothing or what a subclass makes of it, accumulation,
    clipping, mixed precision, the optimizer with its param groups. The loss on `eval_dataset` judges, or
    fresh training batches without one. Its callbacks, logs and checkpoints are left out. Afterwards the
    model, the Trainer and all random number generators are as they were.

    Args:
        trainer: a `transformers.Trainer` in one process; the present weights are the start.
        schedule: the real run's; by default `lr_scheduler_type` with its warm-up.
        steps: updates of the real run; by default what `max_steps` or `num_train_epochs` comes to.
        world_size: processes that the real run will have. Their batches are accumulated here, so that an
            update counts as many samples as it will.
        options: `budget`, `seeds`, `lr_min`, `lr_max`, `progress` of `stepsize.find_lr`.

    Returns:
        An `Advice`. Its `lr` is the peak rate, `TrainingArguments(learning_rate=…)`; `batch_size` is
            per-device batch × accumulation × processes.

    Raises:
        TypeError: `trainer` is no `transformers.Trainer`.
        ValueError: it runs in several processes, it has no end, or its schedule has no form that is known.
    """
    _check(trainer)
    question = _Question(schedule, steps, integer("world_size", world_size, at_least=1), options)
    found: list[Advice] = []

    class Measure(_transformers.TrainerCallback):  # type: ignore[misc]  # the class of an optional package
        """Measures when training begins, and ends it there."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            found.append(_measure(trainer, question).advice)
            raise _DoneError

    optimizer = getattr(trainer.optimizer, "optimizer", trainer.optimizer)  # accelerate's holds the other
    given = [one for one in (optimizer, trainer.lr_scheduler) if one is not None]
    with preserved(trainer.model, *given, held_by(trainer, trainer.model)), _quiet():
        trainer.callback_handler.callbacks = [Measure()]
        with contextlib.suppress(_DoneError):
            trainer.train()
    return found[0]


class StepsizeLRFinder(_transformers.TrainerCallback):  # type: ignore[misc]  # the class of an optional package
    """Finds the learning rate when training begins, and trains with it.

    The arguments are those of `find_lr`. The rate is written to the optimizer, to the scheduler and to
    `args.learning_rate`. A `schedule` that was given replaces the Trainer's. `advice` holds the result.
    Without an answer nothing is changed. A run that goes on from a checkpoint keeps its rate, and follows a
    given `schedule` from there on. Ctrl-C ends the search and the training.

    >>> trainer.add_callback(StepsizeLRFinder(trainer))  # doctest: +SKIP
    """

    def __init__(
        self,
        trainer: Any,
        *,
        schedule: Schedule | str | None = None,
        steps: int | None = None,
        **options: Any,
    ) -> None:
        _check(trainer)
        self.advice: Advice | None = None
        self._trainer, self._question = trainer, _Question(schedule, steps, 1, options)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Find the rate and set it."""
        if state.global_step > 0:
            if self._question.schedule is not None:
                steps = state.max_steps if self._question.steps is None else self._question.steps
                _follow(self._trainer, checked_schedule(self._question.schedule), steps, state.global_step)
            return
        measured = _measure(self._trainer, self._question)
        self.advice = measured.advice
        if not names_a_rate(self.advice):
            return
        _apply(self._trainer, measured, given=self._question.schedule is not None)


def lr_scheduler(advice: Advice, optimizer: Any) -> Any:
    """The advised schedule as transformers' own kind of scheduler, for `Trainer(optimizers=(…, …))`.

    Where `get_scheduler` knows the schedule it is the object that it would give; any other is a `LambdaLR`
    with the same interface. The optimizer's rate must be the advised one: `AdamW(params, lr=advice.lr)`.

    Raises:
        ValueError: the advice names no rate, or the optimizer was made with another one.
    """
    if advice.lr is None:
        raise ValueError(f"advice must name a rate, but its status is {advice.status!r}: {advice.why}")
    try:
        return advice.schedule.to("transformers", advice.run, optimizer=optimizer)
    except ConversionError:
        return lambda_lr(advice.schedule, optimizer, advice.run)


@dataclass(frozen=True)
class _Question:
    schedule: Schedule | str | None
    steps: int | None
    world_size: int
    options: dict[str, Any]


@dataclass(frozen=True)
class _Measured:
    advice: Advice
    ratios: list[list[float]]


def _measure(trainer: Any, question: _Question) -> _Measured:
    """Find the rate where the Trainer is about to begin its loop; nothing is changed."""
    driver = UpdateSteps(trainer)
    scaler = trainer.accelerator.scaler
    objects = [
        trainer.model,
        trainer.optimizer.optimizer,
        trainer.lr_scheduler,
        held_by(trainer, trainer.model),
    ]
    objects += [] if scaler is None else [scaler]
    per_update = trainer.args.gradient_accumulation_steps * question.world_size
    with preserved(*objects):
        loader = trainer.get_train_dataloader()
        steps = horizon(trainer, loader, per_update) if question.steps is None else question.steps
        integer("steps", steps, at_least=1)
        optimizers = [trainer.optimizer.optimizer]
        scheduler = trainer.lr_scheduler if steady(trainer.lr_scheduler) else None
        chosen = question.schedule
        if chosen is None:
            chosen = own_schedule(optimizers, scheduler, steps).schedule
        assert chosen is not None
        held_out = held_out_batches(trainer)
        probe = Probe(
            driver.train,
            objects,
            optimizers,
            evaluate=None if held_out is None else driver.evaluate,
            name=type(trainer.model).__name__,
        )
        advice = find_lr_of_probe(
            probe,
            batches=training_updates(trainer, per_update),
            val=held_out,
            steps=steps,
            schedule=chosen,
            **question.options,
        )
    return _Measured(advice, probe.ratios)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what transformers says of a training: it says it again in the real one."""
    before = _transformers.logging.get_verbosity()
    try:
        _transformers.logging.set_verbosity_error()
        yield
    finally:
        _transformers.logging.set_verbosity(before)


def _apply(trainer: Any, measured: _Measured, *, given: bool) -> None:
    """Train from here on with what was advised; `given` says that the schedule is not the Trainer's own."""
    advice, lr, scheduler = measured.advice, measured.advice.lr, trainer.lr_scheduler
    assert lr is not None
    trainer.args.learning_rate = lr
    peaks: list[Any] = [lr * ratio for ratio in measured.ratios[0]]
    groups = trainer.optimizer.param_groups
    if not given and isinstance(scheduler, LambdaLR):
        scheduler.base_lrs, at = peaks, scheduler.last_epoch
        peaks = [peak * factor(at) for peak, factor in zip(peaks, scheduler.lr_lambdas, strict=True)]
    for group, rate in zip(groups, peaks, strict=True):
        group["lr"] = rate
    if given or (steady(scheduler) and not isinstance(scheduler, LambdaLR)):
        _follow(trainer, advice.schedule, advice.steps, 0)


def _follow(trainer: Any, schedule: Schedule, steps: int, done: int) -> None:
    """Put a schedule in the place of the Trainer's, from the update that it is at."""
    trainer.lr_scheduler = lambda_lr(schedule, trainer.optimizer.optimizer, steps, done=done)
    trainer.callback_handler.lr_scheduler = trainer.lr_scheduler


def _check(trainer: Any) -> None:
    if not isinstance(trainer, _transformers.Trainer):
        raise TypeError(
            f"trainer must be a transformers.Trainer, but is a {type(trainer).__name__}: pass "
            "find_lr(transformers.Trainer(model=model, args=arguments, train_dataset=train_set))"
        )
    if trainer.args.world_size > 1 or trainer.args.n_gpu > 1:
        count = max(trainer.args.world_size, trainer.args.n_gpu)
        raise ValueError(
            f"the Trainer must run on one device while a rate is looked for, but runs on {count}: run it in "
            f"one process and pass world_size={count}, and an update has the same samples"
        )
