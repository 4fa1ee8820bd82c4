"""sharpness: the ends of the Hessian's spectrum, and the rates that they allow."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from stepsize._check_task import integer, positive_rate
from stepsize._progress import Reporter, reporting
from stepsize._result import provenance
from stepsize._rng import derived_seed
from stepsize._untouched import untouched
from stepsize.estimate.ceilings import adam_ceiling, sgd_ceiling
from stepsize.estimate.lanczos import Ends, spectrum_ends
from stepsize.measure.gradients import Samples
from stepsize.measure.inner_products import adams_divisor, keeps_second_moments
from stepsize.measure.operators import NoCurvatureError, Surface
from stepsize.measure.sharpness_result import PointKind, Sharpness, SharpnessPoint
from stepsize.schedules import Schedule
from stepsize.task import Task
from stepsize.training import Cost
from stepsize.training.trace import Traced
from stepsize.training.waypoints import Waypoint, waypoints

SUBSET = 1024
"""Training samples on which the curvature is taken, unless told otherwise."""

BATCHES = 8
"""Batches over which the mini-batch sharpness is averaged."""

_SALT = 43


@untouched
def sharpness(
    task: Task,
    lr: float | None = None,
    *,
    schedule: Schedule | str = "fixed",
    checkpoints: Sequence[int] = (0,),
    subset: int = SUBSET,
    tolerance: float = 1e-3,
    products: int = 200,
    seed: int | None = None,
    progress: bool | Reporter | None = None,
) -> Sharpness:
    """Measure the curvature of the training loss, and the rates that are locally stable.

    The largest and the smallest eigenvalue of the Hessian H come from Lanczos' method on products H v,
    forward over reverse mode, on one fixed subset of the training data; the same for the Gauss-Newton
    matrix where `ss.supervised` made the loss. Dropout is off and BatchNorm uses the subset's statistics.
    The ceiling is that of the optimizer with its own settings; it bounds the rate, and is not the best one:
    training often passes it early and settles at it later (Cohen et al. 2021,
    [2103.00065](https://arxiv.org/abs/2103.00065)).

    Args:
        task: what to train.
        lr: rate of the run along which the points lie, the schedule's peak; not needed at the start alone.
        schedule: of the run.
        checkpoints: numbers of updates done, rising, within 0…task.steps.
        subset: training samples, all of them if there are fewer.
        tolerance: residuals wanted, as a share of the largest eigenvalue.
        products: H v products at most for each spectrum.
        seed: of the run and of the subset; by default the task's.
        progress: True for a bar on stderr, False for silence, or a `Reporter`.

    Returns:
        A `Sharpness`. Its status is "no_curvature" where the gradient cannot be differentiated again.

    Raises:
        ValueError: numbers out of range, or checkpoints after the start without a rate.
    """
    at = tuple(checkpoints)
    if not at or list(at) != sorted(set(at)) or at[0] < 0 or at[-1] > task.steps:
        raise ValueError(f"checkpoints must rise within 0…{task.steps} updates, but are {list(at)}")
    if lr is None and at != (0,):
        raise ValueError(f"lr must be given to train to update {at[-1]}: pass lr=0.1")
    if lr is not None:
        positive_rate("lr", lr)
    if not 0 < tolerance < 1:
        raise ValueError(f"tolerance must lie within (0, 1), but is {tolerance}")
    integer("subset", subset, at_least=1)
    integer("products", products, at_least=2)
    chosen = task.seed if seed is None else integer("seed", seed, at_least=0)
    shape = (Schedule.parse(schedule) if isinstance(schedule, str) else schedule).at(lr or 1.0)
    with reporting(progress) as reporter:
        return _Measurement(task, lr, shape, at, subset, tolerance, products, chosen, reporter).run()


class _Measurement:
    """Visits the points; those measured so far survive an interruption."""

    def __init__(
        self,
        task: Task,
        lr: float | None,
        shape: Schedule,
        at: tuple[int, ...],
        subset: int,
        tolerance: float,
        products: int,
        seed: int,
        reporter: Reporter,
    ) -> None:
        self._task, self._lr, self._shape, self._at = task, lr, shape, at
        self._tolerance, self._most, self._seed, self._reporter = tolerance, products, seed, reporter
        self._subset = subset if task.samples is None else min(subset, task.samples)
        self._points: list[SharpnessPoint] = []

    def run(self) -> Sharpness:
        started = time.perf_counter()
        status: Literal["ok", "not_converged", "diverged", "interrupted", "no_curvature"] = "ok"
        why = ""
        run = self._task.run
        rates, controls = self._shape.values(run), self._shape.controls(run)
        self._reporter.expect(self._at[-1] + len(self._at))
        try:
            for stop in waypoints(self._task, rates, self._at, seed=self._seed, controls=controls):
                self._reporter.phase(f"curvature at update {stop.update:,}")
                self._points.append(self._point(stop))
                self._reporter.advance(1)
        except KeyboardInterrupt:
            status = "interrupted"
        except (NoCurvatureError, ValueError) as error:
            status, why = "no_curvature", f"No curvature could be measured: {error}."
        if status == "ok" and len(self._points) < len(self._at):
            status = "diverged"
        elif status == "ok" and not all(point.converged for point in self._points):
            status = "not_converged"
        updates = self._points[-1].update if self._points else 0
        taken = sum(point.products for point in self._points)
        return Sharpness(
            status=status,
            why=why or _why(status, self._points),
            points=tuple(self._points),
            subset=self._subset,
            optimizer=self._task.optimizer_name,
            lr=self._lr,
            task=self._task.name,
            cost=Cost(
                updates=updates,
                samples=updates * self._task.batch_size + taken * self._subset,
                seconds=time.perf_counter() - started,
                runs=updates / self._task.steps,
            ),
            provenance=provenance(device=str(self._task.device), seeds=(self._seed,)),
        )

    def _point(self, stop: Waypoint) -> SharpnessPoint:
        surface = Surface(self._task, copy.deepcopy(stop.model), self._batch(self._subset, 0))
        loss, _ = surface.value_and_gradient()
        ends = self._ends(surface, surface.hessian_product)
        try:
            gauss_newton: Ends | None = self._ends(surface, surface.gauss_newton_product)
        except NoCurvatureError:
            gauss_newton = None
        scaled = self._preconditioned(surface, stop)
        ceiling, reason = self._ceiling(stop.optimizer, ends, scaled)
        bound = ends if scaled is None else scaled
        # Some eigenvalue lies within the residual of the value found, and the ceiling is inverse to it.
        error = bound.largest_residual / bound.largest if bound.largest > 0 else math.inf
        return SharpnessPoint(
            update=stop.update,
            loss=loss,
            largest=ends.largest,
            largest_residual=ends.largest_residual,
            smallest=ends.smallest,
            smallest_residual=ends.smallest_residual,
            gauss_newton=None if gauss_newton is None else gauss_newton.largest,
            preconditioned=None if scaled is None else scaled.largest,
            ceiling=ceiling,
            ceiling_low=None if ceiling is None else ceiling / (1 + error),
            ceiling_high=None if ceiling is None or error >= 1 else ceiling / (1 - error),
            ceiling_reason=reason,
            minibatch=self._minibatch(stop.model),
            kind=self._kind(ends, stop.update),
            products=ends.products + sum(0 if e is None else e.products for e in (gauss_newton, scaled)),
            converged=ends.converged and (scaled is None or scaled.converged),
        )

    def _batch(self, size: int, number: int) -> Any:
        samples = Samples(self._task, size, seed=self._seed)
        chosen = number % max(1, samples.available(number + 1))
        _, batch = next(samples.chunks(chosen, chosen + 1, 1))
        return batch

    def _ends(self, surface: Surface, product: Callable[[Tensor], Tensor]) -> Ends:
        recorded = Traced(product)

        def multiply(vector: np.ndarray) -> np.ndarray:
            tensor = torch.from_numpy(vector).to(surface.device, surface.dtype)
            found: np.ndarray = recorded(tensor).detach().double().cpu().numpy()
            return found

        return spectrum_ends(
            multiply,
            surface.size,
            generator=np.random.default_rng(derived_seed(_SALT, self._seed)),
            tolerance=self._tolerance,
            most=self._most,
            rounding=torch.finfo(surface.dtype).eps,
        )

    def _preconditioned(self, surface: Surface, stop: Waypoint) -> Ends | None:
        """Of P^(−1/2) H P^(−1/2) with Adam's P; None for other optimizers and before the first update."""
        if not keeps_second_moments(stop.optimizer) or not stop.optimizer.state:
            return None
        parameters = dict(stop.model.named_parameters())
        second = {name: stop.optimizer.state[parameters[name]]["exp_avg_sq"] for name in surface.weights}
        root = surface.flat(adams_divisor(parameters, [stop.optimizer], second)).rsqrt()
        return self._ends(surface, lambda v: root * surface.hessian_product(root * v))

    def _ceiling(
        self, optimizer: torch.optim.Optimizer, ends: Ends, scaled: Ends | None
    ) -> tuple[float | None, str]:
        """The stable rate of the optimizer's own settings, or None and why there is none."""
        group = optimizer.param_groups[0]
        if scaled is not None:
            found = adam_ceiling(scaled.largest, beta1=float(group["betas"][0]))
        elif keeps_second_moments(optimizer):
            return None, f"{type(optimizer).__name__} has no second moments before its first update"
        elif isinstance(optimizer, torch.optim.SGD):
            found = sgd_ceiling(
                ends.largest,
                momentum=float(group["momentum"]),
                nesterov=bool(group["nesterov"]),
                dampening=float(group["dampening"]),
                weight_decay=float(group["weight_decay"]),
            )
        else:
            return None, f"no ceiling is known of {type(optimizer).__name__}"
        return (found, "") if math.isfinite(found) else (None, "no direction curves upwards")

    def _minibatch(self, model: nn.Module) -> float | None:
        """Mean of gᵀ H g / |g|² over batches of the real size; None if a gradient is zero."""
        ratios = []
        for number in range(BATCHES):
            surface = Surface(self._task, copy.deepcopy(model), self._batch(self._task.batch_size, number))
            _, gradient = surface.value_and_gradient()
            square = float(gradient.double() @ gradient.double())
            if square == 0:
                return None
            product = surface.hessian_product(gradient).detach()
            ratios.append(float(gradient.double() @ product.double()) / square)
        return float(np.mean(ratios))

    def _kind(self, ends: Ends, update: int) -> PointKind:
        """What curvature does in the rest of the run, at its rate or else at the stable one for `largest`."""
        top = max(abs(ends.largest), abs(ends.smallest))
        if top == 0:
            return "flat"
        rate = self._lr if self._lr is not None else 1 / top
        time_left = rate * max(1, self._task.steps - update)
        if -(ends.smallest + ends.smallest_residual) * time_left >= 1:
            return "saddle"
        return "minimum" if ends.largest * time_left >= 1 else "flat"


def _why(status: str, points: Sequence[SharpnessPoint]) -> str:
    if not points:
        return "Nothing was measured."
    last = points[-1]
    text = f"The largest curvature is {last.largest:.3g} (residual {last.largest_residual:.1g})"
    if last.ceiling is not None:
        text += (
            f", so that rates above {last.ceiling:.3g} are unstable here on a quadratic of that curvature."
        )
    else:
        text += f"; {last.ceiling_reason}."
    if status == "not_converged":
        text += " Not every residual is within the tolerance: pass more products."
    if status == "diverged":
        text += " Then training diverged."
    return text
