"""12.3.1-3 and table 12-1: a saddle point, and a small net that stands still at one before its loss falls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.func import functional_call, grad, jacrev, vmap

from stepsize._words import plural
from stepsize.chapter.lab import Lab, Section, Training
from stepsize.chapter.result import Claim, Findings, Lines, Mark, NamedTable, Span, Surface
from stepsize.chapter.rules import share
from stepsize.chapter.sections.figures import estimate, line, listed, plain, values
from stepsize.chapter.tasks import xor
from stepsize.estimate.diagnosis import Plateau
from stepsize.measure.diagnosis import diagnose
from stepsize.measure.sharpness import sharpness
from stepsize.measure.sharpness_result import SharpnessPoint
from stepsize.report.numbers import count, number
from stepsize.report.picture import Table
from stepsize.runs.cell import CellRun
from stepsize.task import Task
from stepsize.training import Cost
from stepsize.training.waypoints import waypoints

LR = 0.5
FALLEN = 0.5
"""A plateau counts if the loss later falls below this share of its level: the run has not ended on it."""

LONG = 1_000
"""Updates that a plateau must last to be one of "thousands of epochs"."""

SLOPE = 1e-2
"""Gradient norm below which it is near zero: the start's is some tenths."""

PLATEAUS = Training("exclusive or", xor, (LR,), evaluate="10 a run", keep="all")


@dataclass(frozen=True)
class Local:
    """The loss around weights (P,): its Hessian's eigenvalues (P,), rising, and eigenvectors (P, P)."""

    loss: Loss
    weights: torch.Tensor
    eigenvalues: np.ndarray
    vectors: np.ndarray
    gradient: float


@dataclass(frozen=True)
class Standstill:
    """A run's plateau and the shape of the loss in its middle: by Lanczos' method and exactly."""

    seed: int
    plateau: Plateau
    point: SharpnessPoint
    local: Local

    @property
    def middle(self) -> int:
        """The update at which the curvature was taken."""
        return (self.plateau.start + self.plateau.end) // 2


def _find(lab: Lab) -> Findings:
    task = xor(lab.settings)
    members = lab.runs(PLATEAUS).runs
    plateaus = [(run, plateau) for run in members if (plateau := _plateau(run)) is not None]
    found: list[Standstill] = []
    for run, plateau in plateaus[: lab.settings.pick(len(plateaus), 1)]:
        lab.phase(f"curvature on the plateau of seed {run.cell.seed}")
        middle = (plateau.start + plateau.end) // 2
        *_, stop = waypoints(task, np.full(task.steps, LR), [middle], seed=run.cell.seed)
        lab.spend(Cost(updates=middle, samples=4 * middle, seconds=0.0, runs=middle / task.steps))
        measured = sharpness(
            task.replace(model=stop.model), seed=run.cell.seed, tolerance=1e-6, progress=False
        )
        lab.spend(measured.cost)
        found.append(Standstill(run.cell.seed, plateau, measured.points[-1], _local(task, stop.model)))
    return Findings(
        claims=(_flat(len(members), plateaus), _saddle(found)),
        drawings=(_ideal(), *_plateaued(members, found), *_real(found)),
        tables=_eigenvalues(found),
    )


def _plateau(run: CellRun) -> Plateau | None:
    """The longest plateau that the loss leaves again."""
    left = [
        plateau
        for plateau in diagnose(run.train_loss).plateaus
        if run.train_loss[plateau.end :].min(initial=np.inf) < FALLEN * plateau.level
    ]
    return max(left, key=lambda plateau: plateau.end - plateau.start, default=None)


def _flat(seeds: int, plateaus: Sequence[tuple[CellRun, Plateau]]) -> Claim:
    lengths = [plateau.end - plateau.start for _, plateau in plateaus]
    told = (
        listed(f"{count(one.start)} to {count(one.end)} (seed {run.cell.seed})" for run, one in plateaus)
        if plateaus
        else "nowhere"
    )
    return Claim(
        id="12.3.1-3/plateau",
        row="12.3.1-3",
        book=(
            "The loss can stay flat for thousands of epochs (3000 to 6000 in the picture), as if looking "
            "for a way out, and then fall all at once."
        ),
        measured=(
            f"{len(plateaus)} of {plural(seeds, 'seed')} stand still and then fall to under half of "
            f"that loss. Flat over the updates {told}."
        ),
        verdict="holds" if any(length >= LONG for length in lengths) else "cannot be told",
        rule=(
            "It can if one seed shows it: a plateau of 1,000 updates or more that the loss leaves downwards. "
            "That none does would not refute it."
        ),
        evidence=(estimate("length of the plateau", lengths, "updates"),) if len(lengths) > 1 else (),
    )


