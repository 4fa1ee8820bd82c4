"""Gradients from a probe's own step: read where an optimizer is about to use them, at a rate of 0.

Of an update that takes several batches the calls before the last one give a gradient each: what a call has
added to the gradients that pile up. What the last one adds may have been clipped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from itertools import count, islice
from typing import Any

import torch
from torch import nn

from stepsize._ranks import current
from stepsize._rng import derived_seed, isolated_rng
from stepsize.data import Batch, samples_in
from stepsize.measure.inner_products import Gradients
from stepsize.probe import Probe
from stepsize.training.probe_step import Rates, loss_of
from stepsize.training.probed import ProbeRun
from stepsize.training.ranks import own_gradients
from stepsize.training.state import preserved

_SALT = 67


class ProbeBatches:
    """One pass of a probe's loader as micro-batches: single batches, or all those of an update.

    Batches that are smaller than the others, as the last of a pass may be, are left out. `ranks` measure
    together.
    """

    def __init__(self, run: ProbeRun, seed: int, ranks: int = 1) -> None:
        self._run, self._seed = run, seed
        calls = run.probe.accumulate
        self.apart = calls > 1 and len(run.probe.optimizers) == 1 and not run.scaled
        """Whether every batch gives a gradient of its own."""
        self.size = run.samples_each * (1 if self.apart else calls)
        self.per_update = calls - 1 if self.apart else 1
        self.population = run.loader.population(ranks)

    def available(self, wanted: int) -> int:
        """Micro-batches that a pass has, `wanted` at most; the pass is read for it."""
        calls, updates = self._run.probe.accumulate, -(-wanted // self.per_update)
        with preserved(*self._run.state):
            batches = sum(1 for _ in islice(self.batches(), updates * calls))
        return min(wanted, batches // calls * self.per_update)

    def batches(self) -> Iterator[Batch]:
        """The pass; it moves on what the loader draws its order from."""
        return (b for b in self._run.loader.once(self._seed) if samples_in(b) == self._run.samples_each)

    def why(self) -> str:
        """Why gradients are taken so, as what follows "since"."""
        if self.apart:
            return (
                f"each call of step adds the gradient of its batch of {self.size:,}; the last before an "
                "update, which may be clipped, is left out"
            )
        whole = f"step gives the optimizers the gradient of an update on {self.size:,} samples"
        if self._run.probe.accumulate == 1:
            return whole
        reason = "a gradient scaler is at work" if self._run.scaled else "there are several optimizers"
        return f"{whole}, and its batches are not told apart where {reason}"


class ProbeGradients:
    """A probe's gradients at its present state, to which every pass puts it back."""

    def __init__(self, run: ProbeRun, samples: ProbeBatches, seed: int) -> None:
        self._run, self.samples, self._seed = run, samples, seed
        self._finite, self._given = True, dict[int, list[int]]()
        self.weights = trained_weights(run.probe)
        if any(hasattr(p, "full_tensor") for p in self.weights.values()):  # a DTensor, dear to import
            raise ValueError(
                "noise_scale needs each rank's own gradients, but the weights are sharded over the ranks, "
                "which have averaged them before an optimizer sees them: measure with "
                "DistributedDataParallel, or on one process"
            )

    def gradients(self, start: int, stop: int) -> Generator[Gradients]:
        """Of micro-batches start…stop − 1, in order; those of updates that were left out are missing.

        Raises `FloatingPointError` where all were left out, or others than in an earlier pass, and a loss
        was not finite.
        """
        run, batches, number = self._run, self.samples.batches(), 0
        given: list[int] = []  # the place of the update that each gradient is of
        recorder = _Recorder(run.probe, self.weights)
        with ExitStack() as stack:
            stack.enter_context(preserved(*run.state))
            stack.enter_context(isolated_rng(current().seed(derived_seed(_SALT, self._seed) % 2**63)))
            stack.enter_context(torch.enable_grad())
            rates = stack.enter_context(Rates(run.probe))
            stack.enter_context(recorder)
            stack.enter_context(own_gradients())
            rates.set(0.0)
            take = self._apart if self.samples.apart else self._whole
            for place in count():
                if number >= stop or not (update := list(islice(batches, run.probe.accumulate))):
                    break
                for gradients in islice(take(update, recorder, rates), stop - number):
                    if number >= start:
                        yield gradients
                    given.append(place)
                    number += 1
        if number == 0 and not self._finite:
            raise FloatingPointError("no loss was finite, and so no gradient")
        if number == 0:
            raise ValueError(recorder.missing())
        if given != self._given.setdefault(stop, given):
            if not self._finite:
                raise FloatingPointError("a loss was finite in one pass and not in another")
            raise ValueError(
                "step must do the same again from the same state, but on the same batches optimizers stepped "
                "in others of them: state lacks what it changes"
            )

    def _whole(self, update: list[Batch], recorder: _Recorder, rates: Rates) -> Iterator[Gradients]:
        """The gradient of an update, unless one of the optimizers did not step."""
        recorder.clear()
        for batch in update:
            self._finite &= math.isfinite(loss_of(self._run.probe.step(batch)))
        yield from recorder.taken()

    def _apart(self, update: list[Batch], recorder: _Recorder, rates: Rates) -> Iterator[Gradients]:
        """What each call but the last adds, times the calls: as large as an update's gradient."""
        calls = self._run.probe.accumulate
        for p in self.weights.values():
            if p.grad is not None:
                p.grad.zero_()
        before = {name: torch.zeros_like(p) for name, p in self.weights.items()}
        rates.stepped = False
        for call, batch in enumerate(update, 1):
            self._run.probe.step(batch)
            if call == calls:
                return
            if rates.stepped:
                raise ValueError(
                    f"noise_scale must be called between two updates, but the first came with call {call} of "
                    f"step, and accumulate is {calls}: call it after an update"
                )
            after = {name: gradient_of(p).clone() for name, p in self.weights.items()}
            yield {name: (after[name] - before[name]).unsqueeze(0) * calls for name in after}
            before = after


