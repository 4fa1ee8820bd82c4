"""find_warmup: a start that bears no large rate, one that does, and what stands in the way."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import stepsize as ss
from stepsize.decide.warmup import warmup_lengths
from tests.tasks import digits_task, unlearnable_task


class Well(nn.Module):
    """One weight, far up a quartic well: steep at the start, flat at the bottom."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(3.0))


def quartic(model: Any, batch: Any) -> torch.Tensor:
    loss: torch.Tensor = ((model.weight - batch[0]) ** 4).mean() / 4
    return loss


def well_task(**changes: Any) -> ss.Task:
    generator = torch.Generator().manual_seed(0)
    x = 0.1 * torch.randn(320, 1, generator=generator)
    arguments: dict[str, Any] = {
        "model": Well,
        "loss": quartic,
        "train": (x[:256], x[:256]),
        "val": (x[256:], x[256:]),
        "optimizer": torch.optim.SGD,
        "batch_size": 32,
        "steps": 200,
        "name": "well",
    }
    return ss.Task(**{**arguments, **changes})


def test_a_steep_start_needs_a_warmup() -> None:
    """At w = 3 the curvature is 27: from w = 3 plain descent at 0.25 leaps to −3.75 and away."""
    found = ss.find_warmup(well_task(), lr=0.25, steps=200, progress=False)
    assert found.status == "ok"
    assert found.updates is not None
    assert found.updates > 0
    assert found.rows[0].updates == 0
    assert found.rows[0].lr is None
    assert "Without a warm-up every rate tried diverges" in found.why
    chosen = next(row for row in found.rows if row.updates == found.updates)
    assert chosen.loss is not None
    assert found.start_loss is not None
    assert chosen.loss < 0.01 * found.start_loss


def test_nothing_learned_is_no_answer() -> None:
    found = ss.find_warmup(unlearnable_task(), lr=0.1, seeds=2, progress=False)
    assert (found.status, found.updates) == ("no_answer", None)
    assert "luck" in found.why


def test_a_budget_without_time_for_a_rate_ends_it() -> None:
    found = ss.find_warmup(digits_task(), budget="0.001 s", progress=False)
    assert (found.status, found.updates, found.lr) == ("out_of_time", None, None)
    assert "no rate" in str(found)


def test_a_small_rate_needs_none() -> None:
    found = ss.find_warmup(digits_task(), lr=0.02, steps=120, progress=False)
    assert found.updates == 0
    assert "No warm-up is needed" in found.why
    assert found.rows[0].rise is not None
    assert found.rows[0].rise < 0.5


def test_it_reads_well_and_comes_back() -> None:
    told: list[str] = []
    found = ss.find_warmup(
        digits_task(),
        "cosine",
        lr=0.3,
        warmups=[0, 5, 20],
        steps=60,
        seeds=2,
        progress=False,
        announce=told.append,
    )
    assert "Comparing 3 warm-ups over 60 updates at 2 rates with 2 seeds: about" in told[0]
    assert [row.updates for row in found.rows] == [0, 5, 20]
    assert "warm-up before cosine()" in str(found)
    assert "60 of 120 updates" in str(found)
    again = ss.WarmupComparison.from_json(found.to_json())
    assert again.rows == found.rows
    lowest = min(row.loss for row in found.rows if row.loss is not None)
    assert sum(row.loss == lowest and row.behind == 0 for row in found.rows) == 1


def test_lengths_leave_room() -> None:
    assert warmup_lengths(120) == (0, 10, 30)
    assert warmup_lengths(39) == (0,)


def test_nothing_survives() -> None:
    found = ss.find_warmup(well_task(), lr=1e4, steps=40, progress=False)
    assert (found.status, found.updates) == ("no_answer", None)
    assert "pass a smaller lr" in found.why
    assert "every rate diverged" in str(found)


class Stopping:
    """A reporter at whose first advance Ctrl-C is pressed."""

    def expect(self, updates: int) -> None:
        pass

    def phase(self, name: str) -> None:
        pass

    def advance(self, updates: int) -> None:
        raise KeyboardInterrupt


def test_ctrl_c_is_a_status() -> None:
    found = ss.find_warmup(digits_task(), lr=0.3, steps=60, progress=Stopping())
    assert (found.status, found.updates, found.rows) == ("interrupted", None, ())


def test_a_schedule_is_a_schedule() -> None:
    with pytest.raises(TypeError, match="schedule must be a Schedule or its text, but is a int"):
        ss.find_warmup(digits_task(), 3, lr=0.3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"warmups": [10, 5]}, r"warmups must be rising numbers of updates, but are \[10, 5\]"),
        ({"warmups": [0, 60]}, "warmups must be shorter than the runs of 60 updates"),
        ({"warmups": [-1]}, "warmups must be a whole number >= 0"),
        ({"lr": -1.0}, "lr must be"),
        ({"steps": 500}, "steps must not exceed the task's 120 updates"),
        ({"budget": "1 run"}, "steps and budget exclude each other"),
        ({"seeds": 0}, "seeds must be a whole number >= 1"),
    ],
)
def test_wrong_use_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ss.find_warmup(digits_task(), **{"lr": 0.3, "steps": 60, "progress": False, **options})
