"""Keras 3 on torch: a compiled model is measured where it stands, and trains as advised by a callback."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from stepsize._check_task import integer
from stepsize.adapters.foreign import foreign_probe
from stepsize.data import Batch
from stepsize.decide.advice import Advice
from stepsize.decide.find_lr import find_lr as _find_lr
from stepsize.probe import Probe

try:
    import keras
except ImportError as error:
    raise ImportError(
        f"stepsize.adapters.keras needs Keras on torch ({error}): pip install 'stepsize[keras]', and set the "
        "environment variable KERAS_BACKEND=torch before keras is first imported"
    ) from error

if keras.backend.backend() != "torch":
    raise ImportError(
        f"stepsize.adapters.keras needs Keras on torch, but it runs on {keras.backend.backend()}: set the "
        "environment variable KERAS_BACKEND=torch before keras is first imported"
    )


def find_lr(
    model: Any,
    x: Any,
    y: Any = None,
    *,
    batch_size: int = 32,
    epochs: int | None = None,
    steps: int | None = None,
    validation_data: Any = None,
    seed: int = 0,
    name: str | None = None,
    **options: Any,
) -> Advice:
    """Find the learning rate for `model.fit(x, y, …)`, as `stepsize.find_lr` does.

        advice = find_lr(model, x, y, epochs=10, validation_data=(xv, yv), schedule="cosine")
        model.fit(x, y, epochs=10, callbacks=[AdvisedRate(advice)])

    Args:
        model: compiled and built, with an optimizer whose rate is a number. Its present weights are the
            start, and everything is put back.
        x, y: arrays of NumPy or torch, or lists and dicts of them, shuffled anew for every seed; or x alone,
            a loader, a `PyDataset`, a list of batches, or a function of a seed that gives an iterator.
        batch_size: samples of an update, for arrays.
        epochs: of the real run, for what has a length; or `steps`, its updates. Exactly one of the two.
        validation_data: held-out data, `(x, y)` or batches.
        seed: first of the seeds that measurements count up from.
        name: how results call it; by default the model's name.
        options: `schedule`, `budget` and all else that `stepsize.find_lr` takes.

    Raises:
        ValueError: the model is not compiled or not built, its rate is a schedule, or not exactly one of
            epochs and steps; or as `stepsize.find_lr`.
        TypeError: not a Keras model.
    """
    probed = probe(model, seed=seed, name=name)
    size = integer("batch_size", batch_size, at_least=1)
    batches, count = _batches(x, y, size, shuffled=True)
    val = None
    if validation_data is not None:
        held, targets = validation_data if isinstance(validation_data, tuple) else (validation_data, None)
        source, _ = _batches(held, targets, size, shuffled=False)
        val = list(source(seed)) if callable(source) else source
    return _find_lr(probed, batches=batches, val=val, steps=_steps(epochs, steps, count), **options)


def probe(model: Any, *, seed: int = 0, name: str | None = None) -> Probe:
    """A compiled model as a `Probe`, for every measurement that takes one; batches are `(x, y)` tuples.

    Raises:
        ValueError: the model is not compiled or not built, or its rate is a schedule.
        TypeError: not a Keras model.
    """
    _check(model)
    optimizer = model.optimizer
    if not optimizer.built:
        optimizer.build(model.trainable_variables)

    def update(batch: Batch, lr: float) -> float:
        optimizer.learning_rate = lr
        return float(model.train_on_batch(*_parts(batch), return_dict=True)["loss"])

    def evaluate(batch: Batch) -> float:
        return float(model.test_on_batch(*_parts(batch), return_dict=True)["loss"])

    return foreign_probe(
        update,
        save=lambda: _saved(model),
        load=lambda saved: _put_back(model, saved),
        evaluate=evaluate,
        accumulate=optimizer.gradient_accumulation_steps or 1,
        device=model.trainable_variables[0].value.device,
        seed=seed,
        name=model.name if name is None else name,
    )


class AdvisedRate(keras.callbacks.Callback):  # type: ignore[misc]
    """Trains as advised: before each update the optimizer gets the rate that the schedule has there.

    Args:
        advice: from `find_lr`, or any other that has a rate.
        start: updates of the run that are done already.

    Raises:
        ValueError: the advice has no rate, or its schedule sets more than that.
    """

    def __init__(self, advice: Advice, *, start: int = 0) -> None:
        super().__init__()
        if advice.lr is None:
            raise ValueError(f"no learning rate to apply, the advice is {advice.status!r}: {advice.why}")
        if advice.schedule.controls(advice.run):
            raise ValueError(
                f"advice must be on the rate alone, but its schedule {advice.schedule_text} sets more: Keras "
                "has no schedule for that"
            )
        self._rate = advice.schedule.resolve(advice.run)
        self._start = integer("start", start, at_least=0)

    def on_train_begin(self, logs: Any = None) -> None:
        """Count from here."""
        self._before = int(self.model.optimizer.iterations) - self._start

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Set the rate of the update that comes."""
        optimizer = self.model.optimizer
        done = int(optimizer.iterations) - self._before
        optimizer.learning_rate = self._rate(done // (optimizer.gradient_accumulation_steps or 1))


def _check(model: Any) -> None:
    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a keras.Model, but is a {type(model).__name__}")
    if not model.compiled or model.optimizer is None:
        raise ValueError("model must be compiled: model.compile(optimizer=keras.optimizers.Adam(), loss=…)")
    if not model.built or not model.trainable_variables:
        raise ValueError("model must be built: begin it with keras.Input(shape), or call it on a batch")
    if not isinstance(model.optimizer.learning_rate, keras.Variable):
        raise ValueError(
            "model must be compiled with a rate that is a number, but its optimizer has a schedule: pass "
            "keras.optimizers.Adam(1e-3), and the schedule as find_lr(…, schedule='cosine')"
        )


def _saved(model: Any) -> tuple[list[tuple[Any, Any]], list[Any]]:
    """Copies of all variables (weights, seeds, the optimizer's, the metrics'), and the gradients."""
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    grads = [variable.value.grad for variable in model.trainable_variables]
    return [(variable, variable.value.detach().clone()) for variable in variables], grads


def _put_back(model: Any, saved: tuple[list[tuple[Any, Any]], list[Any]]) -> None:
    values, grads = saved
    model.reset_metrics()  # those that were made while measuring are not among the values
    for variable, value in values:
        variable.assign(value)
    for variable, grad in zip(model.trainable_variables, grads, strict=True):
        variable.value.grad = grad


def _parts(batch: Batch) -> tuple[Any, Any, Any]:
    """Inputs, targets and weights of the samples, as far as there are any."""
    parts: tuple[Any, Any, Any] = keras.utils.unpack_x_y_sample_weight(batch)
    return parts


def _steps(epochs: int | None, steps: int | None, count: int | None) -> int:
    if (epochs is None) == (steps is None):
        raise ValueError(
            f"exactly one of epochs and steps must be given, but epochs={epochs} and steps={steps}: "
            "pass epochs=10 or steps=5000"
        )
    if steps is not None:
        return steps
    if count is None:
        raise ValueError("epochs needs data of known length, but x has none: pass steps=5000")
    assert epochs is not None
    return integer("epochs", epochs, at_least=1) * count


def _batches(x: Any, y: Any, size: int, *, shuffled: bool) -> tuple[Any, int | None]:
    """What gives the batches of a seed, and how many an epoch has."""
    if isinstance(x, keras.utils.PyDataset):
        return _in_order_of(lambda chosen: x[int(chosen[0])], len(x), 1, shuffled), len(x)
    if y is None:
        return x, len(x) if hasattr(x, "__len__") else None
    data = (x, y)
    samples = len(keras.tree.flatten(x)[0])
    whole = _in_order_of(
        lambda chosen: keras.tree.map_structure(lambda a: a[chosen], data), samples, size, shuffled
    )
    return whole, math.ceil(samples / size)


def _in_order_of(
    take: Callable[[np.ndarray], Batch], count: int, size: int, shuffled: bool
) -> Callable[[int], Iterator[Batch]]:
    def batches(seed: int) -> Iterator[Batch]:
        order = np.random.default_rng(seed).permutation(count) if shuffled else np.arange(count)
        return (take(order[i : i + size]) for i in range(0, count, size))

    return batches
