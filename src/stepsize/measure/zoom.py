"""The textbook's three rounds (chapter 12.3.2): coarse stages, the bracket of the turn, restarted trials."""

from __future__ import annotations

from typing import Literal

import numpy as np

from stepsize._result import Provenance, Result, frozen, provenance
from stepsize.estimate import mean_over_seeds
from stepsize.measure.curve import Curve
from stepsize.measure.rising import RatePlan, measure_curve
from stepsize.training import Cost, Member, Records, train
from stepsize.training.engine import Progress
from stepsize.training.probed import Trainable

ZoomStatus = Literal["ok", "flat", "not_bracketed", "diverges_everywhere"]

BRACKET = (0.4 / 0.74, 1.0 / 0.74)
"""Round 2 in units of the turn: the textbook looks from 0.4 to 1.0 and finds the turn at 0.74."""

BRACKET_RATES = 25
BRACKET_ITERS = 10

CANDIDATE_FACTOR = 8 / 7
"""Spacing of round 3: the textbook tries 0.6, 0.7 and 0.8."""

GO_UP = np.geomspace(1, 10, 10)[1:]
"""Rates put above a pass whose loss still falls at its end, in units of its last one: a decade."""

GO_DOWN = 100.0
"""What the rates of a pass that diverges at once are divided by."""

EXTENSIONS = 4
"""How often a round goes on above or below the rates that it was given before it gives up."""


class Trials(Result, frozen=True, kw_only=True, eq=False):
    """Round 3: separate runs of `steps` updates from the start at each rate; `losses` (S, R), held out."""

    lrs: np.ndarray
    losses: np.ndarray
    steps: int


class Zoom(Result, frozen=True, kw_only=True, eq=False):
    """What the three rounds found.

    `lr` is half-way from the best trial rate down to the next lower one, since the loss lags behind the rate
    while it rises (the textbook takes 0.75 where its trials say 0.8). None unless `status` is `ok`.
    """

    status: ZoomStatus
    lr: float | None
    why: str
    coarse: Curve
    bracket: Curve | None
    trials: Trials | None
    task: str
    cost: Cost
    provenance: Provenance

    def __str__(self) -> str:
        head = f"Three rounds on {self.task}: "
        lines = [
            head + (f"learning rate {self.lr:.3g}" if self.lr is not None else self.status),
            f"  {self.why}",
        ]
        if self.trials is not None:
            ends = zip(self.trials.lrs, mean_over_seeds(self.trials.losses), strict=True)
            lines.append("  trials: " + ", ".join(f"{lr:.3g} ended at {loss:.4g}" for lr, loss in ends))
        lines.append(f"  {self.cost.updates:,} updates in {self.cost.seconds:.1f} s")
        return "\n".join(lines)


def zoom_in(task: Trainable, coarse: RatePlan, seeds: tuple[int, ...], progress: Progress | None) -> Zoom:
    """Run the three rounds, starting from the coarse plan."""
    return _Rounds(task, seeds, progress).run(coarse)


