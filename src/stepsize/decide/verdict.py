"""What the rehearsals mean: a rate with its interval, or the name of what stands in the way."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from stepsize.decide.advice import ENDED, AdviceStatus, Price
from stepsize.decide.outcomes import alike, learns
from stepsize.decide.outlook import Outlook
from stepsize.decide.reasons import reasons, warnings
from stepsize.decide.rehearsal import Rehearsal
from stepsize.estimate import (
    Basin,
    Regret,
    Shift,
    basin,
    chance_of_losing,
    loss_at,
    overfitting,
    resampled,
)
from stepsize.estimate.transfer import SLOPE_SPREAD
from stepsize.measure.curve import Curve

SHARE = 0.01
"""The interval holds the rates that should lose at most this share of the progress."""

LEAST_SPREAD = 0.1
"""Standard deviation, in ln(rate), of where few seeds see the best rate, however sharp it is."""

WIDENED = 1.0
"""The interval reaches further than the rehearsal's by so many standard deviations of what is not known."""

FAR = 0.25
"""Share of the run below which a cliff, too, says little on what bounds the rate in the whole run: from there
on the interval is widened as if there were none."""

VAGUE = 100.0
"""Factor between the ends of an interval from which on it is no answer where less than half of the run was
rehearsed."""

GUESSED = 10.0
"""Factor either way that a guess from the range test alone may be off."""

MUCH, LIKELY = 0.05, 0.2
"""An answer is uncertain where the chance that it loses more than the first is above the second: of 28 such
answers among 296 searches 7 did, of the other 268 three (docs/method.md)."""

LEVEL_RATES = 4
"""Rates within `SHARE` of one another, up to an edge of the grid, of which any will do."""

CANDIDATES = 400
"""Rates among which the answer is chosen; neighbours differ by some percent at most."""

FEW_HELD_OUT, FEW_TRAINED = 64, 128
"""Fewer samples than this, and a lack of evidence is laid to the amount of data."""

FLAT = 1e-6
"""Relative change of the held-out loss below which the rate is said to change nothing: float32's rounding."""


@dataclass(frozen=True)
class Verdict:
    """The status, the rate and its interval (None without an answer), and how it was reached.

    `doubt` is the share of the progress that the rate is expected to lose in the full run; the more, below a
    cliff that may lie elsewhere. It comes from `outlook`.
    """

    status: AdviceStatus
    why: str
    lr: float | None = None
    low: float | None = None
    high: float | None = None
    expected_loss: float | None = None
    prices: tuple[Price, ...] = ()
    warnings: tuple[str, ...] = ()
    doubt: float = 0.0
    outlook: Outlook | None = None


def judge(rehearsals: list[Rehearsal], *, trained: int | None, held_out: int | None) -> Verdict:
    """Read the last, longest rehearsal; `trained` and `held_out` are sample counts, None for a stream."""
    last = rehearsals[-1]
    start = last.start_loss
    if not np.isfinite(start):
        return Verdict(
            "diverges_everywhere",
            f"The held-out loss is {start} before the first update, so no rate can be judged. "
            "Check the loss, the initial weights and the data for NaN and infinities.",
        )
    if last.best is None:
        tried = " to ".join(dict.fromkeys(f"{rate:.3g}" for rate in last.lrs[[0, -1]]))
        return Verdict(
            "diverges_everywhere",
            f"All rates tried, {tried}, diverged within {last.steps:,} updates. "
            "Pass a smaller lr_min, clip gradients (clip_grad_norm=1.0), or add a warm-up.",
        )
    finite = last.losses[np.isfinite(last.losses)]
    if np.abs(finite - start).max() <= FLAT * max(abs(start), float(np.finfo(np.float32).tiny)):
        return Verdict(
            "flat",
            f"The held-out loss stays at {start:.4g} whatever the rate, from {last.lrs[0]:.3g} to "
            f"{last.lrs[-1]:.3g}. Check that the loss depends on the trained parameters and that gradients "
            "are not zero.",
        )
    learned = learns(last) or (finite.min() < start and any(map(learns, rehearsals[:-1])))
    if held_out == 1 or not learned:  # one sample tells nothing of its luck
        return _nothing_learned(last, trained, held_out)
    return _answer(rehearsals)


