"""What the page gives to copy is run here, and lands on the advised schedule's own rates."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from stepsize._clipping import Clipping
from stepsize.decide.advice import Advice
from stepsize.decide.training_advice import TrainingAdvice
from stepsize.report.snippets import LIBRARIES, snippets
from tests.report.samples import advice, no_answer
from tests.report.trainings import training

SCHEDULES = {
    "fixed": "0.3 * fixed()",
    "one cosine": "0.42 * cosine(floor=0.1)",
    "warm-up, hold, decay": "0.42 * (warmup(5) | hold() | decay('20%', shape='1-sqrt'))",
    "warm-up from zero": "0.42 * (warmup(4, zero_first=True) | linear())",
    "a decay to a floor": "0.42 * (hold() | decay('50%', shape='1-square', floor=0.1))",
    "a line from zero": "0.42 * linear(start=0, end=1)",
    "what no library has": "0.42 * rex()",
    "a product": "0.42 * (cosine() * step(gamma=0.5, every=7))",
}
STEPS, BATCH = 30, 4

every_schedule = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)


NOTHING, NORM, VALUES = Clipping(), Clipping(norm=0.05), Clipping(value=0.02)

every_clipping = pytest.mark.parametrize("clipping", [NORM, VALUES], ids=str)


def advised(
    schedule: str, settings: dict[str, str] | None = None, clipping: Clipping | None = NOTHING
) -> Advice:
    """An advice on 30 updates of 4 samples, 40 in all; with `settings` one on training."""
    changes: dict[str, Any] = {"steps": STEPS, "samples": 40, "batch_size": BATCH, "schedule_text": schedule}
    changes["clipping"] = clipping
    if settings is None:
        return advice(**changes)
    return training(**changes, settings=tuple(settings.items()))


def code(given: Advice, library: str) -> str:
    return {one.library: one.code for one in snippets(given)}[library]


def model() -> nn.Module:
    made = nn.Linear(3, 1, bias=False)
    nn.init.constant_(made.weight, 0.5)
    return made


INPUTS = torch.linspace(-1, 1, 120).reshape(40, 3)
TARGETS = INPUTS.sum(dim=1, keepdim=True)


class Spy(torch.optim.SGD):
    """Writes down the rate of every update."""

    def __init__(self, parameters: Any, lr: float, **settings: Any) -> None:
        super().__init__(parameters, lr=lr, **settings)
        self.rates: list[float] = []

    def step(self, closure: Any = None) -> Any:
        self.rates.append(self.param_groups[0]["lr"])
        return super().step(closure)


def run_torch(source: str) -> tuple[list[float], dict[str, Any]]:
    """The rates of its updates, and its names afterwards."""
    spies: list[Spy] = []

    def make_optimizer(parameters: Any, lr: float) -> Spy:
        spies.append(Spy(parameters, lr))
        return spies[0]

    names: dict[str, Any] = {
        "model": model(),
        "loss_function": nn.MSELoss(),
        "train_set": torch.utils.data.TensorDataset(INPUTS, TARGETS),
        "make_optimizer": make_optimizer,
    }
    exec(source, names)
    return spies[0].rates, names


@every_schedule
def test_pytorch_trains_at_the_advised_rates(schedule: str) -> None:
    given = advised(schedule)
    rates, names = run_torch(code(given, "PyTorch"))
    np.testing.assert_allclose(rates, given.schedule.values(given.run), rtol=1e-9, atol=1e-12)
    assert names["loader"].batch_size == BATCH


@every_schedule
def test_optax_has_the_advised_rates(schedule: str) -> None:
    jax = pytest.importorskip("jax")
    given = advised(schedule)
    updates: list[float] = []

    def make_optimizer(of: Any) -> Any:
        """Like optax.sgd, and keeps the rates."""
        optax = pytest.importorskip("optax")
        updates.extend(float(of(count)) for count in range(STEPS))
        return optax.sgd(of)

    names: dict[str, Any] = {
        "params": jax.numpy.ones(3),
        "loss_function": lambda params, batch: ((params * batch) ** 2).mean(),
        "batches": iter([jax.numpy.ones(3)] * STEPS),
        "make_optimizer": make_optimizer,
    }
    exec(code(given, "optax"), names)
    np.testing.assert_allclose(updates, given.schedule.values(given.run), rtol=2e-6, atol=1e-7)
    assert list(names["batches"]) == []  # one batch an update, as many as advised
    compiled = jax.jit(names["schedule"])(3)
    assert float(compiled) == pytest.approx(given.schedule.values(given.run)[3], rel=1e-5)


@pytest.mark.parametrize("name", ["warm-up, hold, decay", "what no library has"])
def test_lightning_trains_at_the_advised_rates(name: str, tmp_path: Any, monkeypatch: Any) -> None:
    lightning = pytest.importorskip("lightning")
    given = advised(SCHEDULES[name])
    spies: list[Spy] = []

    class YourModule(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.net = model()

        def training_step(self, batch: Any) -> torch.Tensor:
            inputs, targets = batch
            loss: torch.Tensor = nn.functional.mse_loss(self.net(inputs), targets)
            return loss

    def make_optimizer(parameters: Any, lr: float) -> Spy:
        spies.append(Spy(parameters, lr))
        return spies[0]

    def quiet(**options: Any) -> Any:
        return lightning.Trainer(
            **options,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )

    monkeypatch.chdir(tmp_path)
    source = code(given, "Lightning")
    names: dict[str, Any] = {
        "YourModule": YourModule,
        "train_set": torch.utils.data.TensorDataset(INPUTS, TARGETS),
        "make_optimizer": make_optimizer,
    }
    stand_in = types.SimpleNamespace(Trainer=quiet)
    assert source.startswith("import lightning\n")
    names["lightning"] = stand_in
    with without_warnings():
        exec(source.removeprefix("import lightning\n"), names)
    np.testing.assert_allclose(spies[0].rates, given.schedule.values(given.run), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["one cosine", "warm-up from zero", "warm-up, hold, decay"])
def test_transformers_trains_at_the_advised_rates(name: str, tmp_path: Any, monkeypatch: Any) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    given = advised(SCHEDULES[name])
    spies: list[Spy] = []

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = model()

        def forward(self, inputs: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"loss": 1e3 * nn.functional.mse_loss(self.net(inputs), labels)}

    class Rows(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
        def __len__(self) -> int:
            return len(INPUTS)

        def __getitem__(self, place: int) -> dict[str, torch.Tensor]:
            return {"inputs": INPUTS[place], "labels": TARGETS[place]}

    def make_optimizer(parameters: Any, lr: float) -> Spy:
        spies.append(Spy(parameters, lr))
        return spies[0]

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    names: dict[str, Any] = {"model": Model(), "train_set": Rows(), "make_optimizer": make_optimizer}
    source = code(given, "transformers").replace("max_grad_norm=0.0,", "max_grad_norm=0.0, report_to=[],")
    with without_warnings():
        exec(source, names)
    np.testing.assert_allclose(spies[0].rates, given.schedule.values(given.run), rtol=1e-9, atol=1e-12)
    assert names["trainer"].state.global_step == STEPS
    assert names["arguments"].per_device_train_batch_size == BATCH


@every_schedule
def test_keras_trains_at_the_advised_rates(schedule: str) -> None:
    library, given = pytest.importorskip("keras"), advised(schedule)
    rates: list[float] = []

    class Spying(library.optimizers.SGD):  # type: ignore[misc, name-defined]
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            rates.append(float(learning_rate))
            super().update_step(gradient, variable, learning_rate)

        def _backend_update_step(self, grads: Any, trainable_variables: Any, learning_rate: Any) -> None:
            for gradient, variable in zip(grads, trainable_variables, strict=True):  # one by one
                self.update_step(gradient, variable, learning_rate)

    names: dict[str, Any] = {
        "model": library.Sequential([library.Input((3,)), library.layers.Dense(1, use_bias=False)]),
        "loss_function": "mse",
        "x": INPUTS.numpy(),
        "y": TARGETS.numpy(),
        "make_optimizer": Spying,
    }
    with without_warnings():
        exec(code(given, "Keras"), names)
    np.testing.assert_allclose(rates, given.schedule.values(given.run), rtol=2e-6, atol=1e-7)


def test_keras_takes_a_stream_as_it_comes() -> None:
    library, given = (
        pytest.importorskip("keras"),
        advice(samples=None, steps=5, batch_size=4, schedule_text="0.1 * fixed()"),
    )
    batches = [(INPUTS[i : i + 4].numpy(), TARGETS[i : i + 4].numpy()) for i in range(0, 20, 4)]
    names: dict[str, Any] = {
        "model": library.Sequential([library.Input((3,)), library.layers.Dense(1, use_bias=False)]),
        "loss_function": "mse",
        "batches": (batch for batch in batches),
        "make_optimizer": library.optimizers.SGD,
    }
    with without_warnings():
        exec(code(given, "Keras"), names)
    assert int(names["optimizer"].iterations) == 5


def without_warnings() -> Any:
    """Trainers of other projects warn of workers, loggers and what not."""
    import warnings

    return warnings.catch_warnings(action="ignore")


SETTINGS = {
    "plain SGD": {"optimizer": "SGD", "momentum": "0", "weight decay": "0"},
    "momentum": {"optimizer": "SGD", "momentum": "0.9", "weight decay": "0.01"},
    "Nesterov": {"optimizer": "SGD", "momentum": "0.9 (Nesterov)", "weight decay": "0"},
    "Adam": {"optimizer": "Adam", "betas": "0.8, 0.99", "weight decay": "0.1"},
    "AdamW": {"optimizer": "AdamW", "betas": "0.9, 0.95", "weight decay": "0.1"},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_the_optimizer_is_the_one_that_was_measured_with(settings: dict[str, str]) -> None:
    given = advised("0.42 * fixed()", settings)
    names: dict[str, Any] = {
        "model": model(),
        "loss_function": nn.MSELoss(),
        "train_set": torch.utils.data.TensorDataset(INPUTS, TARGETS),
    }
    exec(code(given, "PyTorch"), names)
    optimizer = names["optimizer"]
    assert type(optimizer).__name__ == settings["optimizer"]
    group = optimizer.param_groups[0]
    assert group["weight_decay"] == float(settings["weight decay"])
    if "betas" in settings:
        assert group["betas"] == tuple(map(float, settings["betas"].split(", ")))
    else:
        assert group["momentum"] == float(settings["momentum"].split(" ")[0])
        assert group["nesterov"] == settings["momentum"].endswith("(Nesterov)")


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("clipping", [NOTHING, NORM, VALUES], ids=str)
def test_optax_takes_the_same_updates_as_torch(settings: dict[str, str], clipping: Clipping) -> None:
    jax = pytest.importorskip("jax")
    given = advised("0.05 * cosine()", settings, clipping)
    scale = np.array([1.0, 3.0, 0.2])
    weights = nn.Parameter(torch.tensor([1.0, -2.0, 0.5]))

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = weights

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return self.weights

    torch_names: dict[str, Any] = {
        "model": Net(),
        "loss_function": lambda output, targets: (torch.tensor(scale, dtype=torch.float32) * output**2).sum(),
        "train_set": torch.utils.data.TensorDataset(INPUTS, TARGETS),
    }
    exec(code(given, "PyTorch"), torch_names)
    names: dict[str, Any] = {
        "params": jax.numpy.array([1.0, -2.0, 0.5]),
        "loss_function": lambda params, batch: (scale * params**2).sum(),
        "batches": [None] * STEPS,
    }
    exec(code(given, "optax"), names)
    np.testing.assert_allclose(names["params"], weights.detach().numpy(), rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("clipping", [NOTHING, NORM, VALUES], ids=str)
def test_keras_takes_the_same_updates_as_torch_or_leaves_the_optimizer_to_the_reader(
    settings: dict[str, str], clipping: Clipping
) -> None:
    library, given = pytest.importorskip("keras"), advised("0.05 * fixed()", settings, clipping)
    source = code(given, "Keras")
    if settings["weight decay"] != "0" and settings["optimizer"] != "AdamW":
        assert "optimizer = make_optimizer(schedule)" in source
        assert (f"# with gradients clipped to {clipping}" in source) == bool(clipping)
        return
    net = library.Sequential([library.Input((3,)), library.layers.Dense(1, use_bias=False)])
    net.set_weights([next(model().parameters()).detach().numpy().T])
    names: dict[str, Any] = {"model": net, "loss_function": "mse", "x": INPUTS.numpy(), "y": TARGETS.numpy()}
    whole = f"batch_size={BATCH}, epochs=3", f"batch_size={len(INPUTS)}, epochs={STEPS}"
    assert whole[0] in source
    with without_warnings():
        exec(source.replace(*whole), names)
    torch_names: dict[str, Any] = {
        "model": model(),
        "loss_function": nn.MSELoss(),
        "train_set": torch.utils.data.TensorDataset(INPUTS, TARGETS),
    }
    exec(code(given, "PyTorch").replace(f"batch_size={BATCH}", f"batch_size={len(INPUTS)}"), torch_names)
    ours = net.layers[0].kernel.value.detach().numpy().T
    np.testing.assert_allclose(ours, torch_names["model"].weight.detach().numpy(), rtol=1e-4)


@every_clipping
def test_pytorch_clips_as_the_task_did(clipping: Clipping) -> None:
    given = advised("0.42 * fixed()", clipping=clipping)
    source = code(given, "PyTorch").replace(f"batch_size={BATCH}", f"batch_size={len(INPUTS)}")
    _, names = run_torch(source)
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.42)
    for _ in range(STEPS):
        optimizer.zero_grad()
        nn.functional.mse_loss(net(INPUTS), TARGETS).backward()
        clipping.clip(list(net.parameters()))
        optimizer.step()
    by_hand = next(net.parameters())
    torch.testing.assert_close(names["model"].weight, by_hand)
    _, free = run_torch(source.replace("torch.nn.utils.clip_grad_", "0 and torch.nn.utils.clip_grad_"))
    assert not torch.allclose(free["model"].weight, by_hand)


@every_clipping
def test_lightning_and_transformers_are_told_what_to_clip(clipping: Clipping) -> None:
    told = code(advised("0.42 * fixed()", clipping=clipping), "Lightning")
    ours = code(advised("0.42 * fixed()", clipping=clipping), "transformers")
    if clipping.norm is not None:
        assert "lightning.Trainer(max_steps=30, gradient_clip_val=0.05)" in told
        assert "max_grad_norm=0.05,  # as when the rate was measured" in ours
    else:
        assert "gradient_clip_val=0.02" in told
        assert 'gradient_clip_algorithm="value"' in told
        assert "max_grad_norm=0.0,  # to values 0.02 when the rate was measured; Trainer cannot" in ours
    for library in ("Lightning", "transformers"):
        assert "clip_val" not in code(advised("0.42 * fixed()"), library)
        assert "max_grad_norm=0.0,  # or what your loop clipped to" in code(
            advised("0.42 * fixed()", clipping=None), "transformers"
        )


def test_an_optimizer_that_is_not_known_is_left_to_the_reader() -> None:
    evil = '"); import os; os.abort()  # '
    for settings in ({"optimizer": "Lion"}, {"optimizer": evil}, {"optimizer": "SGD", "momentum": evil}):
        for one in snippets(advised("0.42 * fixed()", settings)):
            assert "make_optimizer(" in one.code
            assert "abort" not in one.code
            compile(one.code, one.library, "exec")


def test_a_stream_is_not_shuffled() -> None:
    given = advice(samples=None, steps=STEPS)
    assert "DataLoader(train_set, batch_size=128)\n" in code(given, "PyTorch")
    assert "ss.Run(steps=30)" in code(advice(samples=None, steps=30, schedule_text="0.4 * rex()"), "PyTorch")


def test_no_snippet_without_a_rate_or_for_a_schedule_in_tokens() -> None:
    assert snippets(no_answer("flat", "")) == ()
    assert snippets(advice(schedule_text="0.42 * (warmup('1000 tokens') | linear())")) == ()


def every_sample() -> Iterator[Advice]:
    for schedule in SCHEDULES.values():
        yield advised(schedule)
        yield advised(schedule, SETTINGS["AdamW"])
        for clipping in (None, NORM, VALUES):
            yield advised(schedule, clipping=clipping)
            yield advised(schedule, SETTINGS["Adam"], clipping)


def test_every_snippet_is_python_and_short_enough_to_read() -> None:
    for given in every_sample():
        written = snippets(given)
        assert [one.library for one in written] == list(LIBRARIES)
        for one in written:
            compile(one.code, one.library, "exec")
            assert one.code.endswith("\n")
            assert "\n\n\n\n" not in one.code
            longest = max(one.code.splitlines(), key=len)
            assert len(longest) <= 88 or "ss." in longest


def test_the_training_sample_is_an_advice_on_training() -> None:
    assert isinstance(advised("0.42 * fixed()", SETTINGS["Adam"]), TrainingAdvice)