class _Rounds:
    """Three rounds on one task; each adds to the cost."""

    def __init__(self, task: Trainable, seeds: tuple[int, ...], progress: Progress | None) -> None:
        self._task, self._seeds, self._progress = task, seeds, progress
        self._cost = Cost(updates=0, samples=0, seconds=0.0, runs=0.0)
        self._records = Records()

    def run(self, plan: RatePlan) -> Zoom:
        coarse, turn = self._until_turn(plan)
        if turn is None:
            return self._without_answer(coarse)
        low, high = (turn * factor for factor in BRACKET)
        narrow = RatePlan(np.geomspace(low, high, BRACKET_RATES), (BRACKET_ITERS,) * BRACKET_RATES, "staged")
        bracket, refined = self._until_turn(narrow)
        centre = turn if refined is None else refined
        trials = self._trials(centre, steps=plan.updates)
        mean = mean_over_seeds(trials.losses)
        at = int(np.argmin(mean))
        if not np.isfinite(mean[at]):
            return self._answer(
                "diverges_everywhere",
                None,
                "every restarted trial diverged: try smaller rates",
                coarse,
                bracket,
                trials,
            )
        best = float(trials.lrs[at])
        if at in (0, len(mean) - 1):
            return self._answer(
                "not_bracketed",
                None,
                f"the last of the restarted trials, at {best:.3g}, is still the best after {EXTENSIONS} "
                "extensions, so the turn of a rising rate says little about runs at a fixed one",
                coarse,
                bracket,
                trials,
            )
        lr = best * (1 + 1 / CANDIDATE_FACTOR) / 2
        why = (
            f"round 1 turned at {turn:.3g}, round 2 at {centre:.3g}; of the restarted trials {best:.3g} "
            f"ended lowest ({mean[at]:.4g}); half-way down to the next lower trial rate, since the loss "
            "lags behind a rising rate"
        )
        return self._answer("ok", lr, why, coarse, bracket, trials)

    def _curve(self, plan: RatePlan) -> Curve:
        curve = measure_curve(
            self._task,
            plan,
            seeds=self._seeds,
            loss="train",
            records=self._records,
            progress=self._progress,
        )
        self._cost = self._cost + curve.cost
        return curve

    def _until_turn(self, plan: RatePlan) -> tuple[Curve, float | None]:
        """A pass, gone on upwards while the loss still falls, downwards while it diverges at once."""
        for _ in range(EXTENSIONS + 1):
            curve = self._curve(plan)
            suggestion = curve.suggestions["turn"]
            if suggestion.lr is not None:
                return curve, suggestion.lr
            if not np.isfinite(mean_over_seeds(curve.losses)[-1]):
                plan = _plan_with(plan.lrs / GO_DOWN, plan)
            else:
                plan = _plan_with(np.concatenate([plan.lrs, plan.lrs[-1] * GO_UP]), plan)
        return curve, None

    def _trials(self, centre: float, steps: int) -> Trials:
        """Round 3, gone on while the best rate is the last one tried on its side."""
        exponents = [-1, 0, 1]
        columns: dict[int, np.ndarray] = {}
        for _ in range(EXTENSIONS + 1):
            new = [e for e in exponents if e not in columns]
            trained = self._train_at([centre * CANDIDATE_FACTOR**e for e in new], steps)
            columns.update(zip(new, trained, strict=True))
            exponents.sort()
            mean = mean_over_seeds(np.stack([columns[e] for e in exponents], axis=1))
            at = int(np.argmin(mean)) if np.isfinite(mean).any() else 0
            if at == 0:
                exponents.append(exponents[0] - 1)
            elif at == len(exponents) - 1:
                exponents.append(exponents[-1] + 1)
            else:
                break
        tried = sorted(columns)
        return Trials(
            lrs=frozen([centre * CANDIDATE_FACTOR**e for e in tried]),
            losses=frozen(np.stack([columns[e] for e in tried], axis=1)),
            steps=steps,
        )

    def _train_at(self, lrs: list[float], steps: int) -> list[np.ndarray]:
        """Held-out losses (S,) after `steps` updates at each rate; infinite where a seed diverged."""
        members = [Member(lr, seed) for seed in self._seeds for lr in lrs]
        rates = np.array([[member.lr] for member in members]) * np.ones((1, steps))
        history = train(
            self._task,
            members,
            rates,
            evaluate_at=[steps],
            records=self._records,
            progress=self._progress,
        )
        self._cost = self._cost + history.cost
        final = np.where(np.isfinite(history.val_loss[:, 0]), history.val_loss[:, 0], np.inf)
        return list(final.reshape(len(self._seeds), len(lrs)).T)

    def _without_answer(self, coarse: Curve) -> Zoom:
        suggestion = coarse.suggestions["turn"]
        if suggestion.status == "flat":
            return self._answer("flat", None, suggestion.why, coarse, None, None)
        if not np.isfinite(mean_over_seeds(coarse.losses)[-1]):
            return self._answer("diverges_everywhere", None, suggestion.why, coarse, None, None)
        return self._answer("not_bracketed", None, suggestion.why, coarse, None, None)

    def _answer(
        self,
        status: ZoomStatus,
        lr: float | None,
        why: str,
        coarse: Curve,
        bracket: Curve | None,
        trials: Trials | None,
    ) -> Zoom:
        return Zoom(
            status=status,
            lr=lr,
            why=why,
            coarse=coarse,
            bracket=bracket,
            trials=trials,
            task=self._task.name,
            cost=self._cost,
            provenance=provenance(device=str(self._task.device), seeds=self._seeds),
        )


def _plan_with(lrs: np.ndarray, like: RatePlan) -> RatePlan:
    return RatePlan(lrs, (like.iters[-1],) * len(lrs), "staged")
