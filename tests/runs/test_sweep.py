"""sweep(): what it trains, what it leaves out, and what it refuses."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stepsize as ss
from stepsize.runs import Halving, Job, LocalExecutor, TaskChangedError
from stepsize.runs.cell import thinned
from stepsize.runs.plan import groups_of
from tests.runs.grids import RATES, SEEDS, assert_same, small_task


class Spy(LocalExecutor):
    """Trains here and remembers what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[Job] = []

    def submit(self, job: Job) -> None:
        self.jobs.append(job)
        super().submit(job)


def test_a_cell_holds_what_train_gives_for_its_group(runs: ss.Runs) -> None:
    task = small_task(batch_size=30)
    rates = np.repeat(np.array(RATES)[:, None], task.steps, axis=1)
    at = [0, *range(25, 201, 25)]
    history = ss.train(task, [ss.Member(lr, 1) for lr in RATES], rates, evaluate_at=at)
    for row, lr in enumerate(RATES):
        (run,) = (r for r in runs.runs if (r.cell.lr, r.cell.batch_size, r.cell.seed) == (lr, 30, 1))
        assert run.status == history.status[row]
        np.testing.assert_array_equal(run.evaluated_at, at)
        np.testing.assert_array_equal(run.val_loss, history.val_loss[row])
        np.testing.assert_array_equal(run.metrics["accuracy"], history.metrics["accuracy"][row])
        np.testing.assert_array_equal(run.train_loss, history.train_loss[row].astype(np.float32))


def test_the_same_call_trains_nothing_again_and_gives_the_same(stored: Path, runs: ss.Runs) -> None:
    spy = Spy()
    again = ss.sweep(
        small_task(), RATES, seeds=SEEDS, batch_size=[30, 50], store=stored, executor=spy, keep="all"
    )
    assert spy.jobs == []
    assert_same(again, runs)
    assert again.status == "complete"


def test_a_larger_call_trains_only_what_is_new(tmp_path: Path) -> None:
    task, spy = small_task(epochs=1), Spy()
    ss.sweep(task, [0.1], seeds=2, store=tmp_path / "runs.db")
    ss.sweep(task, [0.1, 0.5], seeds=[0, 1, 7], store=tmp_path / "runs.db", executor=spy)
    trained = [(cell.lr, cell.seed) for job in spy.jobs for cell in job.cells]
    assert trained == [(0.5, 0), (0.5, 1), (0.1, 7), (0.5, 7)]


def test_every_batch_size_sees_the_same_samples_and_every_schedule_its_own_rates() -> None:
    runs = ss.sweep(small_task(epochs=1), 0.5, seeds=1, batch_size=[30, "full"], schedule=["cosine", "fixed"])
    assert {(run.cell.batch_size, run.cell.steps) for run in runs.runs} == {(30, 50), (1500, 1)}
    assert {run.samples for run in runs.runs} == {1500}
    ends = {run.cell.schedule: run.final() for run in runs.runs if run.cell.batch_size == 30}
    assert len(set(ends.values())) == 2


def test_groups_hold_the_rates_of_one_stack_and_never_more_than_64() -> None:
    spy = Spy()
    ss.sweep(small_task(epochs=None, steps=1), np.geomspace(0.01, 1, 70), seeds=2, executor=spy, evaluate=1)
    assert [len(job.cells) for job in spy.jobs] == [64, 6, 64, 6]
    assert all(len({cell.seed for cell in job.cells}) == 1 for job in spy.jobs)


def test_few_rates_train_with_whole_seeds_and_finished_groups_move_nobody() -> None:
    task, spy = small_task(epochs=None, steps=1), Spy()
    ss.sweep(task, [0.1, 0.2, 0.3, 0.4, 0.5], seeds=7, batch_size=[30, 50], executor=spy, evaluate=1)
    assert [sorted({cell.seed for cell in job.cells}) for job in spy.jobs] == 2 * [[0, 1, 2], [3, 4, 5], [6]]
    assert [len(job.cells) for job in spy.jobs] == 2 * [15, 15, 5]
    assert all(len({cell.batch_size for cell in job.cells}) == 1 for job in spy.jobs)
    keyed = [(key, cell) for job in spy.jobs for key, cell in zip(job.keys, job.cells, strict=True)]
    left = [rows for rows in groups_of(keyed) if rows[0][1].seed != 0]
    assert groups_of([row for rows in left for row in rows]) == left


