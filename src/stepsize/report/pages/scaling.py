"""The page of a rate that was moved to another batch size."""

from __future__ import annotations

from stepsize.decide.scale_result import RateScaling
from stepsize.report.numbers import count, number, rate
from stepsize.report.pages.content import Content, captioned, cost_rows, provenance_rows, sentence
from stepsize.report.picture import Table

MEASURED = (
    "At each batch size several rates were trained with several seeds over the same number of samples; a "
    "run's loss is the mean of its last evaluations. Six laws were fitted to the best rates, leave-one-out "
    "chose, and a Gaussian process took what the law leaves. A regime is named where nine of ten draws agree."
)
BY_RULE = (
    "The rule's derivation fixes what moves and by how much. Its conditions were tested as far as the noise "
    "scale and the size of the data are known."
)


def scaling_content(scaling: RateScaling) -> Content:
    """What the page says of a scaled rate."""
    lr = scaling.lr
    interval = ""
    if scaling.lr_low is not None and scaling.lr_high is not None:
        interval = f"{rate(scaling.lr_low)} to {rate(scaling.lr_high)}"
    return Content(
        title=f"Rate at batch {count(scaling.to_batch)}",
        kicker=scaling.task or "a rule",
        headline=(
            f"At batch {count(scaling.to_batch)} use a learning rate of {rate(lr)}."
            if lr is not None
            else f"No learning rate can be named for batch {count(scaling.to_batch)}."
        ),
        lead=sentence(scaling.why) if scaling.why else "",
        answered=lr is not None,
        value="" if lr is None else rate(lr),
        value_label=f"learning rate at batch {count(scaling.to_batch)}",
        interval=interval,
        interval_label="95% interval" if interval else "",
        facts=(
            ("from batch", count(scaling.from_batch)),
            ("rule", scaling.rule),
            ("law", scaling.law or "–"),
            ("noise scale", number(scaling.noise)),
            ("largest stable rate", "–" if scaling.ceiling is None else rate(scaling.ceiling)),
        ),
        warnings=(
            *scaling.warnings,
            *(f"{check.name}: {check.why}" for check in scaling.checks if check.holds is not True),
        ),
        method=(MEASURED if scaling.rule == "measured" else BY_RULE,),
        tables=captioned("What moves with the batch size", _moves(scaling)),
        cost=cost_rows(scaling.cost),
        provenance=provenance_rows(scaling.provenance),
    )


def _moves(scaling: RateScaling) -> Table | None:
    if not scaling.moves:
        return None
    rows = tuple((m.name, number(m.before, 4), number(m.after, 4), m.why) for m in scaling.moves)
    return Table(("setting", "before", "after", "why"), rows)
