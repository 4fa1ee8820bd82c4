"""Results told to experiment trackers, and read back from what these wrote."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from matplotlib.figure import Figure

from stepsize._result import Result
from stepsize.report import FIGURES
from stepsize.trackers import Tracker, Value, tracker_of
from tests.contracts.test_figures import RESULTS
from tests.report.samples import advice, no_answer
from tests.runs.samples import sweep
from tests.wandb_files import read


class Noted:
    """A tracker of one's own: keeps what it is told."""

    def __init__(self) -> None:
        self.told: dict[str, Any] = {}

    def values(self, name: str, values: Mapping[str, Value]) -> None:
        self.told[name] = dict(values)

    def curve(self, name: str, updates: Sequence[int], values: Sequence[float]) -> None:
        assert name not in self.told
        self.told[name] = list(updates), list(values)

    def text(self, name: str, text: str) -> None:
        self.told[name] = text

    def figure(self, name: str, figure: Figure) -> None:
        self.told[name] = figure


@pytest.mark.parametrize("result", RESULTS.values(), ids=RESULTS)
def test_every_kind_of_result_can_be_told(result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = Noted()
    monkeypatch.setattr("stepsize.report.readings.draw", lambda result: Figure())  # how is tested elsewhere
    result.log_to(tracker, "it")
    values = tracker.told["it"]
    assert values
    assert all(isinstance(value, (str, int, float)) for value in values.values())
    assert ("it/picture" in tracker.told) == any(p.data(result) is not None for p in FIGURES.values())
    for told in tracker.told.values():
        if isinstance(told, tuple):
            updates, curve = told
            assert len(updates) == len(curve) > 0
            assert np.isfinite(curve).all()
            assert (np.diff(updates) > 0).all()
            assert {type(update) for update in updates} == {int}


def test_an_advice_tells_its_answer_its_evidence_and_its_schedule() -> None:
    given, tracker = advice(), Noted()
    given.log_to(tracker)
    told = tracker.told
    assert told["advice"]["lr"] == 0.42
    assert told["advice"]["schedule"] == "0.42 * cosine()"
    assert told["advice"]["cost/updates"] == 5_917
    assert told["advice/words"] == str(given)
    updates, rates = told["advice/schedule"]
    assert (updates[0], updates[-1]) == (0, given.steps - 1)
    assert rates == given.schedule.values()[updates].tolist()
    assert len([name for name in told if name.startswith("advice/rehearsal 2/")]) == 8
    assert len(told["advice/range test/loss"][0]) == 96  # at the last four rates a seed has diverged
    no_answer("flat", "all alike").log_to(tracker, "none")
    assert "lr" not in told["none"]
    assert "none/schedule" not in told


def test_tensorboard_has_it_in_its_files(tmp_path: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    module = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    given = advice()
    with SummaryWriter(str(tmp_path)) as writer:
        given.log_to(writer)
    events = module.EventAccumulator(str(tmp_path), size_guidance={"scalars": 0})
    events.Reload()
    assert [point.value for point in events.Scalars("advice/lr")] == [pytest.approx(0.42)]
    points = events.Scalars("advice/schedule")
    rates = given.schedule.values()[[point.step for point in points]]
    np.testing.assert_allclose([point.value for point in points], rates, rtol=1e-6, atol=1e-9)
    (words,) = events.Tensors("advice/words/text_summary")
    assert "learning rate 0.42" in words.tensor_proto.string_val[0].decode()
    assert "| schedule | 0.42 * cosine() |" in (
        events.Tensors("advice/values/text_summary")[0].tensor_proto.string_val[0].decode()
    )
    assert events.Images("advice/picture")[0].width > 100


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, str]]:
    """MLflow and a database for it, which takes seconds to make."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        yield quiet("mlflow"), f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"


def test_mlflow_has_it_in_its_active_run(
    store: tuple[Any, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mlflow, uri = store
    given = advice()
    with without_warnings():
        mlflow.set_tracking_uri(uri)
        with mlflow.start_run() as run:
            given.log_to(mlflow)
        client = mlflow.MlflowClient()
        data = client.get_run(run.info.run_id).data
        assert data.params["advice/lr"] == "0.42"
        assert data.params["advice/schedule"] == "0.42 * cosine()"
        points = client.get_metric_history(run.info.run_id, "advice/schedule")
        rates = given.schedule.values()[[point.step for point in points]]
        assert [point.value for point in points] == rates.tolist()
        assert any(name.startswith("advice/rehearsal 1/lr ") for name in data.metrics)
        kept = [artifact.path for artifact in client.list_artifacts(run.info.run_id, "advice")]
        assert kept == ["advice/picture.png", "advice/words.txt"]


def test_weights_and_biases_has_it_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("WANDB_SILENT", "true")
    wandb, given = quiet("wandb"), advice()
    with without_warnings(), wandb.init(project="test", mode="offline", dir=str(tmp_path)) as run:
        given.log_to(run)
    rows, config, summary = read(tmp_path)
    assert config["advice/lr"] == 0.42
    assert summary["advice/words"] == str(given)
    points = [row for row in rows if "advice/schedule" in row]
    assert len(points) == 200
    rates = given.schedule.values()[[point["advice/schedule update"] for point in points]]
    np.testing.assert_allclose([point["advice/schedule"] for point in points], rates, rtol=1e-12)
    assert list(tmp_path.glob("**/*.png"))


def test_a_sweep_is_a_run_of_mlflow_for_each_of_its_own(
    store: tuple[Any, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    runs = sweep(batch_sizes=(128,), seeds=1, best=0.1)
    mlflow, uri = store
    with without_warnings():
        for _ in range(2):  # the second time into the same experiment
            runs.to_mlflow("sweep", tracking_uri=uri)
        client = mlflow.MlflowClient(uri)
        found = client.search_runs([client.get_experiment_by_name("sweep").experiment_id])
    assert len(found) == 2 * len(runs)
    assert {float(run.data.params["lr"]) for run in found} == {run.cell.lr for run in runs.runs}
    assert {(run.data.params["status"], run.info.status) for run in found} == {
        ("ok", "FINISHED"),
        ("diverged", "FAILED"),
    }


def test_a_sweep_is_a_run_of_weights_and_biases_for_each_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("WANDB_SILENT", "true")
    quiet("wandb")
    runs = msgspec.structs.replace(sweep(), runs=sweep().runs[:2])
    with without_warnings():
        runs.to_wandb("sweep", mode="offline", dir=str(tmp_path))
    told = [read(folder) for folder in tmp_path.glob("wandb/offline-run-*")]
    assert sorted(config["lr"] for _, config, _ in told) == [run.cell.lr for run in runs.runs]
    assert all(sum("val_loss" in row for row in rows) == 11 for rows, _, _ in told)


def test_what_is_no_tracker_is_refused() -> None:
    with pytest.raises(TypeError, match=r"must be a SummaryWriter, the module mlflow, .* is a str: pass"):
        advice().log_to("runs")
    assert isinstance(tracker_of(Noted()), Tracker)


def quiet(library: str) -> Any:
    """Imports of other projects warn of what they themselves import."""
    with without_warnings():
        return importlib.import_module(library)


def without_warnings() -> Any:
    import warnings

    return warnings.catch_warnings(action="ignore")