@pytest.mark.parametrize(
    ("evaluate", "points"),
    [
        ("twice an epoch", [0, 15, 30, 45, 60]),
        ("every epoch", [0, 30, 60]),
        ("every 25 updates", [0, 25, 50, 60]),
        ("3 a run", [0, 20, 40, 60]),
        (1, [0, 60]),
    ],
)
def test_the_held_out_loss_is_taken_when_asked(evaluate: Any, points: list[int]) -> None:
    (run,) = ss.sweep(small_task(epochs=2), 0.5, seeds=1, evaluate=evaluate).runs
    assert run.evaluated_at.tolist() == points


def test_the_training_loss_is_thinned_to_means_that_lose_nothing_on_average() -> None:
    losses = np.random.default_rng(0).normal(size=1001)
    at, means = thinned(losses, 200)
    assert len(at) == 167
    assert at[-1] == 1001
    np.testing.assert_allclose((means * np.diff(at, prepend=0)).sum(), losses.sum())


def test_all_of_the_training_loss_is_kept_when_asked() -> None:
    (run,) = ss.sweep(small_task(epochs=10), 0.5, seeds=1, keep="all").runs
    assert len(run.train_loss) == 300
    (run,) = ss.sweep(small_task(epochs=10), 0.5, seeds=1).runs
    assert len(run.train_loss) == 150


def test_progress_adds_up_and_tells_what_there_is() -> None:
    class Listener:
        total, done, phases = 0, 0, list[str]()

        def expect(self, updates: int) -> None:
            self.total = updates

        def phase(self, name: str) -> None:
            self.phases.append(name)

        def advance(self, updates: int) -> None:
            self.done += updates

    listener = Listener()
    ss.sweep(small_task(epochs=1), [0.5, 1e4], seeds=2, progress=listener)
    assert listener.done == listener.total == 2 * 2 * 30
    assert listener.phases[0] == "0 of 4 cells, 4 running, 0 diverged"
    assert listener.phases[-1].startswith("4 of 4 cells, 0 running, 2 diverged; best ")


# -- interruptions ---------------------------------------------------------------------------------
def test_ctrl_c_returns_what_is_finished_and_the_same_call_goes_on(tmp_path: Path) -> None:
    class Stops(LocalExecutor):
        def submit(self, job: Job) -> None:
            super().submit(job)
            if job.cells[0].batch_size == 50:
                os.kill(os.getpid(), signal.SIGINT)

    task, store = small_task(epochs=1), tmp_path / "runs.db"
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        part = ss.sweep(task, [0.1, 0.5], store=store, batch_size=[30, 50], executor=Stops())
    finally:
        signal.signal(signal.SIGINT, before)
    assert (part.status, len(part), part.planned) == ("interrupted", 6, 12)
    assert "6 cells are missing" in str(part)
    assert "The same call goes on from there" in str(part)
    whole = ss.sweep(task, [0.1, 0.5], store=store, batch_size=[30, 50])
    assert_same(whole, ss.sweep(task, [0.1, 0.5], batch_size=[30, 50]))


def test_an_error_of_the_users_code_leaves_what_is_finished_and_no_lease(tmp_path: Path) -> None:
    class Fails(LocalExecutor):
        def submit(self, job: Job) -> None:
            if job.cells[0].batch_size == 50:
                raise KeyError("no such column")
            super().submit(job)

    task, store, spy = small_task(epochs=1), tmp_path / "runs.db", Spy()
    with pytest.raises(KeyError, match="no such column"):
        ss.sweep(task, 0.5, seeds=1, batch_size=[30, 50], store=store, executor=Fails())
    ss.sweep(task, 0.5, seeds=1, batch_size=[30, 50], store=store, executor=spy)
    assert [cell.batch_size for job in spy.jobs for cell in job.cells] == [50]