def _saddle(found: list[Standstill]) -> Claim:
    saddles = sum(one.point.kind == "saddle" and one.local.gradient < SLOPE for one in found)
    told = "; ".join(
        f"seed {one.seed}: λ {number(one.point.smallest)} to {number(one.point.largest)}, |gradient| "
        f"{number(one.local.gradient, 2)}"
        for one in found
    )
    return Claim(
        id="table 12-1/saddle",
        row="table 12-1",
        book=(
            "Such a flat stretch is no local minimum but a saddle point: the loss rises in one dimension "
            "and falls in another, and the gradient is close to zero in all of them."
        ),
        measured=f"In the middle of the plateau, {told or 'there is none'}.",
        verdict=share(saddles, len(found)) if found else "cannot be told",
        rule=(
            "At every plateau (in a quick look the first) the gradient's norm must be below 0.01, and the "
            "smallest eigenvalue of the Hessian so far below zero that the run leaves along it."
        ),
        evidence=tuple(plain(f"smallest eigenvalue, seed {one.seed}", one.point.smallest) for one in found),
    )


def _local(task: Task, model: torch.nn.Module) -> Local:
    """The exact eigenvalues at the model's weights; turns it into float64."""
    weights = torch.cat([p.detach().ravel() for p in model.parameters()]).double()
    loss = Loss(task, model)
    eigenvalues, vectors = np.linalg.eigh(jacrev(grad(loss))(weights).numpy())
    return Local(loss, weights, eigenvalues, vectors, float(grad(loss)(weights).norm()))


class Loss:
    """The loss on all data as a function of one vector of weights, in float64."""

    def __init__(self, task: Task, model: torch.nn.Module) -> None:
        self._model = model.double()
        self._shapes = {name: p.shape for name, p in model.named_parameters()}
        x, y = task._arguments["train"]
        self._x, self._y = x.double(), y

    def __call__(self, weights: torch.Tensor) -> torch.Tensor:
        sizes = [shape.numel() for shape in self._shapes.values()]
        parts = weights.split(sizes)
        state = {n: p.reshape(s) for (n, s), p in zip(self._shapes.items(), parts, strict=True)}
        return torch.nn.functional.cross_entropy(functional_call(self._model, state, (self._x,)), self._y)


def _ideal() -> Surface:
    """The textbook's saddle x² − y², and gradient descent that starts almost on its ridge."""
    side = np.linspace(-1, 1, 41)
    path = [np.array([0.9, 0.004])]
    while abs(path[-1][1]) < 0.95 and len(path) < 200:
        path.append(path[-1] - 0.05 * np.array([2, -2]) * path[-1])
    xs, ys = np.array(path).T
    return Surface(
        name="saddle",
        title="Table 12-1: a saddle",
        caption=(
            "Heights of x² − y². Gradient descent slides into the middle, where the slope is almost "
            f"nothing in every direction, and needs {plural(len(path), 'update')} to get out of it along y."
        ),
        alt=(
            "Contours of a saddle: rising to the left and right, falling up and down, and a path through "
            "its middle."
        ),
        x_label="x",
        y_label="y",
        z_label="height",
        x=values(side),
        y=values(side),
        z=tuple(values(side**2 - y**2) for y in side),
        path_x=values(xs),
        path_y=values(ys),
        path_label="gradient descent",
    )


