from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import nn
from torch.utils.checkpoint import checkpoint

import stepsize as ss
from stepsize.training.dropout import InParts, RowMajorDropout
from tests.training.twins import assert_three_ways, fingerprint, small_task, table

SAMPLES = 28
RATES = (0.05, 0.002)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(9)


def signals() -> torch.Tensor:
    return torch.randn(SAMPLES, 2, 8, dtype=torch.float64, generator=generator())


def images() -> torch.Tensor:
    return torch.randn(SAMPLES, 2, 6, 6, dtype=torch.float64, generator=generator())


def words() -> torch.Tensor:
    return torch.randint(0, 7, (SAMPLES, 5), generator=generator())


def labels() -> torch.Tensor:
    return torch.randint(0, 3, (SAMPLES,), generator=generator())


class Mean(nn.Module):
    """The mean over the positions of a sequence (B, L, C)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=1)


class Recurrent(nn.Module):
    """A recurrent layer of any kind over embedded words."""

    def __init__(self, kind: Callable[..., nn.Module], **options: Any) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.cell = kind(4, 4, batch_first=True, **options)
        self.head = nn.Linear(4, 3)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.cell(self.embed(tokens))[0][:, -1])  # type: ignore[no-any-return]


class Attention(nn.Module):
    """Attention of a sequence to itself, with dropout on the weights."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = options
        self.embed = nn.Embedding(7, 4)
        self.attend = nn.MultiheadAttention(4, 2, dropout=0.2, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embed(tokens)
        return self.head((x + self.attend(x, x, x, **self.options)[0]).mean(dim=1))  # type: ignore[no-any-return]


class Causal(nn.Module):
    """Causal attention by the functional call, as language models write it."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        self.embed = nn.Embedding(7, 4)
        self.project = nn.Linear(4, 12)
        self.head = nn.Linear(4, 3)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        q, k, v = self.project(self.embed(tokens)).chunk(3, dim=-1)
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=dropout)
        return self.head(y.mean(dim=1))  # type: ignore[no-any-return]


class Tied(nn.Module):
    """One matrix at both ends."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.embed(tokens).mean(dim=1))[:, :3]  # type: ignore[no-any-return]


class Partly(nn.Module):
    """Frozen parameters, and some that the loss never reaches."""

    seen: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Linear(4, 6).requires_grad_(False)
        self.head = nn.Linear(6, 3)
        self.unused = nn.Linear(2, 2)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.seen += len(x)
        return self.head(self.frozen(x).tanh())  # type: ignore[no-any-return]


def features() -> torch.Tensor:
    return torch.randn(SAMPLES, 4, dtype=torch.float64, generator=generator())


def net(*layers: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(*[make() for make in layers]).double()


P = partial
CASES: dict[str, tuple[Callable[[], nn.Module], Callable[[], torch.Tensor]]] = {
    "conv1d": (net(P(nn.Conv1d, 2, 3, 3), nn.ReLU, nn.Flatten, P(nn.Linear, 18, 3)), signals),
    "conv2d, max pool": (
        net(P(nn.Conv2d, 2, 3, 3), nn.ReLU, P(nn.MaxPool2d, 2), nn.Flatten, P(nn.Linear, 12, 3)),
        images,
    ),
    "conv2d, batch norm": (
        net(P(nn.Conv2d, 2, 3, 3), P(nn.BatchNorm2d, 3), nn.ReLU, nn.Flatten, P(nn.Linear, 48, 3)),
        images,
    ),
    "batch norm": (net(P(nn.Linear, 4, 6), P(nn.BatchNorm1d, 6), nn.Tanh, P(nn.Linear, 6, 3)), features),
    "group norm": (
        net(P(nn.Conv1d, 2, 4, 3), P(nn.GroupNorm, 2, 4), nn.ReLU, nn.Flatten, P(nn.Linear, 24, 3)),
        signals,
    ),
    "layer norm": (net(P(nn.Linear, 4, 6), P(nn.LayerNorm, 6), nn.GELU, P(nn.Linear, 6, 3)), features),
    "dropout": (net(P(nn.Linear, 4, 6), nn.Tanh, P(nn.Dropout, 0.3), P(nn.Linear, 6, 3)), features),
    "dropout of channels": (
        net(P(nn.Conv2d, 2, 4, 3), P(nn.Dropout2d, 0.3), nn.Flatten, P(nn.Linear, 64, 3)),
        images,
    ),
    "embedding": (net(P(nn.Embedding, 7, 4), Mean, P(nn.Linear, 4, 3)), words),
    "embedding bag": (net(P(nn.EmbeddingBag, 7, 4, mode="sum"), P(nn.Linear, 4, 3)), words),
    "gru": (lambda: Recurrent(nn.GRU).double(), words),
    "rnn": (lambda: Recurrent(nn.RNN).double(), words),
    "causal attention": (lambda: Causal().double(), words),
    "tied weights": (lambda: Tied().double(), words),
    "frozen and unreached": (lambda: Partly().double(), features),
}

MASKED: dict[str, tuple[Callable[[], nn.Module], Callable[[], torch.Tensor]]] = {
    "attention with dropout": (lambda: Attention(need_weights=False).double(), words),
    "attention that returns its weights": (lambda: Attention().double(), words),
    "causal attention with dropout": (lambda: Causal(0.2).double(), words),
    "transformer layer": (
        net(
            P(nn.Embedding, 7, 4),
            P(nn.TransformerEncoderLayer, 4, 2, 8, dropout=0.1, batch_first=True),
            Mean,
            P(nn.Linear, 4, 3),
        ),
        words,
    ),
}
"""Here the twin draws row-major masks too: torch's own depend on how attention lays out its tensors."""


def assert_layer(
    case: tuple[Callable[[], nn.Module], Callable[[], torch.Tensor]],
    masks: Callable[[], AbstractContextManager[Any]] | None = None,
    stacked: bool = True,
) -> ss.History:
    make, inputs = case
    x, y = inputs(), labels()
    optimizer = partial(torch.optim.SGD, momentum=0.9, weight_decay=0.01)
    task = small_task(
        model=make, train=(x[:20], y[:20]), val=(x[20:], y[20:]), optimizer=optimizer, batch_size=8
    )
    return assert_three_ways(
        task,
        make,
        lambda params, lr: optimizer(params, lr=lr),
        table(RATES, 20),
        masks=masks,
        stacked=stacked,
    )


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_layer_stacks_exactly(case: Any) -> None:
    assert_layer(case)


@pytest.mark.parametrize("case", MASKED.values(), ids=MASKED)
def test_layer_with_dropout_inside_stacks_exactly(case: Any) -> None:
    assert_layer(case, masks=RowMajorDropout)


def test_lstm_runs_in_the_loop_and_says_why() -> None:
    history = assert_layer((lambda: Recurrent(nn.LSTM).double(), words), stacked=False)
    assert history.engine_reason == "cell is an LSTM, whose fused kernel has no batching rule"


def test_dropout_inside_a_fused_recurrent_kernel_is_exact_in_either_engine() -> None:
    case = (lambda: Recurrent(nn.GRU, num_layers=2, dropout=0.5).double(), words)
    x, y = words(), labels()
    task = small_task(model=case[0], train=(x[:20], y[:20]), val=(x[20:], y[20:]), batch_size=8)
    run = [ss.Member(lr, 0) for lr in RATES]
    auto = ss.train(task, run, table(RATES, 12))
    loop = ss.train(task, run, table(RATES, 12), engine="loop")
    np.testing.assert_allclose(auto.train_loss, loop.train_loss, rtol=1e-9)


def test_frozen_and_unreached_parameters_stay_as_they_are() -> None:
    def still(model: nn.Module, batch: Any) -> torch.Tensor:
        return fingerprint(nn.ModuleList([model.frozen, model.unused]), batch)  # type: ignore[list-item]

    make, inputs = CASES["frozen and unreached"]
    task = small_task(
        model=make,
        train=(inputs(), labels()),
        val=(inputs(), labels()),
        optimizer=partial(torch.optim.AdamW, weight_decay=0.5),
        metrics={"still": still, "buffer": lambda model, batch: model.seen.double()},
    )
    history = ss.train(task, [ss.Member(0.1, 0)] * 2, np.full(10, 0.1), evaluate_at=[0, 10])
    assert history.engine == "stack"
    np.testing.assert_array_equal(history.metrics["still"][:, 0], history.metrics["still"][:, 1])
    np.testing.assert_array_equal(history.metrics["buffer"][:, 1], 5 * SAMPLES)  # two batches an epoch


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Dropout1d, (3, 4, 5)),
        (nn.Dropout1d, (4, 5)),
        (nn.Dropout2d, (3, 4, 5, 6)),
        (nn.Dropout3d, (3, 4, 2, 2, 2)),
        (nn.Dropout3d, (4, 2, 2, 2)),
        (nn.Dropout, (3, 4)),
    ],
    ids=str,
)
def test_row_major_masks_are_torchs_own_for_tensors_in_row_major_order(
    layer: type[nn.Module], shape: tuple[int, ...]
) -> None:
    x = torch.ones(shape)
    torch.manual_seed(3)
    theirs = layer(0.5)(x)
    torch.manual_seed(3)
    with RowMajorDropout():
        ours = layer(0.5)(x)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["boolean", "additive", "causal", "scaled, grouped"])
