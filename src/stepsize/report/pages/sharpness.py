"""The page of a curvature: which rates the optimizer bears, and what the loss looks like from there."""

from __future__ import annotations

from stepsize.measure.sharpness_result import Sharpness
from stepsize.report.numbers import count, number, rate
from stepsize.report.pages.content import Content, captioned, cost_rows, provenance_rows, sentence
from stepsize.report.picture import Table

METHOD = (
    "The ends of the Hessian's spectrum were found by Lanczos' method on a fixed subset of the training "
    "data, without dropout. The residual bounds how far the nearest eigenvalue is. The ceiling is the rate "
    "from which on the optimizer's own updates are unstable on a quadratic of that curvature; it is not the "
    "best rate."
)


def sharpness_content(sharpness: Sharpness) -> Content:
    """What the page says of a curvature."""
    last = sharpness.points[-1] if sharpness.points else None
    ceiling = sharpness.ceiling
    interval = ""
    if last is not None and last.ceiling_low is not None and last.ceiling_high is not None:
        interval = f"{number(last.ceiling_low, 4)} to {number(last.ceiling_high, 4)}"
    return Content(
        title=f"Curvature of {sharpness.task}",
        kicker=sharpness.task,
        headline=(
            f"At the last point rates up to {rate(ceiling)} are stable."
            if ceiling is not None
            else "No largest stable rate can be named."
        ),
        lead=sentence(sharpness.why),
        answered=ceiling is not None,
        value="" if ceiling is None else rate(ceiling),
        value_label="largest stable rate",
        interval=interval,
        interval_label="by the residual",
        facts=(
            ("optimizer", sharpness.optimizer),
            ("samples", count(sharpness.subset)),
            ("largest curvature", number(None if last is None else last.largest)),
            ("smallest curvature", number(None if last is None else last.smallest)),
            ("on mini-batches", number(None if last is None else last.minibatch)),
            ("looks like a", "–" if last is None else last.kind),
        ),
        warnings=() if sharpness.status == "ok" else (f"Status: {sharpness.status.replace('_', ' ')}.",),
        method=(METHOD,),
        tables=captioned("Points along the run", _points(sharpness)),
        cost=cost_rows(sharpness.cost),
        provenance=provenance_rows(sharpness.provenance),
    )


def _points(sharpness: Sharpness) -> Table | None:
    if not sharpness.points:
        return None
    rows = tuple(
        (
            count(p.update),
            number(p.loss, 4),
            f"{number(p.largest)} ± {number(p.largest_residual, 1)}",
            f"{number(p.smallest)} ± {number(p.smallest_residual, 1)}",
            number(p.gauss_newton),
            p.kind,
        )
        for p in sharpness.points
    )
    return Table(("updates", "loss", "largest", "smallest", "Gauss-Newton", "looks like a"), rows)
