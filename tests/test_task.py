from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim import SGD, Adam

import stepsize as ss
from tests.training.twins import classification, small_net, small_task


def stream(batch_size: int, seed: int) -> Iterator[Any]:
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield (
            torch.randn(batch_size, 4, generator=generator).double(),
            torch.zeros(batch_size, dtype=torch.int64),
        )


def cross_entropy(model: nn.Module, batch: Any) -> torch.Tensor:
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


ONE = small_net()
BACKBONE = nn.Linear(4, 4).double()
X, Y = classification()


class Uncopyable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.last = self.weight * 2  # not a leaf, so deepcopy refuses it


def ignores_lr(params: Any, lr: float) -> torch.optim.Optimizer:
    return SGD(params, lr=0.1)


def one_group_ignores_lr(params: Iterable[torch.Tensor], lr: float) -> torch.optim.Optimizer:
    groups: list[dict[str, Any]] = [{"params": [p]} for p in params]
    groups[0]["lr"] = 0.1
    return SGD(groups, lr=lr)


def bad_scale(scale: float) -> Any:
    return lambda model: [{"params": model.parameters(), "lr_scale": scale}]


def changes_batch(model: nn.Module, batch: Any) -> torch.Tensor:
    batch[0].div_(2)
    return cross_entropy(model, batch)


def unseeded() -> nn.Module:
    net = small_net()
    with torch.no_grad():
        net[0].weight.copy_(torch.from_numpy(np.random.default_rng().normal(size=(6, 4))))  # type: ignore[index]
    return net


