"""The page of a noise scale: how large a batch the gradient's noise leaves room for."""

from __future__ import annotations

from stepsize._words import plural
from stepsize.measure.noise_result import NoiseScale
from stepsize.report.numbers import count, number, rate
from stepsize.report.pages.content import Content, captioned, cost_rows, provenance_rows, sentence
from stepsize.report.picture import Table

METHOD = (
    "At each point of a run the gradients of many micro-batches were taken at the same weights. The noise "
    "scale is the variance of a single sample's gradient, summed over all weights, divided by the square of "
    "the mean gradient: the batch size at which noise and signal are alike."
)


def noise_content(noise: NoiseScale) -> Content:
    """What the page says of a noise scale."""
    last = noise.points[-1] if noise.points else None
    known = last is not None and last.scale is not None
    interval = ""
    if last is not None and known:
        interval = f"{number(last.low)} to {'∞' if last.high is None else number(last.high)}"
    return Content(
        title=f"Gradient noise scale of {noise.task}",
        kicker=noise.task,
        headline=(
            f"At the last point the noise scale is {number(noise.scale)} {noise.unit}."
            if known
            else "No noise scale can be named."
        ),
        lead=sentence(noise.why),
        answered=known,
        value=number(noise.scale) if known else "",
        value_label=f"noise scale, {noise.unit}",
        interval=interval,
        interval_label="95% interval (Fieller)",
        facts=(
            ("kind", noise.kind.replace("_", "-")),
            ("gradients", noise.method),
            ("rate of the run", rate(noise.lr)),
            ("batch size of the run", count(noise.batch_size)),
        ),
        warnings=() if noise.status == "ok" else (f"Status: {noise.status.replace('_', ' ')}.",),
        method=(
            METHOD,
            sentence(f"gradients: {noise.method}, since {noise.method_reason}"),
        ),
        tables=captioned("Noise of each layer", _layers(noise)),
        cost=cost_rows(noise.cost),
        provenance=provenance_rows(noise.provenance),
    )


def _layers(noise: NoiseScale) -> Table | None:
    """The last point by layer."""
    if not noise.points or not noise.points[-1].layers:
        return None
    rows = tuple(
        (
            layer.name,
            number(layer.scale),
            f"{number(layer.low)} to {'∞' if layer.high is None else number(layer.high)}",
        )
        for layer in noise.points[-1].layers
    )
    return Table(
        (f"{plural(len(rows), 'layer')}, last point", f"noise scale, {noise.unit}", "interval"), rows
    )
