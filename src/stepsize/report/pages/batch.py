"""The pages of a batch size that was found, and of a critical batch."""

from __future__ import annotations

from stepsize.decide.batch_advice import BatchAdvice
from stepsize.decide.critical_batch_result import CriticalBatch, interval
from stepsize.report.numbers import count, number
from stepsize.report.pages.content import Content, captioned, cost_rows, provenance_rows, sentence
from stepsize.report.picture import Table

METHOD = (
    "At every batch size several fixed rates were trained with several seeds until the held-out loss met a "
    "target; the fewest updates over the rates count. To them the curve S = S_min (1 + B_crit / batch) was "
    "fitted, with profile-likelihood intervals."
)
TIMING = (
    "Seconds per update were measured on real updates of a plain loop. Time is their product with updates, "
    "and its interval has both parts. No batch size is named that was not trained at."
)


def batch_content(advice: BatchAdvice) -> Content:
    """What the page says of a batch size that was found."""
    size = advice.batch_size
    chosen = next((row for row in advice.times if row.batch_size == size), None)
    return Content(
        title=f"Batch size of {advice.task}",
        kicker=advice.task,
        headline="No batch size can be named." if size is None else f"Use a batch size of {count(size)}.",
        lead=sentence(advice.why or advice.critical.why),
        answered=size is not None,
        value="" if size is None else count(size),
        value_label="" if size is None else f"batch size for {advice.objective}",
        interval="" if chosen is None else f"{number(chosen.low)} to {number(chosen.high)} s",
        interval_label="" if chosen is None else "training to the target, 95% interval",
        facts=tuple((choice.objective, sentence(choice.why)) for choice in advice.choices),
        warnings=advice.warnings,
        method=(METHOD, TIMING, sentence(advice.throughput.why)),
        tables=captioned("Speed of each batch size", _speeds(advice)),
        cost=cost_rows(advice.cost),
        provenance=provenance_rows(advice.provenance),
    )


def critical_content(critical: CriticalBatch) -> Content:
    """What the page says of a critical batch."""
    fit = critical.fit
    known = fit is not None and fit.batch is not None
    return Content(
        title=f"Critical batch of {critical.task}",
        kicker=critical.task,
        headline=(
            f"The critical batch is {number(critical.batch)} samples."
            if known
            else "No critical batch can be named."
        ),
        lead=sentence(critical.why),
        answered=known,
        value=number(critical.batch) if known else "",
        value_label="critical batch, samples" if known else "",
        interval=interval(fit.batch_low, fit.batch_high) if fit is not None and known else "",
        interval_label="95% profile-likelihood interval" if known else "",
        facts=() if critical.prediction is None else (("noise scale", critical.prediction.why),),
        warnings=critical.warnings,
        method=(METHOD,),
        cost=cost_rows(critical.cost),
        provenance=provenance_rows(critical.provenance),
    )


def _speeds(advice: BatchAdvice) -> Table:
    rows = tuple(
        (
            count(row.batch_size),
            "–" if row.seconds is None else number(1e3 * row.seconds),
            number(row.samples_per_second),
            row.status.replace("_", " "),
        )
        for row in advice.throughput.rows
    )
    return Table(("batch", "ms per update", "samples per second", "status"), rows)
