"""Results as a measurement would leave them, with every feature that a picture or page shows."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from stepsize._result import Provenance, frozen
from stepsize.decide.advice import Advice, Price
from stepsize.decide.rehearsal import Rehearsal
from stepsize.estimate import mean_over_seeds, smooth, suggest
from stepsize.measure.curve import Curve
from stepsize.measure.noise_result import LayerNoise, NoisePoint, NoiseScale
from stepsize.measure.sharpness_result import Sharpness, SharpnessPoint
from stepsize.measure.zoom import Trials, Zoom
from stepsize.training.history import Cost

Floats = NDArray[np.float64]

PROVENANCE = Provenance(
    stepsize="0.1.0", torch="2.13.0", numpy="2.4.6", python="3.11.9", device="cpu", threads=2, seeds=(0, 1, 2)
)


def cost(updates: int, runs: float) -> Cost:
    return Cost(updates=updates, samples=updates * 128, seconds=updates / 1000, runs=runs)


def loss_of(lrs: Floats, share: float, best: float = 0.42) -> Floats:
    """Falls with the length of the run, lowest at `best`, and steeper above than below."""
    x = np.log(lrs / best)
    losses: Floats = 2.3 - (2.3 - 0.22 / share**0.35) / (1 + np.where(x < 0, 0.12, 0.5) * x**2)
    return losses


def rehearsal(
    steps: int,
    lrs: Floats,
    seeds: int,
    generator: np.random.Generator,
    cliff: float = 2.0,
    best: float = 0.42,
) -> Rehearsal:
    horizon = 860
    at = np.linspace(0, steps, 9)
    end = loss_of(lrs, steps / horizon, best) + 0.015 * generator.normal(size=(seeds, lrs.size))
    end[:, lrs > cliff] = np.inf
    decay = 1 - np.exp(-5 * (at / steps)[None, None, :])
    curves = 2.3 - (2.3 - np.where(np.isfinite(end), end, 4.0))[:, :, None] * decay / (1 - np.exp(-5))
    curves = np.where(np.isfinite(end)[:, :, None] | (at < steps / 3), curves, np.inf)
    traced = np.arange(steps)
    training = [np.interp(traced, at, row) + 0.02 * generator.normal(size=steps) for row in curves[0]]
    return Rehearsal(
        steps=steps,
        horizon=horizon,
        seeds=tuple(range(seeds)),
        lrs=frozen(lrs),
        updates=frozen(at),
        curves=frozen(curves),
        losses=frozen(end),
        folds=frozen(np.repeat(end[:, :, None], 4, axis=2)),
        start_folds=frozen(np.full((seeds, 4), 2.3)),
        engine="stack",
        engine_reason="",
        cost=cost(steps * lrs.size * seeds, steps * lrs.size * seeds / horizon),
        traced=frozen(traced),
        training=frozen(np.where(np.isfinite(training), training, np.inf)),
    )


def curve(staged: bool = False, seeds: int = 2, noise: float = 0.06, diverges: bool = True) -> Curve:
    generator = np.random.default_rng(0)
    if staged:
        lrs = np.concatenate(
            [np.arange(1, 10) * 10.0**e for e in (-4, -3, -2, -1)] + [np.linspace(1, 1.1, 11)]
        )
    else:
        lrs = np.geomspace(1e-5, 10, 100)
    x = np.log10(lrs)
    base = 2.3 - 1.8 / (1 + np.exp(-4 * (x + 1.4))) + np.where(x > -0.13, 12 * (x + 0.13) ** 2, 0)
    losses = base + noise * generator.normal(size=(seeds, lrs.size))
    diverged_at = np.full(seeds, np.nan)
    if diverges and not staged:
        losses[0, -4:] = np.nan
        diverged_at[0] = lrs[-4]
    mean = np.where(np.isfinite(mean_over_seeds(losses)), mean_over_seeds(losses), np.nan)
    return Curve(
        lrs=frozen(lrs),
        losses=frozen(losses),
        smoothed=frozen(smooth(mean)),
        diverged_at=frozen(diverged_at),
        mode="staged" if staged else "exp",
        iters_per_rate=(10,) * lrs.size if staged else (1,),
        loss_kind="train",
        start_loss=2.3,
        suggestions=suggest(lrs, mean),
        task="mnist",
        cost=cost(10 * lrs.size if staged else lrs.size, 0.2),
        provenance=PROVENANCE,
    )


def advice(**changes: Any) -> Advice:
    generator = np.random.default_rng(1)
    sound = Advice(
        status="ok",
        lr=0.42,
        lr_low=0.29,
        lr_high=0.61,
        batch_size=128,
        schedule_text="0.42 * cosine()",
        why="three seeds agree on the order of the rates, and the best one has worse rates on both sides",
        task="mnist",
        steps=860,
        samples=55_000,
        loss_kind="held-out part of train",
        start_loss=2.31,
        expected_loss=0.2214,
        prices=(Price(0.5, 0.485, 0.0642), Price(2.0, 0.72, 0.187)),
        warnings=("5,000 of the training images were held out to measure the loss",),
        bracket=curve(),
        rehearsals=(
            rehearsal(54, np.geomspace(0.005, 5, 16), 1, generator),
            rehearsal(108, np.geomspace(0.1, 1.7, 8), 2, generator),
            rehearsal(215, np.geomspace(0.19, 0.96, 5), 3, generator),
        ),
        cost=Cost(updates=5_917, samples=757_376, seconds=21.3, runs=6.9),
        provenance=PROVENANCE,
    )
    return msgspec.structs.replace(sound, **changes)


def no_answer(status: str, why: str, **changes: Any) -> Advice:
    nothing = {"lr": None, "lr_low": None, "lr_high": None, "expected_loss": None, "prices": ()}
    return advice(status=status, why=why, **nothing, **changes)


def zoom(**changes: Any) -> Zoom:
    generator = np.random.default_rng(2)
    lrs = 0.7 * (8 / 7) ** np.arange(-1.0, 2.0)
    losses = 0.4 + 0.3 * np.log(lrs / 0.8) ** 2 + 0.002 * generator.normal(size=(2, 3))
    sound = Zoom(
        status="ok",
        lr=0.75,
        why="round 1 turned at 0.74; of the restarted trials 0.8 ended lowest; half-way down from it",
        coarse=curve(staged=True),
        bracket=curve(staged=True, noise=0.02),
        trials=Trials(lrs=frozen(lrs), losses=frozen(losses), steps=470),
        task="mnist",
        cost=cost(4_000, 4.7),
        provenance=PROVENANCE,
    )
    return msgspec.structs.replace(sound, **changes)


def noise(*, opened: bool = False, points: int = 4) -> NoiseScale:
    """A scale that falls and rises again; with `opened` the first point has no upper end."""

    def point(i: int) -> NoisePoint:
        scale = (80.0, 20.0, 60.0, 250.0)[i]
        return NoisePoint(
            update=4**i,
            loss=2.3 / (1 + i),
            status="lower_bound" if opened and i == 0 else "ok",
            scale=scale,
            low=0.8 * scale,
            high=None if opened and i == 0 else 1.3 * scale,
            trace=scale,
            signal=1.0,
            examples=512,
            examples_needed=900.0,
            micro_batch=1,
            layers=(
                LayerNoise("0", scale, 0.8 * scale, 1.3 * scale, 3.0, 0.1),
                LayerNoise("2", None, 2.0, None, 3.0, -0.1),
            ),
        )

    return NoiseScale(
        status="ok" if points else "diverged",
        why="After 64 updates it is 250 samples (200 to 325).",
        points=tuple(point(i) for i in range(points)),
        kind="simple",
        method="per sample",
        method_reason="vmap over 4 samples works",
        unit="samples",
        per_sample=1.0,
        lr=0.1,
        batch_size=128,
        task="digits",
        cost=cost(100, 0.3),
        provenance=PROVENANCE,
    )


def sharpness(*, ceilings: tuple[float | None, ...] = (3.8, 1.1, 0.4), lr: float | None = 0.3) -> Sharpness:
    """A run whose curvature rises until its rate is the largest stable one."""
    points = tuple(
        SharpnessPoint(
            update=10 * i,
            loss=2.3 / (1 + i),
            largest=1.0 if ceiling is None else 2 / ceiling,
            largest_residual=1e-3,
            smallest=-0.1,
            smallest_residual=1e-3,
            gauss_newton=0.9,
            preconditioned=None,
            ceiling=ceiling,
            ceiling_low=None if ceiling is None else 0.99 * ceiling,
            ceiling_high=None if ceiling is None else 1.01 * ceiling,
            ceiling_reason="no direction curves upwards" if ceiling is None else "",
            minibatch=0.8,
            kind="saddle",
            products=40,
            converged=True,
        )
        for i, ceiling in enumerate(ceilings)
    )
    return Sharpness(
        status="ok" if points else "no_curvature",
        why="The largest curvature is 5 (residual 0.001).",
        points=points,
        subset=1024,
        optimizer="SGD",
        lr=lr,
        task="digits",
        cost=cost(100, 0.3),
        provenance=PROVENANCE,
    )
