"""A JAX loss is measured like any other training, and nothing of it is changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import stepsize as ss
from tests.tasks import digits

jax = pytest.importorskip("jax")
optax = pytest.importorskip("optax")
ours = pytest.importorskip("stepsize.adapters.jax")

BATCH = 50


def arrays() -> tuple[np.ndarray, ...]:
    return tuple(part.numpy() for part in digits())


def start() -> dict[str, Any]:
    first, second = (np.random.default_rng(i).standard_normal for i in range(2))
    return {
        "in": jax.numpy.asarray(first((196, 16)) / 14, dtype="float32"),
        "out": jax.numpy.asarray(second((16, 10)) / 4, dtype="float32"),
    }


def loss(params: Any, batch: Any) -> Any:
    x, y = batch
    logits = jax.nn.relu(x @ params["in"]) @ params["out"]
    return optax.losses.softmax_cross_entropy_with_integer_labels(logits, y).mean()


def batches(seed: int) -> Any:
    x, y, _, _ = arrays()
    order = np.random.default_rng(seed).permutation(len(x))
    return ((x[part], y[part]) for part in np.array_split(order, len(x) // BATCH))


def held_out() -> list[Any]:
    _, _, x, y = arrays()
    return [(x[i : i + 100], y[i : i + 100]) for i in range(0, len(x), 100)]


def test_find_lr_names_the_rate_that_trains_best() -> None:
    params = start()
    before = jax.tree.map(np.asarray, params)

    def sgd(lr: Any) -> Any:
        return optax.sgd(lr, 0.5)

    # Three runs over a quarter, all that 120 updates pay for otherwise, leave the rate in doubt.
    advice = ours.find_lr(loss, params, batches, optimizer=sgd, steps=120, val=held_out(), budget="6 runs")
    assert advice.status == "ok"
    assert (advice.batch_size, advice.steps, advice.loss_kind) == (BATCH, 120, "validation")
    assert advice.lr is not None
    ends = {rate: trained(params, rate, 120) for rate in (advice.lr / 30, advice.lr, advice.lr * 30)}
    assert min(ends, key=lambda rate: ends[rate]) == advice.lr
    assert jax.tree.all(jax.tree.map(np.array_equal, before, params))


def trained(params: Any, lr: float, steps: int) -> float:
    """The held-out loss after a loop as any user of optax writes it."""
    optimizer = optax.sgd(lr, 0.5)
    state = optimizer.init(params)
    step = jax.jit(jax.value_and_grad(loss))
    done = 0
    while done < steps:
        for batch in batches(done):
            _, grads = step(params, batch)
            updates, state = optimizer.update(grads, state, params)
            params = optax.apply_updates(params, updates)
            done += 1
    end = float(np.mean([loss(params, batch) for batch in held_out()]))
    return end if np.isfinite(end) else float("inf")


def test_losses_are_those_of_torch_at_the_same_rates() -> None:
    rates = np.geomspace(0.01, 0.5, 8)
    given = list(batches(3))[:8]
    probed = ours.probe(loss, start(), optimizer=lambda lr: optax.adam(lr))
    curve = ss.range_test(probed, batches=given, lr_min=0.01, lr_max=0.5, steps=8)
    inner, outer = (nn.Parameter(torch.from_numpy(np.array(value))) for value in start().values())
    adam = torch.optim.Adam([inner, outer])
    for rate, (x, y), found in zip(rates, given, curve.losses[0], strict=True):
        adam.param_groups[0]["lr"] = rate
        value = nn.functional.cross_entropy((torch.from_numpy(x) @ inner).relu() @ outer, torch.from_numpy(y))
        adam.zero_grad()
        value.backward()
        adam.step()
        assert found == pytest.approx(value.item(), rel=2e-3)


def test_training_goes_on_from_the_state_of_the_optimizer() -> None:
    optimizer = optax.sgd(0.1, momentum=0.9)
    params, state = start(), optimizer.init(start())
    given, grad = list(batches(1)), jax.jit(jax.grad(loss))
    for batch in given[:3]:
        updates, state = optimizer.update(grad(params, batch), state, params)
        params = optax.apply_updates(params, updates)
    probed = ours.probe(loss, params, optimizer=lambda lr: optax.sgd(lr, momentum=0.9), opt_state=state)
    found = ss.range_test(probed, batches=given[3:], lr_min=0.1, lr_max=0.1001, steps=3).losses[0]
    for batch, value in zip(given[3:6], found, strict=True):
        assert value == pytest.approx(float(loss(params, batch)), rel=1e-3)
        updates, state = optimizer.update(grad(params, batch), state, params)
        params = optax.apply_updates(params, updates)


def test_a_key_is_another_one_at_each_update_and_the_same_ones_in_each_run() -> None:
    def noisy(params: Any, batch: Any, key: Any) -> Any:
        return (params * 0).sum() + jax.random.uniform(key)

    probed = ours.probe(noisy, jax.numpy.ones(2), optimizer=lambda lr: optax.sgd(lr), key=jax.random.key(0))
    given = [np.ones((3, 2), dtype="float32")] * 4
    first, second = (ss.range_test(probed, batches=given, steps=4).losses[0] for _ in range(2))
    assert len(set(first)) == 4
    assert (first == second).all()
    assert probed.evaluate is None


def test_a_step_with_more_state_than_weights_and_batches_of_torch() -> None:
    def judged(weights: Any, batch: Any) -> Any:
        return ((batch["x"] @ weights - batch["x"].sum(axis=1)) ** 2).mean()

    def step(state: Any, batch: Any, lr: Any) -> Any:
        weights, count = state
        value, slope = jax.value_and_grad(judged)(weights, batch)
        return (weights - lr * slope, count + 1), value

    state = jax.numpy.zeros(3), jax.numpy.zeros((), dtype=int)
    probed = ours.step_probe(step, state, evaluate=lambda state, batch: judged(state[0], batch))
    data = [{"x": part} for part in torch.randn(80, 3).split(8)]
    options: dict[str, Any] = {"lr_min": 0.01, "lr_max": 0.1, "steps": 10, "loss": "val"}
    curve = ss.range_test(probed, batches=data, val=data[:2], **options)
    assert curve.losses[0, -1] < curve.losses[0, 0] < (curve.start_loss or 0.0)


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: ours.probe(3, start(), optimizer=optax.sgd), TypeError, "loss must be callable"),
        (lambda: ours.probe(loss, {}, optimizer=optax.sgd), ValueError, "params must be a tree of arrays"),
        (
            lambda: ours.probe(loss, start(), optimizer=optax.sgd(0.1)),
            TypeError,
            "optimizer must be a function of the rate",
        ),
        (
            lambda: ours.probe(loss, start(), optimizer=lambda lr: lr),
            TypeError,
            "must give a gradient transformation",
        ),
        (
            lambda: ours.probe(loss, start(), optimizer=lambda lr: optax.sgd(lr if lr > 0 else 0.0)),
            ValueError,
            "only reckon with the rate",
        ),
    ],
)
def test_errors_name_the_argument_and_the_fix(call: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        call()
