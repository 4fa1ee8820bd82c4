"""Why this rate: sentences and warnings that a practitioner would give, built from the evidence."""

from __future__ import annotations

import math

import numpy as np

from stepsize.decide.advice import ENDED, AdviceStatus
from stepsize.decide.outcomes import FAR_APART
from stepsize.decide.rehearsal import Rehearsal
from stepsize.estimate import Basin, Shift

TIED = 0.01
"""Share of a seed's progress within which a rate counts as tied with that seed's best."""

DISAGREE = 3.0
"""Factor between the best rates of different seeds from which on they are said to disagree."""

CLOSE = 1.3
"""A rate that diverges within this factor above the answer is warned of."""

DOUBTFUL = 0.05
"""Expected regret from which on one is warned of it."""

OVERFIT = 0.5
"""Part of over-fitting in what higher rates lose from which on it is told."""

SHORT = 0.1
"""Share of the real run below which a deciding rehearsal is called short."""


def reasons(
    status: AdviceStatus, rehearsals: list[Rehearsal], found: Basin, shift: Shift, lr: float, overfit: float
) -> str:
    """Two to four sentences: what ended lowest, how the length changes it, and where it breaks."""
    last = rehearsals[-1]
    assert last.best is not None
    best = float(last.lrs[last.best])
    sentences = [_winner(last, best)]
    if status in ENDED:
        sentences.insert(0, f"{ENDED[status]}: this is what was known until then, and the interval is wider.")
    if last.steps < last.horizon:
        sentences.append(_longer(last, best, shift, lr, overfit))
    elif abs(math.log(lr / best)) > 0.05:
        sentences.append(f"{lr:.3g} loses no more and keeps away from the steeper side.")
    broken = _broken(last, found)
    if broken:
        sentences.append(broken)
    return " ".join(sentences)


def _winner(last: Rehearsal, best: float) -> str:
    count, seeds = _tied(last), len(last.seeds)
    among = f"the best of {len(last.lrs)} rates"
    where = "full runs" if last.steps == last.horizon else f"rehearsals of {last.steps:,} updates"
    if last.samples is not None:
        where += f" on {last.samples:,} samples"
    if seeds == 1:
        return f"In {where}, {best:.3g} was {among}."
    if count == 0:
        return f"In {where}, {best:.3g} was {among} on average over {seeds} seeds, whose own best differ."
    return f"In {where}, {best:.3g} was {among}, best or tied for {count} of {seeds} seeds."


def _tied(last: Rehearsal) -> int:
    """Seeds for which the best rate over all seeds is within `TIED` of their own best."""
    own = np.where(np.isfinite(last.losses), last.losses, np.inf).min(axis=1)
    limit = own + TIED * (last.start_loss - own)
    return int((last.losses[:, last.best] <= limit).sum())


def _longer(last: Rehearsal, best: float, shift: Shift, lr: float, overfit: float) -> str:
    times, change = 1 / last.share, math.exp(shift.mean) - 1
    usual = f"A run {times:.2g} times as long mostly wants a rate about {abs(change):.0%} lower"
    if change > 0:
        goes_on = "from weights that are trained already mostly wants a rate about"
        usual = f"A run {times:.2g} times as long {goes_on} {change:.0%} higher"
    if overfit > OVERFIT:
        usual = f"Higher rates over-fitted before the end: that bounds rate times updates. {usual}"
    away = math.log(lr / best) - shift.mean
    if away < -0.2:
        return f"{usual}, and too high costs more than too low, hence {lr:.3g}."
    if away > 0.2:
        return f"{usual}, but too low costs more than too high, hence {lr:.3g}."
    return f"{usual}, hence {lr:.3g}."


def _broken(last: Rehearsal, found: Basin) -> str:
    if found.cliff is None:
        return ""
    lost = ~np.isfinite(last.losses[:, int(np.argmin(np.abs(last.lrs - found.cliff)))])
    if len(lost) == 1:
        return f"{found.cliff:.3g} diverged."
    return f"At {found.cliff:.3g} {int(lost.sum())} of {len(lost)} seeds diverged."


def warnings(last: Rehearsal, found: Basin, lr: float, doubt: float) -> tuple[str, ...]:
    """What one should know before trusting the rate; `doubt` is the regret that it is expected to have."""
    told = []
    if doubt > DOUBTFUL:
        told.append(
            f"the rate is expected to lose {doubt:.0%} of the progress, so little is known of the whole run: "
            "a larger budget makes it surer"
        )
    if last.share < SHORT:
        told.append(
            f"decided on {last.steps:,} of {last.horizon:,} updates: a larger budget narrows the interval"
        )
    if found.low_open:
        told.append(f"rates below {last.lrs[0]:.3g} were not tried at this length and may do as well")
    if found.high_open:
        told.append(f"rates above {last.lrs[-1]:.3g} were not tried at this length and may do as well")
    if found.high / found.low >= FAR_APART:
        told.append(
            f"rates from {found.low:.3g} to {found.high:.3g} all end within 1% of the progress from "
            f"{last.start_loss:.4g}: if that start is far worse than a constant output would be, normalise "
            "inputs and targets, so that what else is learned counts"
        )
    winners = {float(last.lrs[int(np.argmin(row))]) for row in last.losses if np.isfinite(row).any()}
    if max(winners) / min(winners) > DISAGREE:
        told.append(
            f"the seeds disagree: their best rates go from {min(winners):.3g} to {max(winners):.3g}; "
            "pass more seeds for a tighter answer"
        )
    if found.cliff is not None and found.cliff / lr < CLOSE:
        told.append(f"training diverges from {found.cliff:.3g} on, close above the answer: do not round up")
    return tuple(told)
