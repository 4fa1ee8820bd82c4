"""Conversion both ways, against the installed libraries."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

from stepsize.schedules import (
    ConversionError,
    Schedule,
    cosine,
    fixed,
    inv,
    one_cycle,
    piecewise,
    step,
    warmup,
)
from tests.schedules.conformance import (
    EXACT,
    LIBRARIES,
    SINGLE,
    Outcome,
    T,
    distance,
    libraries,
    optimizer,
    outcomes,
    rates,
    theirs,
)

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_converts_is_equal_over_the_whole_run(library: str) -> None:
    mine = [o for o in outcomes() if o.library == library and o.error is not None]
    assert len(mine) >= 7
    errors = {str(o.schedule): o.error for o in mine if o.error is not None and o.error > o.limit}
    named = {"keras": {"exp(0.1, gamma=0.999)"}}  # float32 raises its rounded γ to the power t
    assert set(errors) == named.get(library, set())
    assert all(error < 1e-5 for error in errors.values())


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_difference_past_the_end_is_one_of_those_that_are_named(library: str) -> None:
    mine = {str(outcome.schedule): outcome.past for outcome in outcomes() if outcome.library == library}
    assert "differs" not in mine.values()
    raising = {text for text, past in mine.items() if past == "raises"}
    assert raising == (
        {text for text in mine if text.startswith("one_cycle")} if library == "torch" else set()
    )


def test_what_does_not_convert_says_why() -> None:
    refused = [outcome for outcome in outcomes() if outcome.refusal is not None]
    assert refused
    for outcome in refused:
        assert outcome.refusal is not None
        assert len(outcome.refusal) > 30
        family = "Caffe" if outcome.library == "caffe-prototxt" else outcome.library
        assert family in outcome.refusal


@pytest.mark.parametrize("library", [library for library in LIBRARIES if library != "transformers"])
def test_endless_schedules_are_equal_without_end(library: str) -> None:
    with libraries():
        for text in (
            "step(0.1, gamma=0.9, every=50)",
            "exp(0.1, gamma=0.999)",
            "multistep(0.1, milestones=[9, 99])",
        ):
            schedule = Schedule.parse(text)
            if library == "timm" and text.startswith("exp"):
                continue
            given = theirs(schedule, library, None, 500)  # type: ignore[arg-type]
            ours = schedule.resolve()(np.arange(500))
            limit = 10 * SINGLE if library == "keras" else EXACT
            assert distance(given, ours, library, 0.1) <= limit  # type: ignore[arg-type]


def _readable(outcome: Outcome) -> bool:
    return outcome.error is not None and outcome.library != "optax"


def test_ours_from_theirs_from_ours_has_the_same_rates() -> None:
    with libraries():
        for outcome in filter(_readable, outcomes()):
            own = optimizer(outcome.schedule.peak)
            made = outcome.schedule.to(outcome.library, T, optimizer=own)
            back = Schedule.from_(made)
            ours = outcome.schedule.values(T)
            values = _fit(back, T)
            assert distance(values, ours, outcome.library, outcome.schedule.peak) <= outcome.limit, (
                outcome.library,
                str(outcome.schedule),
                str(back),
            )


def _fit(schedule: Schedule, steps: int) -> np.ndarray:
    """Over the run, whatever length the other library's object had."""
    extent = schedule._extent(None)
    return schedule.resolve(None if extent is None and schedule._tail() else int(extent or steps))(
        np.arange(steps)
    )


def test_a_function_is_recognised_from_its_values() -> None:
    with libraries():
        schedule = warmup(40) | cosine(floor=0.1)
        made = (0.1 * schedule).to("optax", T)
        back = Schedule.from_(made, run=T)
    np.testing.assert_allclose(back.values(T), (0.1 * schedule).values(T), rtol=1e-6)
    with pytest.raises(ValueError, match="shows no parameters: give run="):
        Schedule.from_(made)


@pytest.mark.parametrize(
    "make",
    [
        lr_scheduler.LinearLR,
        lr_scheduler.ConstantLR,
        lambda o: lr_scheduler.StepLR(o, 30),
        lambda o: lr_scheduler.MultiStepLR(o, [30, 80]),
        lambda o: lr_scheduler.ExponentialLR(o, 0.99),
        lambda o: lr_scheduler.PolynomialLR(o, 150, 2.0),
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 20, 2, 0.01),
        lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.1, 20, 30, mode="triangular2", cycle_momentum=False),
        lambda o: lr_scheduler.OneCycleLR(o, 0.1, 200),
        lambda o: lr_scheduler.OneCycleLR(o, 0.1, 200, three_phase=True, anneal_strategy="linear"),
    ],
    ids=[
        "linear",
        "constant",
        "step",
        "multistep",
        "exponential",
        "poly",
        "restarts",
        "cyclic",
        "onecycle",
        "three",
    ],
)
def test_torchs_own_objects_with_their_own_defaults(make) -> None:  # type: ignore[no-untyped-def]
    own = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9)
    made = make(own)
    schedule = Schedule.from_(made)
    given = rates(made, "torch", own, 200)
    np.testing.assert_allclose(_fit(schedule, 200), given, rtol=1e-11)


