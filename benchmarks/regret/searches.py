"""Full-length searches: Optuna's TPE, each trial one plain run with the real schedule."""

from __future__ import annotations

import math
import time
import zlib

from benchmarks.regret.finders import Answer, finder, usable
from benchmarks.regret.plain import held_out_loss, plain_run
from benchmarks.regret.tasks import Case

TRIALS = (1, 2, 8)
"""Full runs after which the best so far is read: about find_lr's time, twice that, and about its updates."""

RANGE = 1e-5, 10.0
"""Rates searched, evenly in log rate: six decades, as one who knows nothing of the task would take."""


def _named(trials: int) -> str:
    return f"Optuna TPE, {trials} full run{'s' if trials > 1 else ''}"


@finder("optuna", *map(_named, TRIALS), packages=("optuna",))
def optuna_tpe(case: Case, seed: int) -> dict[str, Answer]:
    """The best of the first trials of one study, whose first rates differ from task to task."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    task = case.task(seed)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=zlib.crc32(f"{case.name} {seed}".encode()))
    )
    tried: list[tuple[float, float]] = []
    answers = {}
    start = time.perf_counter()
    for count in range(1, max(TRIALS) + 1):
        trial = study.ask()
        lr = trial.suggest_float("lr", *RANGE, log=True)
        loss = held_out_loss(task, plain_run(case, task, lr, seed)[0])
        study.tell(trial, loss)
        tried.append((loss, lr))
        if count in TRIALS:
            best, lr_best = min(tried)
            found, status = usable(lr_best if math.isfinite(best) else None)
            seconds = time.perf_counter() - start
            answers[_named(count)] = Answer(count * task.steps, seconds, lr=found, status=status)
    return answers