class _Recorder:
    """Takes what optimizers are about to step with, while it is entered."""

    def __init__(self, probe: Probe, weights: dict[str, torch.Tensor]) -> None:
        names = {id(p): name for name, p in weights.items()}
        self._probe = probe
        self._owned = [
            [(names[id(p)], p) for group in optimizer.param_groups for p in group["params"] if id(p) in names]
            for optimizer in probe.optimizers
        ]
        self.clear()

    def clear(self) -> None:
        """Forget what was taken."""
        self._sums: Gradients = {}
        self._steps = [0] * len(self._probe.optimizers)

    def taken(self) -> Iterator[Gradients]:
        """One gradient, the mean where an optimizer has stepped several times; none if one has not."""
        if all(self._steps):
            counted = zip(self._owned, self._steps, strict=True)
            steps = {name: count for owned, count in counted for name, _ in owned}
            yield {name: (total / steps[name]).unsqueeze(0) for name, total in self._sums.items()}

    def missing(self) -> str:
        """What to say where no update was whole."""
        idle = [
            type(own).__name__ for own, n in zip(self._probe.optimizers, self._steps, strict=True) if not n
        ]
        return (
            "noise_scale needs updates in which every optimizer steps, but in none of those that batches "
            f"hold did {', '.join(idle) or 'all'}: pass more batches, or in Probe(…, accumulate=) the calls "
            "of step within which each has stepped"
        )

    def __enter__(self) -> _Recorder:
        self._handles = [
            optimizer.register_step_pre_hook(self._hook(place))
            for place, optimizer in enumerate(self._probe.optimizers)
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _hook(self, place: int) -> Callable[..., Any]:
        def before(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> Any:
            closure = kwargs.get("closure", args[1] if len(args) > 1 else None)
            if closure is None:
                self._take(place, optimizer)
                return None

            def noting() -> Any:  # the gradients are there once the closure has run
                loss = closure()
                self._take(place, optimizer)
                return loss

            return (args[0], noting), {k: v for k, v in kwargs.items() if k != "closure"}

        return before

    def _take(self, place: int, optimizer: torch.optim.Optimizer) -> None:
        scale = getattr(optimizer, "grad_scale", None)  # that fused optimizers divide by themselves
        overflown = getattr(optimizer, "found_inf", None)
        if overflown is not None and bool(overflown):
            return
        self._steps[place] += 1
        for name, p in self._owned[place]:
            gradient = gradient_of(p) if scale is None else gradient_of(p) / scale
            self._sums[name] = self._sums[name] + gradient if name in self._sums else gradient.clone()


def gradient_of(p: torch.Tensor) -> torch.Tensor:
    """A weight's gradient, dense and in float32 at least; zero where it has none."""
    if p.grad is None:
        return torch.zeros_like(p)
    dense = p.grad.detach()
    dense = dense.to_dense() if dense.is_sparse else dense
    return dense.float() if dense.dtype in (torch.float16, torch.bfloat16) else dense


def trained_weights(probe: Probe) -> dict[str, torch.Tensor]:
    """The weights that a probe's optimizers update, by name.

    Modules name them; where `state` holds several that are trained, their places in it come first.
    """
    trained = {
        id(p): p
        for optimizer in probe.optimizers
        for group in optimizer.param_groups
        for p in group["params"]
        if p.requires_grad
    }
    found: dict[int, tuple[int, str]] = {}
    for place, item in enumerate(probe.state):
        named = item.named_parameters() if isinstance(item, nn.Module) else ()
        for name, p in named:
            if id(p) in trained:
                found.setdefault(id(p), (place, name))
    several = len({place for place, _ in found.values()}) > 1
    named_so = {key: f"state[{place}].{name}" if several else name for key, (place, name) in found.items()}
    return {named_so.get(key, f"tensor {i}"): p for i, (key, p) in enumerate(trained.items())}
