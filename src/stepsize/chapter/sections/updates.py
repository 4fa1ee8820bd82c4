"""Equation 1: single-sample, mini-batch and full-batch gradient descent are one formula."""

from __future__ import annotations

import numpy as np
import torch

from stepsize.chapter.lab import Lab, Section, Training
from stepsize.chapter.result import Claim, Findings, Lines
from stepsize.chapter.rules import all_of, exact
from stepsize.chapter.sections.figures import band, plain
from stepsize.chapter.settings import Settings
from stepsize.chapter.tasks import first_images
from stepsize.report.numbers import count, number
from stepsize.runs import Runs
from stepsize.task import Task
from stepsize.training.waypoints import waypoints

IMAGES = 500
MINI = 20
FORMS = {"single sample": (1, 0.05), "mini-batch of 20": (MINI, 0.3), "full batch": (IMAGES, 1.0)}
"""Each form's batch size and a rate that suits it."""

ROUNDING = 1e-5
"""Largest difference of a weight after one update: float32 sums of up to 500 gradients of order 1."""


def _task(settings: Settings) -> Task:
    return first_images(settings, settings.pick(IMAGES, 200)).replace(
        epochs=settings.pick(10, 2), batch_size=MINI
    )


FORM_RUNS = tuple(
    Training(
        f"eq 1: {name}", _task, (lr,), batch_sizes=("full" if size == IMAGES else size,), evaluate="20 a run"
    )
    for name, (size, lr) in FORMS.items()
)


def _by_hand(task: Task, lr: float) -> float:
    """Largest difference of a weight between one update of the engine and equation 1 written out."""
    start, after = waypoints(task, np.array([lr]), [0, 1], seed=task.seed)
    x, y = next(task.batches(task.seed))
    sums = [torch.zeros_like(p) for p in start.model.parameters()]
    for i in range(len(x)):
        loss = task.loss(start.model, (x[i : i + 1], y[i : i + 1]))
        gradients = torch.autograd.grad(loss, list(start.model.parameters()))
        sums = [total + gradient for total, gradient in zip(sums, gradients, strict=True)]
    pairs = zip(start.model.parameters(), after.model.parameters(), sums, strict=True)
    return max(float((w - lr / len(x) * total - v).detach().abs().max()) for w, v, total in pairs)


def _find(lab: Lab) -> Findings:
    task = _task(lab.settings)
    errors = {
        name: _by_hand(task.replace(batch_size=min(size, task.samples or size), steps=1, epochs=None), lr)
        for name, (size, lr) in FORMS.items()
    }
    told = ", ".join(f"{name} {number(error, 2)}" for name, error in errors.items())
    return Findings(
        claims=(
            Claim(
                id="eq 1/one formula",
                row="eq 1",
                book="w ← w − (η/m) Σ ∇J covers single-sample, mini-batch and full-batch gradient descent.",
                measured=(
                    "One update of each form, against the sum of single gradients written out: the largest "
                    f"difference of any weight is {told}."
                ),
                verdict=all_of(exact(error, 0.0, tolerance=ROUNDING) for error in errors.values()),
                rule=f"Each must agree to {number(ROUNDING)}, the rounding of float32.",
                evidence=tuple(plain(name, error) for name, error in errors.items()),
            ),
        ),
        drawings=(_drawing([lab.runs(training) for training in FORM_RUNS], task),),
    )


def _drawing(runs: list[Runs], task: Task) -> Lines:
    series = []
    for (name, (size, lr)), one in zip(FORMS.items(), runs, strict=True):
        members = next(iter(one.arms.values()))
        rows = np.array([run.val_loss for run in members])
        epochs = members[0].evaluated_at / members[0].cell.steps * (members[0].epochs or 1)
        series.append(
            band(f"{name}, rate {lr:g}", epochs, rows, style="line and dots" if size > MINI else "line")
        )
    updates = ", ".join(
        f"{count(next(iter(one.runs)).cell.steps)} ({name})" for name, one in zip(FORMS, runs, strict=True)
    )
    return Lines(
        name="update-forms",
        title="The three forms on one problem",
        caption=(
            f"Held-out loss over passes through {count(task.samples or 0)} images. The same passes are "
            f"{updates} updates: small batches make more of each sample."
        ),
        alt="Held-out loss over epochs for single-sample, mini-batch and full-batch descent.",
        x_label="epoch",
        y_label="validation loss",
        series=tuple(series),
    )


SECTION = Section(
    slug="updates",
    title="Three forms, one formula",
    rows=("eq 1",),
    idea=(
        "The update is the rate times the mean gradient of the batch. With m = 1 it is single-sample "
        "descent, with m = N full-batch descent, in between mini-batches; the code is the same for all."
    ),
    code="""\
import stepsize as ss

task = ss.datasets.mnist_task(epochs=1)
for batch_size, lr in [(1, 0.05), (20, 0.3), ("full", 1.0)]:
    print(ss.sweep(task, lr, batch_size=batch_size, seeds=3))
""",
    find=_find,
    trainings=FORM_RUNS,
)