def test_what_cannot_be_read_says_so() -> None:
    own = optimizer(0.1)
    with pytest.raises(ConversionError, match="LambdaLR keeps no formula"):
        Schedule.from_(lr_scheduler.LambdaLR(own, lambda t: 0.5))
    with pytest.raises(ConversionError, match="ReduceLROnPlateau"):
        Schedule.from_(lr_scheduler.ReduceLROnPlateau(own))
    with pytest.raises(ConversionError, match="no schedule that is known"):
        Schedule.from_(object())


def test_the_optimizer_must_have_the_peak_that_they_multiply() -> None:
    with pytest.raises(ValueError, match=r"must be the schedule's peak, 0.1, but is 0.5"):
        cosine(0.1).to("torch", T, optimizer=optimizer(0.5))
    with pytest.raises(ValueError, match="belongs to an optimizer"):
        cosine(0.1).to("timm", T)
    with pytest.raises(ValueError, match="library must be one of torch, optax"):
        cosine(0.1).to("caffe", T)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"needs a run: resolve\(Run"):
        cosine(0.1).to("optax")


def test_code_is_the_call_that_builds_it() -> None:
    assert cosine(0.1).code("optax", 100) == (
        "optax.cosine_decay_schedule(init_value=0.1, decay_steps=100, alpha=0.0)"
    )
    text = (warmup(10) | cosine()).code("torch", 100)
    built = eval(text, {"torch": torch, "optimizer": optimizer(1.0)})
    assert isinstance(built, lr_scheduler.SequentialLR)


def test_prototxt_text_out_and_in() -> None:
    text = inv(0.1, gamma=1e-4, power=0.75).to("caffe-prototxt", 10_000)
    assert text == 'base_lr: 0.1\nlr_policy: "inv"\ngamma: 0.0001\npower: 0.75\nmax_iter: 10000\n'
    solver = f'# a solver\nnet: "net.prototxt"\n{text}momentum: 0.9\n'
    assert Schedule.from_(solver) == inv(0.1, gamma=1e-4, power=0.75)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base_lr: 0.1", "lr_policy must be one of fixed, step"),
        ('lr_policy: "step"\nbase_lr: 0.1\ngamma: 0.1', "needs stepsize"),
        ('lr_policy: "fixed"\nbase_lr: high', "base_lr must be a number, but got 'high'"),
        ('lr_policy: "exp"\nbase_lr: 0.1\ngamma: -1', "gamma: must be in"),
    ],
)
def test_a_prototxt_that_is_none(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Schedule.from_(text)


@pytest.mark.parametrize(
    ("schedule", "library", "message"),
    [
        (step(0.1, every="0.7%"), "torch", "counts whole updates"),
        (cosine(0.1) * warmup("10%"), "optax", "no products of schedules"),
        (cosine(0.1).clip(high=0.05), "keras", "no clipping of schedules"),
        (one_cycle(0.1).along(momentum=fixed(0.9)), "torch", "set the rate alone"),
        (warmup(10) | fixed(0.5), "torch", "multiply the optimizer's lr"),
        (warmup(10) | cosine(), "transformers", "zero_first=True"),
        (warmup(10) | cosine(), "keras", "zero_first=True"),
        (piecewise(0.1, at=[0, 10], factors=[1, 0.5]), "keras", "between='previous'"),
    ],
)
def test_what_differs_is_named(schedule: Schedule, library: str, message: str) -> None:
    with pytest.raises(ConversionError, match=message):
        schedule.to(library, T, optimizer=optimizer(schedule.peak))  # type: ignore[arg-type]


def test_the_documented_table_is_the_generated_one() -> None:
    found = importlib.util.spec_from_file_location("generate", ROOT / "docs/schedules/generate.py")
    assert found is not None
    assert found.loader is not None
    generate = importlib.util.module_from_spec(found)
    found.loader.exec_module(generate)
    for name, text in generate.pages().items():
        written = (ROOT / "docs/schedules" / name).read_text(encoding="utf-8")
        assert written == text, f"{name} is out of date: run python docs/schedules/generate.py"
