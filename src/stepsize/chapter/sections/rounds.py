"""Tables 12-3 and 12-4, figures 12-6 to 12-8: the staged range test in three rounds."""

from __future__ import annotations

import math

import numpy as np

from stepsize._words import plural
from stepsize.chapter.lab import Lab, Section, Training
from stepsize.chapter.result import Claim, Findings, Lines, Mark, NamedTable, Series
from stepsize.chapter.rules import all_of, best_of, difference, exact, within
from stepsize.chapter.sections.figures import apart, arm_of, estimate, finals, interval, listed, plain, values
from stepsize.chapter.sections.range_test import turns
from stepsize.chapter.settings import Settings
from stepsize.chapter.tasks import textbook
from stepsize.measure.curve import Curve
from stepsize.measure.range_test import TEXTBOOK_STAGES, Stage, range_test, staged_plan
from stepsize.measure.zoom import Zoom
from stepsize.report.numbers import count, number, rate
from stepsize.report.picture import Table
from stepsize.task import Task

LOGS = {-1.0: 0.1, -0.8: 0.16, -0.6: 0.25, -0.4: 0.4, -0.2: 0.62, 0.0: 1.0}
"""Table 12-4 as printed."""

HALF = 0.005
"""Two digits after the point are right to half a hundredth."""

TURN, ROOM = 0.74, 1.2
TRIED = (0.6, 0.7, 0.8)
EACH, LONG = 10, 100
"""Iterations at each rate by table 12-3, and by the sentence under it."""

QUICK_EACH, QUICK_LONG = 3, 6
"""What a quick look takes instead."""


def _trial_steps(settings: Settings) -> int:
    """As many updates as round 1 takes."""
    return staged_plan(_stages_of(settings.pick(EACH, QUICK_EACH))).updates


def _trial_task(settings: Settings) -> Task:
    return textbook(settings).replace(steps=_trial_steps(settings))


def _stages_of(each: int) -> list[Stage]:
    """The design of table 12-3 with so many updates at each rate."""
    return [Stage(s.start, s.stop, s.step, iters=each) for s in TEXTBOOK_STAGES]


TRIALS = Training("round 3: trials", _trial_task, TRIED, evaluate="4 a run")


def _find(lab: Lab) -> Findings:
    task = textbook(lab.settings)
    lab.phase("three rounds")
    seeds = lab.settings.pick(lab.settings.seeds, 1)
    zoom = range_test(task, stages=_stages_of(lab.settings.pick(EACH, QUICK_EACH)), zoom=True, seeds=seeds)
    lab.spend(zoom.cost)
    each = lab.settings.pick(LONG, QUICK_LONG)
    lab.phase(f"round 1 with {each} updates a rate")
    long = range_test(task, stages=_stages_of(each), seeds=seeds)
    lab.spend(long.cost)
    return Findings(
        claims=(
            _design(),
            _ten_or_hundred(zoom.coarse, long),
            _logs(),
            _round_one(zoom.coarse),
            _round_two(zoom),
            _round_three(lab),
            _answer(zoom),
        ),
        drawings=tuple(_drawings(zoom, long)),
        tables=(_stages(), _log_table(zoom.coarse)),
    )


def _design() -> Claim:
    plan = staged_plan(TEXTBOOK_STAGES)
    return Claim(
        id="table 12-3/design",
        row="table 12-3",
        book="Five stretches from 0.0001 to 1.1, each with its own step, 10 iterations at each rate.",
        measured=(
            f"The design has {len(plan.lrs)} rates and takes {plan.updates} updates; its last rate is "
            f"{plan.lrs[-1]:g}."
        ),
        verdict=all_of(
            [
                exact(len(plan.lrs), 4 * 9 + 11, tolerance=0),
                exact(plan.updates, 470, tolerance=0),
                exact(float(plan.lrs[-1]), 1.1, tolerance=1e-12),
            ]
        ),
        rule=(
            "Four stretches of nine rates and one of eleven, ten updates each, without rounding errors in "
            "the rates."
        ),
        evidence=(plain("rates", len(plan.lrs)), plain("updates", plan.updates)),
    )


def _ten_or_hundred(ten: Curve, hundred: Curve) -> Claim:
    a, b = turns(ten), turns(hundred)
    plan = staged_plan(TEXTBOOK_STAGES)
    short, long = ten.iters_per_rate[0], hundred.iters_per_rate[0]
    return Claim(
        id="correction/10 or 100",
        row="table 12-3",
        book="The table says 10 iterations at each rate; the sentence below it, 100.",
        measured=(
            f"The two differ: with {short} the loss turns at {_span(a)}, with {long} at {_span(b)}, and the "
            f"{len(plan.lrs)} rates take {count(len(plan.lrs) * short)} or {count(len(plan.lrs) * long)} "
            "updates. The more updates at each rate, the more the net has learned before the rates that "
            "matter."
        ),
        verdict=exact(EACH, LONG, tolerance=0),
        rule="Both numbers cannot be right. Ours follows the table.",
        evidence=(estimate(f"turn, {short} a rate", a), estimate(f"turn, {long} a rate", b)),
    )


