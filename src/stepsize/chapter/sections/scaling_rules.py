"""12.3.4: batch times N wants the rate times N for the same update, times √N for the same variance of it."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from stepsize.chapter.lab import Lab, Section
from stepsize.chapter.result import Claim, Findings, Lines, NamedTable, Series
from stepsize.chapter.rules import all_of, mean_and_interval, within
from stepsize.chapter.sections.figures import estimate, interval, listed, values
from stepsize.chapter.tasks import textbook
from stepsize.report.numbers import number
from stepsize.report.picture import Table
from stepsize.task import Task
from stepsize.training.waypoints import waypoints

SMALL = 16
FACTORS = (2, 4, 8, 16)
LRS = (0.001, 0.1)
"""At batch 16: so low that the weights hardly move while N small batches pass, which is the condition that
the rule is derived under; and a rate of figure 12-13."""

WARMED = 200
"""Updates at batch 16 and rate 0.1 before anything is measured: the start itself is special."""

BATCHES = 800
NEAR = 0.05
"""Relative difference up to which two updates are the same."""

ALIKE = 1.25
"""Ratio up to which two variances are about the same."""


def _find(lab: Lab) -> Findings:
    lab.phase("one large update against several small ones")
    task = textbook(lab.settings).replace(batch_size=SMALL)
    seeds = [task.seed + i for i in range(max(2, lab.settings.seeds))]
    warmed, batches = lab.settings.pick(WARMED, 50), lab.settings.pick(BATCHES, 60)
    found = [_of_seed(task, seed, warmed, batches) for seed in seeds]
    gaps = {lr: {n: np.array([one[0][lr][n] for one in found]) for n in FACTORS} for lr in LRS}
    ratios = {n: np.array([one[1][n] for one in found]) for n in FACTORS}
    return Findings(
        claims=(
            _same_update(
                "low rate", LRS[0], gaps[LRS[0]], "While the weights hardly move, as it is derived."
            ),
            _same_update("real rate", LRS[1], gaps[LRS[1]], "At the rate that figure 12-13 prefers."),
            _same_variance(ratios),
            _variance_of_batches(ratios),
        ),
        drawings=(_drawing(ratios),),
        tables=(_table(gaps, ratios),),
    )


Gaps = dict[float, dict[int, float]]


def _of_seed(task: Task, seed: int, warmed: int, batches: int) -> tuple[Gaps, dict[int, float]]:
    """Relative gap between N small updates and a large one, by rate and N; variance at 16 over 16·N."""
    model = _model(task, seed, warmed)
    stream = task.batches(seed + 1)
    gaps: Gaps = {lr: {} for lr in LRS}
    for n in FACTORS:
        parts = [next(stream) for _ in range(n)]
        for lr in LRS:
            gaps[lr][n] = _gap(task, model, parts, lr)
    gradients = torch.stack([_gradient(task, model, next(stream)) for _ in range(batches)]).double()
    variances = {n: _variance(gradients, n) for n in (1, *FACTORS)}
    return gaps, {n: variances[1] / variances[n] for n in FACTORS}


def _gap(task: Task, model: nn.Module, parts: list[tuple[Tensor, Tensor]], lr: float) -> float:
    """|small − large| / |small|, the changes by an update a part and by one on all at the rate ×N."""
    moved = copy.deepcopy(model)
    for part in parts:
        change = -lr * _gradient(task, moved, part)
        vector_to_parameters(parameters_to_vector(moved.parameters()).detach() + change, moved.parameters())
    small = (parameters_to_vector(moved.parameters()) - parameters_to_vector(model.parameters())).detach()
    whole = (torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts]))
    large = -len(parts) * lr * _gradient(task, model, whole)
    return float((small - large).norm() / small.norm())


def _gradient(task: Task, model: nn.Module, batch: object) -> Tensor:
    return torch.cat(
        [g.ravel() for g in torch.autograd.grad(task.loss(model, batch), list(model.parameters()))]
    )


def _variance(gradients: torch.Tensor, n: int) -> float:
    """Trace of the covariance of the mean of n batch gradients, out of disjoint groups."""
    groups = gradients[: len(gradients) // n * n].reshape(-1, n, gradients.shape[1]).mean(dim=1)
    return float(groups.var(dim=0, unbiased=True).sum())


def _model(task: Task, seed: int, warmed: int) -> nn.Module:
    *_, stop = waypoints(task, np.full(warmed, 0.1), [warmed], seed=seed)
    return stop.model


def _same_update(identity: str, lr: float, gaps: dict[int, np.ndarray], condition: str) -> Claim:
    intervals = {n: mean_and_interval(gap) for n, gap in gaps.items()}
    return Claim(
        id=f"12.3.4/linear rule, {identity}",
        row="12.3.4",
        book=(
            "Batch ×N: for the same change of the weights after the same samples, the rate must grow ×N "
            f"(the linear rule). {condition}"
        ),
        measured=(
            f"N updates at batch {SMALL}, rate {lr:g}, against one at batch {SMALL}·N, rate N·{lr:g}: the "
            "two changes differ by "
            + listed(f"{number(100 * mean, 2)}% (N = {n})" for n, (mean, _, _) in intervals.items())
            + "."
        ),
        verdict=all_of(within(low, high, -NEAR, NEAR) for _, low, high in intervals.values()),
        rule="For each N the 95% interval of the relative difference must lie below 5%.",
        evidence=tuple(estimate(f"relative difference, N = {n}", gap) for n, gap in gaps.items()),
    )


def _same_variance(ratios: dict[int, np.ndarray]) -> Claim:
    """Var(η√N · g at 16·N) over Var(η · g at 16) is N over the ratio of the gradients' variances."""
    intervals = {n: mean_and_interval(n / ratio) for n, ratio in ratios.items()}
    return Claim(
        id="12.3.4/square root rule",
        row="12.3.4",
        book="For the same variance of the update, the rate must grow ×√N.",
        measured=(
            f"Variance of the update at batch {SMALL}·N and rate ×√N, over that at batch {SMALL}: "
            + listed(
                f"{number(mean)} {interval(low, high)} (N = {n})"
                for n, (mean, low, high) in intervals.items()
            )
            + "."
        ),
        verdict=all_of(within(low, high, 1 / ALIKE, ALIKE) for _, low, high in intervals.values()),
        rule="For each N the 95% interval must lie within a quarter of 1.",
        evidence=tuple(estimate(f"ratio of variances, N = {n}", n / ratio) for n, ratio in ratios.items()),
    )


