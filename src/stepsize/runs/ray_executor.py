"""Groups of cells on a Ray cluster: the driver plans them and owns the ledger, the cluster trains."""

from __future__ import annotations

import uuid
from typing import Any

import torch
from torch.utils._pytree import tree_map

from stepsize.runs.cell import CellRun
from stepsize.runs.plan import Job, Tasks
from stepsize.runs.work import train_job
from stepsize.task import Task
from stepsize.training.engine import Progress

RETRIES = 5
"""Machines that a group may lose before its loss is an error: a group that kills every machine must end."""

AHEAD = 2
"""Groups submitted for each that can run at once, so that no machine waits for the driver."""


class RayExecutor:
    """Trains each group as a Ray task; made ready by `ray.init(address=…)`, or on a cluster already joined.

    The task and its data are put into the object store once, arrays without a copy for each worker. A group
    on a machine that is lost is trained elsewhere. stepsize must be installed on every machine.

    Args:
        address: an existing cluster's, as `ray.init` takes it; without one, and where this process has not
            joined a cluster yet, Ray starts on this machine.
        num_cpus, num_gpus: what one group takes up. Torch uses `num_cpus` threads, so that the numbers agree
            with local ones of as many threads. With `num_gpus` above 0 the groups train on CUDA.
        resources: further Ray resources that a group takes up.
        init: further arguments of `ray.init`.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        num_cpus: int = 1,
        num_gpus: float = 0.0,
        resources: dict[str, float] | None = None,
        init: dict[str, Any] | None = None,
    ) -> None:
        self._address, self._init = address, init or {}
        self._cpus = num_cpus
        self._options = {
            "num_cpus": num_cpus,
            "num_gpus": num_gpus,
            "resources": resources or {},
            "max_retries": RETRIES,
        }
        self._ray = _import_ray()
        self._running: dict[Any, Job] = {}
        self._began = False

    @property
    def slots(self) -> int:
        """Twice what the cluster can train at once now; it may grow and shrink."""
        return AHEAD * max(1, int(self._ray.cluster_resources().get("CPU", 1)) // self._cpus)

    def start(self, tasks: Tasks, progress: Progress) -> None:
        """Join the cluster and give it the task."""
        if not self._ray.is_initialized():
            self._ray.init(address=self._address, **self._init)
            self._began = True
        self._progress = progress
        assert isinstance(tasks.base, Task)  # a sweep of a probe takes no other executor than the local one
        device = "cuda" if self._options["num_gpus"] else str(tasks.base.device)
        # In a list, a reference reaches the worker as it is: fetched there once, not for every group.
        self._arguments = [self._ray.put(_portable(tasks.base, device))]
        self._token = uuid.uuid4().hex
        self._train = self._ray.remote(_train).options(**self._options)

    def submit(self, job: Job) -> None:
        """Queue a group on the cluster."""
        self._running[self._train.remote(self._token, self._arguments, job, self._cpus)] = job

    def wait(self) -> list[tuple[Job, list[CellRun]]]:
        """The groups that have finished within the next second."""
        ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=1.0)
        finished = []
        for reference in ready:
            runs = self._result(reference)
            job = self._running.pop(reference)
            self._progress(job.updates)
            finished.append((job, runs))
        return finished

    def _result(self, reference: Any) -> list[CellRun]:
        try:
            runs: list[CellRun] = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause if isinstance(error.cause, Exception) else error from error
        return runs

    def close(self) -> None:
        """Cancel what is queued and running; leave the cluster if this executor joined it."""
        for reference in self._running:
            self._ray.cancel(reference, force=True)
        self._running.clear()
        if self._began:
            self._ray.shutdown()
            self._began = False


def _import_ray() -> Any:
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise ImportError("executor='ray' needs Ray: pip install 'stepsize[ray]'") from error
    return ray


def _portable(task: Task, device: str) -> dict[str, Any]:
    """A task's arguments, its data as arrays, which Ray shares between workers without copying them."""
    arguments = dict(task._arguments)
    for name in ("train", "val"):
        arguments[name] = tree_map(_as_array, arguments[name])
    return arguments | {"device": device}


def _as_array(leaf: Any) -> Any:
    if isinstance(leaf, torch.Tensor) and leaf.dtype != torch.bfloat16:  # which NumPy does not know
        return leaf.detach().cpu().numpy()
    return leaf


_made: dict[str, Tasks] = {}
"""The tasks that this worker process trains on: those of the sweep at hand."""


def _train(token: str, arguments: list[Any], job: Job, threads: int) -> list[CellRun]:
    """Train a group in a worker process."""
    torch.set_num_threads(threads)
    if token not in _made:
        _made.clear()
        _made[token] = Tasks(Task(**_import_ray().get(arguments[0])))
    return train_job(_made[token][job.cells[0].batch_size], job)
