"""Training by another library as a `Probe`: a step that takes its rate, and a state that comes back.

A probe sets rates through torch optimizers and knows from them when an update was made. For a library that
has none, one stands in whose step is the other library's update, at the rate that it was set to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from stepsize.data import Batch
from stepsize.probe import Probe


def foreign_probe(
    update: Callable[[Batch, float], float],
    save: Callable[[], Any],
    load: Callable[[Any], None],
    *,
    evaluate: Callable[[Batch], float] | None = None,
    accumulate: int = 1,
    device: str | torch.device = "cpu",
    seed: int = 0,
    name: str = "probe",
) -> Probe:
    """A probe of training that neither stepsize nor torch does.

    Args:
        update: called as `update(batch, lr)`; trains on it at this rate and returns the loss before that.
        save: gives all that `update` changes. Later updates must not change what it gave.
        load: puts back what `save` gave; called as often as need be.
        evaluate: called with a batch of held-out data; gives the loss without training.
        accumulate, seed, name: as for `Probe`.
        device: where it trains, for the record.
    """
    optimizer = ForeignOptimizer(update)

    def step(batch: Batch) -> float:
        optimizer.batch = batch
        optimizer.step()
        return optimizer.loss

    state = [_State(save, load), *optimizer.param_groups[0]["params"]]
    probe = Probe(step, state, optimizer, evaluate=evaluate, accumulate=accumulate, seed=seed, name=name)
    probe.device = torch.device(device)
    return probe


class ForeignOptimizer(torch.optim.Optimizer):
    """Stands in for another library's: its step trains on `batch` at the rate that it is set to."""

    def __init__(self, update: Callable[[Batch, float], float]) -> None:
        super().__init__([torch.zeros(())], {"lr": 1.0})  # it trains no tensor, but torch wants one
        self._update = update
        self.batch: Batch = None
        self.loss = float("nan")

    def step(self, closure: Any = None) -> Any:
        """One update of the other library's."""
        self.loss = float(self._update(self.batch, float(self.param_groups[0]["lr"])))


class _State:
    """What the update changes, as an object that a `Snapshot` knows how to keep."""

    def __init__(self, save: Callable[[], Any], load: Callable[[Any], None]) -> None:
        self._save, self._load = save, load

    def state_dict(self) -> dict[str, _Kept]:
        return {"state": _Kept(self._save())}

    def load_state_dict(self, state: dict[str, _Kept]) -> None:
        self._load(state["state"].value)


class _Kept:
    """What `save` gave. Nobody changes it, so a copy of it is itself."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __deepcopy__(self, memo: dict[int, Any]) -> _Kept:
        return self
