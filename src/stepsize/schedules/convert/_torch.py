"""torch.optim.lr_scheduler: multiplies each group's own lr, so the optimizer must be made with the peak."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stepsize.schedules.annealing import cosine, piecewise
from stepsize.schedules.classic import exp, fixed, multistep, poly, step
from stepsize.schedules.convert.recipe import Call, ConversionError, Part, parts, refuse
from stepsize.schedules.cycles import exp_range, one_cycle, triangular, triangular2, warm_restarts
from stepsize.schedules.phases import hold
from stepsize.schedules.schedule import Schedule
from stepsize.schedules.units import Length, Run

_HOME = "torch.optim.lr_scheduler."


def recipe(schedule: Schedule, run: Run | None) -> Call:
    """The scheduler that lands on the same rates when the optimizer's lr is the schedule's peak."""
    pieces = parts(schedule, run, "torch")
    peak = pieces[0].lr
    calls = []
    for piece in pieces:
        if piece.lr != peak:
            raise refuse("torch", piece, f"its phases all multiply the optimizer's lr, {peak:g}")
        calls.append(call_of(piece))
    if len(calls) == 1:
        return calls[0]
    milestones, at = [], 0
    for piece in pieces[:-1]:
        at += piece.horizon
        milestones.append(at)
    return _call("SequentialLR", schedulers=calls, milestones=milestones)


def _call(name: str, **arguments: Any) -> Call:
    return Call(_HOME + name, arguments, optimizer=True)


def call_of(part: Part) -> Call:
    """One part alone; raises `ConversionError` where the library has no such formula."""
    if part.name not in _WRITERS:
        raise refuse(
            "torch",
            part,
            "none of its classes has this formula; as_torch(optimizer) is an LRScheduler that has it",
        )
    return _WRITERS[part.name](part)


def _constant(_: Part) -> Call:
    return _call("ConstantLR", factor=1.0, total_iters=1)


def _poly(part: Part) -> Call:
    if part["floor"] > 0:
        raise refuse("torch", part, "PolynomialLR always ends at 0; use floor=0")
    return _call("PolynomialLR", total_iters=part.horizon, power=part["power"])


def _linear(part: Part) -> Call:
    return _line(part, part["start"], part["end"], part.horizon)


def _line(part: Part, start: float, end: float, steps: int) -> Call:
    if start == 0:
        raise refuse("torch", part, "LinearLR cannot start at 0")
    if steps == 0:
        return _constant(part)
    return _call("LinearLR", start_factor=start, end_factor=end, total_iters=steps)


def _warmup(part: Part) -> Call:
    if part["shape"] != "linear":
        raise refuse("torch", part, f"it has no {part['shape']} warm-up; use shape='linear'")
    start, steps = part["start"], part.horizon
    if part["zero_first"]:
        return _line(part, start, 1.0, steps)
    return _line(part, start + (1.0 - start) / steps, 1.0, steps - 1)


def _decay(part: Part) -> Call:
    if part["shape"] == "linear":
        return _line(part, 1.0, part["floor"], part.horizon)
    if part["shape"] == "cosine":
        return _cosine(part)
    if part["shape"] == "exponential":
        return _call("ExponentialLR", gamma=part["floor"] ** (1.0 / part.horizon))
    raise refuse("torch", part, "no class falls like this; use shape='linear' or 'cosine'")


def _cosine(part: Part) -> Call:
    return _call("CosineAnnealingLR", T_max=part.horizon, eta_min=part["floor"] * part.lr)


def _restarts(part: Part) -> Call:
    if part["decay"] != 1.0 or part["growth"] != int(part["growth"]):
        raise refuse("torch", part, "CosineAnnealingWarmRestarts keeps its peaks and grows by whole factors")
    return _call(
        "CosineAnnealingWarmRestarts",
        T_0=part.whole(part["first"], "torch"),
        T_mult=int(part["growth"]),
        eta_min=part["floor"] * part.lr,
    )


def _cyclic(part: Part) -> Call:
    up = part.whole(part["up"], "torch")
    modes = {"triangular": "triangular", "triangular2": "triangular2", "exp_range": "exp_range"}
    return _call(
        "CyclicLR",
        base_lr=part["floor"] * part.lr,
        max_lr=part.lr,
        step_size_up=up,
        step_size_down=up if part["down"] is None else part.whole(part["down"], "torch"),
        mode=modes[part.name],
        gamma=part["gamma"] if part.name == "exp_range" else 1.0,
        cycle_momentum=False,
    )


def _one_cycle(part: Part) -> Call:
    if part["start"] == 0 or part["end"] == 0:
        raise refuse("torch", part, "OneCycleLR divides by start and end, which must be above 0")
    total = part.horizon + 1  # torch's last value comes at total_steps - 1, ours at T
    return _call(
        "OneCycleLR",
        max_lr=part.lr,
        total_steps=total,
        pct_start=(part.updates(part["top"]) + 1) / total,  # torch's peak comes at pct * total - 1
        anneal_strategy="cos" if part["anneal"] == "cosine" else "linear",
        cycle_momentum=False,
        div_factor=1.0 / part["start"],
        final_div_factor=part["start"] / part["end"],
        three_phase=part["three_phase"],
    )


def _plateau(part: Part) -> Call:
    if part["floor"] > 0:
        raise refuse("torch", part, "MultiStepLR has no floor")
    return _call("MultiStepLR", milestones=[int(cut.amount) for cut in part["cuts"]], gamma=part["factor"])


_WRITERS: dict[str, Callable[[Part], Call]] = {
    "fixed": _constant,
    "hold": _constant,
    "step": lambda p: _call("StepLR", step_size=p.whole(p["every"], "torch"), gamma=p["gamma"]),
    "multistep": lambda p: _call(
        "MultiStepLR", milestones=[p.whole(m, "torch") for m in p["milestones"]], gamma=p["gamma"]
    ),
    "exp": lambda p: _call("ExponentialLR", gamma=p["gamma"] ** (1.0 / p.updates(p["every"]))),
    "poly": _poly,
    "linear": _linear,
    "cosine": _cosine,
    "warm_restarts": _restarts,
    "triangular": _cyclic,
    "triangular2": _cyclic,
    "exp_range": _cyclic,
    "one_cycle": _one_cycle,
    "warmup": _warmup,
    "decay": _decay,
    "plateau": _plateau,
}


def read(theirs: Any, lr: float | None = None) -> Schedule:
    """A torch scheduler as a schedule; of its param groups, the first one's rate.

    Raises `ConversionError` for feedback and for functions, whose parameters cannot be read.
    """
    kind = type(theirs).__name__
    if kind not in _READERS:
        raise ConversionError(f"torch's {kind} keeps no formula to read: use recognise() on its rates")
    return _READERS[kind](theirs, _own_lr(theirs) if lr is None else lr)


def _own_lr(theirs: Any) -> float:
    while not hasattr(theirs, "base_lrs"):
        theirs = theirs._schedulers[0]
    return float(theirs.base_lrs[0])


def _read_constant(s: Any, lr: float) -> Schedule:
    if s.factor == 1:
        return fixed(lr)
    return fixed(lr * s.factor).over(s.total_iters) | hold(lr=lr)


def _read_line(s: Any, lr: float) -> Schedule:
    peak = max(s.start_factor, s.end_factor)
    factors = [s.start_factor / peak, s.end_factor / peak]
    return piecewise(lr * peak, at=[0, s.total_iters], factors=factors)


def _read_cosine(s: Any, lr: float) -> Schedule:
    return cosine(lr, floor=s.eta_min / lr).over(s.T_max)


def _read_restarts(s: Any, lr: float) -> Schedule:
    return warm_restarts(lr, first=s.T_0, growth=s.T_mult, floor=s.eta_min / lr)


def _read_cyclic(s: Any, lr: float) -> Schedule:
    peak = float(s.max_lrs[0])
    up = Length(float(s.step_ratio * s.total_size), "steps")
    down = Length(float((1.0 - s.step_ratio) * s.total_size), "steps")
    floor = float(s.base_lrs[0]) / peak
    if s.mode == "exp_range":
        return exp_range(peak, gamma=s.gamma, up=up, down=down, floor=floor)
    return (triangular if s.mode == "triangular" else triangular2)(peak, up=up, down=down, floor=floor)


def _read_one_cycle(s: Any, lr: float) -> Schedule:
    group = s.optimizer.param_groups[0]
    top, last = float(s._schedule_phases[0]["end_step"]), s.total_steps - 1
    return one_cycle(
        group["max_lr"],
        top=Length(top, "steps"),
        start=group["initial_lr"] / group["max_lr"],
        end=group["min_lr"] / group["max_lr"],
        anneal="cosine" if s._anneal_func_type == "cos" else "linear",
        three_phase=len(s._schedule_phases) == 3,
    ).over(last)


def _read_sequence(s: Any, lr: float) -> Schedule:
    bounds = [0, *s._milestones]
    schedule: Schedule | None = None
    for index, inner in enumerate(s._schedulers):
        phase = read(inner, lr)
        if index < len(s._milestones):
            steps = bounds[index + 1] - bounds[index]
            own = phase._extent(None) if phase._tail() is None else None
            if own is None:
                phase = phase.over(steps)
            elif own < steps:
                phase = (phase | hold(lr=float(phase.resolve(int(own))(int(own))))).over(steps)
            elif own > steps:
                raise ConversionError(
                    f"SequentialLR cuts {phase} short after {steps} updates, which a phase cannot be"
                )
        schedule = phase if schedule is None else schedule | phase
    if schedule is None:
        raise ConversionError("SequentialLR without schedulers")
    return schedule


_READERS: dict[str, Callable[[Any, float], Schedule]] = {
    "StepsizeScheduler": lambda s, _: _own(s),
    "ConstantLR": _read_constant,
    "StepLR": lambda s, lr: step(lr, gamma=s.gamma, every=s.step_size),
    "MultiStepLR": lambda s, lr: multistep(lr, milestones=sorted(s.milestones), gamma=s.gamma),
    "ExponentialLR": lambda s, lr: exp(lr, gamma=s.gamma),
    "LinearLR": _read_line,
    "PolynomialLR": lambda s, lr: poly(lr, power=s.power).over(s.total_iters),
    "CosineAnnealingLR": _read_cosine,
    "CosineAnnealingWarmRestarts": _read_restarts,
    "CyclicLR": _read_cyclic,
    "OneCycleLR": _read_one_cycle,
    "SequentialLR": _read_sequence,
}


def _own(scheduler: Any) -> Schedule:
    schedule: Schedule = scheduler.schedule
    return schedule
