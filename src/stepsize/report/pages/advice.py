"""The page of an `Advice`: which rate, within which limits, at what price, on what grounds."""

from __future__ import annotations

from stepsize._words import duration, plural
from stepsize.decide.advice import ENDED, Advice, AdviceStatus
from stepsize.report.numbers import count, fraction, loss_name, number, percent, rate, short
from stepsize.report.pages.content import Content, captioned, cost_rows, provenance_rows, sentence
from stepsize.report.picture import Table
from stepsize.report.snippets import snippets

NO_ANSWER: dict[AdviceStatus, str] = {
    "flat": "No learning rate is better than another here.",
    "not_bracketed": "The best learning rate lies outside the rates that were tried.",
    "noise_dominated": "The noise hides which learning rate is best.",
    "diverges_everywhere": "Training diverges at every learning rate that was tried.",
    "too_little_data": "There is too little data to tell learning rates apart.",
    "interrupted": "The measurement was interrupted before it had an answer.",
    "out_of_time": "The budget ended before there was an answer.",
}


def advice_content(advice: Advice) -> Content:
    """What the page says of an advice."""
    return Content(
        title=f"Learning rate for {advice.task}",
        kicker=advice.task,
        headline=_headline(advice),
        lead=sentence(advice.why),
        answered=advice.lr is not None,
        value=rate(advice.lr) if advice.lr is not None else "",
        value_label="peak learning rate" if advice.status == "ok" else "so far, the best learning rate",
        interval=_interval(advice),
        interval_label=f"{_claim(advice)} lose at most 1% of the progress",
        facts=_facts(advice),
        snippets=snippets(advice),
        warnings=tuple(sentence(warning) for warning in advice.warnings),
        method=_method(advice),
        tables=captioned("Rounds of rehearsal", _rounds(advice)),
        cost=cost_rows(advice.cost),
        provenance=provenance_rows(advice.provenance),
    )


def _headline(advice: Advice) -> str:
    if advice.lr is None:
        return NO_ANSWER.get(advice.status, "No learning rate can be named.")
    if advice.status in ENDED:
        return (
            f"{ENDED[advice.status]}. The best learning rate so far for {advice.task} is {rate(advice.lr)}."
        )
    if advice.status == "uncertain":
        return f"The best learning rate known for {advice.task} is {rate(advice.lr)}, and it may not be good."
    return f"Train {advice.task} with a peak learning rate of {rate(advice.lr)}."


def _claim(advice: Advice) -> str:
    return "may" if advice.status == "uncertain" else "should"


def _interval(advice: Advice) -> str:
    if advice.lr_low is None or advice.lr_high is None:
        return ""
    return f"{rate(advice.lr_low)} to {rate(advice.lr_high)}"


def _facts(advice: Advice) -> tuple[tuple[str, str], ...]:
    facts = [("batch size", count(advice.batch_size))]
    if advice.lr is not None:
        facts += [
            ("peak learning rate", f"{rate(advice.lr)}  ({_interval(advice)})"),
            ("schedule", short(advice.schedule_text)),
        ]
    if advice.clipping:
        facts.append(("clipped gradients", str(advice.clipping)))
    facts.append(("length of the run", plural(advice.steps, "update")))
    if advice.start_loss is not None:
        facts.append((f"{loss_name(advice.loss_kind)} at the start", number(advice.start_loss, 4)))
    if advice.expected_loss is not None:
        facts.append(
            (f"{loss_name(advice.loss_kind)} reached{_when(advice)}", number(advice.expected_loss, 4))
        )
    facts += [
        (
            f"progress lost at ×{number(price.factor)}",
            percent(price.regret) if price.regret < 1 else "all of it",
        )
        for price in advice.prices
        if price.regret is not None
    ]
    price = f"{duration(advice.cost.seconds)}, {number(advice.cost.runs, 2)} full runs"
    facts.append(("cost of this answer", price))
    if advice.lr is None:
        facts.insert(0, ("status", advice.status.replace("_", " ")))
    return tuple(facts)


def _when(advice: Advice) -> str:
    """The loss was reached in the longest rehearsal, not in the real run."""
    if not advice.rehearsals:
        return ""
    last = advice.rehearsals[-1]
    return "" if last.steps >= last.horizon else f" after {fraction(last.steps, last.horizon)}"


def _method(advice: Advice) -> tuple[str, ...]:
    paragraphs = []
    if advice.bracket is not None:
        lrs = advice.bracket.lrs
        paragraphs.append(
            f"A range test raised the rate from {rate(lrs[0])} to {rate(lrs[-1])} with "
            f"{plural(len(advice.bracket.losses), 'seed')}. It only brackets the answer: "
            "one short pass cannot know what pays off in the long run."
        )
    if advice.rehearsals:
        paragraphs.append(
            f"The real run of {count(advice.steps)} updates was rehearsed: several rates, the same start, "
            "the same schedule shape compressed into fewer updates, judged on the "
            f"{loss_name(advice.loss_kind)} at the end. Short rehearsals weed out; the longest decides. "
            "A rate counts as diverged as soon as one of its seeds does."
        )
    if not paragraphs:
        paragraphs.append("Nothing was measured far enough to show.")
    return tuple(paragraphs)


def _rounds(advice: Advice) -> Table | None:
    if not advice.rehearsals:
        return None
    rows = tuple(
        (
            str(i),
            f"{count(one.steps)} ({fraction(one.steps, one.horizon)})",
            f"{len(one.lrs)} from {rate(one.lrs.min())} to {rate(one.lrs.max())}",
            str(len(one.seeds)),
            count(one.cost.updates),
        )
        for i, one in enumerate(advice.rehearsals, start=1)
    )
    return Table(("round", "updates each", "rates", "seeds", "updates in all"), rows)
