"""What training several members costs, in updates of a plain loop, and what one of those takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from stepsize.decide.budget import Budget
from stepsize.task import Task
from stepsize.training import EngineName, Member, NotStackableError, train
from stepsize.training.arithmetic import arithmetic_share
from stepsize.training.evaluation import evaluation_updates
from stepsize.training.helpers import most_processes, processes, worth
from stepsize.training.obstacles import refuse_known
from stepsize.training.optimizers import native_update
from stepsize.training.probed import ProbeRun, Trainable

RECORDING, RESTART = 80.0, 25.0
"""Updates of a plain loop that recording a stack costs, and that setting up any stack does: 40 to 110 and
15 to 45 for the nets of benchmarks/regret on one core."""

LEAST = 0.03
"""What a member adds to a stack's update at least, as a share of a plain update: it is kept account of."""

BY_ITSELF = 0.6
"""Share of the calls of a plain update that its optimizer makes: 0.45 to 0.7 for NAdam, RAdam, Adamax,
Adadelta and one written by hand, on three small nets. A stack makes them for each member, unless it knows
how to update all at once."""

STARTING = 30.0
"""Updates of a plain loop that starting helpers takes: some 25 ms."""

THREADS, BESIDE = 0.5, 1.1
"""Share of what several threads could save of an update's arithmetic that they do, and how much longer a run
takes beside others, two cores: runs on one thread each took 0.95 to 1.3 times as long as alone on both."""

ABREAST, HARDLY_LONGER = 8, 1.5
"""Runs that a round without a stack starts with at most, however many processes there are, and how many times
as long they may take as the fewest."""

TIMED = 10
"""Updates of a plain loop on which its pace is taken unless told otherwise."""

RESERVE = 1.4
"""Room left in a budget, since what is reckoned here is a little less than what is found by the clock."""

BRIEF = 0.5
"""Seconds of a timing that is made twice: other work on the machine falls on one of two more rarely."""

SHARE_OF_PACE = 0.2
"""Share of the time of a timed run that its updates take at least: clocks jitter."""

SET_UP = 2
"""Updates of a run whose time is taken off: making the model and its first update are no part of the pace."""


def seconds_per_update(task: Trainable, updates: int = TIMED) -> float:
    """What an update of a plain loop takes here, by the clock, beyond what starting one takes."""

    def seconds(count: int) -> float:
        return train(task, [Member(0.0, task.seed)], np.zeros(count), engine="loop").cost.seconds

    seconds(SET_UP)  # what only the first run in a process pays
    start, whole = seconds(SET_UP), seconds(SET_UP + updates)
    if whole < BRIEF:
        start, whole = min(start, seconds(SET_UP)), min(whole, seconds(SET_UP + updates))
    return max(whole - start, whole * SHARE_OF_PACE) / updates


def fitted_steps(task: Trainable, budget: Budget, cost: Callable[[int], float], *, shortest: int) -> int:
    """Most updates, `shortest` at least and the task's own at most, that runs can have within a budget.

    `cost` gives what runs of so many updates take, in updates of a plain loop.
    """
    if budget.runs is not None:
        most = budget.runs * task.steps
    else:
        most = (budget.seconds or 0.0) / seconds_per_update(task)
    lengths = np.unique(np.geomspace(min(shortest, task.steps), task.steps, 60).round().astype(int))
    fitting = [int(length) for length in lengths if RESERVE * cost(int(length)) <= most]
    return max(fitting, default=int(lengths[0]))


@dataclass(frozen=True)
class Speed:
    """Costs in updates of a plain loop; reckoned, not timed, so that plans repeat exactly.

    A stack of K members takes 1 + (K − 1)·(`member` + `optimizer`) for an update, since its members share the
    calls to torch and only the arithmetic is done for each, and the optimizer's calls where it is none that
    the stack knows; and `RECORDING` to set up. `evaluation` is what one member's held-out loss costs.
    `stacks` is False once the task is known not to stack, and `obstacle` says why if its user may wonder.
    Without a stack, members are trained by up to so many `processes` at once.
    """

    member: float
    evaluation: float
    optimizer: float = 0.0
    stacks: bool = True
    obstacle: str = ""
    processes: int = 1

    @classmethod
    def of(cls, task: Trainable) -> Speed:
        """Count the operations of one small plain update."""
        if isinstance(task, ProbeRun):
            return cls(member=1.0, evaluation=evaluation_updates(task), stacks=False)
        model = task.make_model(task.seed)
        member = max(LEAST, arithmetic_share(task, model))
        optimizer = task.make_optimizer(model, 1.0)
        speed = cls(
            member=member,
            evaluation=member * evaluation_updates(task),
            optimizer=0.0 if native_update(optimizer) else BY_ITSELF * (1 - member),
            processes=most_processes(task, model),
        )
        obstacle = _known_obstacle(task, model, optimizer)
        return speed.without_stack(obstacle) if obstacle else speed

    def without_stack(self, obstacle: str) -> Speed:
        """The same for a task that has turned out not to stack."""
        return replace(self, stacks=False, obstacle=obstacle)

    def cost(self, members: int, steps: int) -> float:
        """What so many members cost by the cheaper engine, recording and held-out losses included."""
        return min(self.looped(members, steps), self.stacked(members, steps) + RECORDING)

    def engine(self, members: int, steps: int) -> EngineName:
        """The engine that takes less time for it, or that finds the obstacle again, to tell it."""
        quicker = self.stacked(members, steps) + RECORDING < self.looped(members, steps)
        return "auto" if quicker or self.obstacle else "loop"

    def looped(self, members: float, steps: int) -> float:
        """What so many members cost by themselves; their start is evaluated once."""
        one, runs = steps + self.evaluation, math.ceil(members)
        sharing = self._sharing(runs, steps)
        if sharing == 1:
            return members * one + self.evaluation
        slower = BESIDE / (1 - THREADS * self.member * (1 - 1 / self.processes))
        return STARTING + math.ceil(runs / sharing) * slower * one + self.evaluation

    def abreast(self, members: int, steps: int) -> int:
        """So many members, or as many more as hardly take longer where they are shared out."""
        more = min(-(-members // self.processes) * self.processes, max(members, ABREAST))
        longer = self.looped(more, steps) / self.looped(members, steps)
        return more if self._sharing(more, steps) > 1 and longer <= HARDLY_LONGER else members

    def _sharing(self, runs: int, steps: int) -> int:
        """How many processes train so many runs."""
        return processes(self.processes, runs, self.member) if worth(runs, steps) else 1

    def stacked(self, members: int, steps: int) -> float:
        """What they cost as a stack that is recorded already; infinite if the task does not stack."""
        if not self.stacks:
            return math.inf
        each = self.member + self.optimizer
        return RESTART + steps * (1 + (members - 1) * each) + (members + 1) * self.evaluation


def run_by_run(reason: str) -> str:
    """The warning that a task was trained without a stack, and why."""
    return f"trained run by run, not as a stack: {reason}"


def _known_obstacle(task: Task, model: nn.Module, optimizer: torch.optim.Optimizer) -> str:
    try:
        refuse_known(task, model, optimizer)
    except NotStackableError as error:
        return str(error)
    return ""
