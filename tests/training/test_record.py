"""Recorded kernels: those of torch's own tracer, in their order, and nothing read from values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from stepsize.training.record import record
from tests.training.callable_kernels import module

NETS: dict[str, Callable[[], nn.Module]] = {
    "convolutions": lambda: nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 3),
    ),
    "normalised": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(100, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 3)
    ),
    "dropout": lambda: nn.Sequential(nn.Flatten(), nn.Linear(100, 8), nn.Dropout(0.5), nn.Linear(8, 3)),
}


def stacked_gradients(net: nn.Module, members: int) -> tuple[Callable[..., tuple[Tensor, ...]], list[Tensor]]:
    """The gradients of several members' loss, as a function of their weights, inputs and labels."""
    names = [name for name, _ in net.named_parameters()]
    buffers = {name: torch.stack([buffer] * members) for name, buffer in net.named_buffers()}

    def loss(weights: dict[str, Tensor], own: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        state = weights | {name: buffer.clone() for name, buffer in own.items()}
        return nn.functional.cross_entropy(functional_call(net, state, (x,)), y)

    def gradients(*tensors: Tensor) -> tuple[Tensor, ...]:
        weights = dict(zip(names, tensors, strict=False))
        found = vmap(grad(loss), in_dims=(0, 0, None, None), randomness="same")(
            weights, buffers, *tensors[-2:]
        )
        return tuple(found[name] for name in names)

    weights = [torch.stack([p.detach()] * members) for p in net.parameters()]
    return gradients, [*weights, torch.rand(6, 1, 10, 10), torch.randint(0, 3, (6,))]


@pytest.mark.parametrize("name", NETS)
def test_the_kernels_are_those_of_torchs_tracer(name: str) -> None:
    torch.manual_seed(1)
    function, inputs = stacked_gradients(NETS[name](), 3)
    recorded, theirs = record(function, inputs), make_fx(function)(*inputs)
    ours = module(recorded)

    def kernels(module: GraphModule) -> Counter[str]:
        # make_fx takes the name of batch normalisation that does not tell what it writes into.
        names = [str(n.target) for n in module.graph.nodes if isinstance(n.target, torch._ops.OpOverload)]
        return Counter(name.replace("_native_batch_norm_legit", "native_batch_norm") for name in names)

    assert kernels(ours) == kernels(theirs)
    again = [*inputs[:-2], torch.rand(6, 1, 10, 10), torch.randint(0, 3, (6,))]
    results = []
    for run in (ours, theirs, function):
        torch.manual_seed(2)
        results.append(run(*again))
    for ours_, theirs_, plain in zip(*results, strict=True):
        assert torch.equal(ours_, theirs_)
        torch.testing.assert_close(ours_, plain)


def test_every_tensor_is_described() -> None:
    graph = record(lambda x: (x.t().max(dim=0).values,), [torch.rand(2, 3)]).graph
    found = {str(node.target): node.meta.get("tensor_meta") for node in graph.nodes}
    assert found["aten.t.default"] is not None
    assert found["aten.t.default"][:3] == ((3, 2), (1, 3), torch.float32)
    assert found["<built-in function getitem>"] is not None


@pytest.mark.parametrize(
    "reads",
    [
        lambda x: (x * x.sum().item(),),
        lambda x: (x if x.sum() > 0 else -x,),
        lambda x: (x * torch.equal(x, x),),
    ],
    ids=["item", "branch", "equal"],
)
def test_reading_a_value_is_refused(reads: Callable[[Tensor], tuple[Tensor]]) -> None:
    with pytest.raises(RuntimeError, match="reads the value of a tensor"):
        record(reads, [torch.ones(2)])


def test_tensors_from_outside_are_held() -> None:
    outside = torch.tensor([3.0, 4.0])
    kernels = record(lambda x: (x * outside + torch.tensor(1.0),), [torch.ones(2)])
    assert torch.equal(module(kernels)(torch.full((2,), 2.0))[0], torch.tensor([7.0, 9.0]))
    assert [held.tolist() for held in kernels.held.values()] == [[3.0, 4.0], 1.0]
