"""What the rehearsals mean: a rate with its interval, or the name of what stands in the way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from stepsize.decide.advice import AdviceStatus, Price
from stepsize.decide.rehearsal import Rehearsal
from stepsize.decide.search import SHARE
from stepsize.estimate import Basin, basin, horizon_trend, loss_at, mean_over_seeds

CENTRE_SHARE = 0.005
"""The answer is the middle, in log rate, of the rates that lose at most this share: where the loss is level
the lowest point is chance, and beside a cliff the middle keeps away from it."""

LEVEL = 0.05
"""Chance of calling luck on the held-out data progress, over all rates together."""

FEW_HELD_OUT, FEW_TRAINED = 64, 128
"""Fewer samples than this, and a lack of evidence is laid to the amount of data."""

FLAT = 1e-6
"""Relative change of the held-out loss below which the rate is said to change nothing: float32's rounding."""

INTERRUPTED_FACTOR = 1.5
"""An interval from unfinished rounds is widened by this factor on both sides."""


@dataclass(frozen=True)
class Verdict:
    """The status, the rate and its interval (None without an answer), and how it was reached."""

    status: AdviceStatus
    why: str
    lr: float | None = None
    low: float | None = None
    high: float | None = None
    expected_loss: float | None = None
    prices: tuple[Price, ...] = ()
    warnings: tuple[str, ...] = ()


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
        return Verdict(
            "diverges_everywhere",
            f"All rates from {last.lrs[0]:.3g} to {last.lrs[-1]:.3g} diverged within {last.steps:,} updates. "
            "Pass a smaller lr_min, clip gradients, or add a warm-up.",
        )
    finite = last.losses[np.isfinite(last.losses)]
    if np.abs(finite - start).max() <= FLAT * max(abs(start), float(np.finfo(np.float32).tiny)):
        return Verdict(
            "flat",
            f"The held-out loss stays at {start:.4g} whatever the rate, from {last.lrs[0]:.3g} to "
            f"{last.lrs[-1]:.3g}. Check that the loss depends on the trained parameters and that gradients "
            "are not zero.",
        )
    if not learns(last):
        return _nothing_learned(last, trained, held_out)
    return _answer(rehearsals)


def learns(rehearsal: Rehearsal) -> bool:
    """Whether some rate makes the held-out loss fall by more than the luck of which samples were held out.

    A paired t-test over the folds, each the mean over seeds of its loss before less its loss after training,
    one-sided, at the level `LEVEL` divided by the number of rates, since the best one is picked.
    """
    best = rehearsal.best
    if best is None or not np.isfinite(rehearsal.start_loss):
        return False
    gains = (rehearsal.start_folds - rehearsal.folds[:, best]).mean(axis=0)
    if len(gains) < 2:
        return bool(gains.mean() > 0)
    error = gains.std(ddof=1) / np.sqrt(len(gains))
    needed = stats.t.isf(LEVEL / len(rehearsal.lrs), df=len(gains) - 1) * error
    return bool(gains.mean() > needed)


def _nothing_learned(last: Rehearsal, trained: int | None, held_out: int | None) -> Verdict:
    best = float(last.mean.min())
    what = (
        f"The best of {len(last.lrs)} rates moves the held-out loss from {last.start_loss:.4g} to "
        f"{best:.4g} in {last.steps:,} updates, no more than the chance of which samples are held out."
    )
    if (held_out is not None and held_out < FEW_HELD_OUT) or (trained is not None and trained < FEW_TRAINED):
        return Verdict(
            "too_little_data",
            f"{what} With {trained} training and {held_out} held-out samples a rate cannot be told from "
            "luck: pass more data, above all a larger val.",
        )
    return Verdict(
        "noise_dominated",
        f"{what} Check that the inputs can predict the targets (shuffled labels?), or pass a longer horizon.",
    )


def _answer(rehearsals: list[Rehearsal]) -> Verdict:
    last = rehearsals[-1]
    found = basin(last.lrs, last.losses, last.start_loss, share=SHARE)
    best = last.best
    at_top = best == len(last.lrs) - 1
    if at_top or best == 0:
        edge, argument = ("largest", "lr_max") if at_top else ("smallest", "lr_min")
        return Verdict(
            "not_bracketed",
            f"The {edge} rate tried, {last.lrs[best or 0]:.3g}, is still the best, so the best may lie "
            f"beyond it: pass a {'larger' if at_top else 'smaller'} {argument}.",
        )
    level = basin(last.lrs, last.losses, last.start_loss, share=CENTRE_SHARE)
    lr = three_digits(float(np.sqrt(level.low * level.high)))
    expected = loss_at(last.lrs, last.mean, lr)
    return Verdict(
        "ok",
        _reasons(rehearsals, found, lr),
        lr=lr,
        low=three_digits(found.low),
        high=three_digits(found.high),
        expected_loss=float(expected) if np.isfinite(expected) else found.best_loss,
        prices=_prices(last, found, lr),
        warnings=_warnings(rehearsals, found, lr),
    )


