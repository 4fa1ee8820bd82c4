"""The stack: K members of one seed as one computation.

Weights lie along a first axis, `torch.func.vmap` maps the user's own module over it, every batch is loaded
once for all. Members that diverge are taken out and the stack is made smaller.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, grad_and_value, vjp, vmap

from stepsize._capabilities import first_line, missing_rule
from stepsize._rng import capture_rng, isolated_rng, restore_rng, same_rng
from stepsize.losses import BoundLoss
from stepsize.task import Task
from stepsize.training.evaluation import Evaluation
from stepsize.training.history import Member
from stepsize.training.memory import is_out_of_memory
from stepsize.training.obstacles import NotStackableError, agrees, plain_update, refuse_known
from stepsize.training.optimizers import Native, Separate, StackedOptimizer, native_update
from stepsize.training.trace import NotRecordableError, Traced
from stepsize.training.watch import Watch

REBUILD_COST = 100
"""Updates that a smaller stack costs before it pays: recording takes about 0.2 s, an update of the reference
net 2 to 3 ms (16 members, batch 16 to 32, one core)."""

Tensors = dict[str, torch.Tensor]
Flat = list[torch.Tensor]


class Stack:
    """Trains K members of one seed at once, with the interface of `Loop`.

    Raises `NotStackableError`, in the constructor or from `advance`, when the stack cannot give what the
    loop would.
    """

    def __init__(
        self,
        task: Task,
        members: Sequence[Member],
        rates: np.ndarray,
        evaluation: Evaluation,
        controls: Mapping[str, np.ndarray],
    ) -> None:
        seeds = {member.seed for member in members}
        if len(seeds) != 1:
            raise ValueError(f"a stack holds members of one seed, but got the seeds {sorted(seeds)}")
        (seed,) = seeds
        self._task, self._rates, self._evaluation, self._controls = task, rates, evaluation, controls
        self.alive = np.ones(len(members), dtype=bool)
        self.train_loss = np.full(rates.shape, np.nan)
        self.updates_done = np.zeros(len(members), dtype=np.int64)
        self._rows = np.arange(len(members))  # which member stands in each place of the stack
        self._watch = Watch(len(members))
        self._done = 0
        self._batches = task.batches(seed)
        with isolated_rng(seed):
            self._rng = capture_rng()
        self._seed = seed
        self._model = task.make_model(seed)
        refuse_known(self._model, task.make_optimizer(self._model, 1.0))
        self._bound = BoundLoss(self._model, task.loss)
        self._names = _trained(task, self._model)
        self._params = self._stacked(dict(self._model.named_parameters()), self._names)
        self._buffers = self._stacked(
            dict(self._model.named_buffers()), [n for n, _ in self._model.named_buffers()]
        )
        self._optimizer = self._make_optimizer()
        self._lr_table = torch.from_numpy(np.ascontiguousarray(rates.T)).to(
            task.device, _rate_dtype(task.device)
        )
        self._differentiate = vmap(
            grad_and_value(self._member_loss, has_aux=True), in_dims=(0, 0, None), randomness="same"
        )
        self._update = Traced(self._all_at_once, required=True)
        self._recurrent = any(isinstance(module, nn.RNNBase) for module in self._model.modules())
        self._eval_bound = BoundLoss(copy.deepcopy(self._model).eval(), task.loss)
        self._measure = Traced(vmap(self._member_metrics, in_dims=(0, 0, None), randomness="same"))

    def _stacked(self, state: Tensors, names: Sequence[str]) -> Tensors:
        count = len(self._rows)
        return {
            f"model.{name}": state[name].detach().unsqueeze(0).repeat(count, *[1] * state[name].ndim)
            for name in names
        }

    def _make_optimizer(self) -> StackedOptimizer:
        prototype = self._task.make_optimizer(self._model, 1.0)
        update = native_update(prototype)
        stacked = list(self._params.values())
        if update is None:
            models = [self._task.make_model(self._seed) for _ in self._rows]
            separate = Separate(lambda model: self._task.make_optimizer(model, 1.0), models, self._names)
            separate.bind(stacked)
            return separate
        parameters = dict(self._model.named_parameters())
        home = {id(p): group for group in prototype.param_groups for p in group["params"]}
        groups = [home[id(parameters[name])] for name in self._names]
        return Native(update, stacked, groups, [float(group["lr"]) for group in groups])

    def _all_at_once(self, params: Tensors, buffers: Tensors, batch: Any) -> tuple[torch.Tensor, ...]:
        """Losses, then gradients in the parameters' order, then the buffers: flat, since that is quick."""
        grads, (losses, left) = self._differentiate(params, buffers, batch)
        return (losses, *(grads[name] for name in params), *(left[name] for name in buffers))

    def _member_loss(self, params: Tensors, buffers: Tensors, batch: Any) -> tuple[torch.Tensor, Tensors]:
        # Buffers are copied, so that a loss which changes them in place changes nothing before its update.
        state = params | {name: buffer.clone() for name, buffer in buffers.items()}
        loss, left = functional_call(self._bound, state, (batch,))
        return loss, left

    def _member_metrics(self, params: Tensors, buffers: Tensors, batch: Any) -> Tensors:
        state = params | {name: buffer.clone() for name, buffer in buffers.items()}

        def values(state: Tensors) -> Tensors:
            found = {}
            for name, function in self._evaluation.functions.items():
                self._eval_bound.loss = function
                found[name] = functional_call(self._eval_bound, state, (batch,))[0]
            return found

        # vmap alone cannot take fused recurrent kernels apart; under a derivative they come in parts already.
        return vjp(values, state)[0] if self._recurrent else values(state)

    def advance(self, count: int) -> None:
        """Train every living member for `count` more updates."""
        with isolated_rng(), torch.no_grad():
            restore_rng(self._rng)
            for t in range(self._done, self._done + count):
                if not self._rows.size:
                    break
                self._advance_once(t)
            self._rng = capture_rng()
        self._done += count

    def _advance_once(self, t: int) -> None:
        batch = next(self._batches)
        for name, values in self._controls.items():
            self._optimizer.set(name, float(values[t]))
        if t == 0:
            self._check_against_plain(batch)
        losses, grads, buffers = self._stacked_update(batch)
        self._optimizer.step(grads, self._lr_table[t])
        self._buffers = dict(zip(self._buffers, buffers, strict=True))
        self._note(t, losses)

    def _note(self, t: int, losses: torch.Tensor) -> None:
        values = losses.double().cpu().numpy()
        rows = self._rows
        if not self.alive[rows].all():
            living = self.alive[rows]
            rows, values = rows[living], values[living]
        self.train_loss[rows, t] = values
        self.updates_done[rows] += 1
        bad = self._watch.diverged(rows, values)
        if bad.any():
            self.drop(rows[bad].tolist(), updates_left=self._rates.shape[1] - t - 1)

    def drop(self, rows: Sequence[int], *, updates_left: int | None = None) -> None:
        """Stop counting these members, and take them out of the stack when that saves more than it costs."""
        self.alive[list(rows)] = False
        left = self._rates.shape[1] - self._done if updates_left is None else updates_left
        dead = int((~self.alive[self._rows]).sum())
        if dead and (dead == len(self._rows) or left * dead / len(self._rows) > REBUILD_COST):
            self._compact()

    def _compact(self) -> None:
        places = np.flatnonzero(self.alive[self._rows])
        keep = torch.from_numpy(places).to(self._task.device)
        self._rows = self._rows[places]
        self._params = {name: p.index_select(0, keep) for name, p in self._params.items()}
        self._buffers = {name: b.index_select(0, keep) for name, b in self._buffers.items()}
        self._optimizer.keep(keep, list(self._params.values()))
        self._lr_table = self._lr_table.index_select(1, keep)

    def _check_against_plain(self, batch: Any) -> None:
        """Compare the first update's loss, gradient and buffers with an ordinary one, to trust the rest."""
        before = capture_rng()
        plain = plain_update(self._task, self._seed, batch)
        after = capture_rng()
        restore_rng(before)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            losses, grads, buffers = self._stacked_update(batch)
        if missing := missing_rule(caught):
            raise NotStackableError(f"torch has no batching rule for {missing}")
        same = agrees(plain, losses[0], _first(self._params, grads), _first(self._buffers, buffers))
        if not same or not same_rng(after, capture_rng()):
            raise NotStackableError(
                "a stacked update differs from a plain one, so the model cannot be trusted to vmap"
            )
        restore_rng(before)

    def _stacked_update(self, batch: Any) -> tuple[torch.Tensor, Flat, Flat]:
        """Losses (K,), gradients and buffers, these in the order of `_params` and `_buffers`."""
        try:
            losses, *rest = self._update(self._params, self._buffers, batch)
        except NotRecordableError as error:
            raise NotStackableError(str(error)) from error
        except Exception as error:  # the loop tells whether it is vmap's fault or the task's own
            if is_out_of_memory(error):
                raise
            raise NotStackableError(first_line(error)) from error
        return losses, rest[: len(self._params)], rest[len(self._params) :]

    def evaluate(self) -> dict[str, np.ndarray]:
        """Held-out "loss" and each metric on every fold, (K, F); NaN for members that are gone."""
        shape = (len(self.alive), len(self._evaluation.batches))
        results = {name: np.full(shape, np.nan) for name in self._evaluation.functions}
        with isolated_rng(self._evaluation.seed), torch.no_grad():
            for fold, (batch, _) in enumerate(self._evaluation.batches if self._rows.size else ()):
                for name, members in self._measured(batch).items():
                    results[name][self._rows, fold] = members.double().cpu().numpy()
        for values in results.values():
            values[~self.alive] = np.nan
        return results

    def _measured(self, batch: Any) -> Tensors:
        try:
            with warnings.catch_warnings():
                # Without a batching rule torch maps over the members one by one: slower, and as right.
                warnings.filterwarnings("ignore", message=".*batching rule.*")
                values: Tensors = self._measure(self._params, self._buffers, batch)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise NotStackableError(f"evaluation: {first_line(error)}") from error
        return values


def _first(names: Iterable[str], tensors: Flat) -> Tensors:
    return {name.removeprefix("model."): tensor[0] for name, tensor in zip(names, tensors, strict=True)}


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


def _rate_dtype(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64
