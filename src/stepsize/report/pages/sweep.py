"""The page of a sweep: which run ended best, and what was run."""

from __future__ import annotations

from stepsize._words import plural
from stepsize.report.numbers import count, loss_name, number, rate
from stepsize.report.pages.content import Content, cost_rows, provenance_rows, sentence
from stepsize.runs.table import Runs


def sweep_content(runs: Runs) -> Content:
    """What the page says of a sweep."""
    best = runs.best()
    diverged = sum(run.status == "diverged" for run in runs.runs)
    missing = runs.planned - len(runs.runs)
    warnings = [sentence(warning) for warning in runs.warnings]
    if missing:
        warnings.append(
            f"The sweep was interrupted: {plural(missing, 'cell')} of {count(runs.planned)} missing."
        )
    if runs.halving is not None:
        warnings.append(sentence(f"with halving, {runs.halving}"))
    interval = ""
    if best is not None and best.low is not None and best.high is not None:
        interval = f"{number(best.low, 4)} to {number(best.high, 4)}"
    return Content(
        title=f"Sweep of {runs.task}",
        kicker=runs.task,
        headline=(
            f"The lowest {loss_name(runs.loss_kind)} was reached at {best.arm}."
            if best is not None
            else "No run ended with a loss."
        ),
        lead=(
            "The best of many looks better than it is: what matters is whether the next ones can be told "
            "from it."
        ),
        answered=best is not None,
        value=rate(best.arm.lr) if best is not None else "",
        value_label="best rate",
        interval=interval,
        interval_label="final loss there, 90% bootstrap interval over the seeds",
        facts=(
            ("cells", f"{count(len(runs.runs))} of {count(runs.planned)}"),
            ("diverged", count(diverged)),
            ("final loss there", number(best.mean if best is not None else None, 4)),
        ),
        warnings=tuple(warnings),
        method=(
            (
                "Every combination of rate, batch size, schedule and seed was trained once to its horizon, "
                "and judged by its held-out loss at the end. Rates of one batch size, schedule and seed "
                "start from the same weights and see the same batches."
            ),
        ),
        cost=cost_rows(runs.cost),
        provenance=provenance_rows(runs.provenance),
    )
