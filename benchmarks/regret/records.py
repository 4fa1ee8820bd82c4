"""What finders answered, kept on disk so that an interrupted benchmark goes on, and joined with the truth."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import inspect
import io
import json
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.regret import plain
from benchmarks.regret.finders import Answer, Finder
from benchmarks.regret.oracle import OUT, Oracle, oracle_key
from benchmarks.regret.tasks import Case
from stepsize._result import finite_or_none, write_atomically

OWN_MODULES = """
import sys
import stepsize.decide.find_lr
import stepsize.measure.zoom
folders = ("decide", "estimate", "measure", "training")
names = sorted(name for name in sys.modules if name.startswith(tuple(f"stepsize.{f}." for f in folders)))
print(*(sys.modules[name].__file__ for name in names), sep="\\n")
"""
"""Prints the files on which the answers of stepsize's own finders depend."""


@dataclass(frozen=True)
class Row:
    """One answer of one finder, with what it lost and what it cost.

    `regret` is None without an answer; `loss` is the end of its own runs, of a finder that names no rate.
    `updates_runs` and `time_runs` count full runs, by updates and in the time of a plain loop in the same
    process. `meets`, `contained` and `outside` compare its interval with the rates that lose at most 1%,
    where it gave one.
    """

    finder: str
    case: str
    seed: int
    status: str
    lr: float | None
    low: float | None
    high: float | None
    regret: float | None
    updates_runs: float
    time_runs: float
    seconds: float
    meets: bool | None = None
    contained: float | None = None
    outside: float | None = None
    loss: float | None = None


class Answers:
    """Asks finders, and remembers what they said under a key of all that it depends on."""

    def __init__(self, folder: Path = OUT) -> None:
        self._folder = folder / "answers"
        self._plain: dict[tuple[str, int], float] = {}

    def ask(self, finder: Finder, case: Case, seed: int) -> tuple[dict[str, Answer], float]:
        """The answers by name, and the seconds of a plain run measured in the process that asked."""
        path = self._folder / f"{finder.key}-{case.name}-{seed}-{answer_key(finder, case)}.json"
        if path.exists():
            stored = json.loads(path.read_text(encoding="utf-8"))
            return {name: _read(fields) for name, fields in stored["answers"].items()}, stored["plain"]
        if (case.name, seed) not in self._plain:
            self._plain[case.name, seed] = plain.seconds_of_a_run(case, seed)
        seconds = self._plain[case.name, seed]
        answers = _asked(finder, case, seed)
        document = {"plain": seconds, "answers": {name: _write(answer) for name, answer in answers.items()}}
        self._folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(document, indent=1))
        return answers, seconds


def _asked(finder: Finder, case: Case, seed: int) -> dict[str, Answer]:
    """Call the finder; what it raises is its result, as it would be for its user."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return finder.call(case, seed)
    except Exception as error:  # noqa: BLE001 - a rival that fails has no answer
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return {name: Answer(0, 0.0, status=reason) for name in finder.names}


def _write(answer: Answer) -> dict[str, Any]:
    fields = asdict(answer)
    if fields["loss"] is not None and not math.isfinite(fields["loss"]):
        fields["loss"] = "inf"
    return fields


def _read(fields: Mapping[str, Any]) -> Answer:
    loss = fields["loss"]
    return Answer(**{**fields, "loss": None if loss is None else float(loss)})


def answer_key(finder: Finder, case: Case) -> str:
    """A digest of the task, of the code and packages that answer, and of the threads (for the times)."""
    state = hashlib.sha256(f"{oracle_key(case, (0,))} {torch.get_num_threads()}".encode())
    for module in (inspect.getmodule(finder.call), plain):
        state.update(inspect.getsource(module).encode() if module is not None else b"")
    if finder.packages:
        for package in finder.packages:
            state.update(f"{package} {importlib.metadata.version(package)}".encode())
    else:
        for path in _own_files():
            state.update(path.read_bytes())
    return state.hexdigest()[:12]


@cache
def _own_files() -> list[Path]:
    """Of a process that imports nothing else, so that what this one has imported does not matter."""
    command = [sys.executable, "-c", OWN_MODULES]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [Path(line) for line in text.split()]


def missing_packages(finders: Sequence[Finder]) -> list[str]:
    """What must be installed before these finders can be asked."""
    missing = []
    for package in sorted({package for finder in finders for package in finder.packages}):
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            missing.append(package)
    return missing


def rows(oracle: Oracle, seed: int, answers: Mapping[str, Answer], run_seconds: float) -> list[Row]:
    """Judge answers by the truth; proposed rates that the oracle does not know yet are trained now."""
    judged = []
    for name, answer in answers.items():
        lost = _lost(oracle, answer.lr, answer.loss) if answer.answered else None
        has_interval = answer.answered and answer.low is not None and answer.high is not None
        covered = oracle.coverage(answer.low, answer.high) if has_interval else None  # type: ignore[arg-type]
        judged.append(
            Row(
                finder=name,
                case=oracle.case.name,
                seed=seed,
                status=answer.status,
                lr=answer.lr,
                low=answer.low,
                high=answer.high,
                regret=lost,
                updates_runs=answer.updates / oracle.task.steps,
                time_runs=answer.seconds / run_seconds,
                seconds=answer.seconds,
                meets=covered.meets if covered else None,
                contained=covered.contained if covered else None,
                outside=covered.outside if covered else None,
                loss=None if answer.loss is None else finite_or_none(answer.loss),
            )
        )
    return judged


def _lost(oracle: Oracle, lr: float | None, loss: float | None) -> float:
    """What a rate loses, or the end of a run without one; None stands for a loss that is not finite."""
    if lr is not None:
        return oracle.regret(lr)
    return oracle.regret_of_loss(math.inf if loss is None else loss)


def judged_anew(oracle: Oracle, row: Row) -> Row:
    """An answer that was judged by fewer of the oracle's seeds; its interval too, as far as it has one."""
    if row.regret is None:
        return row
    lost = _lost(oracle, row.lr, row.loss)
    if row.low is None or row.high is None:
        return replace(row, regret=lost)
    covered = oracle.coverage(row.low, row.high)
    return replace(row, regret=lost, **asdict(covered))


def describe(oracle: Oracle, run_seconds: float) -> dict[str, Any]:
    """What the page tells of a case."""
    task, regrets = oracle.task, oracle.regrets
    near = oracle.rates[regrets <= 0.01]
    group = task.make_optimizer(task.make_model(0), 1.0).param_groups[0]
    kind = (
        "Nesterov" if group.get("nesterov") else "momentum" if group.get("momentum") else task.optimizer_name
    )
    return {
        "kind": oracle.case.kind,
        "optimizer": kind,
        "schedule": oracle.case.schedule,
        "steps": task.steps,
        "batch_size": task.batch_size,
        "samples": task.samples,
        "plain_seconds": run_seconds,
        "start": oracle.start,
        "best": oracle.best,
        "best_lr": float(oracle.rates[np.argmin(regrets)]),
        "near_best": [float(near.min()), float(near.max())],
        "grid": [float(oracle.rates[0]), float(oracle.rates[-1]), len(oracle.rates)],
        "clear": oracle.clear,
        "oracle_seeds": len(oracle.seeds),
        "noise": oracle.noise,
    }
