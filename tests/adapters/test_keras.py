"""A Keras model is measured where it stands, left as it was, and trains as advised by the callback."""

from __future__ import annotations

import copy
import importlib
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import stepsize as ss
from tests.report.samples import advice, no_answer
from tests.tasks import digits

keras = pytest.importorskip("keras")
ours = pytest.importorskip("stepsize.adapters.keras")

STEPS = 40


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Keras reads tensors by ways that NumPy 2 warns of."""
    with warnings.catch_warnings(action="ignore"):
        yield


def arrays() -> tuple[np.ndarray, ...]:
    return tuple(part.numpy() for part in digits())


def model(optimizer: Any = None, dropout: float = 0.1) -> Any:
    """With dropout and batch statistics, and so with state besides weights."""
    keras.utils.set_random_seed(3)
    layers = keras.layers
    made = keras.Sequential(
        [
            keras.Input((196,)),
            layers.Dense(16, "relu"),
            layers.BatchNormalization(),
            layers.Dropout(dropout),
            layers.Dense(10),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    made.compile(optimizer or keras.optimizers.SGD(0.1, momentum=0.5), loss, metrics=["accuracy"])
    return made


def fit(made: Any, **options: Any) -> list[float]:
    x, y, _, _ = arrays()
    history = made.fit(x, y, batch_size=100, verbose=0, shuffle=False, **options)
    losses: list[float] = history.history["loss"]
    return losses


def fit_again(made: Any) -> list[float]:
    keras.utils.set_random_seed(8)
    return fit(made, epochs=1)


def picture(made: Any) -> list[Any]:
    variables = [*made.variables, *made.optimizer.variables, *made.metrics_variables]
    grads = [v.value.grad if v.value.grad is None else v.value.grad.clone() for v in made.trainable_variables]
    return [copy.deepcopy([v.value.detach().numpy().tolist() for v in variables]), [str(g) for g in grads]]


def test_training_goes_on_as_if_it_had_never_been_measured() -> None:
    x, y, xv, yv = arrays()
    measured, left_alone = model(), model()
    for one in (measured, left_alone):
        fit_again(one)
    before = picture(measured)
    found = ours.find_lr(
        measured, x, y, batch_size=100, steps=STEPS, validation_data=(xv, yv), budget="1 run"
    )
    assert found.task == measured.name
    assert picture(measured) == before
    assert fit_again(measured) == fit_again(left_alone)
    assert picture(measured) == picture(left_alone)


def test_losses_are_those_of_fit_at_the_same_rates() -> None:
    x, y, _, _ = arrays()
    given = [(x[i : i + 50], y[i : i + 50]) for i in range(0, 300, 50)]
    measured, own = model(dropout=0.0), model(dropout=0.0)
    curve = ss.range_test(ours.probe(measured), batches=given, lr_min=0.01, lr_max=0.5, steps=6)
    for rate, batch, found in zip(np.geomspace(0.01, 0.5, 6), given, curve.losses[0], strict=True):
        own.optimizer.learning_rate = rate
        assert own.train_on_batch(*batch, return_dict=True)["loss"] == found


def test_the_callback_sets_the_advised_rate_before_every_update() -> None:
    made, rates = model(), []
    given = advice(lr=0.3, schedule_text="0.3 * (warmup(5) | cosine())", steps=30, samples=None)

    class Spy(keras.callbacks.Callback):  # type: ignore[misc, name-defined]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            rates.append(float(self.model.optimizer.learning_rate.value.detach()))

    for start in (0, 15):
        fit(made, epochs=1, callbacks=[ours.AdvisedRate(given, start=start), Spy()])
    np.testing.assert_allclose(rates, given.schedule.values(), rtol=1e-6, atol=1e-9)


def test_a_rate_is_held_for_the_whole_of_an_accumulated_update() -> None:
    x, y, _, _ = arrays()
    probed = ours.probe(model(keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)))
    assert probed.accumulate == 2
    advised = ss.find_lr(probed, batches=lambda seed: iter([(x[:20], y[:20])] * 9), steps=4, budget="1 run")
    assert advised.batch_size == 40


def test_data_sets_of_keras_and_loaders_of_torch_have_a_length() -> None:
    import torch

    x, y, _, _ = digits()

    class Pieces(keras.utils.PyDataset):  # type: ignore[misc, name-defined]
        def __len__(self) -> int:
            return 5

        def __getitem__(self, place: int) -> Any:
            return x[place * 40 : place * 40 + 40].numpy(), y[place * 40 : place * 40 + 40].numpy()

    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x[:200], y[:200]), batch_size=40)
    for given in (Pieces(), loader):
        found = ours.find_lr(model(), given, epochs=1, budget="1 run", lr_min=0.01, lr_max=0.1)
        assert (found.steps, found.batch_size) == (5, 40)


def with_schedule() -> Any:
    return model(keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 10)))


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: ours.probe(3), TypeError, "model must be a keras.Model, but is a int"),
        (lambda: ours.probe(keras.Sequential([keras.Input((2,))])), ValueError, "must be compiled"),
        (lambda: ours.probe(unbuilt()), ValueError, "must be built"),
        (lambda: ours.probe(with_schedule()), ValueError, "its optimizer has a schedule: pass"),
        (
            lambda: ours.find_lr(model(), np.ones(2), np.ones(2)),
            ValueError,
            "exactly one of epochs and steps",
        ),
        (lambda: ours.find_lr(model(), iter([]), epochs=2), ValueError, "epochs needs data of known length"),
        (lambda: ours.AdvisedRate(no_answer("flat", "all alike")), ValueError, "'flat': all alike"),
        (
            lambda: ours.AdvisedRate(advice(schedule_text="(0.4 * fixed()).along(momentum=0.9 * linear())")),
            ValueError,
            "on the rate alone",
        ),
    ],
)
def test_errors_name_the_argument_and_the_fix(call: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        call()


def unbuilt() -> Any:
    made = keras.Sequential([keras.layers.Dense(1)])
    made.compile("sgd", "mse")
    return made


def test_another_backend_is_refused_when_the_adapter_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.delitem(sys.modules, "stepsize.adapters.keras")
    with pytest.raises(ImportError, match="needs Keras on torch, but it runs on jax: set the environment"):
        importlib.import_module("stepsize.adapters.keras")