BAD: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    # data
    "no samples": ({"train": (X[:0], Y[:0])}, ValueError, "train is empty: it has 0 samples"),
    "one sample": (
        {"train": (X[:1], Y[:1]), "val": None, "batch_size": 1},
        ValueError,
        r"train has 1 sample, so none can be held out to judge a rate: pass val=\(xv, yv\), or more data",
    ),
    "different lengths": (
        {"train": (X, Y[:-1])},
        ValueError,
        r"train must hold tensors of one length.*\[44, 43\]",
    ),
    "held-out data of different lengths": (
        {"val": (X, Y[:-1])},
        ValueError,
        "val must hold tensors of one length",
    ),
    "held-out data that the model refuses": (
        {"val": (X[:, :2], Y)},
        RuntimeError,
        r"loss\(model, batch\) raised RuntimeError on a trial batch of val, .*\(8, 2\) float64",
    ),
    "a label too large, deep in the data": (
        {"train": (X, Y.clone().index_fill_(0, torch.tensor([37]), 3))},
        ValueError,
        r"train must have labels within 0…2, the model's 3 outputs, but the label of sample 37 is 3: number",
    ),
    "a label too large, in the first sample": (
        {"train": (X, Y.clone().index_fill_(0, torch.tensor([0]), 9))},
        ValueError,
        "but the label of sample 0 is 9",
    ),
    "a negative label in held-out data": (
        {"val": (X, Y.clone().index_fill_(0, torch.tensor([5]), -1))},
        ValueError,
        "val must have labels within 0…2.*sample 5 is -1",
    ),
    # batch size and horizon
    "batch larger than the data": (
        {"batch_size": 45},
        ValueError,
        (
            "batch_size must not exceed the training samples, but batch_size=45 and train has 44 samples: "
            "pass batch_size='full' or at most 44"
        ),
    ),
    "batch larger than what is left": (
        {"batch_size": 44, "val": None},
        ValueError,
        r"train has 40 samples \(after a tenth was held out\)",
    ),
    "batch of nothing": ({"batch_size": 0}, ValueError, "batch_size must be a whole number >= 1, but is 0"),
    "batch of a fraction": (
        {"batch_size": 2.5},
        ValueError,
        "batch_size must be a whole number >= 1, but is 2.5",
    ),
    "batch of True": (
        {"batch_size": True},
        ValueError,
        "batch_size must be a whole number >= 1, but is True",
    ),
    "full batch of a stream": (
        {"train": stream, "batch_size": "full"},
        ValueError,
        "batch_size='full' needs data of known length",
    ),
    "epochs of a stream": (
        {"train": stream, "steps": None, "epochs": 3},
        ValueError,
        "epochs needs data of known length, but train is a stream: pass steps=5000",
    ),
    "two horizons": (
        {"epochs": 3},
        ValueError,
        "exactly one of epochs and steps must be given, but epochs=3 and steps=100",
    ),
    "no horizon": ({"steps": None}, ValueError, "exactly one of epochs and steps must be given"),
    "no steps": ({"steps": 0}, ValueError, "steps must be a whole number >= 1, but is 0"),
    "no epochs": (
        {"steps": None, "epochs": 0.0},
        ValueError,
        "epochs must be a finite number above 0, but is 0.0",
    ),
    "endless epochs": ({"steps": None, "epochs": float("inf")}, ValueError, "epochs must be a finite number"),
    "epochs in words": (
        {"steps": None, "epochs": "ten"},
        ValueError,
        "epochs must be a finite number .*: pass epochs=10",
    ),
    "a negative seed": ({"seed": -1}, ValueError, "seed must be a whole number >= 0, but is -1"),
    # loss and metrics
    "a loss without the model": (
        {"loss": nn.CrossEntropyLoss()},
        TypeError,
        r"loss is the module CrossEntropyLoss.*pass loss=ss.supervised\(CrossEntropyLoss\(\)\)",
    ),
    "a loss in words": ({"loss": "mse"}, TypeError, "loss must be callable as loss"),
    "a loss per sample": (
        {"loss": lambda model, batch: model(batch[0]).sum(dim=1)},
        ValueError,
        (
            r"loss must return a scalar, the mean over the batch, but returned shape \(8,\): end "
            r"it with .mean\(\)"
        ),
    ),
    "a detached loss": (
        {"loss": lambda model, batch: cross_entropy(model, batch).detach()},
        ValueError,
        "loss returned a tensor without a gradient: .* do not detach it",
    ),
    "a number instead of a loss": (
        {"loss": lambda model, batch: cross_entropy(model, batch).item()},
        TypeError,
        "loss must return a scalar tensor, but returned a float: return the tensor itself",
    ),
    "a loss that raises": (
        {"loss": lambda model, batch: model(batch[0].float()).mean()},
        RuntimeError,
        "raised RuntimeError on a trial batch of train",
    ),
    "a loss that changes the data": (
        {"loss": changes_batch},
        ValueError,
        "loss must leave its batch as it is.*write x = x / 255 instead of x /= 255",
    ),
    "metrics in a list": (
        {"metrics": [ss.accuracy()]},
        TypeError,
        "metrics must be a dict.*pass metrics={'accuracy'",
    ),
    "a metric in words": ({"metrics": {"auc": "auc"}}, TypeError, r"metrics\['auc'\] must be callable"),
    "a metric called loss": (
        {"metrics": {"loss": cross_entropy}},
        ValueError,
        "metrics must not hold 'loss'",
    ),
    "a metric per sample": (
        {"metrics": {"all": lambda model, batch: model(batch[0])}},
        ValueError,
        r"metrics\['all'\] must return a scalar.*shape \(8, 3\)",
    ),
    # model
    "no model": (
        {"model": 3},
        TypeError,
        "model must be a module or a factory without arguments, but is a int",
    ),
    "a factory with arguments": (
        {"model": lambda width: small_net()},
        TypeError,
        "model must be callable without",
    ),
    "a factory of nothing": (
        {"model": lambda: None},
        TypeError,
        r"model\(\) must return a torch.nn.Module, but returned a NoneType",
    ),
    "the same object twice": (
        {"model": lambda: ONE},
        ValueError,
        (
            "model must be a factory that makes a new model at each call, but it gave the same object twice: "
            "pass model=lambda: make_model"
        ),
    ),
    "a part in common": (
        {"model": lambda: nn.Sequential(BACKBONE, nn.Linear(4, 3).double())},
        ValueError,
        "it gave two models that share parameters",
    ),
    "weights from nowhere": (
        {"model": unseeded},
        ValueError,
        "model must be a factory that depends on the global random numbers alone.* differ in 0.weight",
    ),
    "no parameters": (
        {"model": nn.Identity()},
        ValueError,
        "model Identity has no parameters, so there is nothing to train",
    ),
    "frozen parameters only": (
        {"model": small_net().requires_grad_(False)},
        ValueError,
        r"model Sequential has only frozen parameters \(4 with requires_grad=False\): unfreeze some",
    ),
    "a lazy layer": (
        {"model": lambda: nn.LazyLinear(3).double()},
        ValueError,
        "model LazyLinear must have all its parameters, but weight waits for a first batch",
    ),
    "a model that cannot be copied": (
        {"model": Uncopyable()},
        TypeError,
        "that copy.deepcopy can copy.*pass a factory",
    ),
    # optimizer
    "an optimizer already made": (
        {"optimizer": SGD(ONE.parameters(), lr=0.1)},
        TypeError,
        "optimizer is a SGD that is already made.*pass the class, optimizer=torch.optim.SGD",
    ),
    "an optimizer in words": (
        {"optimizer": "sgd"},
        TypeError,
        r"optimizer must be callable as optimizer\(params, lr=lr\)",
    ),
    "an optimizer without lr": (
        {"optimizer": lambda params: SGD(params, lr=1)},
        TypeError,
        "unexpected keyword argument 'lr'",
    ),
    "an optimizer of nothing": (
        {"optimizer": lambda params, lr: None},
        TypeError,
        "must return a torch optimizer, but returned a NoneType",
    ),
    "an optimizer that ignores lr": (
        {"optimizer": ignores_lr},
        ValueError,
        r"optimizer ignores lr: asked for .* pass optimizer=lambda params, lr: SGD\(params, lr=lr\)",
    ),
    "a group that ignores lr": (
        {"optimizer": one_group_ignores_lr},
        ValueError,
        "optimizer group 0 must follow lr in proportion.*'lr_scale': 0.1",
    ),
    "an optimizer that raises": (
        {"optimizer": partial(SGD, momentum=-1.0)},
        ValueError,
        r"optimizer\(params\(model\), lr=.* raised ValueError: Invalid momentum value: -1.0",
    ),
    "params of another model": (
        {"params": lambda model: BACKBONE.parameters()},
        ValueError,
        r"params\(model\) must give parameters of the model that it is called with, but 2 of",
    ),
    "params in a list": (
        {"params": [1]},
        TypeError,
        r"params must be callable as params\(model\), but is a list",
    ),
    "no params": (
        {"params": lambda model: []},
        ValueError,
        "raised ValueError: optimizer got an empty parameter list",
    ),
    "a negative scale": ({"params": bad_scale(-1.0)}, ValueError, "lr_scale must be finite, >= 0"),
    "a scale of zero alone": (
        {"params": bad_scale(0.0)},
        ValueError,
        "optimizer ignores lr|lr_scale must be finite",
    ),
    "an optimizer of what the loss never reaches": (
        {
            "model": lambda: nn.ModuleList([small_net(), nn.Linear(1, 1)]),
            "loss": lambda model, batch: cross_entropy(model[0], batch),
            "params": lambda model: model[1].parameters(),
        },
        ValueError,
        "loss must depend on a parameter that the optimizer trains, but reaches none of its 2",
    ),
    "a device that is not there": (
        {"device": "abacus"},
        ValueError,
        "device must be one that torch can use here, but is 'abacus'",
    ),
}


