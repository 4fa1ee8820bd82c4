"""Which learning rate, schedule and batch size to use, measured on your own PyTorch task."""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

from stepsize._version import __version__

if TYPE_CHECKING:
    from stepsize import chapter, datasets, schedules
    from stepsize._ranks import RankError
    from stepsize.decide.advice import Advice
    from stepsize.decide.batch_advice import BatchAdvice
    from stepsize.decide.critical_batch import critical_batch
    from stepsize.decide.critical_batch_result import CriticalBatch
    from stepsize.decide.find_batch_size import find_batch_size
    from stepsize.decide.find_lr import find_lr
    from stepsize.decide.scale_lr import scale_lr
    from stepsize.decide.scale_result import RateScaling
    from stepsize.decide.schedule_comparison import compare_schedules
    from stepsize.decide.schedule_comparison_result import ScheduleComparison
    from stepsize.decide.training_advice import TrainingAdvice
    from stepsize.decide.tune import tune
    from stepsize.decide.warmup import find_warmup
    from stepsize.decide.warmup_result import WarmupComparison
    from stepsize.estimate.scaling import Hyperparameters
    from stepsize.loaders import Replay
    from stepsize.measure.curve import Curve
    from stepsize.measure.diagnosis import Diagnosis, diagnose
    from stepsize.measure.noise_result import NoiseScale
    from stepsize.measure.noise_scale import noise_scale
    from stepsize.measure.range_test import Stage, range_test
    from stepsize.measure.sharpness import sharpness
    from stepsize.measure.sharpness_result import Sharpness
    from stepsize.measure.throughput import throughput
    from stepsize.measure.throughput_result import Throughput
    from stepsize.measure.zoom import Zoom
    from stepsize.probe import Probe
    from stepsize.report.reading import load
    from stepsize.runs import Runs, sweep
    from stepsize.schedules import Run, Schedule
    from stepsize.task import Task, accuracy, supervised
    from stepsize.training import History, Member, preserved, train

_HOME = {
    "Advice": "stepsize.decide.advice",
    "BatchAdvice": "stepsize.decide.batch_advice",
    "CriticalBatch": "stepsize.decide.critical_batch_result",
    "Throughput": "stepsize.measure.throughput_result",
    "critical_batch": "stepsize.decide.critical_batch",
    "find_batch_size": "stepsize.decide.find_batch_size",
    "throughput": "stepsize.measure.throughput",
    "Curve": "stepsize.measure.curve",
    "History": "stepsize.training",
    "Member": "stepsize.training",
    "NoiseScale": "stepsize.measure.noise_result",
    "Probe": "stepsize.probe",
    "RankError": "stepsize._ranks",
    "Replay": "stepsize.loaders",
    "Run": "stepsize.schedules",
    "Runs": "stepsize.runs",
    "Schedule": "stepsize.schedules",
    "Sharpness": "stepsize.measure.sharpness_result",
    "Stage": "stepsize.measure.range_test",
    "Task": "stepsize.task",
    "Hyperparameters": "stepsize.estimate.scaling",
    "RateScaling": "stepsize.decide.scale_result",
    "ScheduleComparison": "stepsize.decide.schedule_comparison_result",
    "TrainingAdvice": "stepsize.decide.training_advice",
    "WarmupComparison": "stepsize.decide.warmup_result",
    "find_warmup": "stepsize.decide.warmup",
    "compare_schedules": "stepsize.decide.schedule_comparison",
    "scale_lr": "stepsize.decide.scale_lr",
    "Zoom": "stepsize.measure.zoom",
    "accuracy": "stepsize.task",
    "chapter": "stepsize",
    "Diagnosis": "stepsize.measure.diagnosis",
    "datasets": "stepsize",
    "diagnose": "stepsize.measure.diagnosis",
    "find_lr": "stepsize.decide.find_lr",
    "load": "stepsize.report.reading",
    "noise_scale": "stepsize.measure.noise_scale",
    "preserved": "stepsize.training",
    "range_test": "stepsize.measure.range_test",
    "schedules": "stepsize",
    "sharpness": "stepsize.measure.sharpness",
    "supervised": "stepsize.task",
    "sweep": "stepsize.runs",
    "train": "stepsize.training",
    "tune": "stepsize.decide.tune",
}
"""Where each public name lives; resolved on first use, so that importing stepsize imports no torch."""

__all__ = [
    "Advice",
    "BatchAdvice",
    "CriticalBatch",
    "Curve",
    "Diagnosis",
    "History",
    "Hyperparameters",
    "Member",
    "NoiseScale",
    "Probe",
    "RankError",
    "RateScaling",
    "Replay",
    "Run",
    "Runs",
    "Schedule",
    "ScheduleComparison",
    "Sharpness",
    "Stage",
    "Task",
    "Throughput",
    "TrainingAdvice",
    "WarmupComparison",
    "Zoom",
    "__version__",
    "accuracy",
    "chapter",
    "compare_schedules",
    "critical_batch",
    "datasets",
    "diagnose",
    "find_batch_size",
    "find_lr",
    "find_warmup",
    "load",
    "noise_scale",
    "preserved",
    "range_test",
    "scale_lr",
    "schedules",
    "sharpness",
    "supervised",
    "sweep",
    "throughput",
    "train",
    "tune",
]


logging.getLogger("stepsize").addHandler(logging.NullHandler())  # whoever wants to hear it says so


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'stepsize' has no attribute {name!r}")
    if home == "stepsize":
        value: Any = importlib.import_module(f"stepsize.{name}")
    else:
        value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
