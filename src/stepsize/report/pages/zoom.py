"""The page of a zoom: the textbook's three rounds and the rate that they lead to."""

from __future__ import annotations

from stepsize._words import plural
from stepsize.measure.zoom import Zoom, ZoomStatus
from stepsize.report.numbers import rate
from stepsize.report.pages.content import Content, cost_rows, provenance_rows, sentence

NO_ANSWER: dict[ZoomStatus, str] = {
    "flat": "The loss does not depend on the learning rate.",
    "not_bracketed": "The loss turns up nowhere in the rates that were tried.",
    "diverges_everywhere": "Training diverges at every learning rate that was tried.",
}


def zoom_content(zoom: Zoom) -> Content:
    """What the page says of a zoom."""
    low, high = rate(zoom.coarse.lrs[0]), rate(zoom.coarse.lrs[-1])
    facts = [] if zoom.lr is not None else [("status", zoom.status.replace("_", " "))]
    for label, curve in (("round 1 turns at", zoom.coarse), ("round 2 turns at", zoom.bracket)):
        turn = curve.suggestions.get("turn") if curve is not None else None
        if turn is not None:
            facts.append((label, rate(turn.lr) if turn.lr is not None else turn.status.replace("_", " ")))
    if zoom.trials is not None:
        facts.append(("round 3 tried", ", ".join(map(rate, sorted(zoom.trials.lrs)))))
        facts.append(("length of each trial", plural(zoom.trials.steps, "update")))
    return Content(
        title=f"Learning rate for {zoom.task}, by range tests",
        kicker=zoom.task,
        headline=(
            f"Three rounds of range tests lead to a learning rate of {rate(zoom.lr)}."
            if zoom.lr is not None
            else NO_ANSWER.get(zoom.status, "The range tests have no answer.")
        ),
        lead=sentence(zoom.why),
        answered=zoom.lr is not None,
        value=rate(zoom.lr) if zoom.lr is not None else "",
        value_label="learning rate",
        facts=tuple(facts),
        warnings=(),
        method=(
            (
                f"Round 1 raises the rate from {low} to {high} and looks for the turn of the loss. "
                "Round 2 does so more finely around it. Round 3 starts again at a few rates near the turn."
            ),
            (
                f"The rounds took {plural(zoom.cost.updates, 'update')}. They do not know how long the "
                "real run is, nor its schedule: a rehearsal does."
            ),
        ),
        cost=cost_rows(zoom.cost),
        provenance=provenance_rows(zoom.provenance),
    )
