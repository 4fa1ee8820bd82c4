"""Growing the batch where a schedule would lower the rate.

For SGD the noise of an update has the scale η/B, so where the rate falls to α of its height, the
batch may grow to B/α instead (Smith, Kindermans, Ying and Le, 2018; up to a batch of about a
tenth of the
training set). For Adam-like optimizers Seesaw (arXiv:2510.14717) multiplies the rate by √α and divides
the batch by α.
Beyond the critical batch size larger batches buy nothing, so a plan that would go there is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from stepsize.schedules.clock import Array
from stepsize.schedules.schedule import Schedule
from stepsize.schedules.units import Run, positive

Rule = Literal["sgd", "seesaw"]
_SHARE = {"sgd": 1.0, "seesaw": 0.5}
"""q in: new rate = old rate · (B/B₀)^q."""


@dataclass(frozen=True, eq=False)
class GrowthPlan:
    """Rate and batch at each update, over the same samples as the plan that decays.

    `rates` and `batches` have shape (U,), U ≤ T; `batches` sum to the samples of the decaying run.
    `schedule` and `run` are that run's.
    """

    schedule: Schedule
    run: Run
    rule: Rule
    rates: Array
    batches: npt.NDArray[np.int64]

    @property
    def steps(self) -> int:
        """Updates of the growing plan."""
        return len(self.rates)

    @cached_property
    def starts(self) -> npt.NDArray[np.int64]:
        """The samples seen before each update, shape (U,)."""
        return np.concatenate([[0], np.cumsum(self.batches)[:-1]]).astype(np.int64)

    def as_decay(self) -> Array:
        """The decaying plan that this one stands for: the rate at each of its T updates at the first batch.

        Each value is the original one at the first sample of the batch that it fell into, so a falling rate
        lags by less than one grown batch; where batches begin at the cuts it is the original exactly.
        """
        batch = _global_batch(self.run)
        at = np.arange(self.run.steps, dtype=np.int64) * batch
        owner = np.searchsorted(self.starts, at, side="right") - 1
        values: Array = self.rates[owner] * (batch / self.batches[owner]) ** _SHARE[self.rule]
        return values

    def __str__(self) -> str:
        return (
            f"{self.steps} updates instead of {self.run.steps} over the same {int(self.batches.sum())} "
            f"samples; "
            f"batch {self.batches.min()} to {self.batches.max()}, rate {self.rates.max():g} to "
            f"{self.rates[-1]:g}"
        )


def grow(
    schedule: Schedule,
    run: Run,
    *,
    rule: Rule = "sgd",
    max_batch: int | None = None,
    critical_batch: float | None = None,
) -> GrowthPlan:
    """Turn a decaying plan into one that grows the batch, over the same samples.

    α is the rate over the highest rate so far, so a warm-up stays as it is. The batch is B₀/α, rounded,
    at most `max_batch`; what the batch does not take over stays with the rate, so that rate/batch (sgd) or
    rate/√batch (seesaw) is that of the original at the same sample.

    Raises `ValueError` when the batch would pass `critical_batch`, or for `sgd` a tenth of the training set,
    and `max_batch` does not hold it below; or when the run has no batch size.
    """
    if rule not in _SHARE:
        raise ValueError(f"rule must be 'sgd' or 'seesaw', but got {rule!r}")
    batch = _global_batch(run)
    if max_batch is not None and not (positive("max_batch", max_batch) >= batch):
        raise ValueError(f"max_batch={max_batch} is below the batch that the run starts with, {batch}")
    planned = schedule.values(run)
    highest = np.maximum.accumulate(planned)
    alpha = np.divide(planned, highest, out=np.ones_like(planned), where=highest > 0)
    total = run.steps * batch
    with np.errstate(divide="ignore"):
        wanted = np.minimum(np.floor(batch / alpha + 0.5), max_batch or total)
    _refuse_excess(float(wanted.max()), run, rule, critical_batch)
    rates, batches, seen = [], [], 0
    while seen < total:
        t = seen // batch
        size = min(int(wanted[t]), total - seen)
        batches.append(size)
        rates.append(float(planned[t]) * (size / batch) ** _SHARE[rule])
        seen += size
    return GrowthPlan(schedule, run, rule, np.array(rates), np.array(batches, dtype=np.int64))


def _refuse_excess(largest: float, run: Run, rule: Rule, critical_batch: float | None) -> None:
    if critical_batch is not None and largest > positive("critical_batch", critical_batch):
        raise ValueError(
            f"the batch would grow to {largest:g}, beyond the critical batch of {critical_batch:g}, "
            f"where a larger one "
            f"buys nothing: give max_batch={math.floor(critical_batch)} and the rest stays with the rate"
        )
    if rule == "sgd" and run.samples is not None and largest > run.samples / 10:
        raise ValueError(
            f"the batch would grow to {largest:g}, beyond a tenth of the {run.samples} samples, where "
            f"the rule stops "
            f"holding: give max_batch={max(run.samples // 10, 1)} and the rest stays with the rate"
        )


def _global_batch(run: Run) -> int:
    if run.batch_size is None:
        raise ValueError("growing the batch needs one to start from: give Run(..., batch_size=...)")
    return run.batch_size * run.accumulation * run.world_size


class GrowthBatchSampler:
    """Batches of indices that follow a `GrowthPlan`: `DataLoader(data, batch_sampler=...)`.

    Every pass over the `samples` of the data is shuffled from (`seed`, epoch), and a batch that crosses the
    end of a pass takes its rest from the next one, so all batches are as long as planned. Iteration
    starts at update `start`, with the indices that an unbroken run would have had there.
    """

    def __init__(self, plan: GrowthPlan, samples: int, *, seed: int = 0, start: int = 0) -> None:
        if samples < 1:
            raise ValueError(f"samples must be at least 1, but got {samples}")
        if not 0 <= start <= plan.steps:
            raise ValueError(f"start must lie in the plan of {plan.steps} updates, but got {start}")
        self.plan, self.samples, self.seed, self.start = plan, samples, seed, start

    def __len__(self) -> int:
        return self.plan.steps - self.start

    def __iter__(self) -> Iterator[list[int]]:
        epoch, order = -1, np.empty(0, dtype=np.int64)
        for begin, size in zip(self.plan.starts[self.start :], self.plan.batches[self.start :], strict=True):
            batch: list[int] = []
            while len(batch) < size:
                now, place = divmod(int(begin) + len(batch), self.samples)
                if now != epoch:
                    epoch, order = now, np.random.default_rng([self.seed, now]).permutation(self.samples)
                batch += order[place : place + int(size) - len(batch)].tolist()
            yield batch
