"""Experiment trackers as sinks: one protocol, and TensorBoard, MLflow and Weights & Biases behind it."""

from __future__ import annotations

import os
import re
import time
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Value = str | float | int | bool

ROWS = 1000
"""Metrics that MLflow takes in one request."""


@runtime_checkable
class Tracker(Protocol):
    """Takes what a result has to tell. `name` may hold slashes, which put things into groups."""

    def values(self, name: str, values: Mapping[str, Value]) -> None:
        """What holds for the whole: answers, settings, costs."""
        ...

    def curve(self, name: str, updates: Sequence[int], values: Sequence[float]) -> None:
        """Finite numbers over updates."""
        ...

    def text(self, name: str, text: str) -> None:
        """Plain words, over several lines."""
        ...

    def figure(self, name: str, figure: Figure) -> None:
        """A picture."""
        ...


def tracker_of(target: Any) -> Tracker:
    """The tracker behind what people have in hand.

    `target` is a `SummaryWriter` of TensorBoard, the module `mlflow` (its active run, or a new one), a run of
    Weights & Biases, or a `Tracker`.

    Raises:
        TypeError: it is none of these.
    """
    if isinstance(target, types.ModuleType) and target.__name__ == "mlflow":
        run = target.active_run() or target.start_run()
        return MLflow(target.MlflowClient(), run.info.run_id)
    if hasattr(target, "add_scalar") and hasattr(target, "add_text"):
        return TensorBoard(target)
    if type(target).__module__.partition(".")[0] == "wandb":
        return WandB(target)
    if isinstance(target, Tracker):
        return target
    raise TypeError(
        "tracker must be a SummaryWriter, the module mlflow, a run of wandb or a stepsize.trackers.Tracker, "
        f"but is a {type(target).__name__}: pass SummaryWriter('folder'), mlflow or wandb.init()"
    )


class TensorBoard:
    """A `SummaryWriter`, of torch or of tensorboardX; the caller closes it."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    @staticmethod
    def in_folder(folder: str | os.PathLike[str]) -> Any:
        """A new `SummaryWriter` on a folder.

        Raises `ImportError` where tensorboard is not installed.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ImportError("TensorBoard is not installed: pip install stepsize[tensorboard]") from error
        return SummaryWriter(str(Path(folder)))

    def values(self, name: str, values: Mapping[str, Value]) -> None:
        """Numbers as scalars at step 0, and a table of all."""
        for key, value in values.items():
            if not isinstance(value, str):
                self._writer.add_scalar(f"{name}/{key}", float(value), 0)
        rows = [f"| {key} | {value} |" for key, value in values.items()]
        self._writer.add_text(f"{name}/values", "\n".join(["| name | value |", "|---|---|", *rows]), 0)

    def curve(self, name: str, updates: Sequence[int], values: Sequence[float]) -> None:
        """A scalar for each update."""
        for update, value in zip(updates, values, strict=True):
            self._writer.add_scalar(name, value, update)

    def text(self, name: str, text: str) -> None:
        """As it stands, in a fixed width."""
        self._writer.add_text(name, "\n".join(f"    {line}" for line in text.splitlines()), 0)

    def figure(self, name: str, figure: Figure) -> None:
        """As an image."""
        self._writer.add_figure(name, figure, 0, close=False)


class MLflow:
    """One run of MLflow."""

    def __init__(self, client: Any, run_id: str) -> None:
        self._client, self._run = client, run_id

    @staticmethod
    def client(tracking_uri: str | None) -> Any:
        """A client of a tracking server or store.

        Raises `ImportError` where mlflow is not installed.
        """
        try:
            from mlflow import MlflowClient
        except ImportError as error:
            raise ImportError("MLflow is not installed: pip install stepsize[mlflow]") from error
        return MlflowClient(tracking_uri)

    def values(self, name: str, values: Mapping[str, Value]) -> None:
        """As parameters."""
        from mlflow.entities import Param

        group = _allowed(f"{name}/") if name else ""
        rows = [Param(group + key, str(value)) for key, value in values.items()]
        for i in range(0, len(rows), 100):  # MLflow's limit for parameters in one request
            self._client.log_batch(self._run, params=rows[i : i + 100])

    def curve(self, name: str, updates: Sequence[int], values: Sequence[float]) -> None:
        """As a metric whose steps are updates."""
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        key = _allowed(name)
        rows = [Metric(key, value, now, update) for update, value in zip(updates, values, strict=True)]
        for i in range(0, len(rows), ROWS):
            self._client.log_batch(self._run, metrics=rows[i : i + ROWS])

    def text(self, name: str, text: str) -> None:
        """As an artifact."""
        self._client.log_text(self._run, text, f"{_allowed(name)}.txt")

    def figure(self, name: str, figure: Figure) -> None:
        """As an artifact."""
        self._client.log_figure(self._run, figure, f"{_allowed(name)}.png")


def _allowed(name: str) -> str:
    """MLflow takes letters, digits, `_-. :/` and nothing else in a name."""
    return re.sub(r"[^\w\-. :/]", "_", name, flags=re.ASCII)


class WandB:
    """One run of Weights & Biases; the caller finishes it."""

    def __init__(self, run: Any) -> None:
        self._run = run

    @staticmethod
    def init() -> Any:
        """The function `wandb.init`.

        Raises `ImportError` where wandb is not installed.
        """
        try:
            from wandb import init
        except ImportError as error:
            raise ImportError("Weights & Biases is not installed: pip install stepsize[wandb]") from error
        return init

    def values(self, name: str, values: Mapping[str, Value]) -> None:
        """In the run's configuration."""
        named = {f"{name}/{key}" if name else key: value for key, value in values.items()}
        self._run.config.update(named, allow_val_change=True)

    def curve(self, name: str, updates: Sequence[int], values: Sequence[float]) -> None:
        """A metric over updates of its own, so that curves of any length stand beside each other."""
        clock = f"{name} update"
        self._run.define_metric(clock, hidden=True)
        self._run.define_metric(name, step_metric=clock)
        for update, value in zip(updates, values, strict=True):
            self._run.log({name: value, clock: update})

    def text(self, name: str, text: str) -> None:
        """In the run's summary."""
        self._run.summary[name] = text

    def figure(self, name: str, figure: Figure) -> None:
        """As an image."""
        import wandb

        self._run.log({name: wandb.Image(figure)})
