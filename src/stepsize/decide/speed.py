"""What training several members costs, in updates of a plain loop, and what one of those takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from stepsize._rng import isolated_rng
from stepsize.decide.budget import Budget
from stepsize.task import Task
from stepsize.training import EngineName, Member, NotStackableError, train
from stepsize.training.evaluation import evaluation_updates
from stepsize.training.obstacles import refuse_known
from stepsize.training.probed import ProbeRun, Trainable

RECORDING, RESTART = 80.0, 25.0
"""Updates of a plain loop that recording a stack costs, and that setting up any stack does: 40 to 110 and
15 to 45 for the nets of benchmarks/regret on one core."""

CALLS = {"cpu": 8e6, "cuda": 1e9}
"""Floating-point operations that take as long as the calls to torch for one parameter tensor do: what fits
the seventeen nets of benchmarks/regret best, within a factor of two or so, one core; guessed for a GPU."""

CONVOLUTION = 5.0
"""How much longer an operation of a convolution takes than one of a matrix product, one core."""

LEAST = 0.03
"""What a member adds to a stack's update at least, as a share of a plain update: it is kept account of."""

PER_WEIGHT = 100.0
"""Operations that take as long as passing once through one weight of the optimizer's state does."""


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

    A stack of K members takes 1 + (K − 1)·`member` for an update, since its members share the calls to torch
    and only the arithmetic is done for each, and `RECORDING` to set up. `evaluation` is what one member's
    held-out loss costs. `stacks` is False once the task is known not to stack, and `obstacle` says why if its
    user may wonder.
    """

    member: float
    evaluation: float
    stacks: bool = True
    obstacle: str = ""

    @classmethod
    def of(cls, task: Trainable) -> Speed:
        """Count the operations of one small plain update."""
        if isinstance(task, ProbeRun):
            return cls(member=1.0, evaluation=evaluation_updates(task), stacks=False)
        with isolated_rng(task.seed), torch.enable_grad():
            model = task.make_model(task.seed)
            batch_size = min(task.batch_size, 8)
            with FlopCounterMode(display=False) as counter:
                task.loss(model, task.trial_batch(batch_size)).backward()
        weights = [p for p in model.parameters() if p.requires_grad]
        convolves = any(isinstance(m, (nn.Conv1d, nn.Conv2d, nn.Conv3d)) for m in model.modules())
        work = counter.get_total_flops() / batch_size * task.batch_size * (CONVOLUTION if convolves else 1.0)
        work += PER_WEIGHT * sum(p.numel() for p in weights)
        calls = CALLS.get(task.device.type, CALLS["cuda"]) * max(1, len(weights))
        member = max(LEAST, work / (work + calls))
        speed = cls(member=member, evaluation=member * evaluation_updates(task))
        obstacle = _known_obstacle(task, model)
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

    def looped(self, members: int, steps: int) -> float:
        """What so many members cost one after another; their start is evaluated once."""
        return members * (steps + self.evaluation) + self.evaluation

    def stacked(self, members: int, steps: int) -> float:
        """What they cost as a stack that is recorded already; infinite if the task does not stack."""
        if not self.stacks:
            return math.inf
        return RESTART + steps * (1 + (members - 1) * self.member) + (members + 1) * self.evaluation


def one_after_another(reason: str) -> str:
    """The warning that a task was trained without a stack, and why."""
    return f"trained one run after another, not as a stack: {reason}"


def _known_obstacle(task: Task, model: nn.Module) -> str:
    try:
        refuse_known(model, task.make_optimizer(model, 1.0))
    except NotStackableError as error:
        return str(error)
    return ""