def _nothing_learned(last: Rehearsal, trained: int | None, held_out: int | None) -> Verdict:
    best = float(last.mean.min())
    what = (
        f"The best of {len(last.lrs)} rates moves the held-out loss from {last.start_loss:.4g} to "
        f"{best:.4g} in {last.steps:,} updates, no more than the chance of which samples are held out."
    )
    if last.steps < last.horizon and held_out != 1:
        return Verdict(
            "out_of_time",
            f"{what} The budget pays for no more of the real run's {last.horizon:,} updates, in which it may "
            "yet fall: pass a larger one.",
        )
    if (held_out is not None and held_out < FEW_HELD_OUT) or (trained is not None and trained < FEW_TRAINED):
        return Verdict(
            "too_little_data",
            f"{what} With {trained} training and {held_out} held-out sample{'' if held_out == 1 else 's'} a "
            "rate cannot be told from luck: pass more data, above all a larger val.",
        )
    return Verdict(
        "noise_dominated",
        f"{what} Check that the inputs can predict the targets (shuffled labels?) and that the model is not "
        "trained to its end already, or pass a longer horizon.",
    )


def _answer(rehearsals: list[Rehearsal]) -> Verdict:
    last = rehearsals[-1]
    best = last.best
    assert best is not None
    at_top = best == len(last.lrs) - 1
    if (at_top or best == 0) and not _level(last):
        edge, argument = ("largest", "lr_max") if at_top else ("smallest", "lr_min")
        return Verdict(
            "not_bracketed",
            f"The {edge} rate tried, {last.lrs[best]:.3g}, is still the best, so the best may lie "
            f"beyond it: pass a {'larger' if at_top else 'smaller'} {argument}.",
        )
    return _advised("ok", rehearsals)


def _level(last: Rehearsal) -> bool:
    """Whether the best rate, at an edge, is no better than its neighbours, and those beyond them are worse.

    What lies past the edge need then not be known. So it is with an optimizer that bounds its own rate.
    """
    found = basin(last.lrs, last.losses, last.start_loss, share=SHARE)
    near = int(((last.lrs >= found.low) & (last.lrs <= found.high)).sum())
    return near >= LEVEL_RATES and not alike(last)


def known_so_far(status: AdviceStatus, rehearsals: list[Rehearsal], bracket: Curve | None) -> Verdict:
    """What a search that did not end can say: the best so far, with the wider interval of a short rehearsal.

    Before the first rehearsal that is the guess of a classical rule, with a decade either way.
    """
    ended = ENDED[status]
    again = "pass a larger one" if status == "out_of_time" else "run it again to the end"
    usable = [r for r in rehearsals if r.best is not None and np.isfinite(r.start_loss) and learns(r)]
    guess = bracket.suggestions["minimum_over_10"].lr if bracket is not None else None
    if not usable and not rehearsals and guess is not None:
        lr = three_digits(guess)
        return Verdict(
            status,
            f"{ended} before the first rehearsal. {lr:.3g} is a tenth of the rate at which the loss of "
            f"the range test was lowest: a guess that may lose much, so {again}.",
            lr=lr,
            low=three_digits(lr / GUESSED),
            high=three_digits(lr * GUESSED),
        )
    if not usable:
        return Verdict(status, f"{ended} before any rate could be judged; {again}.")
    return _advised(status, usable)


