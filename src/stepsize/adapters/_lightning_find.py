"""The search inside of a Trainer that stands at the start of an epoch, and what its answer changes there."""

from __future__ import annotations

import importlib
import logging
import math
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from stepsize._check_task import integer
from stepsize.adapters._lightning_loaders import Loaders
from stepsize.adapters._lightning_loop import Pace, Steps, framework, held_by, horizon, steady
from stepsize.adapters._schedule import Own, lambda_lr, own_schedule
from stepsize.decide.advice import Advice
from stepsize.decide.find_lr import find_lr
from stepsize.probe import Probe
from stepsize.schedules import Schedule
from stepsize.training.state import preserved

NAMES = "lr", "learning_rate"
"""Attributes that hold a module's rate, its own or its `hparams`': those that Lightning's Tuner looks for."""


@dataclass(frozen=True)
class Question:
    """The arguments of a search, as `stepsize.adapters.lightning.find_lr` describes them."""

    schedule: Schedule | str | None
    steps: int | None
    monitor: str | None
    loss: str | None
    options: dict[str, Any]


@dataclass(frozen=True)
class Measured:
    """The answer, each param group's share of it, and the schedule that the module had."""

    advice: Advice
    ratios: list[list[float]]
    own: Own
    pace: Pace


def measure(trainer: Any, question: Question) -> Measured:
    """Find the rate where the Trainer stands; nothing is changed."""
    check_alone(trainer)
    module = trainer.lightning_module
    schedulers = [config.scheduler for config in trainer.lr_scheduler_configs]
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    objects = [module, *trainer.optimizers, *schedulers, held_by(trainer, module)]
    objects += [] if scaler is None else [scaler]
    with preserved(*objects), quiet():
        driver = Steps(trainer, loss=question.loss, monitor=question.monitor)
        driver.go_alone()
        combined = trainer.fit_loop._combined_loader
        loaders = Loaders.of(combined, combined.limits)
        objects += loaders.state
        held_out = _held_out(driver, objects)
        with preserved(*objects):
            pace = driver.pace(part for update in loaders.updates(1) for part in update.parts)
        steps = horizon(trainer, pace) if question.steps is None else question.steps
        integer("steps", steps, at_least=1)
        own = _own(trainer, steps, pace, read=question.schedule is None)
        schedule = own.schedule if question.schedule is None else question.schedule
        assert schedule is not None
        probe = Probe(
            driver.train,
            objects,
            list(trainer.optimizers),
            evaluate=None if held_out is None else driver.evaluate,
            name=type(module).__name__,
        )
        advice = find_lr(
            probe,
            batches=loaders.updates(pace.batches),
            val=held_out,
            steps=steps,
            schedule=schedule,
            **question.options,
        )
    return Measured(advice, probe.ratios, own, pace)


def check_alone(trainer: Any) -> None:
    if trainer.world_size > 1:
        raise ValueError(
            f"the Trainer must have one device while a rate is looked for, but has {trainer.world_size}: "
            f"find it with Trainer(devices=1, accumulate_grad_batches={trainer.world_size}), the same batch"
        )


def _held_out(driver: Steps, objects: list[Any]) -> Any:
    """The held-out batches, or None where there is no loss on them."""
    loop = driver.trainer.fit_loop.epoch_loop.val_loop
    if loop._combined_loader is None or not sum(loop._max_batches):
        return None
    loaders = Loaders.of(loop._combined_loader, loop._max_batches).first()
    with preserved(*objects):
        update = next(iter(loaders), None)
        return loaders if update is not None and driver.choose_monitor(update.parts[0]) else None


def _own(trainer: Any, steps: int, pace: Pace, *, read: bool) -> Own:
    """The schedule that the module's own scheduler gives its largest rate; its peak alone without `read`."""
    configs = steady(trainer)
    optimizers = list(trainer.optimizers)
    if not configs:
        return own_schedule(optimizers, None, steps)
    peaks = [
        max(g.get("initial_lr", g["lr"]) for g in one.scheduler.optimizer.param_groups) for one in configs
    ]
    place = peaks.index(max(peaks))
    config, batches = configs[place], trainer.num_training_batches
    epoch = math.ceil(batches / pace.batches) if math.isfinite(batches) else steps
    if not trainer.lightning_module.automatic_optimization:
        often = 1 if pace.moved[place] else epoch
    elif config.interval == "step":
        often = math.lcm(pace.batches, config.frequency) // pace.batches
    else:
        often = epoch * config.frequency
    return own_schedule(optimizers, config.scheduler, steps, updates_per_step=often, read=read)


def apply(trainer: Any, measured: Measured, *, given: bool) -> bool:
    """Train from here on with what was advised; `given` says that the schedule is not the module's own.

    Returns whether the optimizers now follow the advised schedule in the place of the module's schedulers.

    Raises:
        ValueError: the module steps schedulers of its own, and no attribute of it sets its rate.
    """
    advice, lr = measured.advice, measured.advice.lr
    assert lr is not None
    if _renamed(trainer.lightning_module, lr / measured.own.peak):
        trainer.strategy.setup_optimizers(trainer)
        now = _own(trainer, advice.steps, measured.pace, read=False)
        if not given and math.isclose(now.peak, lr, rel_tol=1e-6):
            return False
    if steady(trainer) and not trainer.lightning_module.automatic_optimization:
        raise ValueError(
            "the module must have an attribute lr that configure_optimizers reads, since it steps its "
            f"schedulers itself and the rate that was found, {lr:.3g}, reaches them in no other way"
        )
    for optimizer, ratios in zip(trainer.optimizers, measured.ratios, strict=True):
        for group, ratio in zip(optimizer.param_groups, ratios, strict=True):
            group["lr"] = lr * ratio
    if not given and not steady(trainer):
        return False
    follow(trainer, advice.schedule, advice.steps)
    return True


def follow(trainer: Any, schedule: Schedule, steps: int) -> None:
    """Put a schedule in the place of the module's schedulers, from the update that the Trainer is at."""
    kind = importlib.import_module(f"{framework(trainer)}.utilities.types").LRSchedulerConfig
    trainer.strategy.lr_scheduler_configs = [
        kind(lambda_lr(schedule, optimizer, steps, done=trainer.global_step), interval="step")
        for optimizer in trainer.optimizers
    ]


def _renamed(module: Any, factor: float) -> bool:
    """Multiply the attribute that holds the module's rate, wherever it stands; False if there is none."""
    for name in NAMES:
        holders = [one for one in (module, module.hparams) if _rate_at(one, name) is not None]
        for holder in holders:
            setattr(holder, name, _rate_at(holder, name) * factor)
        if holders:
            return True
    return False


def _rate_at(holder: Any, name: str) -> Any:
    value = getattr(holder, name, None)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0 else None


@contextmanager
def quiet() -> Iterator[None]:
    """Without what Lightning says of a fit: it says it again in the real one."""
    loggers = [logging.getLogger(name) for name in ("lightning", "pytorch_lightning", "lightning_fabric")]
    loggers += [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"(lightning|pytorch_lightning|lightning_fabric)\b")
            warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def signals_kept() -> Iterator[None]:
    """Leave Ctrl-C what it is: on an interruption Lightning turns it off."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