def _variance_of_batches(ratios: dict[int, np.ndarray]) -> Claim:
    mean, low, high = mean_and_interval(ratios[2])
    return Claim(
        id="12.3.4/variance of 16 and 32",
        row="12.3.4",
        book=(
            "The variance of 16 samples and of 32 should be about the same, so that their gradients' "
            "variances are too."
        ),
        measured=(
            f"That of the samples is; that of the batch's mean gradient is not: at 16 it is {number(mean)} "
            f"times that at 32, 95% interval {interval(low, high)}, near to the 2 that independent samples "
            "give."
        ),
        verdict=within(low, high, 1 / ALIKE, ALIKE),
        rule="The interval of the ratio must lie within a quarter of 1.",
        evidence=(estimate("variance at 16 over variance at 32", ratios[2]),),
    )


def _drawing(ratios: dict[int, np.ndarray]) -> Lines:
    sizes = [SMALL * n for n in (1, *FACTORS)]
    falls = [np.ones_like(ratios[2]), *(1 / ratios[n] for n in FACTORS)]
    found = [mean_and_interval(fall) for fall in falls]
    return Lines(
        name="gradient-variance",
        title="The variance of a batch's gradient",
        caption="Trace of the covariance of the mean gradient, that at batch 16 as 1, beside 16/B.",
        alt="Variance over batch size, falling as one over the batch.",
        x_label="batch size",
        y_label="variance, batch 16 = 1",
        series=(
            Series(
                label="measured",
                x=values(sizes),
                y=values([f[0] for f in found]),
                low=values([f[1] for f in found]),
                high=values([f[2] for f in found]),
                style="line and dots",
            ),
            Series(label="16/B", x=values(sizes), y=values([SMALL / size for size in sizes])),
        ),
        x_scale="batch",
        y_scale="log",
    )


def _table(gaps: dict[float, dict[int, np.ndarray]], ratios: dict[int, np.ndarray]) -> NamedTable:
    rows = tuple(
        (
            str(n),
            str(SMALL * n),
            *(f"{100 * gaps[lr][n].mean():.2f}%" for lr in LRS),
            number(float(ratios[n].mean())),
        )
        for n in FACTORS
    )
    columns = ("N", "batch", *(f"gap at rate {lr:g}" for lr in LRS), "variance at 16 over this")
    return NamedTable(caption="Both rules, number by number", table=Table(columns, rows))


SECTION = Section(
    slug="scaling-rules",
    title="Rate ×N or ×√N",
    rows=("12.3.4",),
    idea=(
        "On the textbook's net after 200 updates, N updates with small batches are compared with one "
        "update on all their samples at N times the rate; and the variance of the mean gradient is taken "
        "at each batch size."
    ),
    code="""\
import stepsize as ss

print(ss.scale_lr(0.1, 16, 128, "linear"))
print(ss.scale_lr(0.1, 16, 128, "sqrt"))
""",
    find=_find,
)
