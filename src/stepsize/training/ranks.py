"""A probe under torchrun: every rank trains on its own batches, and gradients are averaged here.

While a measurement lasts, `DistributedDataParallel` modules do not synchronise. Gradients are averaged at the
end of each backward pass instead, once the ranks have met: a rank that raises an exception then leaves no
other one waiting for it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, ParamSpec, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from stepsize._ranks import ALONE, Session, current, distributed, in_step
from stepsize.probe import Probe
from stepsize.training.probed import ProbeRun

P = ParamSpec("P")
R = TypeVar("R")


def collective(measurement: Callable[P, R]) -> Callable[P, R]:
    """A measurement that the ranks make together where it is of a probe, its first argument or `task`."""

    @functools.wraps(measurement)
    def together(*args: P.args, **kwargs: P.kwargs) -> R:
        task = args[0] if args else kwargs.get("task")
        if not isinstance(task, (Probe, ProbeRun)) or current() is not ALONE or not distributed():
            return measurement(*args, **kwargs)
        probe = task.probe if isinstance(task, ProbeRun) else task

        def work(session: Session) -> R:
            with _averaging(probe, session):
                return measurement(*args, **kwargs)

        return in_step(work)

    return together


@contextmanager
def own_gradients() -> Iterator[None]:
    """Leave each rank its own gradients meanwhile."""
    session = current()
    if not isinstance(session, Session):
        yield
        return
    session.averages = False
    try:
        yield
    finally:
        session.averages = True


@contextmanager
def _averaging(probe: Probe, session: Session) -> Iterator[None]:
    """Average the gradients of a probe's modules in their place."""
    inside = [m for item in probe.state if isinstance(item, nn.Module) for m in item.modules()]
    modules = list({id(m): m for m in inside if isinstance(m, DistributedDataParallel)}.values())
    with ExitStack() as stack:
        for module in modules:
            stack.enter_context(module.no_sync())
            stack.callback(setattr, module, "require_forward_param_sync", module.require_forward_param_sync)
            module.require_forward_param_sync = False  # or the first forward pass would broadcast buffers
        averaging = _Averaging(modules, session)
        for place, module in enumerate(modules):
            for p in _trained(module):
                stack.callback(p.register_post_accumulate_grad_hook(averaging.reached(place)).remove)
        yield


class _Averaging:
    """Averages the gradients of the modules that a backward pass has reached, once it is through."""

    def __init__(self, modules: list[DistributedDataParallel], session: Session) -> None:
        self._modules, self._session = modules, session
        self._reached: set[int] = set()

    def reached(self, place: int) -> Callable[[torch.Tensor], None]:
        """A hook on the weights of a module."""

        def note(weight: torch.Tensor) -> None:
            if not self._session.averages:
                return
            if not self._reached:
                torch.autograd.Variable._execution_engine.queue_callback(self._average)
            self._reached.add(place)

        return note

    def _average(self) -> None:
        reached, self._reached = sorted(self._reached), set()
        for place in reached:
            self._session.agree(f"gradients of module {place}")
            _average_gradients(self._modules[place])
            _share_buffers(self._modules[place])


def _trained(module: DistributedDataParallel) -> list[nn.Parameter]:
    named = module.module.named_parameters()
    return [p for name, p in named if p.requires_grad and name not in module.parameters_to_ignore]


@torch.no_grad()
def _average_gradients(module: DistributedDataParallel) -> None:
    """As the module itself would; weights that no rank has used keep having no gradient."""
    weights, group = _trained(module), module.process_group
    used = torch.tensor([float(p.grad is not None) for p in weights], device=weights[0].device)
    dist.all_reduce(used, group=group)
    alike: dict[Any, list[torch.Tensor]] = {}
    for p, ranks in zip(weights, used.tolist(), strict=True):
        if ranks:
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad
            alike.setdefault(p.grad.dtype, []).append(p.grad)
    for gradients in alike.values():
        flat = torch.cat([g.flatten() for g in gradients]).div_(dist.get_world_size(group))
        dist.all_reduce(flat, group=group)
        for g, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            g.copy_(mean.view_as(g))


@torch.no_grad()
def _share_buffers(module: DistributedDataParallel) -> None:
    """Rank 0's, which the module would send before its next forward pass."""
    if not module.broadcast_buffers:
        return
    first = dist.get_global_rank(module.process_group, 0)
    for name, buffer in module.module.named_buffers():
        if name not in module.parameters_to_ignore:
            dist.broadcast(buffer, first, group=module.process_group)
