"""The page of a range test: where the loss turns up, and what each rule makes of the curve."""

from __future__ import annotations

from stepsize._words import plural
from stepsize.measure.curve import Curve
from stepsize.report.numbers import count, loss_name, number, rate
from stepsize.report.pages.content import Content, cost_rows, provenance_rows, sentence

MODES = {"exp": "by a constant factor", "linear": "by a constant step", "staged": "in stages"}


def curve_content(curve: Curve) -> Content:
    """What the page says of a range test."""
    turn = curve.suggestions.get("turn")
    lr = turn.lr if turn is not None else None
    low, high = rate(curve.lrs[0]), rate(curve.lrs[-1])
    iters = sorted(set(curve.iters_per_rate)) or [1]
    each = plural(iters[-1], "iteration")
    if len(iters) > 1:
        each = f"{count(iters[0])} to {each}"
    return Content(
        title=f"Range test of {curve.task}",
        kicker=curve.task,
        headline=(
            f"The {loss_name(curve.loss_kind)} turns up just above {rate(lr)}."
            if lr is not None
            else "The range test has no turn to read."
        ),
        lead=(
            "A range test brackets the learning rate; it does not know how long the real run is. "
            + (sentence(turn.why) if turn is not None and lr is None else "Rehearse the run to decide.")
        ),
        answered=lr is not None,
        value=rate(lr) if lr is not None else "",
        value_label="just below the turn",
        facts=(
            *(
                (
                    f"rule “{name}”",
                    rate(answer.lr) if answer.lr is not None else answer.status.replace("_", " "),
                )
                for name, answer in curve.suggestions.items()
            ),
            ("loss at the start", number(curve.start_loss, 4)),
        ),
        warnings=(),
        method=(
            (
                f"The rate rose from {low} to {high} {MODES[curve.mode]}: {plural(len(curve.lrs), 'rate')}, "
                f"{each} at each, {plural(len(curve.losses), 'seed')}. A loss that is not finite is a "
                "divergence; it ends that seed's curve and leaves what came before untouched."
            ),
        ),
        cost=cost_rows(curve.cost),
        provenance=provenance_rows(curve.provenance),
    )