@pytest.mark.parametrize(("changes", "kind", "message"), BAD.values(), ids=BAD)
def test_what_cannot_work_is_named_with_a_call_that_does(
    changes: dict[str, Any], kind: type[Exception], message: str
) -> None:
    state = torch.get_rng_state()
    with pytest.raises(kind, match=message):
        small_task(**changes)
    assert torch.equal(state, torch.get_rng_state())


def test_a_chained_error_keeps_its_cause() -> None:
    with pytest.raises(RuntimeError) as caught:
        small_task(loss=lambda model, batch: model(batch[0].float()).mean())
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_ignored_labels_and_soft_labels_are_no_error() -> None:
    ignored = Y.clone().index_fill_(0, torch.tensor([3]), -100)
    small_task(train=(X, ignored))
    soft = nn.functional.one_hot(Y, 3).double()
    small_task(train=(X, soft), val=(X, soft))


def test_batch_norm_may_have_a_trial_batch_of_one() -> None:
    model = lambda: nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)).double()  # noqa: E731
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        ss.train(small_task(model=model, batch_size=1), [ss.Member(0.1, 0)], np.full(2, 0.1))


def test_the_users_module_is_the_start_and_is_never_trained() -> None:
    module = small_net().eval()
    before = {name: p.clone() for name, p in module.state_dict().items()}
    task = small_task(model=module)
    assert task.from_weights
    ss.train(task, [ss.Member(0.5, 0)], np.full(20, 0.5))
    assert not module.training
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])
    made = task.make_model(3)
    assert made.training
    assert made is not module
    assert torch.equal(made[0].weight, module[0].weight)  # type: ignore[index]


