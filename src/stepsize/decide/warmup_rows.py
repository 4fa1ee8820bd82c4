"""What trial runs with several warm-ups tell: a row for each, the shortest that will do, and why."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from stepsize.decide.warmup_result import WarmupRow
from stepsize.estimate import mean_over_seeds
from stepsize.estimate.paired import Difference, differences, falls
from stepsize.training import History

FACTORS = (1.0, 2.0)
"""Of the rate given: what a warm-up gains is mostly that it lets a larger rate be borne."""

EARLY = 0.25
"""Share of a trial run in which the training loss is watched for a climb."""

SMOOTHED = 5
"""Updates over which it is averaged, since single batches scatter."""

BORNE = 0.5
"""Climb, as a share of what the run gains in all, up to which early updates are said to bear a rate."""

SLIGHT = 0.005
"""Share of the progress that a shorter warm-up may end above the best one."""


def learns(history: History, seeds: int) -> bool:
    """Whether the run that ends lowest gains more than the luck of which samples are held out."""
    ends = mean_over_seeds(_by_run(history.val_loss[:, -1], seeds))
    if not np.isfinite(ends).any():
        return False
    best = int(np.argmin(ends))
    start, end = (_by_run(history.val_folds[:, place], seeds)[:, best] for place in (0, -1))
    return falls(start, end, tries=len(FACTORS))


def _by_run(values: np.ndarray, seeds: int) -> np.ndarray:
    """Values of members (K, …) as (S, runs, …): members stand in the order length, seed, factor."""
    rest = values.shape[1:]
    grid = values.reshape(-1, seeds, len(FACTORS), *rest).swapaxes(0, 1)
    return grid.reshape(seeds, -1, *rest)


def rows_of(history: History, lengths: Sequence[int], seeds: int) -> tuple[WarmupRow, ...]:
    """A row for each warm-up at the better of its rates, compared with the one that ends lowest."""
    grid = (len(lengths), seeds, len(FACTORS))
    ends = history.val_loss[:, -1].reshape(grid)
    ends = np.where(np.isfinite(ends), ends, np.inf)
    means = np.array([mean_over_seeds(losses) for losses in ends])
    lrs = [member.lr for member in history.members[: len(FACTORS)]]
    curves = history.train_loss.reshape(*grid, -1)[:, :, 0]
    best = np.argmin(means, axis=1)
    lowest = int(np.argmin(means.min(axis=1)))
    rows = []
    finals = np.stack([ends[place, :, best[place]] for place in range(len(lengths))], axis=1)
    finite = np.isfinite(finals).all(axis=0)
    told = dict.fromkeys(range(len(lengths)), Difference(math.inf, None, None))
    if finite.any():
        places = np.flatnonzero(finite).tolist()
        told |= zip(places, differences(finals[:, finite], places.index(lowest)), strict=True)
    for place, width in enumerate(lengths):
        mine, rise = finals[:, place], _rise(curves[place])
        if not np.isfinite(mine).all():
            nothing = WarmupRow(
                updates=width,
                lr=None,
                loss=None,
                by_seed=(),
                behind=None,
                behind_low=None,
                behind_high=None,
                alike=False,
                rise=rise,
            )
            rows.append(nothing)
            continue
        behind = told[place]
        rows.append(
            WarmupRow(
                updates=width,
                lr=lrs[best[place]],
                loss=float(mine.mean()),
                by_seed=tuple(mine.tolist()),
                behind=behind.mean,
                behind_low=behind.low,
                behind_high=behind.high,
                alike=not behind.detected,
                rise=rise,
            )
        )
    return tuple(rows)


def _rise(curves: np.ndarray) -> float | None:
    """Worst climb over seeds of training losses (S, T) above their start, as a share of their fall."""
    if not np.isfinite(curves).all():
        return None
    width = min(SMOOTHED, curves.shape[1])
    smooth = np.lib.stride_tricks.sliding_window_view(curves, width, axis=1).mean(axis=-1)
    start, early = curves[:, 0], smooth[:, : max(1, math.ceil(EARLY * smooth.shape[1]))]
    fall = start.mean() - smooth[:, -1].mean()
    climb = max(0.0, float((early.max(axis=1) - start).max()))
    return None if fall <= 0 else climb / float(fall)


def shortest(rows: Sequence[WarmupRow], start: float | None) -> WarmupRow | None:
    """The shortest about as good as the best that early updates bear; without one, the shortest as good."""
    good = [row for row in rows if row.alike and _lost(row, rows, start) <= SLIGHT]
    borne = [row for row in good if row.rise is not None and row.rise <= BORNE]
    return next(iter(borne or good), None)


def _lost(row: WarmupRow, rows: Sequence[WarmupRow], start: float | None) -> float:
    """Share of the best one's progress that a warm-up gives up; 0 where none makes any."""
    losses = [other.loss for other in rows if other.loss is not None]
    if row.loss is None or start is None:
        return math.inf
    progress = start - min(losses)
    return (row.loss - min(losses)) / progress if progress > 0 else 0.0


def reason(rows: Sequence[WarmupRow], chosen: WarmupRow | None, start: float | None, lr: float) -> str:
    """Why this length, in a sentence or two."""
    if all(row.loss is None for row in rows):
        return f"Every warm-up diverged at rates from {lr:.3g}: pass a smaller lr."
    if chosen is None:
        return (
            "No run lowered the held-out loss by more than the luck of which samples are held out: "
            "pass lr= a rate that learns, more steps, or more data."
        )
    shorter = [row for row in rows if row.updates < chosen.updates]
    if not shorter:
        words = "No warm-up is needed" if chosen.updates == 0 else f"{chosen.updates:,} updates are enough"
        borne = chosen.rise is not None and chosen.rise <= BORNE
        early = f"the early updates bear a rate of {lr:.3g}, and " if borne else ""
        return f"{words}: {early}no longer warm-up ends clearly lower."
    first = shorter[0]
    name = "Without a warm-up" if first.updates == 0 else f"After only {first.updates:,} updates of warm-up"
    lost = _lost(first, rows, start)
    if first.lr is None:
        fault = "every rate tried diverges"
    elif lost > SLIGHT:
        told = "though not beyond what the seeds scatter" if first.alike else "beyond what the seeds scatter"
        fault = f"{lost:.1%} of the progress is lost, {told}"
    elif first.rise is None:
        fault = f"a rate of {lr:.3g} diverges or gains nothing"
    else:
        fault = f"the training loss first climbs by {first.rise:.0%} of what the run gains"
    return f"{name} {fault}; {chosen.updates:,} updates are enough."