def _advised(status: AdviceStatus, rehearsals: list[Rehearsal]) -> Verdict:
    """The rate that should lose least in the full run, as far as the last rehearsal tells."""
    last = rehearsals[-1]
    found = basin(last.lrs, last.losses, last.start_loss, share=SHARE)
    measured = Regret.measured(last.lrs, last.mean, last.start_loss)
    draws = resampled(last.losses, last.folds)
    regret = Regret.measured(last.lrs, draws, last.start_loss)
    overfit = overfitting(last.mean, last.risen, last.start_loss)
    safe = last.lrs[-1] if found.cliff is None else last.lrs[last.lrs < found.cliff][-1]
    outlook = Outlook(
        regret=regret,
        rates=np.geomspace(last.lrs[0], safe, CANDIDATES),
        alike=found.low_open and found.high_open,
        seeds=len(last.seeds),
        located=math.hypot(LEAST_SPREAD, math.log(found.high / found.low) / 4),
        room=measured.room_above(math.log(found.high * found.low) / 2),
        overfit=overfit,
        late=last.late,
        head_start=last.head_start,
    )
    shift = outlook.shift(last.share)
    lr = three_digits(outlook.best(last.share))
    low, high = _interval(lr, last.share, found, measured, shift, safe)
    if high >= VAGUE * low:
        outlook = replace(outlook, alike=True)
    telling = outlook.tells(last.share)
    chance = chance_of_losing(MUCH, lr, last.lrs, draws, last.start_loss, shift)
    if status == "ok" and (chance > LIKELY or not telling):
        status = "uncertain"
    why = reasons(status, rehearsals, found, shift, lr, overfit)
    if status == "uncertain":
        why += _in_doubt(chance) if telling else _vague(low, high)
    return Verdict(
        status,
        why,
        lr=lr,
        low=low,
        high=high,
        expected_loss=found.best_loss,
        prices=_prices(last, found, lr, lambda rate: float(regret.expected(rate, shift))),
        warnings=warnings(last, found, lr, float(regret.expected(lr, shift))),
        doubt=outlook.doubt(lr, last.share),
        outlook=outlook,
    )


def _interval(
    lr: float, share: float, found: Basin, measured: Regret, shift: Shift, safe: float
) -> tuple[float, float]:
    """The rates that should lose at most `SHARE`, `lr` among them and none above the last `safe` one."""
    short = max(0.0, math.log(FAR / share))
    reach = WIDENED * math.hypot(shift.spread, SLOPE_SPREAD * short)
    below, above = measured.beyond(SHARE)
    low = found.low * math.exp(-below if found.low_open else 0.0)
    high = min(found.high * math.exp(shift.mean + reach), safe) * math.exp(above if found.high_open else 0.0)
    return min(lr, three_digits(low * math.exp(shift.mean - reach))), max(lr, three_digits(high))


def _in_doubt(chance: float) -> str:
    return (
        f" The chance is about {chance:.0%} that it loses more than {MUCH:.0%} of the progress in the real "
        "run: a larger budget makes it surer."
    )


def _vague(low: float, high: float) -> str:
    return (
        f" As far as that tells, rates from {low:.3g} to {high:.3g} do as well, which says little of the "
        "real run: a larger budget makes it surer."
    )


def three_digits(lr: float) -> float:
    """A rate as one would write it down; it is not known any better than that."""
    return float(f"{lr:.3g}")


def _prices(
    last: Rehearsal, found: Basin, lr: float, expected: Callable[[float], float]
) -> tuple[Price, ...]:
    """Expected regret of half and twice the rate; None where the rehearsal diverged."""
    prices = []
    for factor in (0.5, 2.0):
        rate = lr * factor
        diverged = last.lrs[0] <= rate <= last.lrs[-1] and not np.isfinite(loss_at(last.lrs, last.mean, rate))
        regret = None if diverged else expected(rate)
        loss = None if regret is None else found.best_loss + regret * (last.start_loss - found.best_loss)
        prices.append(Price(factor=factor, loss=loss, regret=regret))
    return tuple(prices)