def test_a_factorys_weights_depend_on_the_seed_alone() -> None:
    task = small_task()
    assert not task.from_weights
    torch.manual_seed(1)
    first = task.make_model(5)[0].weight  # type: ignore[index]
    torch.manual_seed(2)
    assert torch.equal(first, task.make_model(5)[0].weight)  # type: ignore[index]
    assert not torch.equal(first, task.make_model(6)[0].weight)  # type: ignore[index]


def test_without_held_out_data_a_tenth_of_train_is_held_out() -> None:
    task = small_task(val=None)
    assert task.loss_kind == "held-out part of train"
    assert task.samples == 40
    train, held = task.train.all(), task.val.all()  # type: ignore[union-attr]
    rows = [tuple(row) for row in torch.cat([train[0], held[0]]).tolist()]
    assert sorted(rows) == sorted(tuple(row) for row in X.tolist())
    again = small_task(val=None, seed=9).val.all()  # type: ignore[union-attr]
    assert torch.equal(again[0], held[0])
    assert small_task().loss_kind == "validation"


def test_a_stream_is_judged_on_batches_that_training_never_sees() -> None:
    task = small_task(train=stream, val=None)
    assert task.loss_kind == "fresh training batches"
    assert (task.samples, task.epochs) == (None, None)
    assert len(task.trial_batch(8)[1]) == 8
    trained = [batch[0][0, 0].item() for batch in itertools.islice(task.batches(0), 50)]
    history = ss.train(task, [ss.Member(0.1, 0)], np.full(3, 0.1), evaluate_at=[0, 3])
    assert history.val_folds.shape == (1, 2, 32)
    assert history.cost.samples == 3 * 16
    fresh = task.val.batches(16, 3, 0)  # type: ignore[union-attr]
    assert not set(trained) & {batch[0][0, 0].item() for batch in itertools.islice(fresh, 50)}


@given(samples=st.integers(2, 200), batch_size=st.integers(1, 200), epochs=st.floats(0.01, 50))
def test_horizon_in_epochs_and_steps(samples: int, batch_size: int, epochs: float) -> None:
    batch_size = min(batch_size, samples)
    x, y = torch.zeros(samples, 1), torch.zeros(samples, 1)
    task = ss.Task(
        model=nn.Linear(1, 1),
        loss=ss.supervised(nn.MSELoss()),
        train=(x, y),
        val=(x[:1], y[:1]),
        optimizer=SGD,
        batch_size=batch_size,
        epochs=epochs,
    )
    an_epoch = -(-samples // batch_size)
    assert task.steps == max(1, round(epochs * an_epoch))
    assert task.epochs == pytest.approx(task.steps / an_epoch)
    assert task.replace(steps=task.steps).steps == task.steps


def test_numpy_numbers_are_numbers() -> None:
    task = small_task(batch_size=np.int64(16), steps=None, epochs=np.float32(2.0), seed=np.int32(3))
    assert (task.batch_size, task.steps, task.seed) == (16, 6, 3)


def test_replace_checks_anew_and_swaps_the_horizon() -> None:
    task = small_task()
    assert task.replace(epochs=2).steps == 6
    assert task.replace(epochs=2).replace(steps=9).steps == 9
    assert task.replace(batch_size=32).steps == 100
    assert task.steps == 100
    with pytest.raises(ValueError, match="batch_size must not exceed"):
        task.replace(batch_size=99)
    with pytest.raises(TypeError, match="Task has no argument 'batchsize'; it has model, loss, train"):
        task.replace(batchsize=3)


def test_repr_says_what_is_trained_and_how() -> None:
    assert repr(small_task(name="toy")) == (
        "Task('toy': 44 samples, judged on validation; SGD, batch 16, 100 updates (33.3333 epochs), cpu)"
    )
    assert "a stream, judged on fresh training batches; Adam" in repr(
        small_task(train=stream, val=None, optimizer=lambda params, lr: Adam(params, lr=lr))
    )


@pytest.mark.parametrize(
    ("factory", "name"),
    [(SGD, "SGD"), (partial(Adam, eps=1e-6), "Adam"), (lambda params, lr: Adam(params, lr=lr), "Adam")],
)
def test_the_optimizer_is_named_by_its_class(factory: Any, name: str) -> None:
    assert small_task(optimizer=factory).optimizer_name == name


def test_an_optimizer_is_made_at_its_groups_shares_of_the_rate() -> None:
    task = small_task(
        params=lambda model: [
            {"params": model[0].parameters(), "lr_scale": 0.5},
            {"params": model[2].parameters()},
        ]
    )
    optimizer = task.make_optimizer(task.make_model(0), 0.2)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.2]


