"""train(): K members to their horizon, by the stack where it works and by the loop where it does not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Literal, Protocol

import numpy as np
import torch

from stepsize._progress import reporting
from stepsize._rng import isolated_rng
from stepsize._untouched import untouched
from stepsize.task import Task
from stepsize.training.arguments import checked_controls, checked_rates
from stepsize.training.arithmetic import arithmetic_share
from stepsize.training.evaluation import Evaluation
from stepsize.training.functions import Records
from stepsize.training.helpers import MOST, Helpers, most_processes, processes, worth
from stepsize.training.history import History, Member
from stepsize.training.loop import Loop
from stepsize.training.memory import SHARE, available, bytes_of, footprint, is_out_of_memory
from stepsize.training.obstacles import NotStackableError
from stepsize.training.pages import MAPPED, kept_pages
from stepsize.training.probe_evaluation import ProbeEvaluation
from stepsize.training.probe_loop import ProbeLoop
from stepsize.training.probed import ProbeRun, Trainable
from stepsize.training.stack import Stack
from stepsize.training.tally import Left, Tally

EngineName = Literal["auto", "stack", "loop"]
Progress = Callable[[int], None]
"""Called with the member-updates finished since the last call; a diverged member's rest is finished too.

With 0 now and then, while this process waits for others to finish.
"""

PROGRESS_EVERY = 50


class Engine(Protocol):
    """What trains members: `Stack`, `Loop` and `ProbeLoop`."""

    alive: np.ndarray
    train_loss: np.ndarray
    updates_done: np.ndarray

    def advance(self, count: int) -> None:
        """Train every living member for `count` more updates."""
        ...

    def evaluate(self) -> dict[str, np.ndarray]:
        """Held-out "loss" and each metric on every fold, (K, F)."""
        ...

    def check_evaluation(self, start: Mapping[int, np.ndarray]) -> None:
        """Raise `NotStackableError` unless it gives the held-out losses (F,) that each seed starts from."""
        ...

    def drop(self, rows: Sequence[int]) -> None:
        """Stop training these members."""
        ...

    def close(self) -> None:
        """Put back what training has changed of the caller's."""
        ...


@untouched
def train(
    task: Trainable,
    members: Sequence[Member],
    rates: np.ndarray,
    *,
    evaluate_at: Sequence[int] = (),
    controls: Mapping[str, np.ndarray] | None = None,
    engine: EngineName = "auto",
    memory: int | None = None,
    records: Records | None = None,
    progress: bool | Progress | None = None,
) -> History:
    """Train K members over T updates; nothing of the caller's is changed.

    Args:
        task: what to train; a probe's run is put back to its start after each member.
        members: the K members; those of one seed share starting weights, batches and dropout masks.
        rates: (K, T) or (T,), the learning rate of each member at each update.
        evaluate_at: numbers of updates done, 0…T, at which the held-out loss and metrics are taken.
        controls: further hyperparameters on the same clock, (T,) each: "momentum", "weight_decay".
        engine: "stack" trains the members as one computation, those of each seed by themselves where an
            update draws random numbers; "loop" trains each by itself, some at once in further processes where
            that is sooner (`training.helpers`);
            "auto" takes the stack and falls back to the loop, saying why in `History.engine_reason`.
        memory: bytes that a stack may use; by default half of what is available. More members than fit
            run in waves, and so do those whose stacked tensors would be larger than `pages.MAPPED`.
        records: keeps what a stack has recorded from one call to the next, which saves recording the same
            again where as many members are trained on batches of the same shapes.
        progress: True for a bar on stderr, False or None for silence, or a function that is called now and
            then with the number of member-updates finished since the last call, those that a diverged member
            skips included; all calls add up to K·T.

    Raises:
        ValueError: shapes disagree, a rate is negative or not finite, an evaluation lies outside 0…T, or
            the optimizer has no hyperparameter of a control's name.
        NotStackableError: `engine="stack"` and the task cannot be stacked.
    """
    rates = checked_rates(rates, len(members))
    steps = rates.shape[1]
    wanted = sorted(set(evaluate_at))
    if wanted and not 0 <= wanted[0] <= wanted[-1] <= steps:
        raise ValueError(f"evaluate_at must lie within 0…{steps} updates, but holds {wanted[0]}…{wanted[-1]}")
    if engine not in ("auto", "stack", "loop"):
        raise ValueError(f"engine must be 'auto', 'stack' or 'loop', but is {engine!r}")
    with isolated_rng(task.seed), torch.enable_grad():
        clock = checked_controls(task, controls or {}, steps)
        with kept_pages(), _telling(progress, rates.size) as tell:
            return _Call(task, list(members), rates, wanted, clock, engine, memory, records, tell).run()