def _span(found: np.ndarray) -> str:
    known = found[np.isfinite(found)]
    if not known.size:
        return "no rate up to 1.1"
    text = (
        rate(float(known.min()))
        if known.min() == known.max()
        else f"{rate(float(known.min()))} to {rate(float(known.max()))}"
    )
    return text if known.size == found.size else f"{text} ({known.size} of {plural(found.size, 'seed')})"


def _logs() -> Claim:
    wrong = [
        f"10^{log:g} = {10**log:.4f}, not {stated:g}".replace("-", "−")
        for log, stated in LOGS.items()
        if exact(10**log, stated, tolerance=HALF) != "holds"
    ]
    return Claim(
        id="table 12-4/logs",
        row="table 12-4",
        book="−1.0 → 0.1, −0.8 → 0.16, −0.6 → 0.25, −0.4 → 0.4, −0.2 → 0.62, 0 → 1.0.",
        measured="All are right to two digits." if not wrong else f"All are right but one: {listed(wrong)}.",
        verdict=all_of(exact(10**log, stated, tolerance=HALF) for log, stated in LOGS.items()),
        rule="Each rate must be 10 to that power, to half a unit of the second digit.",
        evidence=tuple(plain(f"10^{log:g}", 10**log) for log in LOGS),
    )


def _round_one(coarse: Curve) -> Claim:
    found = turns(coarse)
    told = estimate("turn in round 1", found)
    later = np.where(np.isfinite(found), found, np.inf)
    return Claim(
        id="fig 12-6/falling",
        row="fig 12-6",
        book="The loss is still falling at 0.1, 0.16, 0.25 and 0.4: all of these are too small.",
        measured=f"The loss turns at {_span(found)}.",
        verdict="holds"
        if (later > 0.4).all()
        else "does not hold"
        if (later <= 0.4).all()
        else "cannot be told",
        rule="Every seed's loss must turn above 0.4, or not at all.",
        evidence=(told,),
    )


def _round_two(zoom: Zoom) -> Claim:
    found = turns(zoom.bracket) if zoom.bracket is not None else np.full(1, math.nan)
    told = estimate("turn in round 2", found)
    known = told.low is not None and told.high is not None
    return Claim(
        id="fig 12-7/turn",
        row="fig 12-7",
        book="Looked at more closely, the loss turns up at −0.13 (0.74), so about 0.7 is reasonable.",
        measured=f"The loss turns at {_span(found)}"
        + (f", 95% interval of the mean {interval(told.low or 0, told.high or 0)}." if known else "."),
        verdict=within(told.low or 0, told.high or 0, TURN / ROOM, TURN * ROOM)
        if known
        else "cannot be told",
        rule="The interval over seeds must lie within 20% of 0.74.",
        evidence=(told,),
    )


def _round_three(lab: Lab) -> Claim:
    runs = lab.runs(TRIALS)
    losses = {lr: finals(runs, arm_of(runs, lr), "val_loss") for lr in TRIED}
    others = {lr: difference(losses[lr], losses[0.8]) for lr in TRIED[:-1]}
    return Claim(
        id="fig 12-8/best",
        row="fig 12-8",
        book="Of separate trials at 0.6, 0.7 and 0.8 about 0.8 is the best.",
        measured=(
            f"Validation loss after {count(_trial_steps(lab.settings))} updates, as many as round 1 takes: "
            + ", ".join(f"{lr:g} {number(float(loss.mean()), 4)}" for lr, loss in losses.items())
            + "."
        ),
        verdict=best_of(-losses[0.8], [-losses[lr] for lr in TRIED[:-1]]),
        rule="0.8 must end lower than both others, each by a 95% interval over paired seeds.",
        evidence=tuple(apart(f"loss at {lr:g} − loss at 0.8", d) for lr, d in others.items()),
    )


def _answer(zoom: Zoom) -> Claim:
    return Claim(
        id="fig 12-8/answer",
        row="fig 12-8",
        book=(
            "The loss lags behind the rate, since the rise builds up; so take a little less than 0.8, for "
            "example 0.75."
        ),
        measured=(
            f'"Half-way down to the next lower trial" gives {(0.8 + 0.7) / 2:g} for the book\'s trials. On '
            f"this task our three rounds answer {rate(zoom.lr) if zoom.lr is not None else zoom.status}: "
            f"{zoom.why}."
        ),
        verdict=exact((0.8 + 0.7) / 2, 0.75, tolerance=1e-12),
        rule="The rule that we back off by must give the book's number from the book's trials.",
        evidence=(plain("answer of the three rounds", math.nan if zoom.lr is None else zoom.lr),),
    )