# -- another task under the same name --------------------------------------------------------------
@pytest.mark.parametrize(
    ("changes", "differs"),
    [
        ({"loss": lambda model, batch: model(batch[0]).square().mean()}, "loss differs"),
        ({"optimizer": lambda params, lr: __import__("torch").optim.SGD(params, lr=lr)}, "optimizer differs"),
        ({"metrics": {}}, "metrics differs"),
    ],
)
def test_a_task_that_changed_under_its_name_is_refused(
    tmp_path: Path, changes: dict[str, Any], differs: str
) -> None:
    store = tmp_path / "runs.db"
    ss.sweep(small_task(epochs=1), 0.5, seeds=1, store=store)
    changed = small_task(epochs=1, **changes)
    with pytest.raises(TaskChangedError, match=rf"was another one: {differs}.*name='digits-2'"):
        ss.sweep(changed, 0.5, seeds=1, store=store)
    assert len(ss.sweep(changed, 0.5, seeds=1, store=store, name="digits-2")) == 1
    assert len(ss.Runs.open(store, 1)) == 1


def test_identity_stands_for_code_and_data_but_not_for_the_start(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    ss.sweep(small_task(epochs=1), 0.5, seeds=1, store=store, identity="v1")
    spy = Spy()
    ss.sweep(small_task(epochs=1, metrics={}), 0.5, seeds=1, store=store, identity="v1", executor=spy)
    assert spy.jobs == []
    with pytest.raises(TaskChangedError, match="identity differs"):
        ss.sweep(small_task(epochs=1), 0.5, seeds=1, store=store, identity="v2")


# -- halving ---------------------------------------------------------------------------------------
def test_a_halving_trains_the_survivors_as_without_it_and_refuses_their_curves() -> None:
    rates = [0.001, 0.01, 0.1, 0.5]
    halved = ss.sweep(small_task(), rates, seeds=1, halving=Halving())
    assert [(run.cell.lr, run.status, run.cell.until) for run in halved.runs] == [
        (0.001, "stopped", 15), (0.01, "stopped", 15), (0.1, "stopped", 30), (0.5, "ok", 120),
    ]  # fmt: skip
    alone = ss.sweep(small_task(), [0.5], seeds=1)
    np.testing.assert_array_equal(halved.runs[3].val_loss, alone.runs[0].val_loss)
    best = halved.best()
    assert best is not None
    assert best.arm.lr == 0.5
    assert halved.status == "complete"
    for ask in (halved.curves, lambda: halved.compare(0.1, 0.5), lambda: halved.crossings(0.1, 0.5)):
        with pytest.raises(ValueError, match="halving"):
            ask()


def test_halvings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="rise within"):
        Halving(shares=(0.5, 0.25))
    with pytest.raises(ValueError, match="keep must lie"):
        Halving(keep=1.0)


# -- bad arguments ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"lr": []}, ValueError, "lr must not be empty"),
        ({"lr": [0.1, 0.1]}, ValueError, "no value twice, but holds 0.1"),
        ({"lr": [-1.0]}, ValueError, "lr must be finite and above 0"),
        ({"lr": "0.1"}, TypeError, "lr must be a number"),
        ({"batch_size": [0]}, ValueError, "batch_size must be a whole number >= 1"),
        ({"batch_size": 10**6}, ValueError, "must not exceed the training samples"),
        ({"seeds": 0}, ValueError, "seeds must be a whole number >= 1"),
        ({"seeds": [-1]}, ValueError, "seeds must be a whole number >= 0"),
        ({"schedule": "cosin"}, ValueError, "cosine"),
        ({"schedule": 3}, TypeError, "schedule must be a Schedule or its text"),
        ({"evaluate": "often"}, ValueError, "evaluate must be a number of times"),
        ({"executor": "slurm"}, ValueError, "'local', 'ray' or an Executor"),
        ({"keep": "none"}, ValueError, "keep must be 'thinned' or 'all'"),
        ({"store": "/no/such/folder/runs.db"}, FileNotFoundError, "does not exist: create it"),
        ({"store": "/tmp"}, IsADirectoryError, "must be a file"),
    ],
)
def test_arguments_that_cannot_work_are_named(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ss.sweep(small_task(), **{"lr": 0.5, **arguments})


def test_a_task_is_asked_for() -> None:
    with pytest.raises(TypeError, match=r"task must be a stepsize\.Task"):
        ss.sweep("mnist", 0.1)  # type: ignore[arg-type]
