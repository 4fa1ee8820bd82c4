"""The result of `scale_lr`: the rate at another batch, what moves with it, and what it rests on."""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np

from stepsize._result import Provenance, Result
from stepsize.estimate.rate_fits import Regime
from stepsize.estimate.scaling import Check, Hyperparameters, Move
from stepsize.training.history import Cost

ScaleStatus = Literal["ok", "refused", "edge", "no_answer", "interrupted", "out_of_time"]
"""`refused`: a condition of the rule fails. `edge`: at a batch size the best rate is the last that was tried.
`no_answer`: no rate learns, or fewer than three batch sizes were measured."""


class BestRate(msgspec.Struct, frozen=True, kw_only=True):
    """The best rate at a batch size with its 95% interval, out of rates `lrs` (R,) with mean losses (R,).

    `spread` is the standard deviation of its logarithm. A loss is infinite where a seed diverged. `steps`
    updates were trained from a held-out loss of `start_loss`; `edge` is "lowest" or "highest" if no rate
    beyond the best was tried.
    """

    batch_size: int
    steps: int
    lr: float
    low: float
    high: float
    spread: float
    edge: str
    lrs: np.ndarray
    losses: np.ndarray
    start_loss: float | None = None


class RateAt(msgspec.Struct, frozen=True, kw_only=True):
    """What the fitted law says at a batch size: the rate, how it grows with the batch, and the regime.

    `slope` is d ln η / d ln B: 1 where the best rate grows in proportion, ½ as the square root, 0 no more.
    All intervals are 95%.
    """

    batch_size: int
    lr: float
    low: float
    high: float
    slope: float
    slope_low: float
    slope_high: float
    regime: Regime


class RateScaling(Result, frozen=True, kw_only=True, eq=False):
    """The learning rate at batch `to_batch`, moved from `from_batch` by `rule`.

    `lr` is None without an answer; of a measurement that ended early it is the best rate found at `to_batch`
    itself, if that was reached. `after` holds it with everything else that moves, as
    `moves` tell one by one; `checks` are the conditions of the rule. `noise` is the gradient noise scale
    used, in samples. With rule "measured" `[lr_low, lr_high]` is a 95% interval, `measured` the best rates
    found, `laws` the leave-one-out error of each law as a factor, `law` the one chosen with its `knee`
    (B_noise), `regimes` what it says at each batch size, and `ceiling` the rate from which on the
    optimizer's updates are unstable on the curvature early in the run.
    """

    status: ScaleStatus
    why: str
    rule: str
    from_batch: int
    to_batch: int
    lr: float | None
    lr_low: float | None = None
    lr_high: float | None = None
    before: Hyperparameters | None = None
    after: Hyperparameters | None = None
    moves: tuple[Move, ...] = ()
    checks: tuple[Check, ...] = ()
    noise: float | None = None
    measured: tuple[BestRate, ...] = ()
    laws: dict[str, float] = msgspec.field(default_factory=dict)
    law: str = ""
    knee: float | None = None
    regimes: tuple[RateAt, ...] = ()
    ceiling: float | None = None
    warnings: tuple[str, ...] = ()
    task: str = ""
    cost: Cost
    provenance: Provenance

    def __str__(self) -> str:
        name = f"{self.task}, " if self.task else ""
        head = f"{name}batch {self.from_batch:,} to {self.to_batch:,} by {self.rule}"
        if self.lr is None:
            answer = f"no learning rate: {self.status}"
        elif self.lr_low is None:
            answer = f"learning rate {self.lr:.4g}"
        else:
            answer = (
                f"learning rate {self.lr:.3g}  ({self.lr_low:.3g} to {self.lr_high:.3g})  [{self.status}]"
            )
        lines = [head, answer]
        lines += [f"  {move.name} {move.before:.6g} → {move.after:.6g}: {move.why}" for move in self.moves]
        if self.measured:
            lines.append(f"  {'batch':>7} {'best rate':>10} {'interval':>18} {'updates':>8}")
            lines += [
                f"  {row.batch_size:>7,} {row.lr:>10.3g} {f'{row.low:.3g} to {row.high:.3g}':>18} "
                f"{row.steps:>8,}" + (f"  the {row.edge} rate tried" if row.edge else "")
                for row in self.measured
            ]
        if self.laws:
            errors = ", ".join(f"{law} {error:.3g}" for law, error in self.laws.items())
            lines.append(f"law: {self.law} (leave-one-out error as a factor: {errors})")
            lines += [
                f"  {row.batch_size:>7,} {row.lr:>10.3g} {f'{row.low:.3g} to {row.high:.3g}':>18}   "
                f"{row.regime}"
                for row in self.regimes
            ]
        lines += [_condition(check) for check in self.checks]
        if self.rule == "measured" or self.lr is None:  # a rule's reasons are those of its conditions
            lines.append(self.why)
        lines += [*(f"warning: {warning}" for warning in self.warnings)]
        if self.cost.updates:
            lines.append(
                f"cost {self.cost.updates:,} updates, {self.cost.seconds:.1f} s, "
                f"the samples of {self.cost.runs:.2g} full runs"
            )
        return "\n".join(line for line in lines if line)


def _condition(check: Check) -> str:
    word = {True: "holds", False: "fails", None: "untested"}[check.holds]
    return f"  {check.name} {word}: {check.why}"
