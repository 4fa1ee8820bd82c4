"""critical_batch on a small real task, and what it does with what goes wrong."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

import stepsize as ss
from stepsize.decide.batch_plan import checked_sizes, planned
from stepsize.decide.critical_batch import critical_batch
from stepsize.decide.critical_batch_result import CriticalBatch
from stepsize.decide.critical_batch_rounds import soonest, steady
from stepsize.decide.noise_prediction import agreement, mean_noise
from stepsize.decide.speed import Speed
from stepsize.estimate.critical_batch import FEWEST, fit_critical_batch
from tests.report.samples import noise
from tests.tasks import digits, digits_task, normed_net, unlearnable_task


@pytest.fixture(scope="module")
def measured() -> CriticalBatch:
    return critical_batch(digits_task(), lr=0.3, seeds=2, progress=False)


def test_more_samples_and_fewer_updates_the_larger_the_batch(measured: CriticalBatch) -> None:
    rows = measured.targets[-1].rows
    assert [row.batch_size for row in rows] == [6, 12, 25, 50, 100, 200, 400]
    updates = np.array([row.updates for row in rows], dtype=float)
    samples = np.array([row.samples for row in rows], dtype=float)
    assert (updates[:-1] >= 0.9 * updates[1:]).all()
    assert (samples[1:] >= 0.9 * samples[:-1]).all()
    assert measured.fit is not None
    assert measured.status == measured.fit.status == "ok"
    assert measured.prediction is not None


def test_the_best_rate_is_not_at_the_edge_of_its_grid(measured: CriticalBatch) -> None:
    assert {row.status for target in measured.targets for row in target.rows} == {"ok"}
    lrs = [row.lr or 0.0 for row in measured.targets[-1].rows]
    assert lrs[0] < lrs[3] <= lrs[-1] * 1.01


def test_every_rate_that_was_tried_is_kept_with_what_became_of_it(measured: CriticalBatch) -> None:
    for target in measured.targets:
        for row in target.rows:
            assert len(row.lrs) == len(row.updates_by_lr) > 2
            assert list(row.lrs) == sorted(row.lrs)
            assert row.lr is not None
            assert row.updates_by_lr[row.lrs.index(row.lr)] == row.updates
            assert row.updates is not None
            assert min(one for one in row.updates_by_lr if one is not None) <= row.updates
            assert set(row.diverged) <= set(row.lrs)
    assert any(None in row.updates_by_lr for row in measured.targets[-1].rows)


def test_it_can_be_read_back_and_printed(measured: CriticalBatch) -> None:
    again = CriticalBatch.from_json(measured.to_json())
    assert str(again) == str(measured)
    assert "B_crit" in str(measured)


def test_nothing_of_the_callers_is_changed() -> None:
    model = torch.nn.Linear(196, 10)
    before, rng = model.weight.detach().clone(), torch.get_rng_state()
    task = digits_task(model=model, steps=40)
    critical_batch(task, [25, 50], lr=0.1, seeds=1, noise=False, progress=False)
    assert torch.equal(model.weight, before)
    assert torch.equal(torch.get_rng_state(), rng)
    assert task.batch_size == 50


def test_a_target_out_of_reach_is_named_at_every_batch_size() -> None:
    result = critical_batch(digits_task(steps=40), [25, 50], [1e-9], lr=0.1, seeds=1, progress=False)
    assert {row.status for row in result.targets[0].rows} == {"not_reached"}
    assert result.batch is None
    assert "was not reached at batch 25, 50" in str(result)


def test_ctrl_c_keeps_what_is_done() -> None:
    class Impatient:
        phases = 0

        def expect(self, updates: int) -> None: ...
        def advance(self, updates: int) -> None: ...
        def phase(self, name: str) -> None:
            if name.startswith("batch 100,"):
                raise KeyboardInterrupt

    result = critical_batch(digits_task(steps=60), [50, 100], lr=0.3, seeds=1, progress=Impatient())
    assert result.status == "interrupted"
    assert [row.status for row in result.targets[0].rows][1] == "not_tried"
    assert result.targets[0].rows[0].updates is not None


@pytest.mark.parametrize("lr", [0.3, None])
def test_a_budget_that_is_used_up_ends_it(lr: float | None) -> None:
    result = critical_batch(digits_task(), lr=lr, seeds=1, budget="0.001 s", progress=False)
    assert result.status == "out_of_time"
    assert result.batch is None


def test_what_luck_reaches_is_no_target() -> None:
    result = critical_batch(unlearnable_task(), [10, 20], lr=0.1, seeds=1, progress=False)
    assert (result.status, result.targets) == ("no_answer", ())
    assert "luck" in result.why


def test_batch_sizes_that_a_model_refuses_are_left_out_and_said_so() -> None:
    x, y, _, _ = digits()
    task = digits_task(model=normed_net, train=(x[:64], y[:64]), batch_size=8)
    sizes, why = checked_sizes(task, None)
    assert sizes == (2, 4, 8, 16, 32, 64)
    assert why[0].startswith("batch 1 is left out: a batch raises ValueError: Expected more than 1 value")
    with pytest.raises(ValueError, match="ones to train at, but at 1 a batch raises"):
        critical_batch(task, [1, 8])
    with pytest.raises(ValueError, match="at 32 an epoch's last batch, of 1, raises"):
        checked_sizes(digits_task(model=normed_net, train=(x[:33], y[:33]), batch_size=32), None)


def test_a_target_that_training_begins_below_is_named() -> None:
    with pytest.raises(ValueError, match=r"below the held-out loss before training, 2\."):
        critical_batch(digits_task(steps=40), [50], [5.0, 1.0], lr=0.3, seeds=1, progress=False)


def test_a_rate_next_to_ones_that_miss_is_not_taken_for_its_luck() -> None:
    """Rates a factor √2 apart, three seeds: the third is soonest, and beside it a seed never gets there."""
    reached = np.array([[40.0, 30, 27, 60], [42.0, 31, 28, np.inf], [41.0, 30, 27, np.inf]])
    assert np.argmin(reached.mean(axis=0)) == 2
    assert soonest(reached, tried=100) == 1
    assert soonest(reached[:, :3], tried=100) == 2
    assert soonest(np.full((2, 3), np.inf), tried=100) is None


def test_the_lowest_rate_within_a_standard_error_of_the_best_is_taken() -> None:
    """Updates 100, 60, 52, 50; seeds scatter by some 10%, and then by nothing that rates do not share."""
    wanted = np.array([100.0, 60, 52, 50])
    noisy = wanted * np.exp(0.1 * np.array([[1, -1, 1, -1], [-1, 1, 1, -1], [0, 0, -2, 2]]))
    assert steady(noisy, 3) == 2
    assert steady(wanted * np.array([[1.0], [1.3], [0.8]]), 3) == 3
    assert steady(wanted[None], 3) == 3
    missed = noisy.copy()
    missed[1, 2] = np.inf
    assert steady(missed, 3) == 3


def test_a_seed_that_starts_below_the_target_has_taken_no_updates() -> None:
    """Its logarithm is not taken: warnings are errors here."""
    task = digits_task(steps=40)
    losses = [task.loss(task.make_model(seed), task.val.tree).item() for seed in range(3)]  # type: ignore[union-attr]
    start = sum(losses) / 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = critical_batch(task, [25, 50, 100], [0.999 * start], lr=0.3, noise=False, progress=False)
    reached = [row.by_seed for row in found.targets[0].rows]
    assert 0.0 in {updates for row in reached for updates in row}


def test_the_cost_is_told_before_anything_starts() -> None:
    told: list[str] = []

    class Quiet:
        def expect(self, updates: int) -> None: ...
        def advance(self, updates: int) -> None: ...
        def phase(self, name: str) -> None:
            assert told

    critical_batch(
        digits_task(steps=40), [50], lr=0.3, seeds=1, noise=False, progress=Quiet(), announce=told.append
    )
    assert "batch sizes 50, 1 seed, about" in told[0]


def test_the_mean_noise_scale_weights_by_updates() -> None:
    """Points 80, 20, 60, 250 after 1, 4, 16, 64 updates: the trapezoid rule by hand."""
    expected = (80 * 1 + 3 * 50 + 12 * 40 + 48 * 155) / 64
    prediction = mean_noise(noise())
    assert prediction.batch == pytest.approx(expected)
    assert prediction.low == pytest.approx(0.8 * expected)
    assert mean_noise(noise(opened=True)).high is None


def test_agreement_is_that_of_intervals() -> None:
    sizes = 2.0 ** np.arange(8)
    jitter = np.exp(0.05 * np.random.default_rng(0).normal(size=8))
    near = fit_critical_batch(sizes, 30 * (1 + 130 / sizes) * jitter)
    far = fit_critical_batch(sizes, 30 * (1 + 3 / sizes) * jitter)
    assert agreement(near, mean_noise(noise())) is True
    assert agreement(far, mean_noise(noise())) is False
    assert agreement(near, None) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_sizes": [8, 8]}, "different numbers"),
        ({"batch_sizes": [9999]}, "must not exceed the 1500"),
        ({"targets": [float("nan")]}, "finite losses"),
        ({"budget": "soon"}, "budget must be"),
        ({"lr": 0.0}, "lr must be"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        critical_batch(digits_task(), **arguments)  # type: ignore[arg-type]


def test_a_task_is_asked_for() -> None:
    with pytest.raises(TypeError, match=r"must be a stepsize\.Task"):
        critical_batch("mnist")  # type: ignore[arg-type]


def test_a_plan_reckons_each_batch_size_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    of = Speed.of

    def counted(task: ss.Task) -> Speed:
        asked.append(task.batch_size)
        return of(task)

    monkeypatch.setattr(Speed, "of", counted)
    plan = planned(digits_task(steps=200), None, 2, "60 s")
    assert sorted(asked) == list(plan.sizes)


@pytest.mark.parametrize(("sizes", "count"), [(None, FEWEST), ([10, 20, 25, 40, 50, 80, 100], 7)])
def test_sizes_that_were_not_asked_for_are_left_out_to_fit_a_budget(
    sizes: list[int] | None, count: int
) -> None:
    plan = planned(digits_task(steps=200), sizes, 2, "0.001 s")
    assert len(plan.sizes) == count
    assert plan.base in plan.sizes[1:-1]
    assert len(plan.left_out) == 7 - count
    assert all("to fit the budget" in said for said in plan.left_out)
