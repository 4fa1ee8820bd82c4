"""The pages of a `TrainingAdvice`, and of the comparisons of schedules and warm-ups that it rests on."""

from __future__ import annotations

from stepsize.decide.advice import ENDED
from stepsize.decide.schedule_comparison_result import ScheduleComparison
from stepsize.decide.training_advice import TrainingAdvice
from stepsize.decide.warmup_result import WarmupComparison
from stepsize.report.numbers import count, number, rate, short
from stepsize.report.pages.advice import advice_content
from stepsize.report.pages.batch import METHOD, TIMING
from stepsize.report.pages.content import Captioned, Content, captioned, cost_rows, provenance_rows, sentence
from stepsize.report.picture import Table

SCHEDULES = (
    "Each schedule's shape was compressed into the same number of updates and trained at several "
    "peak rates with the same seeds and batches; the best rate of each counts. Differences are paired by "
    "seed, and their intervals hold for all comparisons together (Student's t, Bonferroni)."
)
WARMUP = (
    "Linear warm-ups of several lengths were trained before the schedule, at the rate and at twice that, "
    "with the same seeds and batches. Their lengths count in real updates, in short runs as in long ones."
)
CHECK = "At last the whole answer was trained at full length. The loss to expect is that of these runs."


def training_content(advice: TrainingAdvice) -> Content:
    """What the page says of batch size, rate, schedule and warm-up together."""
    base = advice_content(advice)
    method = [sentence(reason) for reason in advice.reasons[:-1]]
    if advice.batch is not None:
        method += [METHOD, TIMING]
    if advice.schedules is not None:
        method.append(SCHEDULES)
    if advice.warmup is not None:
        method.append(WARMUP)
    last = () if advice.check is None else (CHECK,)
    choices = None
    if advice.omissions:
        rows = tuple((one.part, short(one.instead), one.words) for one in advice.omissions)
        choices = Captioned("Something else instead", Table(("part", "instead", "what it costs"), rows))
    return Content(
        title=f"How to train {advice.task}",
        kicker=base.kicker,
        headline=base.headline if advice.lr is None else _headline(advice),
        lead=base.lead,
        answered=base.answered,
        value=base.value,
        value_label=base.value_label,
        interval=base.interval,
        interval_label=base.interval_label,
        facts=tuple((name, short(value)) for name, value in advice.rows()),
        snippets=base.snippets,
        choices=choices,
        warnings=base.warnings,
        method=(*method, *base.method, *last),
        tables=base.tables,
        cost=base.cost,
        provenance=base.provenance,
    )


def _headline(advice: TrainingAdvice) -> str:
    assert advice.lr is not None
    so_far = f"{ENDED[advice.status]}. So far: train" if advice.status in ENDED else "Train"
    return (
        f"{so_far} {advice.task} with batches of {count(advice.batch_size)} and a peak learning rate of "
        f"{rate(advice.lr)} for {count(advice.steps)} updates."
    )


def schedules_content(found: ScheduleComparison) -> Content:
    """What the page says of schedules at equal budget."""
    first = found.rows[0] if found.best is not None else None
    return Content(
        title=f"Schedules for {found.task}",
        kicker=found.task,
        headline="No schedule learns." if first is None else f"With {short(first.schedule)} runs end lowest.",
        lead=sentence(found.why),
        answered=first is not None,
        value="" if first is None else number(first.loss, 4),
        value_label="" if first is None else "held-out loss at the end",
        facts=(
            ("status", found.status.replace("_", " ")),
            ("length of the runs", f"{count(found.steps)} of {count(found.horizon)} updates"),
            *(() if first is None or first.lr is None else (("its best peak rate", rate(first.lr)),)),
            *(() if found.advised in (None, found.best) else (("advised", short(found.advised)),)),
        ),
        warnings=tuple(sentence(warning) for warning in found.warnings),
        method=(SCHEDULES,),
        cost=cost_rows(found.cost),
        provenance=provenance_rows(found.provenance),
    )


def warmup_content(found: WarmupComparison) -> Content:
    """What the page says of warm-ups by length."""
    known = found.updates is not None
    if found.updates is None:
        headline = "No warm-up can be named."
    elif found.updates == 0:
        headline = "No warm-up is needed."
    else:
        headline = f"Warm up over {count(found.updates)} updates."
    rows = tuple(
        (count(row.updates), number(row.lr), number(row.loss, 4), "yes" if row.alike else "no")
        for row in found.rows
    )
    columns = ("updates", "best peak rate", "held-out loss", "no difference to the best detected")
    return Content(
        title=f"Warm-up for {found.task}",
        kicker=found.task,
        headline=headline,
        lead=sentence(found.why),
        answered=known,
        value=count(found.updates) if found.updates is not None else "",
        value_label="updates of warm-up" if known else "",
        facts=(
            ("before", short(found.schedule)),
            ("peak learning rate", "" if found.lr is None else rate(found.lr)),
            ("length of the runs", f"{count(found.steps)} of {count(found.horizon)} updates"),
        ),
        warnings=tuple(sentence(warning) for warning in found.warnings),
        method=(WARMUP,),
        tables=captioned("Warm-ups", Table(columns, rows)) if rows else (),
        cost=cost_rows(found.cost),
        provenance=provenance_rows(found.provenance),
    )