def _plateaued(members: tuple[CellRun, ...], found: list[Standstill]) -> tuple[Lines, ...]:
    if not members:
        return ()
    longest = max(found, key=lambda one: one.plateau.end - one.plateau.start, default=None)
    spans = (
        ()
        if longest is None
        else (
            Span(
                start=longest.plateau.start, end=longest.plateau.end, label=f"plateau of seed {longest.seed}"
            ),
        )
    )
    marks = (
        ()
        if longest is None
        else (Mark(x=(longest.plateau.start + longest.plateau.end) / 2, label="curvature taken"),)
    )
    return (
        Lines(
            name="plateau",
            title="Table 12-1: a loss that stands still",
            caption=(
                "Training loss of a 2-3-2 net that learns exclusive or from all four samples at rate 0.5; "
                "an update is an epoch. `diagnose` finds the plateaus."
            ),
            alt=(
                "Training loss over updates, a line a seed: flat near 0.693 for thousands of updates, then "
                "a fall."
            ),
            x_label="update",
            y_label="training loss",
            series=tuple(
                line(f"seed {run.cell.seed}", np.arange(1, len(run.train_loss) + 1), run.train_loss)
                for run in members
            ),
            x_scale="count",
            y_range=(0.0, 0.85),
            marks=marks,
            spans=spans,
        ),
    )


def _real(found: list[Standstill]) -> tuple[Surface, ...]:
    """The net's own loss over its two extreme directions in the middle of a plateau."""
    if not found:
        return ()
    one, local = found[0], found[0].local
    lowest, highest = local.eigenvalues[0], local.eigenvalues[-1]
    down, up = (torch.from_numpy(local.vectors[:, i].copy()) for i in (0, -1))
    xs, ys = np.linspace(-0.15, 0.15, 31), np.linspace(-1.5, 1.5, 31)
    places = (
        local.weights + torch.from_numpy(xs)[None, :, None] * up + torch.from_numpy(ys)[:, None, None] * down
    )
    z = tuple(values(row) for row in vmap(vmap(local.loss))(places).detach().numpy())
    return (
        Surface(
            name="real-saddle",
            title="The net's own loss in the middle of its plateau",
            caption=(
                f"Seed {one.seed}, update {count(one.middle)}: across, along the eigenvector of λ = "
                f"{number(highest)}, the loss rises; upwards, along that of λ = {number(lowest)}, it falls, "
                "so slowly that the scale upwards is ten times as long."
            ),
            alt="Contours of the loss around a plateau: rising to both sides, falling up and down.",
            x_label=f"along λ max = {number(highest)}",
            y_label=f"along λ min = {number(lowest)}",
            z_label="training loss",
            x=values(xs),
            y=values(ys),
            z=z,
        ),
    )


def _eigenvalues(found: list[Standstill]) -> tuple[NamedTable, ...]:
    if not found:
        return ()
    rows = tuple(
        (
            str(one.seed),
            count(one.middle),
            f"{number(one.point.smallest)} / {number(one.local.eigenvalues[0])}",
            f"{number(one.point.largest)} / {number(one.local.eigenvalues[-1])}",
            str(int((one.local.eigenvalues < 0).sum())),
            one.point.kind,
        )
        for one in found
    )
    columns = (
        "seed",
        "update",
        "λ min: Lanczos / exact",
        "λ max: Lanczos / exact",
        "negative",
        "looks like a",
    )
    return (NamedTable(caption="Eigenvalues of the Hessian on the plateau", table=Table(columns, rows)),)


SECTION = Section(
    slug="saddle",
    title="Saddle points and plateaus",
    rows=("12.3.1-3", "table 12-1"),
    idea=(
        "A net of three hidden sigmoid units learns exclusive or. Near its small starting weights the "
        "units are almost alike, which is a saddle point: the loss stands still until one of them breaks "
        "away. `diagnose` finds the plateau in the curve, `sharpness` the ends of the Hessian's spectrum "
        "there, and the exact eigenvalues of this small net check them."
    ),
    code="""\
import stepsize as ss
from stepsize.chapter.settings import Settings
from stepsize.chapter.tasks import xor

task = xor(Settings())
run = ss.sweep(task, 0.5, seeds=1, keep="all", evaluate=10).runs[0]
plateau = ss.diagnose(run.train_loss).plateaus[0]
print(ss.sharpness(task, 0.5, checkpoints=[(plateau.start + plateau.end) // 2]))
""",
    find=_find,
    trainings=(PLATEAUS,),
)