def _drawings(zoom: Zoom, long: Curve) -> list[Lines]:
    drawn = [
        _round(
            "round-1",
            "Figure 12-6: round 1",
            zoom.coarse,
            f"All 47 rates, {zoom.coarse.iters_per_rate[0]} updates each, and above 1.1 until the loss has "
            "turned.",
            low=0.005,
        ),
        _round(
            "round-1-long",
            f"Round 1 with {long.iters_per_rate[0]} updates a rate",
            long,
            "Longer at each rate, as the sentence below table 12-3 says (100).",
            low=0.005,
        ),
    ]
    if zoom.bracket is not None:
        drawn.append(
            _round(
                "round-2",
                "Figure 12-7: round 2",
                zoom.bracket,
                "Only the stretch around the turn, more finely.",
            )
        )
    if zoom.trials is not None:
        drawn.append(
            Lines(
                name="round-3",
                title="Figure 12-8: round 3",
                caption=(
                    f"Validation loss of separate runs of {zoom.trials.steps} updates at rates a factor 8/7 "
                    "apart, one line a seed."
                ),
                alt="Validation loss over a few rates, one line a seed.",
                x_label="learning rate",
                y_label="validation loss",
                series=tuple(
                    Series(label=f"seed {i}", x=values(zoom.trials.lrs), y=values(row), style="line and dots")
                    for i, row in enumerate(zoom.trials.losses[:3])
                ),
                x_scale="rate",
                marks=() if zoom.lr is None else (Mark(x=zoom.lr, label=f"answer {rate(zoom.lr)}"),),
            )
        )
    return drawn


def _round(name: str, title: str, curve: Curve, caption: str, low: float = 0.0) -> Lines:
    keep = curve.lrs >= low
    found = turns(curve)
    known = found[np.isfinite(found)]
    losses = curve.losses[:, keep]
    finite = losses[np.isfinite(losses)]
    return Lines(
        name=name,
        title=title,
        caption=(
            f"{caption} Mean training loss at each rate, one line a seed; the axis is log10, its labels are "
            "rates."
        ),
        alt=f"Training loss over the rate; the loss turns at {_span(found)}.",
        x_label="learning rate",
        y_label="training loss",
        series=tuple(
            Series(label=f"seed {i}", x=values(curve.lrs[keep]), y=values(row), style="line and dots")
            for i, row in enumerate(losses[:3])
        ),
        x_scale="rate",
        y_range=(0.0, float(np.quantile(finite, 0.95)) * 1.3) if finite.size else None,
        marks=(Mark(x=float(known.mean()), label=f"turn {rate(float(known.mean()))}"),) if known.size else (),
    )


def _stages() -> NamedTable:
    rows = tuple(
        (f"{s.start:g} to {s.stop:g}", f"{s.step:g}", str(len(s.rates())), str(s.iters))
        for s in TEXTBOOK_STAGES
    )
    return NamedTable(
        caption="Table 12-3: the design",
        table=Table(("stretch", "step", "rates", "iterations at each"), rows),
    )


def _log_table(coarse: Curve) -> NamedTable:
    rows = []
    for log, stated in LOGS.items():
        near = min(coarse.table(), key=lambda row: abs(row["log10_lr"] - log))
        rows.append(
            (
                f"{log:.1f}".replace("-", "−"),
                f"{stated:g}",
                f"{10**log:.3f}",
                f"{near['lr']:g}",
                number(near["loss"], 4),
            )
        )
    columns = ("log10", "rate in the book", "rate", "nearest rate tried", "loss there")
    return NamedTable(caption="Table 12-4: log10 and rate", table=Table(columns, tuple(rows)))


SECTION = Section(
    slug="rounds",
    title="The staged design in three rounds",
    rows=("table 12-3", "fig 12-6", "table 12-4", "fig 12-7", "fig 12-8"),
    idea=(
        "Round 1 holds each of 47 rates for ten updates (five in a quick look), rising. Round 2 looks "
        "again, more finely, around the rate where the loss turns. Round 3 starts anew at a few rates, since "
        "in a rising pass the loss lags behind; the answer backs off from the best of them."
    ),
    code="""\
import stepsize as ss

zoom = ss.range_test(ss.datasets.mnist_task(), zoom=True, seeds=3)
print(zoom.lr, zoom.why)
zoom.report("rounds.html")
""",
    find=_find,
    trainings=(TRIALS,),
)
