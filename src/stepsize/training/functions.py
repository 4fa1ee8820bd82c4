"""A task's update and evaluation as functions of stacked tensors, recorded once for all its stacks."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.func import functional_call, grad_and_value, vjp, vmap

from stepsize._capabilities import first_line
from stepsize._rng import isolated_rng
from stepsize.data import first_batch, samples_in
from stepsize.losses import BoundLoss
from stepsize.task import Task
from stepsize.training.evaluation import ROWS, Evaluation, Folds
from stepsize.training.memory import footprint, is_out_of_memory
from stepsize.training.obstacles import NotStackableError, refuse_known
from stepsize.training.trace import Traced

Tensors = dict[str, torch.Tensor]

FEW = 8
"""Held-out samples that tell how large a forward pass is."""

BLOCK = 4 * 2**20
"""Bytes of the largest tensor up to which held-out folds are computed together. Beyond, a call costs little
beside its arithmetic, and fewer calls with larger blocks took up to twice as long (CNNs, one core)."""


class StackedFunctions:
    """What K members compute together: one update's losses and gradients, and the held-out losses.

    `names` are the parameters that are trained; `buffers` what else belongs to each member: buffers, and
    parameters that are not trained but drawn anew for each seed. Members of one seed share each batch
    (`update(shared=True)`); otherwise every member has its own, along a first axis. What was recorded for
    some shapes serves every later stack of these shapes. `folds_together` says whether held-out folds may be
    computed by one call: None until that was compared with one call each.

    Raises `NotStackableError` for a model or an optimizer that is known to be no good in a stack.
    """

    def __init__(self, task: Task, model: nn.Module, evaluation: Evaluation) -> None:
        refuse_known(task, model, task.make_optimizer(model, 1.0))
        self.names = _trained(task, model)
        self.buffers = [name for name, _ in model.named_buffers()] + _differing(task, model, self.names)
        self._bound = BoundLoss(model, task.loss)
        self._eval_bound = BoundLoss(copy.deepcopy(model).eval(), task.loss)
        self._metrics = evaluation.functions
        self._recurrent = any(isinstance(module, nn.RNNBase) for module in model.modules())
        self.folds_together: bool | None = None
        few = first_batch(task.val, FEW)
        self._sample_bytes = footprint(task, self._eval_bound.model, few).activation / samples_in(few)
        # Each fold draws its own random numbers, if any: then they are not to be computed together.
        of_folds = vmap(self._member_metrics, in_dims=(None, None, 0), randomness="error")
        self._measure = {
            stacked: Traced(vmap(function, in_dims=(0, 0, None), randomness="same"))
            for stacked, function in ((False, self._member_metrics), (True, of_folds))
        }
        self._updates: dict[bool, Traced] = {}

    def folds(self, evaluation: Evaluation, members: int) -> list[Folds]:
        """The held-out folds as so many members should compute them: in few calls, but in small blocks."""
        if self.folds_together is False:
            return evaluation.apart
        rows = BLOCK / max(1.0, self._sample_bytes * members)
        return evaluation.together(int(min(ROWS, rows)))

    def update(self, *, shared: bool) -> Traced:
        """(parameters, buffers, batch) -> losses (K,), then gradients and buffers in their order: flat."""
        if shared not in self._updates:
            differentiate = vmap(
                grad_and_value(self._member_loss, has_aux=True),
                in_dims=(0, 0, None if shared else 0),
                randomness="same" if shared else "error",
            )

            def all_at_once(params: Tensors, buffers: Tensors, batch: Any) -> tuple[torch.Tensor, ...]:
                grads, (losses, left) = differentiate(params, buffers, batch)
                kept = buffers | left
                return (losses, *(grads[name] for name in params), *(kept[name] for name in buffers))

            gradients = slice(1, 1 + len(self.names))
            self._updates[shared] = Traced(
                all_at_once, required=True, lasting=True, products=True, gradients=gradients
            )
        return self._updates[shared]

    def measure(self, params: Tensors, buffers: Tensors, folds: Folds) -> Tensors:
        """The loss and each metric of every member (K, F) on F held-out folds."""
        try:
            with warnings.catch_warnings():
                # Without a batching rule torch maps over the members one by one: slower, and as right.
                warnings.filterwarnings("ignore", message=".*batching rule.*")
                values: Tensors = self._measure[folds.stacked](params, buffers, folds.batch)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise NotStackableError(f"evaluation: {first_line(error)}") from error
        return values if folds.stacked else {name: value[:, None] for name, value in values.items()}

    def release(self) -> None:
        """Let go of the last stack's tensors; what was recorded stays."""
        for traced in (*self._measure.values(), *self._updates.values()):
            traced.release()

    def _member_loss(self, params: Tensors, buffers: Tensors, batch: Any) -> tuple[torch.Tensor, Tensors]:
        # Buffers are copied, so that a loss which changes them in place changes nothing before its update.
        state = params | {name: buffer.clone() for name, buffer in buffers.items()}
        loss, left = functional_call(self._bound, state, (batch,))
        return loss, left

    def _member_metrics(self, params: Tensors, buffers: Tensors, batch: Any) -> Tensors:
        state = params | {name: buffer.clone() for name, buffer in buffers.items()}

        def values(state: Tensors) -> Tensors:
            found = {}
            for name, function in self._metrics.items():
                self._eval_bound.loss = function
                found[name] = functional_call(self._eval_bound, state, (batch,))[0]
            return found

        # vmap alone cannot take fused recurrent kernels apart; under a derivative they come in parts already.
        return vjp(values, state)[0] if self._recurrent else values(state)


class Records:
    """The functions of one task, kept from one call of `train` to the next.

    A part of the task's data is the same task. Where model, loss, optimizer, metrics or device differ, new
    functions take the place of the old ones.
    """

    def __init__(self) -> None:
        self._task: Task | None = None
        self._kept: StackedFunctions | None = None

    def functions(self, task: Task, model: nn.Module, evaluation: Evaluation) -> StackedFunctions:
        """Those of the task, made from `model` if there are none yet."""
        if self._kept is None or self._task is None or not task.computes_like(self._task):
            self._kept = StackedFunctions(task, model, evaluation)
            self._task = task
        return self._kept

    def release(self) -> None:
        """Let go of the last stack's tensors."""
        if self._kept is not None:
            self._kept.release()


def _differing(task: Task, model: nn.Module, trained: Sequence[str]) -> list[str]:
    """Names of the parameters that are not `trained` and yet are not the same for all seeds."""
    fixed = [name for name, _ in model.named_parameters() if name not in trained]
    if task.from_weights or not fixed:
        return []
    one, other = (dict(task.make_model(task.seed + i).named_parameters()) for i in range(2))
    return [name for name in fixed if name in other and not torch.equal(one[name], other[name])]


def _trained(task: Task, model: nn.Module) -> list[str]:
    """Names of the parameters that the optimizer updates and that the loss reaches.

    torch leaves a parameter without a gradient alone, weight decay included; so does the stack.
    """
    optimizer = task.make_optimizer(model, 1.0)
    updated = {id(p) for group in optimizer.param_groups for p in group["params"]}
    candidates = {n: p for n, p in model.named_parameters() if p.requires_grad and id(p) in updated}
    probe = copy.deepcopy(model)
    reached = dict(probe.named_parameters())
    with isolated_rng(0), torch.enable_grad():
        loss = task.loss(probe, task.trial_batch(min(8, task.batch_size)))
        grads = torch.autograd.grad(loss, [reached[n] for n in candidates], allow_unused=True)
    return [name for name, g in zip(candidates, grads, strict=True) if g is not None]
