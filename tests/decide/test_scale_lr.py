"""scale_lr on real tasks: measured against tuned rates, by rules, and where it must not answer."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

import stepsize as ss
from stepsize.decide.best_rates import with_batch_size
from stepsize.decide.rehearsal import rehearse
from stepsize.decide.scale_measured import sizes_to_measure
from tests.tasks import digits, digits_task, normed_net, unlearnable_task

silent: dict[str, Any] = {"progress": False, "announce": lambda text: None}


@pytest.fixture(scope="module")
def measured() -> ss.RateScaling:
    return ss.scale_lr(digits_task(), 50, 200, lr=0.6, seeds=2, **silent)


def test_measured_rates_are_fitted_and_kept(measured: ss.RateScaling) -> None:
    assert measured.status == "ok"
    assert [row.batch_size for row in measured.measured] == [25, 100, 400]
    assert all(row.low < row.lr < row.high for row in measured.measured)
    for row in measured.measured:
        assert row.start_loss is not None
        assert row.losses.min() < row.start_loss
    assert measured.law in measured.laws
    assert measured.lr is not None
    assert measured.lr_low is not None
    assert measured.lr_high is not None
    assert measured.lr_low <= measured.lr <= measured.lr_high
    assert {50, 200, 25, 100, 400, 32, 64, 128, 256} == {row.batch_size for row in measured.regimes}
    assert measured.after is not None
    assert measured.after.steps == 32  # four epochs of 1,500 at batch 200
    assert measured.ceiling is not None


def test_the_predicted_rate_is_about_as_good_as_the_tuned_one(measured: ss.RateScaling) -> None:
    task = with_batch_size(digits_task(), 200)
    lrs = [measured.lr * factor for factor in (0.25, 0.5, 1.0, 2.0, 4.0)] if measured.lr else []
    runs = ss.sweep(task, lr=lrs, seeds=3, progress=False)
    losses = [row.mean for row in sorted(runs.summary(), key=lambda row: row.arm.lr) if row.mean is not None]
    assert losses[2] <= min(losses) + 0.03 * (2.3 - min(losses))


def test_it_reads_well_and_comes_back(measured: ss.RateScaling) -> None:
    text = str(measured)
    assert "batch 50 to 200 by measured" in text
    assert "leave-one-out error as a factor" in text
    again = ss.RateScaling.from_json(measured.to_json())
    assert (again.lr, again.law, again.regimes) == (measured.lr, measured.law, measured.regimes)


def test_what_will_be_done_is_told_before_it_starts() -> None:
    told: list[str] = []
    found = ss.scale_lr(
        digits_task(), to=100, lr=0.6, seeds=1, budget="0.001 s", progress=False, announce=told.append
    )
    assert found.status == "out_of_time"
    assert "Best rates at batch" in told[0]
    assert "1 seed over 0.125 of the run" in told[0]


def test_a_rule_reads_the_tasks_own_optimizer_and_measures_its_noise() -> None:
    task = digits_task(optimizer=partial(torch.optim.AdamW, weight_decay=0.1))
    found = ss.scale_lr(task, 50, 100, "sqrt", lr=0.003, progress=False)
    assert found.before is not None
    assert found.before.betas == (0.9, 0.999)
    assert found.before.weight_decay == 0.1
    assert found.noise is not None
    assert {check.name for check in found.checks} >= {"optimizer", "noise scale", "averages", "weight decay"}
    assert found.lr == pytest.approx(0.003 * 2**0.5) or found.status == "refused"


def test_a_noise_scale_that_was_measured_is_used() -> None:
    task = digits_task()
    noise = ss.noise_scale(task, 0.3, checkpoints=[20], progress=False)
    found = ss.scale_lr(task, 50, 400, "adascale", lr=0.3, noise=noise, progress=False)
    assert found.noise == noise.scale
    assert found.lr is not None
    assert 0.3 < found.lr < 0.3 * 8


def test_nothing_of_the_task_changes(measured: ss.RateScaling) -> None:
    module = nn.Linear(196, 10)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    state = torch.random.get_rng_state()
    ss.scale_lr(digits_task(model=module), to=100, lr=0.3, seeds=1, budget="1 s", curvature=False, **silent)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), state)


def test_ctrl_c_keeps_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = rehearse, []

    def interrupted(task: ss.Task, *args: Any, **options: Any) -> Any:
        calls.append(task.batch_size)
        if len(set(calls)) > 2:
            raise KeyboardInterrupt
        return real(task, *args, **options)

    monkeypatch.setattr("stepsize.decide.best_rates.rehearse", interrupted)
    found = ss.scale_lr(digits_task(), to=100, lr=0.6, seeds=1, **silent)
    assert found.status == "interrupted"
    assert len(found.measured) == 2
    assert found.laws == {}
    assert found.lr == next(row.lr for row in found.measured if row.batch_size == 100)
    assert "Interrupted" in found.why


def test_ctrl_c_while_the_rate_is_sought_ends_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("stepsize.decide.search.rehearse", interrupted)
    found = ss.scale_lr(digits_task(), to=100, seeds=1, **silent)
    assert (found.status, found.measured) == ("interrupted", ())
    compared = ss.compare_schedules(digits_task(), progress=False)
    assert (compared.status, compared.rows) == ("interrupted", ())


def test_a_task_that_cannot_learn_has_no_answer() -> None:
    found = ss.scale_lr(unlearnable_task(), to=80, lr=0.1, seeds=1, **silent)
    assert found.lr is None
    assert found.status == "no_answer"
    assert any("no rate learns" in warning for warning in found.warnings)


def test_a_rule_whose_noise_scale_cannot_be_had_has_no_answer() -> None:
    x, y, _, _ = digits()
    few = digits_task(train=(x[:2], y[:2]), batch_size=2, steps=20)
    alike = digits_task(train=(x[:1].repeat(40, 1), y[:1].repeat(40)), batch_size=8, steps=20)
    for task, word in ((few, "micro-batches"), (alike, "the same gradient")):
        found = ss.scale_lr(task, None, 1, "adascale", lr=0.1, progress=False)
        assert (found.status, found.lr, found.after) == ("no_answer", None, None)
        assert found.why in str(found)
        assert word in found.why


def test_a_rule_keeps_to_its_budget_and_tells_what_it_measures() -> None:
    told: list[str] = []
    found = ss.scale_lr(
        digits_task(), to=100, rule="adascale", budget="0.001 s", progress=False, announce=told.append
    )
    assert found.status in ("out_of_time", "no_answer")
    assert found.lr is None
    assert told[0].startswith("Measuring a rate and the noise scale")


def test_batch_sizes_that_a_model_refuses_are_avoided_or_named() -> None:
    x, y, _, _ = digits()
    task = digits_task(model=normed_net, train=(x[:33], y[:33]), batch_size=4, steps=20)
    with pytest.raises(ValueError, match="at 4 an epoch's last batch, of 1, raises"):
        ss.scale_lr(task, to=8, lr=0.1, progress=False)
    with pytest.raises(ValueError, match="batch_sizes must be ones to train at, but at 1 a batch raises"):
        ss.scale_lr(task, 3, 6, lr=0.1, batch_sizes=[1, 3, 6], progress=False)
    assert all(size > 1 and 33 % size != 1 for size in sizes_to_measure(task, 3, 6, None))


@pytest.mark.parametrize(
    ("from_", "to", "expected"),
    [(16, 1024, [16, 128, 1024]), (50, 100, [25, 100, 400]), (1, 2, [1, 4, 16]), (700, 750, [46, 184, 750])],
)
def test_three_sizes_reach_over_a_factor_of_sixteen(from_: int, to: int, expected: list[int]) -> None:
    sizes = sizes_to_measure(digits_task(), from_, to, None)
    assert len(sizes) == 3
    assert sizes[-1] / sizes[0] >= 15
    assert sizes == pytest.approx(expected, abs=4)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((0.1, 32), {"rule": "linear"}, "to must be given"),
        ((0.1, 32, 256), {}, "a rule other than 'measured' must be given"),
        ((0.1, 32, 256, "measured"), {}, "a rule other than 'measured' must be given"),
        ((0.1, 32, 256, "linear"), {"lr": 0.1}, "belong to a task"),
        ((-0.1, 32, 256, "linear"), {}, "lr must be"),
        ((0.1, 0, 256, "linear"), {}, "from_ must be"),
    ],
)
def test_wrong_use_of_a_rate_is_named(arguments: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ss.scale_lr(*arguments, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"to": 5000}, "to must not exceed the 1,500"),
        ({"to": 100, "rule": "cubic"}, "rule must be one of"),
        ({"to": 100, "batch_sizes": [16, 64]}, "3 different ones"),
        ({"to": 100, "batch_sizes": [16, 64, 5000]}, "must not exceed the 1,500"),
        ({"to": 1500, "batch_sizes": [2, 4, 8]}, "within a factor 16"),
        ({"to": 100, "budget": "soon"}, "budget must be"),
        ({"to": 100, "lr": 0.0}, "lr must be"),
        ({"to": 100, "seeds": 0}, "seeds must be"),
    ],
)
def test_wrong_use_of_a_task_is_named(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ss.scale_lr(digits_task(), **options, progress=False)


def test_an_optimizer_without_a_rule_is_named() -> None:
    with pytest.raises(ValueError, match="rules are known for SGD and Adam"):
        ss.scale_lr(digits_task(optimizer=torch.optim.RMSprop), to=100, rule="sqrt", lr=0.01, progress=False)


def test_what_is_no_task_is_named() -> None:
    with pytest.raises(TypeError, match="task_or_rate must be"):
        ss.scale_lr("mnist", 32, 64, "linear")  # type: ignore[arg-type]