def test_all_is_possible_on_a_plain_net() -> None:
    found = small_task().capabilities()
    assert found.held_out_loss
    assert found.stack
    assert found.per_example_gradients
    assert found.curvature
    assert "vmap over 4 samples works" in str(found)


class Argmax(torch.autograd.Function):
    """The straight-through estimator, without a rule for vmap."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.one_hot(x.argmax(dim=1), x.shape[1]).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        return grads[0]


def straight_through(x: torch.Tensor) -> torch.Tensor:
    return Argmax.apply(x)  # type: ignore[no-any-return, no-untyped-call]


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.cell, self.head = nn.Embedding(5, 4), nn.LSTM(4, 4), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.cell(self.embed(x))[0][:, -1])  # type: ignore[no-any-return]


LIMITED: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "batch norm": (
        {"model": lambda: nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)).double()},
        {"per_example_gradients": "TypeError: BatchNorm1d '1' mixes the samples of a batch"},
    ),
    "lstm": (
        {"model": Words, "train": (Y.view(22, 2), Y[:22]), "val": (Y.view(22, 2), Y[:22])},
        {"stack": "TypeError: cell is an LSTM, whose fused kernel has no batching rule"},
    ),
    "a kernel of one's own": (
        {
            "loss": lambda model, batch: nn.functional.mse_loss(
                straight_through(model(batch[0])), batch[0][:, :3]
            )
        },
        {
            "stack": "autograd.Function",
            "per_example_gradients": "autograd.Function",
            "curvature": "autograd.Function",
        },
    ),
    "a decision on a value": (
        {
            "loss": lambda model, batch: (
                cross_entropy(model, batch) * (2 if cross_entropy(model, batch).item() > 1 else 1)
            )
        },
        {"stack": "item", "per_example_gradients": "item"},
    ),
}


@pytest.mark.parametrize(("changes", "reasons"), LIMITED.values(), ids=LIMITED)
def test_what_is_not_possible_has_a_reason(changes: dict[str, Any], reasons: dict[str, str]) -> None:
    task = small_task(**changes)
    found = task.capabilities()
    for name in ("held_out_loss", "stack", "per_example_gradients", "curvature"):
        capability = getattr(found, name)
        if name in reasons:
            assert not capability
            assert reasons[name] in capability.why
            assert f"no   {name.replace('_', ' ')}" in str(found)
    history = ss.train(task, [ss.Member(0.1, 0)], np.full(2, 0.1))
    assert (history.engine == "stack") == bool(found.stack), history.engine_reason


def test_training_on_the_full_batch_leaves_the_data_alone() -> None:
    x = X.clone()
    ss.train(small_task(train=(x, Y), batch_size="full"), [ss.Member(0.5, 0)], np.full(5, 0.5))
    assert torch.equal(x, X)
