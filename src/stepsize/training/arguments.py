"""What `train` is given, checked before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from stepsize.training.optimizers import has_control
from stepsize.training.probed import ProbeRun, Trainable


def checked_rates(rates: np.ndarray, members: int) -> np.ndarray:
    """The rate of each member at each update, (K, T) float64."""
    if members == 0:
        raise ValueError("members must not be empty: pass [Member(lr=0.1, seed=0)]")
    array = np.asarray(rates, dtype=np.float64)
    if array.ndim == 1:
        array = np.tile(array, (members, 1))
    if array.ndim != 2 or array.shape[0] != members or array.shape[1] == 0:
        raise ValueError(
            f"rates must be (members, updates) = ({members}, T) or (T,), but are {np.shape(rates)}"
        )
    if not (np.isfinite(array).all() and (array >= 0).all()):
        raise ValueError("rates must be finite and >= 0 at every update")
    return array


def checked_controls(
    task: Trainable, controls: Mapping[str, np.ndarray], steps: int
) -> dict[str, np.ndarray]:
    """Further hyperparameters at each of T updates, (T,) float64 each."""
    checked = {name: np.asarray(values, dtype=np.float64) for name, values in controls.items()}
    for name, values in checked.items():
        if values.shape != (steps,) or not np.isfinite(values).all():
            wrong = f"shape {values.shape}" if values.shape != (steps,) else "values that are not finite"
            raise ValueError(
                f"controls[{name!r}] must hold one finite number per update, shape "
                f"({steps},), but has {wrong}"
            )
    if checked:
        groups = _groups(task)
        for name in checked:
            if not any(has_control(group, name) for group in groups):
                raise ValueError(
                    f"controls[{name!r}] must be a hyperparameter of the optimizer, but "
                    f"{task.optimizer_name} "
                    f"has {', '.join(sorted(set(groups[0]) - {'params'}))}"
                )
    return checked


def _groups(task: Trainable) -> list[dict[str, Any]]:
    """The optimizer's parameter groups."""
    if isinstance(task, ProbeRun):
        return task.groups
    return task.make_optimizer(task.make_model(task.seed), 1.0).param_groups
