"""noise_scale: how noisy a batch's gradient is, in total and by layer, at several points of a run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import numpy as np

from stepsize._progress import Reporter, reporting
from stepsize._ranks import Group, current
from stepsize._result import finite_or_none, provenance
from stepsize._untouched import untouched
from stepsize.estimate.noise_scale import NoiseEstimate, noise_estimate, noise_of_nothing
from stepsize.measure.gradients import Layered, MicroBatches, layered
from stepsize.measure.noise_ground import ground_of
from stepsize.measure.noise_plan import CHECKPOINTS, PRECISION, Kind, NoisePlan, planned
from stepsize.measure.noise_result import LayerNoise, NoisePoint, NoiseScale, explained
from stepsize.probe import Probe
from stepsize.schedules import Schedule
from stepsize.task import Task
from stepsize.training import Cost
from stepsize.training.probed import ProbeRun, trainable
from stepsize.training.ranks import collective
from stepsize.training.waypoints import Stop


@untouched
@collective
def noise_scale(
    task: Task | Probe,
    lr: float,
    *,
    batches: Any = None,
    val: Any = None,
    steps: int | None = None,
    schedule: Schedule | str = "fixed",
    kind: Kind = "auto",
    checkpoints: int | Sequence[int] = CHECKPOINTS,
    precision: float = PRECISION,
    examples: int | None = None,
    micro_batch: int | None = None,
    seconds: float | None = None,
    unit: str = "samples",
    per_sample: float = 1.0,
    seed: int | None = None,
    progress: bool | Reporter | None = None,
) -> NoiseScale:
    """Measure the gradient noise scale at several points of a run at a rate that suits it.

    Simple: tr Σ / |G|². Preconditioned, for Adam and its like: the same of gradients divided by √v̂ + ε,
    with v̂ the run's own second moments, as the next update takes them. Gauss-Newton: tr(AΣ) / (GᵀAG), A
    being the Gauss-Newton matrix on a fixed subset, the scale that McCandlish et al. (2018, eq. 2.7)
    derive, with A in the place of a Hessian that may be indefinite. Single samples' gradients by `vmap`
    where the model lets them, else micro-batches; under torchrun each rank measures on its share of the
    data. Dropout is on, as in training: its noise is part of the gradient's. At every point samples are
    doubled until the standard deviation is `precision` of the scale, or `examples` or the data are used up.

    With a `Probe` the gradients are those that its own step gives its optimizers, at rate 0 on one pass of
    `batches`; each update's is a micro-batch. Where an update takes several batches (`accumulate`), by one
    optimizer and without a gradient scaler, each batch's is, but the last one's. Clipped gradients are
    measured as they are.

    Args:
        task: what to train; or a `Probe`, a training loop of one's own, with
        batches: the loader that it trains on, and
        val: where it has `evaluate`, a loader of held-out batches for the loss at each point.
        lr: the run's rate, the schedule's peak.
        schedule: of the real run; the measurement follows its first `steps` updates.
        steps: updates of the run; by default a quarter of the task's. With a probe, those of the real run, of
            which a quarter is followed, or as far as `checkpoints` say.
        kind: which inner product; "auto" takes "preconditioned" where the optimizer keeps second moments.
        checkpoints: how many points, spread evenly in log updates, or the numbers of updates done: [0] is
            where a probe stands.
        precision: relative standard deviation to reach at each point.
        examples: samples per point at most; by default all there are, 16,384 for a stream.
        micro_batch: samples n in a micro-batch; by default 1, or the task's batch size with BatchNorm, or a
            quarter of it for other models that vmap refuses.
        seconds: stop doubling and skip points when so much time is used up.
        unit: what a sample counts in, such as "tokens", and
        per_sample: how many of these a sample holds: scales are multiplied by it.
        seed: of the run; by default the task's.
        progress: True for a bar on stderr, False for silence, or a `Reporter`.

    Returns:
        A `NoiseScale`. Ctrl-C gives the points measured until then, with status "interrupted".

    Raises:
        ValueError: numbers out of range, "preconditioned" for an optimizer without second moments, or
            "gauss_newton" for a probe, or for a loss that `ss.supervised` did not make.
        TypeError: `task` is neither a Task nor a Probe, or what goes with one is given with the other.
    """
    if isinstance(task, Probe):
        trained = trainable(task, batches=batches, val=val, steps=steps)
        steps = None
    else:
        trained = trainable(task, batches=batches, val=val)
    plan = planned(
        trained,
        lr,
        schedule,
        kind,
        steps=steps,
        checkpoints=checkpoints,
        precision=precision,
        examples=examples,
        micro_batch=micro_batch,
        seconds=seconds,
        per_sample=per_sample,
        seed=seed,
    )
    with reporting(progress) as reporter:
        measurement = _Measurement(plan, reporter)
        if not plan.interrupted:
            measurement.run()
    return measurement.result(unit)


class _Measurement:
    """Runs the plan; the points measured so far survive an interruption."""

    def __init__(self, plan: NoisePlan, reporter: Reporter) -> None:
        self._plan, self._reporter = plan, reporter
        self._group = current() if isinstance(plan.task, ProbeRun) else Group()
        self._ground = ground_of(plan, self._group)
        self._points: list[NoisePoint] = []
        self._samples, self._started = 0, time.perf_counter()
        self._interrupted, self._late = plan.interrupted, False

    def run(self) -> None:
        plan = self._plan
        self._reporter.expect(plan.at[-1] + len(plan.at) * 4 * plan.most * plan.size // plan.task.batch_size)
        done = 0
        try:
            with closing(self._ground.stops()) as stops:
                for stop in stops:
                    self._reporter.phase(f"noise scale at update {stop.update:,}")
                    self._reporter.advance(stop.update - done)
                    done = stop.update
                    point = self._point(stop)
                    if point is None:
                        return
                    self._points.append(point)
                    if self._out_of_time():
                        self._late = stop.update != plan.at[-1]
                        return
        except KeyboardInterrupt:
            self._interrupted = True

    def _out_of_time(self) -> bool:
        return bool(self._group.first(time.perf_counter() > self._plan.deadline))

    def _point(self, stop: Stop) -> NoisePoint | None:
        """The estimate at a stop; None where gradients are not finite, though the losses were until there."""
        plan = self._plan
        source = self._ground.source(stop)
        samples = source.samples
        count = plan.first
        while True:
            wanted = min(count, plan.most)
            count = self._group.least(samples.available(wanted))
            if count == 0:
                return self._told(stop, noise_of_nothing(), None, samples)
            try:
                found = layered(source, count, self._ground.inner_product(stop, source, count), self._group)
            except FloatingPointError:
                return None
            self._samples += plan.passes * count * plan.size * self._group.size
            self._reporter.advance(plan.passes * count * plan.size // plan.task.batch_size)
            if not np.isfinite([found.squares, found.products]).all():
                return None
            if isinstance(plan.task, ProbeRun):
                self._check_ranks(found)
            total = self._estimate(*found.total, samples)
            enough = total.examples_needed <= total.examples
            if enough or count < wanted or count >= plan.most or self._out_of_time():
                return self._told(stop, total, found, samples)
            count = 2 * count

    def _check_ranks(self, found: Layered) -> None:
        """Gradients that were averaged before they could be read are the same ones on all ranks."""
        ranks = self._group.size
        if ranks == 1 or len(found.squares) % ranks or not found.squares.any():
            return
        first, *others = np.split(found.squares, ranks)
        if all(np.array_equal(first, other) for other in others):
            raise ValueError(
                "the ranks must give gradients of their own, but those of all ranks are the same: pass the "
                "DistributedDataParallel module itself in state, and each rank batches of its own, as from a "
                "DistributedSampler"
            )

    def _estimate(self, squares: np.ndarray, products: np.ndarray, samples: MicroBatches) -> NoiseEstimate:
        return noise_estimate(
            squares,
            products,
            size=self._plan.size,
            population=samples.population,
            precision=self._plan.precision,
        )

    def _told(
        self, stop: Stop, total: NoiseEstimate, found: Layered | None, samples: MicroBatches
    ) -> NoisePoint:
        layers = []
        if found is not None and len(found.layers) > 1:
            for column, name in enumerate(found.layers):
                one = self._estimate(found.squares[:, column], found.products[:, column], samples)
                layers.append(
                    LayerNoise(
                        name,
                        self._in_unit(one.scale),
                        self._in_unit(one.low) or 0.0,
                        self._in_unit(one.high),
                        one.trace,
                        one.signal,
                    )
                )
        return NoisePoint(
            update=stop.update,
            loss=finite_or_none(stop.val_loss),
            status=total.status,
            scale=self._in_unit(total.scale),
            low=self._in_unit(total.low) or 0.0,
            high=self._in_unit(total.high),
            trace=finite_or_none(total.trace),
            signal=finite_or_none(total.signal),
            examples=total.examples,
            examples_needed=finite_or_none(total.examples_needed),
            micro_batch=self._plan.size,
            layers=tuple(layers),
        )

    def _in_unit(self, samples: float) -> float | None:
        return finite_or_none(samples * self._plan.per_sample)

    def result(self, unit: str) -> NoiseScale:
        plan, points = self._plan, self._points
        status = self._status()
        updates = points[-1].update if points else 0
        return NoiseScale(
            status=status,
            why=explained(status, points, unit, plan.lr),
            points=tuple(points),
            kind=plan.kind,
            method=plan.method,
            method_reason=plan.reason,
            unit=unit,
            per_sample=plan.per_sample,
            lr=plan.lr,
            batch_size=plan.task.batch_size,
            task=plan.task.name,
            cost=Cost(
                updates=updates,
                samples=self._samples + updates * plan.task.batch_size,
                seconds=time.perf_counter() - self._started,
                runs=(updates + self._samples / plan.task.batch_size) / plan.task.steps,
            ),
            provenance=provenance(device=str(plan.task.device), seeds=(plan.seed,)),
        )

    def _status(self) -> str:
        if self._interrupted:
            return "interrupted"
        if self._late:
            return "out_of_time"
        if not self._points or self._points[-1].update < self._plan.at[-1]:
            return "diverged"
        return self._points[-1].status
