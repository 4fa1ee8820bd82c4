"""Task: what to train, on what, how, and for how long. Everything is checked when it is made."""

from __future__ import annotations

import copy
import math
import numbers
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import torch
from torch import nn

from stepsize._capabilities import Capabilities, probe_capabilities
from stepsize._check_task import check_metrics, check_optimizer, check_single_object, integer
from stepsize._check_trial import check_evaluation, check_labels, check_trial
from stepsize._clipping import Clipping
from stepsize._continued import Continued
from stepsize._rng import isolated_rng
from stepsize._untouched import drawing_untouched
from stepsize.data import Batch, Source, Stream, Tensors, as_source, batches, first_batch, hold_out
from stepsize.losses import accuracy, supervised
from stepsize.schedules import Run

__all__ = ["Loss", "OptimizerFactory", "Task", "accuracy", "supervised"]

Loss = Callable[[nn.Module, Batch], torch.Tensor]
"""`(model, batch) -> scalar mean loss`."""

OptimizerFactory = Callable[..., torch.optim.Optimizer]
"""Called as `optimizer(params, lr=lr)`."""

LossKind = Literal["validation", "held-out part of train", "fresh training batches"]

HELD_OUT = 0.1
"""Share of the training data held out when no validation data is given."""


class Task:
    """What to train: the model, its loss, data, optimizer, batch size and horizon.

    Args:
        model: a factory without arguments, called once per seed; or a module, whose present weights
            are the start of every run. The module itself is never trained: runs use copies.
        loss: `(model, batch) -> scalar mean loss over the batch`; see `supervised`. It may take gradients of
            its own; runs share a stack if it does so by `torch.func.grad`.
        train: tensors or arrays (one, or a tuple or dict of them) of N samples each, a map-style
            `Dataset`, or a callable `(batch_size, seed) -> iterator of batches`.
        val: held-out data in any of the same forms. Without it, a tenth of `train` is held out (for a
            stream: fresh batches are used), and every result says so.
        optimizer: called as `optimizer(params, lr=lr)`; a class or a `functools.partial` of one. Or, to go
            on from a checkpoint, an optimizer in use over the parameters of the module `model`: every run
            starts from a copy of its state.
        batch_size: samples per update, or "full".
        epochs: the real run's horizon in passes over the training data (may be a fraction), or
        steps: the horizon in updates. Exactly one of the two.
        params: `params(model)` gives what the optimizer gets as its first argument; by default
            `model.parameters()`. Its groups may hold `lr_scale`, a multiplier on the swept rate.
        clip_grad_norm: gradients are clipped to this norm before every update, all that the optimizer updates
            together, as by torch's `clip_grad_norm_`; or
        clip_grad_value: each to this size, as by `clip_grad_value_`. At most one of the two.
        metrics: further `(model, batch) -> scalar mean` functions taken on the held-out data.
        seed: first of the seeds that measurements count up from.
        device: by default the module's own, or CUDA, MPS or CPU, the first that is there.
        name: how results call the task.

    Raises:
        TypeError: an argument has a type that cannot work.
        ValueError: an argument has a value that cannot work, or the arguments contradict each other.
        RuntimeError: the model, loss or data raised during the trial batch; the cause is chained.
    """

    def __init__(
        self,
        model: nn.Module | Callable[[], nn.Module],
        loss: Loss,
        train: Any,
        *,
        optimizer: OptimizerFactory | torch.optim.Optimizer,
        batch_size: int | Literal["full"],
        epochs: float | None = None,
        steps: int | None = None,
        val: Any = None,
        params: Callable[[nn.Module], Iterable[Any]] | None = None,
        clip_grad_norm: float | None = None,
        clip_grad_value: float | None = None,
        metrics: Mapping[str, Loss] | None = None,
        seed: int = 0,
        device: torch.device | str | None = None,
        name: str = "task",
    ) -> None:
        self._arguments = {key: value for key, value in locals().items() if key != "self"}
        if not callable(loss):
            raise TypeError(
                f"loss must be callable as loss(model, batch), but is a {type(loss).__name__}: "
                "pass loss=ss.supervised(nn.CrossEntropyLoss())"
            )
        if isinstance(loss, nn.Module):
            raise TypeError(
                f"loss is the module {type(loss).__name__}, which takes (output, target), not "
                "(model, batch): "
                f"pass loss=ss.supervised({type(loss).__name__}())"
            )
        self.name = name
        self.seed = integer("seed", seed, at_least=0)
        self.loss = loss
        self.metrics: dict[str, Loss] = check_metrics({} if metrics is None else metrics)
        self.clipping = Clipping.checked(clip_grad_norm, clip_grad_value)
        self._model = model
        self._params = params if params is not None else nn.Module.parameters
        if isinstance(optimizer, torch.optim.Optimizer) and isinstance(model, nn.Module):
            optimizer = self._arguments["optimizer"] = Continued(optimizer, model, self._params)
        self._optimizer: Any = optimizer
        first = check_single_object(model)
        self.device = _choose_device(model) if device is None else _checked_device(device)
        source = as_source("train", train)
        self.val: Source
        self.loss_kind: LossKind
        if val is not None:
            self.train, self.val, self.loss_kind = source, as_source("val", val), "validation"
        elif isinstance(source, Stream):
            self.train, self.val, self.loss_kind = source, source, "fresh training batches"
        else:
            if source.size < 2:
                raise ValueError(
                    f"train has {source.size} sample, so none can be held out to judge a rate: "
                    "pass val=(xv, yv), or more data"
                )
            self.train, self.val = hold_out(source, HELD_OUT)
            self.loss_kind = "held-out part of train"
        self.train, self.val = self.train.to(self.device), self.val.to(self.device)
        self.samples: int | None = None if isinstance(self.train, Stream) else self.train.size
        self.batch_size = self._checked_batch_size(batch_size)
        self.steps = self._checked_steps(epochs, steps)
        with drawing_untouched(self._arguments), isolated_rng(self.seed):
            first = first.to(self.device)
            trial, self.group_ratios = check_optimizer(optimizer, self._params, first)
            self._optimizer_name = type(trial).__name__
            tensors = {"train": self.train, "val": self.val}
            check_labels(first, loss, {k: v for k, v in tensors.items() if isinstance(v, Tensors)})
            check_trial(first, trial, loss, self.train, self.batch_size, clipped=bool(self.clipping))
            self.evaluates_with_grad = check_evaluation(first, loss, self.metrics, self.val, self.batch_size)

    def _checked_batch_size(self, batch_size: int | Literal["full"]) -> int:
        if batch_size == "full":
            if self.samples is None:
                raise ValueError(
                    "batch_size='full' needs data of known length, but train is a stream: pass a number"
                )
            return self.samples
        size = integer("batch_size", batch_size, at_least=1)
        if self.samples is not None and size > self.samples:
            held = " (after a tenth was held out)" if self.loss_kind == "held-out part of train" else ""
            raise ValueError(
                f"batch_size must not exceed the training samples, but batch_size={size} and train has "
                f"{self.samples} samples{held}: pass batch_size='full' or at most {self.samples}"
            )
        return size

    def _checked_steps(self, epochs: float | None, steps: int | None) -> int:
        if (epochs is None) == (steps is None):
            raise ValueError(
                f"exactly one of epochs and steps must be given, but epochs={epochs} and steps={steps}: "
                "pass epochs=10 or steps=5000"
            )
        if steps is not None:
            return integer("steps", steps, at_least=1)
        assert epochs is not None
        if isinstance(epochs, bool) or not isinstance(epochs, numbers.Real) or not 0 < epochs < math.inf:
            raise ValueError(f"epochs must be a finite number above 0, but is {epochs!r}: pass epochs=10")
        if self.samples is None:
            raise ValueError("epochs needs data of known length, but train is a stream: pass steps=5000")
        return updates_in(float(epochs), self.samples, self.batch_size)

    @property
    def epochs(self) -> float | None:
        """The horizon in passes over the training data; None for a stream."""
        return None if self.samples is None else self.steps / math.ceil(self.samples / self.batch_size)

    @property
    def run(self) -> Run:
        """The real run, as far as a schedule needs to know it."""
        if self.samples is None:
            return Run(steps=self.steps)
        return Run(steps=self.steps, samples=self.samples, batch_size=self.batch_size)

    @property
    def from_weights(self) -> bool:
        """Whether all seeds start from one module's weights (then they differ in batch order and dropout)."""
        return isinstance(self._model, nn.Module)

    def make_model(self, seed: int) -> nn.Module:
        """A fresh model in training mode, at the start of the run with this seed."""
        if isinstance(self._model, nn.Module):
            return copy.deepcopy(self._model).to(self.device).train()
        with isolated_rng(seed):
            return self._model().to(self.device).train()

    def make_optimizer(self, model: nn.Module, lr: float) -> torch.optim.Optimizer:
        """A fresh optimizer over the model's parameters, each group at its share of `lr`."""
        optimizer: torch.optim.Optimizer = self._optimizer(self._params(model), lr=lr)
        for group, ratio in zip(optimizer.param_groups, self.group_ratios, strict=True):
            group["lr"] = lr * ratio
        return optimizer

    @property
    def optimizer_name(self) -> str:
        """The optimizer class's name, such as "SGD"."""
        return self._optimizer_name

    def computes_like(self, other: Task) -> bool:
        """Whether both train and judge the same model in the same way, be it on other data or for longer."""
        names = ("_model", "_params", "_optimizer", "loss")
        same = all(getattr(self, name) is getattr(other, name) for name in names)
        alike = self.metrics == other.metrics and self.clipping == other.clipping
        return same and alike and self.device == other.device

    def batches(self, seed: int) -> Any:
        """Endless training batches in the order of this seed."""
        return batches(self.train, self.batch_size, seed)

    def trial_batch(self, size: int = 8) -> Batch:
        """A few training samples for trials, drawn without touching any global generator."""
        return first_batch(self.train, size)

    def replace(self, **changes: Any) -> Task:
        """A new task with some arguments changed, checked anew: `task.replace(batch_size=32)`.

        Changing `epochs` drops `steps` and the other way round.
        """
        unknown = sorted(set(changes) - set(self._arguments))
        if unknown:
            raise TypeError(f"Task has no argument {unknown[0]!r}; it has {', '.join(self._arguments)}")
        if changes.get("steps") is not None:
            changes.setdefault("epochs", None)
        elif changes.get("epochs") is not None:
            changes.setdefault("steps", None)
        return Task(**{**self._arguments, **changes})

    def capabilities(self) -> Capabilities:
        """What can be measured on this task and, for what cannot, why; found by trying on two samples."""
        with drawing_untouched(self._arguments), isolated_rng(self.seed):
            return probe_capabilities(
                self.make_model(self.seed), self.loss, self.trial_batch(4), self.loss_kind
            )

    def __repr__(self) -> str:
        data = "a stream" if self.samples is None else f"{self.samples:,} samples"
        epochs = "" if self.epochs is None else f" ({self.epochs:g} epochs)"
        clipped = f" clipped to {self.clipping}" if self.clipping else ""
        return (
            f"Task({self.name!r}: {data}, judged on {self.loss_kind}; {self.optimizer_name}{clipped}, "
            f"batch {self.batch_size:,}, {self.steps:,} updates{epochs}, {self.device})"
        )


def _checked_device(device: torch.device | str) -> torch.device:
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"device must be one that torch can use here, but is {device!r} ({reason}): pass device='cpu'"
        ) from error
    return chosen


def _choose_device(model: nn.Module | Callable[[], nn.Module]) -> torch.device:
    if isinstance(model, nn.Module):
        return next(model.parameters()).device
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def updates_in(epochs: float, samples: int, batch_size: int) -> int:
    """Updates of so many passes over the training data, the last batch of a pass smaller; at least one."""
    return max(1, round(epochs * math.ceil(samples / batch_size)))