def test_attention_from_plain_products_is_torchs(kind: str) -> None:
    q, k, v = (torch.randn(2, 4, 5, 3, dtype=torch.float64, requires_grad=True) for _ in range(3))
    allowed = torch.ones(5, 5, dtype=torch.bool).tril()
    allowed[2] = False  # this query may look at nothing: torch says 0, a plain softmax says NaN
    choices: dict[str, dict[str, Any]] = {
        "boolean": {"attn_mask": allowed},
        "additive": {"attn_mask": torch.zeros(5, 5, dtype=torch.float64).masked_fill(~allowed, -torch.inf)},
        "causal": {"is_causal": True},
        "scaled, grouped": {"scale": 0.3, "enable_gqa": True},
    }
    options = choices[kind]
    if kind == "scaled, grouped":
        k, v = (t.detach()[:, :2].clone().requires_grad_() for t in (k, v))
    theirs = F.scaled_dot_product_attention(q, k, v, **options)
    expected = torch.autograd.grad(theirs.square().sum(), (q, k, v))
    with InParts():
        ours = F.scaled_dot_product_attention(q, k, v, **options)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(torch.autograd.grad(ours.square().sum(), (q, k, v)), expected)


def test_attention_that_draws_no_mask_stays_torchs_own_kernel() -> None:
    q, k, v = (torch.randn(2, 4, 5, 3) for _ in range(3))
    theirs = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    with RowMajorDropout():
        ours = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_the_loop_watches_no_call_to_torch_but_the_loss() -> None:
    """A mode costs time on every call, those of the optimizer too."""
    modes: dict[str, list[int]] = {"loss": [], "step": []}

    class Counting(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            modes["step"].append(torch._C._len_torch_function_stack())
            return super().step(closure)

    def loss(model: nn.Module, batch: Any) -> torch.Tensor:
        modes["loss"].append(torch._C._len_torch_function_stack())
        return F.cross_entropy(model(batch[0]), batch[1])

    task = small_task(loss=loss, optimizer=Counting)
    ss.train(task, [ss.Member(0.1, 0)], np.full(3, 0.1), engine="loop", evaluate_at=[])
    assert (modes["loss"][-3:], modes["step"]) == ([1, 1, 1], [0, 0, 0])


class Checkpointed(nn.Module):
    """Keeps nothing of its block, and computes it again in the backward pass."""

    def __init__(self, *, again: bool) -> None:
        super().__init__()
        self.again = again
        self.block = nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.4), nn.Tanh(), nn.Linear(6, 4))
        self.causal = Causal(0.3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = checkpoint(self.block, x, use_reentrant=False) if self.again else self.block(x)
        tokens = x.abs().long() % 7
        y = checkpoint(self.causal, tokens, use_reentrant=False) if self.again else self.causal(tokens)
        scores: torch.Tensor = y + h[:, :3]
        return scores


def test_masks_are_the_same_where_the_backward_pass_computes_a_part_again() -> None:
    def losses(*, again: bool) -> np.ndarray:
        task = small_task(model=lambda: Checkpointed(again=again).double(), metrics={})
        run = [ss.Member(0.1, 0)]
        return ss.train(task, run, np.full(10, 0.1), engine="loop", evaluate_at=[]).train_loss

    np.testing.assert_allclose(losses(again=True), losses(again=False), rtol=1e-12)