def three_digits(lr: float) -> float:
    """A rate as one would write it down; it is not known any better than that."""
    return float(f"{lr:.3g}")


def known_so_far(rehearsals: list[Rehearsal]) -> Verdict:
    """What an interrupted search can say: the best so far, with a wider interval."""
    usable = [r for r in rehearsals if r.best is not None and np.isfinite(r.start_loss) and learns(r)]
    if not usable:
        return Verdict("interrupted", "Interrupted before any rate could be judged; run it again to the end.")
    last = usable[-1]
    found = basin(last.lrs, last.losses, last.start_loss, share=SHARE)
    neighbour = float(np.max(last.lrs[1:] / last.lrs[:-1])) if len(last.lrs) > 1 else INTERRUPTED_FACTOR
    widen = max(INTERRUPTED_FACTOR, neighbour)
    return Verdict(
        "interrupted",
        f"Interrupted after rehearsals of {last.steps:,} of {last.horizon:,} updates; {found.lr:.3g} was "
        "best until then, and the interval is widened accordingly.",
        lr=three_digits(found.lr),
        low=three_digits(found.low / widen),
        high=three_digits(found.high * widen),
        expected_loss=found.best_loss,
        prices=_prices(last, found, found.lr),
    )


def _prices(last: Rehearsal, found: Basin, lr: float) -> tuple[Price, ...]:
    progress = last.start_loss - found.best_loss
    prices = []
    for factor in (0.5, 2.0):
        loss = float(loss_at(last.lrs, last.mean, lr * factor))
        known = np.isfinite(loss)
        prices.append(
            Price(
                factor=factor,
                loss=loss if known else None,
                regret=max(0.0, (loss - found.best_loss) / progress) if known else None,
            )
        )
    return tuple(prices)


def _reasons(rehearsals: list[Rehearsal], found: Basin, lr: float) -> str:
    last = rehearsals[-1]
    seeds = "1 seed" if len(last.seeds) == 1 else f"{len(last.seeds)} seeds"
    length = (
        "the full horizon" if last.steps == last.horizon else f"{last.steps:,} of {last.horizon:,} updates"
    )
    best = last.lrs[last.best or 0]
    sentences = [
        f"{best:.3g} ended lowest of {len(last.lrs)} rates, rehearsed over {length} with {seeds}.",
        f"{lr:.3g} is the middle of those that came within {CENTRE_SHARE:.1%} of it.",
    ]
    if found.cliff is not None:
        broken = int((~np.isfinite(last.losses[:, int(np.argmin(np.abs(last.lrs - found.cliff)))])).sum())
        sentences.append(f"At {found.cliff:.3g} {broken} of {seeds} diverged.")
    trend = _trend(rehearsals)
    if trend is not None and abs(trend) > np.log(1.5):
        sentences.append(f"Longer rehearsals preferred {'lower' if trend < 0 else 'higher'} rates.")
    return " ".join(sentences)


def _trend(rehearsals: list[Rehearsal]) -> float | None:
    """Slope of ln(best rate) over ln(length); None from one length alone."""
    usable = [r for r in rehearsals if r.best is not None]
    if len({r.steps for r in usable}) < 2:
        return None
    slope = horizon_trend([r.steps for r in usable], [r.lrs[r.best or 0] for r in usable])
    span = np.log(usable[-1].steps / usable[0].steps)
    return float(slope * span)


def _warnings(rehearsals: list[Rehearsal], found: Basin, lr: float) -> tuple[str, ...]:
    warnings = []
    last = rehearsals[-1]
    if found.low_open:
        warnings.append(f"rates below {found.low:.3g} were not tried at this length and may do as well")
    if found.high_open:
        warnings.append(f"rates above {found.high:.3g} were not tried at this length and may do as well")
    if len(last.seeds) > 1:
        winners = {float(last.lrs[int(np.argmin(row))]) for row in last.losses if np.isfinite(row).any()}
        if max(winners) / min(winners) > 3:
            warnings.append(
                f"the seeds disagree: their best rates go from {min(winners):.3g} to {max(winners):.3g}; "
                "pass more seeds for a tighter answer"
            )
    worst = mean_over_seeds(last.losses)
    if found.cliff is not None and found.cliff / lr < 1.3 and np.isfinite(worst).any():
        warnings.append(
            f"training diverges from {found.cliff:.3g} on, close above the answer: do not round up"
        )
    return tuple(warnings)
