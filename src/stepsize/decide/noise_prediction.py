"""The critical batch that the gradient noise scale predicts, and whether the measured one agrees."""

from __future__ import annotations

import copy

import numpy as np

from stepsize._progress import Reporter
from stepsize.decide.critical_batch_result import Prediction
from stepsize.estimate.critical_batch import CriticalFit
from stepsize.measure.noise_result import NoiseScale
from stepsize.measure.noise_scale import noise_scale
from stepsize.task import Task

PRECISION = 0.2
"""Of the noise scale at each point: the mean over the run varies more than that between targets."""


def prediction_from_noise(
    task: Task, lr: float, updates: int, seconds: float | None, reporter: Reporter
) -> Prediction:
    """Measure the noise scale along the first `updates` updates at the task's batch size and rate.

    Raises `KeyboardInterrupt` where Ctrl-C ended that: what would follow is not wanted either.
    """
    if seconds is not None and seconds <= 0:
        return _none("No time was left for the noise scale.")
    run = copy.copy(task)
    run.steps = max(updates, 1)
    try:
        noise = noise_scale(run, lr, steps=run.steps, precision=PRECISION, seconds=seconds, progress=reporter)
    except (ValueError, RuntimeError) as error:
        return _none(f"The noise scale could not be measured: {error}")
    if noise.status == "interrupted":
        raise KeyboardInterrupt
    return mean_noise(noise)


def mean_noise(noise: NoiseScale) -> Prediction:
    """The mean of a noise scale over updates, straight lines between its points."""
    points = [point for point in noise.points if point.scale is not None]
    if not points:
        return _none(f"No prediction from the noise scale: {noise.why}")
    at = np.array([0.0, *(point.update for point in points)])
    shares = np.zeros(len(points))
    for i in range(
        len(points)
    ):  # the mean is a weighted one: each weight is the mean of a hat about its point
        hat = np.eye(len(points))[i]
        shares[i] = np.trapezoid(np.append(hat[0], hat), at) / at[-1] if at[-1] > 0 else hat[-1]
    scales = np.array([float(point.scale or 0.0) for point in points])
    mean, low = float(shares @ scales), float(shares @ [point.low for point in points])
    highs = [point.high for point in points]
    high = None if None in highs else float(shares @ [h for h in highs if h is not None])
    upper = "∞" if high is None else f"{high:.3g}"
    return Prediction(
        batch=mean,
        low=low,
        high=high,
        lowest=float(scales.min()),
        highest=float(scales.max()),
        why=(
            f"Predicted by the {noise.kind.replace('_', '-')} noise scale: {mean:.3g} ({low:.3g} to {upper})"
            f" samples on average over {points[-1].update:,} updates; it went from {scales.min():.3g} to "
            f"{scales.max():.3g}."
        ),
    )


def agreement(fit: CriticalFit, prediction: Prediction | None) -> bool | None:
    """Whether the two intervals overlap; None where one of them says nothing."""
    if (
        prediction is None
        or prediction.batch is None
        or fit.status in ("undetermined", "too_few_batch_sizes")
    ):
        return None
    below = fit.batch_high is not None and fit.batch_high < prediction.low
    above = prediction.high is not None and prediction.high < fit.batch_low
    return not (below or above)


def _none(why: str) -> Prediction:
    return Prediction(batch=None, low=0.0, high=None, lowest=None, highest=None, why=why)
