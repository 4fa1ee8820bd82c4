"""The stack: K members as one computation.

Weights lie along a first axis, and `torch.func.vmap` maps the user's own module over it. Members of one seed
share each batch; members of several seeds get one each. Members that diverge are taken out and the stack is
made smaller.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from stepsize._capabilities import first_line, missing_rule
from stepsize._rng import capture_rng, isolated_rng, restore_rng, same_rng
from stepsize.task import Task
from stepsize.training.evaluation import Evaluation, Folds
from stepsize.training.feed import Feed
from stepsize.training.functions import Records, Tensors
from stepsize.training.history import Member
from stepsize.training.memory import is_out_of_memory
from stepsize.training.obstacles import NotStackableError, agrees, plain_update
from stepsize.training.optimizers import (
    Gradient,
    Native,
    Separate,
    StackedOptimizer,
    carried_state,
    dense,
    native_update,
)
from stepsize.training.trace import NotRecordableError, close
from stepsize.training.watch import Watch

REBUILD_COST = 100
"""Updates that a smaller stack costs before it pays: recording takes about 0.2 s, an update of the reference
net 2 to 3 ms (16 members, batch 16 to 32, one core)."""

NOTE_EVERY = 10
"""Updates between two looks at the losses: each look costs as much as several kernels."""

Flat = list[torch.Tensor]
Gradients = list[Gradient]


class Stack:
    """Trains K members at once, with the interface of `Loop`.

    With `records`, what an earlier stack of the same shapes has recorded is not recorded again.

    Raises `NotStackableError`, in the constructor or from `advance`, when the stack cannot give what the
    loop would; with members of several seeds each seed alone may still do, unless random numbers are drawn
    by an update: those of different seeds differ.
    """

    def __init__(
        self,
        task: Task,
        members: Sequence[Member],
        rates: np.ndarray,
        evaluation: Evaluation,
        controls: Mapping[str, np.ndarray],
        records: Records | None = None,
    ) -> None:
        self._task, self._rates, self._evaluation, self._controls = task, rates, evaluation, controls
        self.alive = np.ones(len(members), dtype=bool)
        self.train_loss = np.full(rates.shape, np.nan)
        self.updates_done = np.zeros(len(members), dtype=np.int64)
        self._rows = np.arange(len(members))  # which member stands in each place of the stack
        self._watch = Watch.of(task, members, evaluation)
        self._done = 0
        self._folds = evaluation.apart
        self._feed = Feed(task, [member.seed for member in members])
        with isolated_rng(members[0].seed):
            self._rng = capture_rng()
        self._model = task.make_model(members[0].seed)
        self._functions = (records or Records()).functions(task, self._model, evaluation)
        models = {seed: task.make_model(seed) for seed in self._feed.distinct}
        self._params = self._stacked(
            {seed: dict(m.named_parameters()) for seed, m in models.items()}, self._functions.names
        )
        self._buffers = self._stacked(
            {seed: dict([*m.named_parameters(), *m.named_buffers()]) for seed, m in models.items()},
            self._functions.buffers,
        )
        self._optimizer = self._make_optimizer()
        self._lr_table = torch.from_numpy(np.ascontiguousarray(rates.T)).to(
            task.device, _rate_dtype(task.device)
        )
        self._update = self._functions.update(shared=self._feed.shared)

    def _stacked(self, states: Mapping[int, Tensors], names: Sequence[str]) -> Tensors:
        try:
            return {
                f"model.{name}": torch.stack([states[seed][name].detach() for seed in self._feed.seeds])
                for name in names
            }
        except (KeyError, RuntimeError) as error:
            if is_out_of_memory(error):
                raise
            raise NotStackableError(
                f"the models of different seeds have different tensors ({first_line(error)})"
            ) from error

    def _make_optimizer(self) -> StackedOptimizer:
        prototype = self._task.make_optimizer(self._model, 1.0)
        update = native_update(prototype)
        stacked = list(self._params.values())
        parameters = dict(self._model.named_parameters())
        state = carried_state(prototype, [parameters[n] for n in self._functions.names]) if update else None
        if update is None or state is None:
            models = [self._task.make_model(seed) for seed in self._feed.seeds]
            separate = Separate(
                lambda model: self._task.make_optimizer(model, 1.0), models, self._functions.names
            )
            separate.bind(stacked)
            return separate
        home = {id(p): group for group in prototype.param_groups for p in group["params"]}
        groups = [home[id(parameters[name])] for name in self._functions.names]
        return Native(update, stacked, groups, [float(group["lr"]) for group in groups], state)

    def advance(self, count: int) -> None:
        """Train every living member for `count` more updates."""
        end = self._done + count
        with isolated_rng(), torch.no_grad():
            restore_rng(self._rng)
            while self._done < end and self._rows.size:
                start, stop = self._done, min(end, self._done + NOTE_EVERY)
                losses = [self._update_once(t) for t in range(start, stop)]
                self._done = stop
                self._note(start, torch.stack(losses).double().cpu().numpy())
            self._rng = capture_rng()
        self._done = end

    def _update_once(self, t: int) -> torch.Tensor:
        """One update of all members; their losses (K,) before it."""
        drawn = self._feed.draw()
        try:
            batch = self._feed.laid_out(drawn)
        except ValueError as error:
            raise NotStackableError(str(error)) from error
        for name, values in self._controls.items():
            self._optimizer.set(name, float(values[t]))
        if t == 0:
            self._check_against_plain(drawn, batch)
        losses, grads, buffers = self._stacked_update(batch)
        self._optimizer.step(self._clipped(grads), self._lr_table[t])
        self._buffers = dict(zip(self._buffers, buffers, strict=True))
        return losses

    def _clipped(self, grads: Gradients) -> Sequence[Gradient]:
        clipping = self._task.clipping
        return clipping.clip_stacked([dense(grad) for grad in grads]) if clipping else grads

    def _note(self, start: int, losses: np.ndarray) -> None:
        """Keep the losses (T, K) of the updates from `start` on, and drop members that diverged in them.

        What a member did after it had diverged is not counted, as it would not have been done alone.
        """
        places = np.flatnonzero(self.alive[self._rows])
        rows, values = self._rows[places], losses[:, places]
        count = len(values)
        first = self._watch.first_diverged(rows, values)
        done = np.minimum(first + 1, count)
        self.updates_done[rows] += done
        values = np.where(np.arange(count)[:, None] < done, values, np.nan)
        self.train_loss[rows, start : start + count] = values.T
        if (first < count).any():
            self.drop(rows[first < count].tolist())

    def drop(self, rows: Sequence[int]) -> None:
        """Stop counting these members, and take them out of the stack when that saves more than it costs."""
        self.alive[list(rows)] = False
        left = self._rates.shape[1] - self._done
        dead = int((~self.alive[self._rows]).sum())
        if dead and (dead == len(self._rows) or left * dead / len(self._rows) > REBUILD_COST):
            self._compact()

    def close(self) -> None:
        """Nothing of the caller's was changed."""

    def _compact(self) -> None:
        places = np.flatnonzero(self.alive[self._rows])
        keep = torch.from_numpy(places).to(self._task.device)
        self._rows = self._rows[places]
        self._params = {name: p.index_select(0, keep) for name, p in self._params.items()}
        self._buffers = {name: b.index_select(0, keep) for name, b in self._buffers.items()}
        self._optimizer.keep(keep, list(self._params.values()))
        self._lr_table = self._lr_table.index_select(1, keep)
        shared = self._feed.shared
        self._feed.keep(places.tolist())
        if self._rows.size and self._feed.shared != shared:
            self._update = self._functions.update(shared=self._feed.shared)

    def _check_against_plain(self, drawn: Mapping[int, Any], batch: Any) -> None:
        """Compare each seed's first loss, gradient and buffers with an ordinary update's."""
        before = capture_rng()
        plain = {seed: plain_update(self._task, seed, own) for seed, own in drawn.items()}
        after = capture_rng()
        if not (self._feed.shared or same_rng(before, after)):
            raise NotStackableError("an update draws random numbers, and those of different seeds differ")
        restore_rng(before)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            losses, grads, buffers = self._stacked_update(batch)
        if missing := missing_rule(caught):
            raise NotStackableError(f"torch has no batching rule for {missing}")
        same = same_rng(after, capture_rng())
        for seed, theirs in plain.items():
            place = self._feed.seeds.index(seed)
            ours = (
                _member(self._params, [dense(g) for g in grads], place),
                _member(self._buffers, buffers, place),
            )
            same = same and agrees(theirs, losses[place], *ours)
        if not same:
            raise NotStackableError(
                "a stacked update differs from a plain one, so the model cannot be trusted to vmap"
            )
        restore_rng(before)

    def _stacked_update(self, batch: Any) -> tuple[torch.Tensor, Gradients, Flat]:
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

    def check_evaluation(self, start: Mapping[int, np.ndarray]) -> None:
        """Raise `NotStackableError` unless it gives the held-out losses (F,) that each seed starts from.

        One fold is enough to tell; at the start the members of one seed are alike. Several are computed
        together once that has been found to give the same.
        """
        functions, apart = self._functions, self._evaluation.apart
        self._folds = functions.folds(self._evaluation, len(self._rows))
        several = next((folds for folds in self._folds if folds.stacked), None)
        if several is not None and functions.folds_together is None:
            functions.folds_together = self._starts_alike(start, several)
            if functions.folds_together:
                return
            self._folds = apart
        if not self._starts_from(start, apart[0]):
            raise NotStackableError("evaluation: a stacked one differs from a plain one")

    def _starts_alike(self, start: Mapping[int, np.ndarray], folds: Folds) -> bool:
        try:
            return self._starts_from(start, folds)
        except NotStackableError:
            return False

    def _starts_from(self, start: Mapping[int, np.ndarray], folds: Folds) -> bool:
        with isolated_rng(self._evaluation.seed), torch.no_grad():
            losses = self._functions.measure(self._params, self._buffers, folds)["loss"]
        expected = np.stack([start[seed][folds.places] for seed in self._feed.seeds])
        return close(losses, losses.new_tensor(expected))

    def evaluate(self) -> dict[str, np.ndarray]:
        """Held-out "loss" and each metric on every fold, (K, F); NaN for members that are gone."""
        shape = (len(self.alive), len(self._evaluation.batches))
        results = {name: np.full(shape, np.nan) for name in self._evaluation.functions}
        with isolated_rng(self._evaluation.seed), torch.no_grad():
            for folds in self._folds if self._rows.size else ():
                for name, members in self._functions.measure(self._params, self._buffers, folds).items():
                    results[name][self._rows, folds.places] = members.double().cpu().numpy()
        for values in results.values():
            values[~self.alive] = np.nan
        return results


def _member(names: Iterable[str], tensors: Flat, place: int) -> Tensors:
    return {name.removeprefix("model."): tensor[place] for name, tensor in zip(names, tensors, strict=True)}


def _rate_dtype(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64
