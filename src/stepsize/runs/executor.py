"""Where groups of cells are trained: in this process, or wherever an `Executor` of your own takes them."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from stepsize.runs.cell import CellRun
from stepsize.runs.plan import Job, Tasks
from stepsize.runs.work import train_job
from stepsize.training.engine import Progress


class Executor(Protocol):
    """Trains groups of cells; the sweep plans them and owns the ledger.

    The sweep enters it with `start`, keeps up to `slots` groups submitted, and leaves it with `close`, after
    errors and Ctrl-C too. A group may be trained more than once, as after a lost machine: the numbers are the
    same, and the ledger takes the first.
    """

    @property
    def slots(self) -> int:
        """Groups that it takes at once, those that wait included."""
        ...

    def start(self, tasks: Tasks, progress: Progress) -> None:
        """Make ready to train; `progress` is to be told of finished member-updates."""
        ...

    def submit(self, job: Job) -> None:
        """Take a group on."""
        ...

    def wait(self) -> list[tuple[Job, list[CellRun]]]:
        """The groups that have finished; returns within a second or two, with none if need be.

        An error of the user's own code is raised as it is.
        """
        ...

    def close(self) -> None:
        """Drop what is not finished, and let go of all resources."""
        ...


class LocalExecutor:
    """Trains one group after another in this process; a stack uses all of torch's threads."""

    slots = 1

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()

    def start(self, tasks: Tasks, progress: Progress) -> None:
        """Nothing to make ready."""
        self._tasks, self._progress = tasks, progress

    def submit(self, job: Job) -> None:
        """Trained when it is waited for."""
        self._jobs.append(job)

    def wait(self) -> list[tuple[Job, list[CellRun]]]:
        """Train the next group."""
        job = self._jobs.popleft()
        return [(job, train_job(self._tasks[job.cells[0].batch_size], job, self._progress))]

    def close(self) -> None:
        """Forget what is not finished."""
        self._jobs.clear()
