"""Figures that a correct installation reproduces, found anew on this machine: what `stepsize selftest`
prints.

To add some: a function that returns `Check`s, and its line in `CHECKS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from stepsize.estimate.ceilings import adam_ceiling, sgd_ceiling
from stepsize.estimate.noise_scale import noise_estimate
from stepsize.estimate.noisy_quadratic import Check, check_noisy_quadratic

COVERAGE = 0.93
"""Share of Fieller's 95% intervals that must hold the truth, from 32 micro-batches on."""

REPEATS = 500
"""Simulated measurements for each number of micro-batches."""

DIMENSIONS, SCALE = 200, 70.0
"""Of the simulated gradients: Gaussian, variances 1/i, with this noise scale."""


def check_ceilings() -> tuple[Check, ...]:
    """Largest stable rates at curvature 1 and momentum 0.9."""
    figures = (
        ("ceiling of gradient descent", 2.0, sgd_ceiling(1.0)),
        ("ceiling of heavy-ball", 3.8, sgd_ceiling(1.0, momentum=0.9)),
        ("ceiling of Nesterov's", 1.35714, sgd_ceiling(1.0, momentum=0.9, nesterov=True)),
        ("ceiling of averaged momentum", 38.0, sgd_ceiling(1.0, momentum=0.9, dampening=0.9)),
        ("ceiling of Adam, preconditioned", 38.0, adam_ceiling(1.0, beta1=0.9)),
    )
    return tuple(
        Check(name, expected, found, abs(found / expected - 1) < 1e-5) for name, expected, found in figures
    )


def check_coverage() -> tuple[Check, ...]:
    """How often the noise scale's interval holds the true one, by simulation."""
    checks = []
    spectrum = 1.0 / np.arange(1, DIMENSIONS + 1)
    for count in (32, 64, 128):
        generator = np.random.default_rng(count)
        mean = generator.normal(size=DIMENSIONS) * np.sqrt(spectrum)
        mean *= math.sqrt(spectrum.sum() / SCALE / (mean @ mean))
        held = 0
        for _ in range(REPEATS):
            gradients = mean + generator.normal(size=(count, DIMENSIONS)) * np.sqrt(spectrum)
            found = noise_estimate(
                np.square(gradients).sum(axis=1), gradients @ gradients.mean(axis=0), size=1
            )
            held += found.low <= SCALE <= found.high
        share = held / REPEATS
        checks.append(
            Check(f"coverage with {count} micro-batches, at least", COVERAGE, share, share >= COVERAGE)
        )
    return tuple(checks)


CHECKS: tuple[Callable[[], tuple[Check, ...]], ...] = (check_ceilings, check_noisy_quadratic, check_coverage)
"""In the order in which they are printed."""


def run_checks() -> Iterator[Check]:
    """Every figure, as soon as it is found; some seconds in all."""
    for check in CHECKS:
        yield from check()
