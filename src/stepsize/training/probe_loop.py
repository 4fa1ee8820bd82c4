"""The probe's loop: one run at a time by the user's own step, on the user's own objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np

from stepsize._ranks import current
from stepsize._rng import capture_rng, isolated_rng, restore_rng
from stepsize.training.functions import Records
from stepsize.training.history import Member
from stepsize.training.probe_evaluation import ProbeEvaluation
from stepsize.training.probe_step import Rates, loss_of, mean_of_ranks
from stepsize.training.probed import ProbeRun
from stepsize.training.start import Start, start_of
from stepsize.training.state import Snapshot, preserved
from stepsize.training.watch import Watch


class ProbeLoop:
    """Trains one member by calling a probe's step; closing it puts the probe back to where it was."""

    def __init__(
        self,
        run: ProbeRun,
        members: Sequence[Member],
        rates: np.ndarray,
        evaluation: ProbeEvaluation,
        controls: Mapping[str, np.ndarray],
        records: Records | None = None,
    ) -> None:
        (member,) = members
        self._run, self._rates, self._evaluation, self._controls = run, rates[0], evaluation, controls
        self.alive = np.ones(1, dtype=bool)
        self.train_loss = np.full(rates.shape, np.nan)
        self.updates_done = np.zeros(1, dtype=np.int64)
        self._watch = Watch(1, lambda _: self._level_at_start())
        self._start = Snapshot(*run.state)
        self._batches = run.loader.batches(member.seed)
        with isolated_rng(current().seed(member.seed)):
            self._rng = capture_rng()

    def advance(self, count: int) -> None:
        """Train for `count` more updates, unless it has diverged."""
        with self._on_its_numbers(), Rates(self._run.probe) as rates:
            done = int(self.updates_done[0])
            for t in range(done, done + count if self.alive[0] else done):
                rates.set(float(self._rates[t]), {k: float(v[t]) for k, v in self._controls.items()})
                loss = self._update()
                self.train_loss[0, t] = loss
                self.updates_done[0] += 1
                if self._watch.diverged(0, loss):
                    self.drop([0])
                    return

    @contextmanager
    def _on_its_numbers(self) -> Iterator[None]:
        with isolated_rng():
            restore_rng(self._rng)
            yield
            self._rng = capture_rng()

    def _update(self) -> float:
        probe = self._run.probe
        losses = [loss_of(probe.step(next(self._batches))) for _ in range(probe.accumulate)]
        return mean_of_ranks(float(np.mean(losses)))

    def _level_at_start(self) -> Start:
        """What the probe lost at its start, to which it is put back for a moment."""
        with preserved(*self._run.state):
            self._start.restore()
            return start_of(self._evaluation.of_state()["loss"])

    def evaluate(self) -> dict[str, np.ndarray]:
        """The held-out loss on every fold, (1, F)."""
        found = self._evaluation.of_state() if self.alive[0] else {}
        missing = np.full(len(self._evaluation.folds), np.nan)
        return {"loss": found.get("loss", missing)[None]}

    def check_evaluation(self, start: Mapping[int, np.ndarray]) -> None:
        """Nothing to check: the probe evaluates itself."""

    def drop(self, rows: Sequence[int]) -> None:
        """Train no further."""
        self.alive[rows] = False

    def close(self) -> None:
        """Put the probe back to where it was."""
        self._start.restore()
