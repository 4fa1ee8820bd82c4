"""12.3.1-2: features of very different frequency, one rate for all against a rate of each parameter's own."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from stepsize.chapter.lab import Lab, Section, Training
from stepsize.chapter.result import Claim, Findings, Lines, Series
from stepsize.chapter.rules import all_of, difference
from stepsize.chapter.sections.figures import apart, estimate, finals, listed, values
from stepsize.chapter.settings import Settings
from stepsize.chapter.tasks import FEATURES, by_frequency, sparse
from stepsize.report.numbers import number, rate
from stepsize.runs import Runs
from stepsize.task import Task


def _one_rate(settings: Settings) -> Task:
    return sparse(settings, "sparse: one rate", torch.optim.SGD)


def _groups(settings: Settings) -> Task:
    return sparse(settings, "sparse: groups by frequency", torch.optim.SGD, by_frequency)


def _adaptive(optimizer: type[torch.optim.Optimizer], settings: Settings) -> Task:
    return sparse(settings, f"sparse: {optimizer.__name__}", optimizer)


def _rates(lowest: float) -> tuple[float, ...]:
    return tuple(float(f"{lowest * 2**i:.6g}") for i in range(7))


METHODS = {
    "one rate for all": Training("sparse: one rate", _one_rate, _rates(0.2), evaluate="8 a run"),
    "groups by frequency": Training("sparse: groups", _groups, _rates(0.01), evaluate="8 a run"),
    "Adagrad": Training(
        "sparse: Adagrad", partial(_adaptive, torch.optim.Adagrad), _rates(0.04), evaluate="8 a run"
    ),
    "Adam": Training("sparse: Adam", partial(_adaptive, torch.optim.Adam), _rates(0.004), evaluate="8 a run"),
}
"""Each is given seven rates a factor 2 apart, its best one inside."""


def _find(lab: Lab) -> Findings:
    runs = {name: lab.runs(training) for name, training in METHODS.items()}
    best = {name: _best(one) for name, one in runs.items()}
    single = best["one rate for all"][1]
    others = {
        name: difference(single, loss) for name, (_, loss) in best.items() if name != "one rate for all"
    }
    told = listed(
        f"{name} {number(float(loss.mean()), 4)} (at {rate(lr)})" for name, (lr, loss) in best.items()
    )
    return Findings(
        claims=(
            Claim(
                id="12.3.1-2/sparse",
                row="12.3.1-2",
                book=(
                    "One rate does not suit all parameters: if the data are sparse and the features' "
                    "frequencies very different, rare features should get larger updates."
                ),
                measured=f"Held-out loss, each method at its own best rate: {told}.",
                verdict=all_of(found.verdict for found in others.values()),
                rule=(
                    "Each way of giving rare features larger updates must end lower than the best single "
                    "rate, by a 95% interval over paired seeds."
                ),
                evidence=(
                    *(estimate(f"loss, {name}", loss) for name, (_, loss) in best.items()),
                    *(apart(f"one rate − {name}", found) for name, found in others.items()),
                ),
            ),
        ),
        drawings=(_drawing(runs),),
    )


def _best(runs: Runs) -> tuple[float, np.ndarray]:
    """The best rate and its final losses over seeds."""
    found = runs.best()
    if found is None:
        seeds = len(next(iter(runs.arms.values())))
        return float("nan"), np.full(seeds, np.nan)
    return found.arm.lr, finals(runs, found.arm, "val_loss")


def _drawing(runs: dict[str, Runs]) -> Lines:
    series = []
    for name, one in runs.items():
        ends = one.summary()
        top = one.best()
        scale = top.arm.lr if top is not None else 1.0
        series.append(
            Series(
                label=name,
                x=tuple(end.arm.lr / scale for end in ends),
                y=values([np.nan if end.mean is None else end.mean for end in ends]),
                low=values([np.nan if end.low is None else end.low for end in ends]),
                high=values([np.nan if end.high is None else end.high for end in ends]),
                style="line and dots",
            )
        )
    lowest = min(v for one in series for v in one.y if v is not None)
    return Lines(
        name="sparse",
        title="Sparse features: one rate, or one for each",
        caption=(
            f"Held-out loss over the rate, each method's best rate at 1; a logistic model of {FEATURES} "
            "features whose frequencies fall as 1/rank. Bands are 90% bootstrap intervals."
        ),
        alt=(
            "Held-out loss over the rate relative to the best, for four methods; the lowest is "
            f"{number(lowest, 4)}."
        ),
        x_label="rate over the method's best rate",
        y_label="held-out loss",
        series=tuple(series),
        x_scale="rate",
        y_range=(lowest - 0.01, lowest + 0.14),
    )


SECTION = Section(
    slug="sparse",
    title="Sparse features",
    rows=("12.3.1-2",),
    idea=(
        "A logistic model learns from features of which a few are common and most are rare, as words are. "
        "One rate for all weights is compared with parameter groups whose rates are in inverse proportion "
        "to the frequency, and with Adagrad and Adam, which find each parameter's own rate. Every method "
        "is tuned."
    ),
    code="""\
import torch
import stepsize as ss
from stepsize.chapter.settings import Settings
from stepsize.chapter.tasks import by_frequency, sparse

for name, optimizer, params, lrs in [
    ("one rate", torch.optim.SGD, None, [0.8, 1.6, 3.2, 6.4]),
    ("groups", torch.optim.SGD, by_frequency, [0.02, 0.04, 0.08, 0.16]),
    ("Adagrad", torch.optim.Adagrad, None, [0.08, 0.16, 0.32, 0.64]),
]:
    print(ss.sweep(sparse(Settings(), name, optimizer, params), lrs).best())
""",
    find=_find,
    trainings=tuple(METHODS.values()),
)