@contextmanager
def _telling(progress: bool | Progress | None, updates: int) -> Iterator[Progress | None]:
    """The function to tell of progress, which a bar has for as long as this lasts."""
    if not isinstance(progress, bool):
        yield progress
        return
    with reporting(progress) as reporter:
        reporter.expect(updates)
        reporter.phase("training")
        yield reporter.advance


def _nothing() -> None:
    """Done where there are no helpers to hear of."""


class _Call:
    """One call of train(): groups members by seed and wave, and gathers what they leave."""

    def __init__(
        self,
        task: Trainable,
        members: list[Member],
        rates: np.ndarray,
        evaluate_at: list[int],
        controls: dict[str, np.ndarray],
        engine: EngineName,
        memory: int | None,
        records: Records | None,
        progress: Progress | None,
    ) -> None:
        self._task, self._members, self._rates, self._evaluate_at = task, members, rates, evaluate_at
        self._controls, self._engine, self._memory, self._progress = controls, engine, memory, progress
        self._records = Records() if records is None else records
        self._reason = "engine='loop' was asked for" if engine == "loop" else ""
        if isinstance(task, ProbeRun):
            if engine == "stack":
                raise NotStackableError("a probe's step trains its own objects, one run after another")
            self._reason = "a probe's step trains one run after another"
        self._seeds_apart = False  # whether members of different seeds were found unable to share a stack
        self._evaluation = task.evaluation if isinstance(task, ProbeRun) else Evaluation.of(task)
        self._tally = Tally(
            len(members), rates.shape[1], len(evaluate_at), self._evaluation.weights, tuple(task.metrics)
        )
        self._told = np.zeros(len(members), dtype=np.int64)
        self._meanwhile = _nothing  # what is done whenever a member has got further
        self._starts: dict[int, dict[str, np.ndarray]] = {}  # evaluations before the first update, by seed

    def run(self) -> History:
        started = time.perf_counter()
        for wave in self._waves([row for rows in self._by_seed(range(len(self._members))) for row in rows]):
            self._run_wave(wave)
        return self._tally.history(
            self._task,
            self._members,
            self._rates,
            self._evaluate_at,
            reason=self._reason,
            seconds=time.perf_counter() - started,
        )

    def _by_seed(self, rows: Iterable[int]) -> list[list[int]]:
        parts: dict[int, list[int]] = {}
        for row in rows:
            parts.setdefault(self._members[row].seed, []).append(row)
        return list(parts.values())

    def _waves(self, rows: list[int]) -> list[list[int]]:
        if self._engine == "loop" or self._reason:
            return [rows]
        assert isinstance(self._task, Task)  # anything else gave a reason
        model = self._task.make_model(self._members[rows[0]].seed)
        batch = self._task.trial_batch(self._task.batch_size)
        each, largest, _ = footprint(self._task, model, batch)
        if len(self._by_seed(rows)) > 1:
            each += bytes_of(batch)
        budget = self._memory if self._memory is not None else int(SHARE * available(self._task.device))
        fit = max(1, budget // max(each, 1))
        if self._task.device.type == "cpu" and 0 < largest <= MAPPED // 2:
            fit = min(fit, MAPPED // largest)
        waves = -(-len(rows) // fit)
        return [list(part) for part in np.array_split(rows, waves)]

    def _run_wave(self, rows: list[int]) -> None:
        if self._engine == "loop" or self._reason:
            for start in range(0, len(rows), MOST):
                self._run_apart(rows[start : start + MOST])
            return
        parts = self._by_seed(rows)
        if len(parts) > 1 and self._seeds_apart:
            for part in parts:
                self._run_wave(part)
            return
        # Not inside of an `except`, whose traceback would keep the failed stack's tensors in memory.
        for part in self._try_stack(rows):
            self._run_wave(part)

    def _try_stack(self, rows: list[int]) -> list[list[int]]:
        """Train these members as a stack; what did not work out comes back, to be run in these parts."""
        try:
            self._train_rows(Stack, rows)
        except NotStackableError as error:
            if len(self._by_seed(rows)) > 1:
                self._seeds_apart = True
                return [rows]
            if self._engine == "stack":
                raise
            self._reason = str(error)
            return [rows]
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error) or len(rows) == 1:
                raise
            half = len(rows) // 2
            return [rows[:half], rows[half:]]
        return []

    def _run_apart(self, rows: list[int]) -> None:
        """Train members by themselves: one model in memory at a time, here and in each helper."""
        kind = ProbeLoop if isinstance(self._task, ProbeRun) else Loop
        count = self._processes(rows)
        helpers = Helpers.start(count - 1, rows, self._help) if count > 1 else None
        if helpers is None:
            for row in rows:
                self._train_rows(kind, [row])
            return
        left = set(rows)
        with helpers:
            self._meanwhile = lambda: left.difference_update(self._learn(helpers.hear()))
            try:
                for row in helpers.take():
                    self._train_rows(kind, [row])
                    left.remove(row)
            finally:
                self._meanwhile = _nothing
            left -= self._learn(helpers.rest())
            for row in sorted(left):  # what a helper could not train; on one thread still, for the same bits
                self._train_rows(kind, [row])

    def _processes(self, rows: list[int]) -> int:
        if not isinstance(self._task, Task) or not worth(len(rows), self._rates.shape[1]):
            return 1
        model = self._task.make_model(self._members[rows[0]].seed)
        try:
            most = most_processes(self._task, model)
            return 1 if most == 1 else processes(most, len(rows), arithmetic_share(self._task, model))
        except Exception:  # noqa: BLE001 - what cannot be counted trains here, where an error of its own is raised
            return 1

    def _help(self, row: int, tell: Callable[[int], None]) -> Left:
        """Train a member in a helper."""
        self._meanwhile, self._progress = _nothing, tell
        self._train_rows(Loop, [row])
        return self._tally.of(row)

    def _learn(self, messages: Iterable[tuple[int, int, Left | None] | None]) -> set[int]:
        """Take in what helpers tell, and which members they have finished."""
        finished = set()
        for message in messages:
            row, updates, left = message or (0, 0, None)
            self._told[row] += updates
            if left is not None:
                self._tally.take_in(row, left)
                finished.add(row)
            if self._progress is not None and (updates or message is None):  # 0: a look at the clock
                self._progress(updates)
        return finished

    def _train_rows(self, kind: Callable[..., Engine], rows: list[int]) -> None:
        try:
            members = [self._members[row] for row in rows]
            given = (self._task, members, self._rates[rows], self._evaluation, self._controls, self._records)
            with closing(kind(*given)) as engine:
                self._train_together(engine, rows)
        finally:
            self._records.release()

    def _train_together(self, engine: Engine, rows: list[int]) -> None:
        steps = self._rates.shape[1]
        stops = sorted({*self._evaluate_at, *range(PROGRESS_EVERY, steps, PROGRESS_EVERY), steps})
        if stops[0] == 0:
            self._evaluate_start(engine, rows)
        done = 0
        for stop in stops:
            engine.advance(stop - done)
            self._tell(rows, stop)
            done = stop
            if stop in self._evaluate_at and stop > 0:
                self._keep(engine, rows, self._evaluate_at.index(stop), engine.evaluate())
        self._tally.train_loss[rows] = engine.train_loss
        self._tally.alive[rows] = engine.alive
        self._tally.updates_done[rows] = engine.updates_done

    def _tell(self, rows: list[int], stop: int) -> None:
        """Report progress; what a failed stack had reported already is not reported twice."""
        new = np.maximum(stop - self._told[rows], 0)
        self._told[rows] += new
        if self._progress is not None and new.any():
            self._progress(int(new.sum()))
        self._meanwhile()

    def _evaluate_start(self, engine: Engine, rows: list[int]) -> None:
        """Before the first update members of one seed are alike: one model speaks for all of them."""
        for row in rows:
            seed = self._members[row].seed
            if seed not in self._starts:
                self._starts[seed] = self._start_of(seed)
        engine.check_evaluation({seed: start["loss"] for seed, start in self._starts.items()})
        starts = [self._starts[self._members[row].seed] for row in rows]
        self._keep(engine, rows, 0, {name: np.stack([start[name] for start in starts]) for name in starts[0]})

    def _start_of(self, seed: int) -> dict[str, np.ndarray]:
        """The loss and each metric on every fold, (F,), where runs with this seed start."""
        if isinstance(self._evaluation, ProbeEvaluation):
            return self._evaluation.of_state()
        assert isinstance(self._task, Task)
        return self._evaluation.of_model(self._task.make_model(seed))

    def _keep(self, engine: Engine, rows: list[int], column: int, folds: dict[str, np.ndarray]) -> None:
        """Note what an evaluation gave, (K, F) each, and drop the members whose loss is not finite."""
        gone = engine.alive & ~np.isfinite(folds["loss"]).all(axis=1)
        if gone.any():
            engine.drop(np.flatnonzero(gone).tolist())
        for values in folds.values():
            values[gone] = np.nan
        self._tally.keep(rows, column, folds)
