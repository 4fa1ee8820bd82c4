"""Schedules of other libraries: theirs from ours, ours from theirs, always landing on *their* numbers."""

from __future__ import annotations

from typing import Any, Literal, get_args

from stepsize.schedules.convert import _keras, _optax, _timm, _torch, _transformers, prototxt
from stepsize.schedules.convert.recipe import Call, ConversionError
from stepsize.schedules.schedule import Schedule
from stepsize.schedules.units import Run

Library = Literal["torch", "optax", "transformers", "timm", "keras", "caffe-prototxt"]

_RECIPES = {
    "torch": _torch.recipe,
    "optax": _optax.recipe,
    "transformers": _transformers.recipe,
    "timm": _timm.recipe,
    "keras": _keras.recipe,
}


def to(schedule: Schedule, library: Library, run: Run | int | None = None, *, optimizer: Any = None) -> Any:
    """The same schedule as an object of another library (or text, for caffe-prototxt).

    torch, transformers and timm schedulers belong to an `optimizer`, whose lr must be the schedule's peak,
    since they multiply it. `run` is needed by schedules that end. Raises `ConversionError` where the other
    library has no equivalent, saying what differs.
    """
    if library == "caffe-prototxt":
        return prototxt.write(schedule, _run(run))
    call = _recipe(schedule, library, run)
    if call.optimizer:
        if optimizer is None:
            raise ValueError(
                f"a {library} scheduler belongs to an optimizer: to({library!r}, run, optimizer=...)"
            )
        own = optimizer.defaults.get("lr")
        if not _close(own, schedule.peak):
            raise ValueError(
                f"{library} multiplies the optimizer's lr, so that must be the schedule's peak, "
                f"{schedule.peak:g}, but is {own}"
            )
    return call.make(optimizer)


def code(schedule: Schedule, library: Library, run: Run | int | None = None) -> str:
    """The source text that builds the same schedule in another library, where `optimizer` is yours."""
    if library == "caffe-prototxt":
        return prototxt.write(schedule, _run(run))
    return _recipe(schedule, library, run).code()


def from_(theirs: Any, *, run: Run | int | None = None) -> Schedule:
    """Read a scheduler of torch, transformers, timm or keras, or the text of a solver prototxt.

    A plain function of the update, as optax has them, shows no parameters: it is sampled over `run` and
    recognised from its values. Raises `ConversionError` where no schedule here has the same numbers.
    """
    if isinstance(theirs, str):
        return prototxt.read(theirs)
    families = {base.__module__.partition(".")[0] for base in type(theirs).__mro__}
    if "timm" in families:
        return _timm.read(theirs)
    if "keras" in families:
        return _keras.read(theirs)
    if _transformers.knows(theirs):
        return _transformers.read(theirs)
    if "torch" in families:
        return _torch.read(theirs)
    if callable(theirs):
        return _recognised(theirs, _run(run))
    raise ConversionError(f"a {type(theirs).__name__} is no schedule that is known here")


def _recognised(function: Any, run: Run | None) -> Schedule:
    from stepsize.schedules.recognise import recognise

    if run is None:
        raise ValueError("a function shows no parameters: give run=..., and it is recognised from its values")
    found = recognise([float(function(t)) for t in range(run.steps)], run=run)
    if found.schedule is None:
        raise ConversionError(f"the function's values match no known schedule: {found.why}")
    return found.schedule


def _recipe(schedule: Schedule, library: Library, run: Run | int | None) -> Call:
    if library not in _RECIPES:
        raise ValueError(f"library must be one of {', '.join(get_args(Library))}, but got {library!r}")
    return _RECIPES[library](schedule, _run(run))


def _run(run: Run | int | None) -> Run | None:
    return run if run is None or isinstance(run, Run) else Run(steps=run)


def _close(own: Any, peak: float) -> bool:
    return own is not None and abs(float(own) - peak) <= 1e-12 * peak
