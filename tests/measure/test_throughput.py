"""throughput: real batches are run, memory is accounted for, and nothing that failed is returned."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from stepsize.measure.live_bytes import LiveBytes
from stepsize.measure.throughput import throughput
from stepsize.measure.throughput_result import Throughput
from tests.tasks import digits_task

MIB = 2**20


class Limited(nn.Linear):
    """Refuses batches of more than `most` samples as an allocator would, when they go forward or back."""

    def __init__(self, most: int, error: Exception, where: str = "forward") -> None:
        super().__init__(196, 10)
        self.most, self.error, self.where = most, error, where

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = super().forward(x)
        if len(x) <= self.most:
            return out
        if self.where == "forward" or (self.where == "evaluation" and not self.training):
            raise self.error
        if self.where == "backward":
            out.register_hook(self._refuse)
        return out

    def _refuse(self, gradient: torch.Tensor) -> None:
        raise self.error


def test_live_bytes_are_followed_until_freed() -> None:
    known = torch.zeros(1000)
    with LiveBytes([known]) as account:
        a = torch.ones(256)
        view = known[:10]
        b = a + 1
        del a
        c = b * 2
        del b, c
    assert account.peak == 2 * 256 * 4
    assert account.live == 0
    assert len(view) == 10


def test_the_peak_of_a_large_layer_is_what_its_tensors_take() -> None:
    """Weights, gradients and two states of Adam, and an update's temporaries of the same size."""
    task = digits_task(
        model=lambda: nn.Sequential(nn.Linear(196, 2000), nn.Linear(2000, 10)), optimizer=torch.optim.Adam
    )
    weights = 4 * (196 * 2000 + 2000 + 2000 * 10 + 10)
    peak = throughput(task, [8], progress=False).rows[0].peak_bytes
    assert peak is not None
    assert 4 * weights < peak < 8 * weights


def test_larger_batches_take_more_time_and_memory() -> None:
    result = throughput(digits_task(), [8, 400, 1400], progress=False)
    small, _, large = result.rows
    assert result.largest == 1400
    assert (large.samples_per_second or 0) > (small.samples_per_second or 0)
    assert (large.peak_bytes or 0) > 2 * (small.peak_bytes or 0)
    assert large.last == 100
    assert all((r.low or 0) < (r.seconds or 0) < (r.high or 0) for r in result.rows)
    assert str(Throughput.from_json(result.to_json())) == str(result)


@pytest.mark.parametrize(
    ("where", "error"),
    [
        ("forward", torch.OutOfMemoryError("CUDA out of memory")),
        ("backward", MemoryError()),
        ("evaluation", RuntimeError("not: out of memory")),
    ],
)
def test_running_out_of_memory_is_caught_and_that_size_not_returned(where: str, error: Exception) -> None:
    task = digits_task(model=lambda: Limited(250, error, where))
    result = throughput(task, progress=False)
    assert result.largest is not None
    assert 200 < result.largest <= 250
    assert result.row(384).status == "out_of_memory"


def test_what_is_over_the_budget_is_not_run() -> None:
    seen: list[int] = []

    class Seeing(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(len(x))
            return super().forward(x)

    result = throughput(digits_task(model=lambda: Seeing(196, 10)), memory=MIB // 2, progress=False)
    assert result.largest is not None
    over = [row.batch_size for row in result.rows if row.status == "not_tried"]
    assert over
    assert max(seen) < min(over)
    assert all((row.peak_bytes or 0) <= 0.9 * MIB / 2 for row in result.rows if row.status == "ok")


def test_a_last_batch_that_cannot_be_trained_on_fails_that_size() -> None:
    """1,500 = 4 · 374 + 4, but 1,499 leaves one sample, and BatchNorm refuses a batch of one."""
    task = digits_task(model=lambda: nn.Sequential(nn.BatchNorm1d(196), nn.Linear(196, 10)))
    result = throughput(task, [374, 1499], progress=False)
    assert result.row(1499).status == "fails"
    assert "more than 1 value per channel" in result.row(1499).why
    assert result.largest == 374


def test_nothing_fits_in_a_few_bytes() -> None:
    result = throughput(digits_task(), [8, 16], memory=1000, progress=False)
    assert result.largest is None
    assert "No batch size fits" in str(result)


def test_a_stream_has_no_last_batch() -> None:
    def stream(batch_size: int, seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        generator = torch.Generator().manual_seed(seed)
        while True:
            yield torch.randn(batch_size, 196, generator=generator), torch.zeros(batch_size, dtype=torch.long)

    result = throughput(digits_task(train=stream), [4, 32], progress=False)
    assert [row.last for row in result.rows] == [None, None]
    assert result.largest == 32


def test_nothing_of_the_callers_is_changed() -> None:
    model = nn.Linear(196, 10)
    before, rng = model.weight.detach().clone(), torch.get_rng_state()
    throughput(digits_task(model=model), [8], progress=False)
    assert torch.equal(model.weight, before)
    assert model.weight.grad is None
    assert torch.equal(torch.get_rng_state(), rng)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_sizes": [0]}, "batch_sizes must be"),
        ({"batch_sizes": []}, "must not be empty"),
        ({"batch_sizes": [2000]}, "must not exceed the 1500"),
        ({"memory": 0}, "memory must be"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        throughput(digits_task(), **arguments)  # type: ignore[arg-type]


def test_time_that_is_over_leaves_fewer_rounds_and_says_so() -> None:
    found = throughput(digits_task(), [10, 20], seconds=1e-6, progress=False)
    assert found.status == "out_of_time"
    assert [row.status for row in found.rows] == ["ok", "not_tried"]
    assert found.rows[0].seconds is not None
    with pytest.raises(ValueError, match="seconds must be a finite number above 0"):
        throughput(digits_task(), seconds=0.0)


@pytest.mark.parametrize(("phase", "status"), [("timing, round 1", "not_timed"), ("timing, round 4", "ok")])
def test_ctrl_c_keeps_what_was_timed(phase: str, status: str) -> None:
    class Impatient:
        def expect(self, updates: int) -> None: ...
        def advance(self, updates: int) -> None: ...
        def phase(self, name: str) -> None:
            if name.startswith(phase):
                raise KeyboardInterrupt

    found = throughput(digits_task(), [10, 20], progress=Impatient())
    assert found.status == "interrupted"
    assert {row.status for row in found.rows} == {status}
    assert found.largest == 20
    assert "The largest batch that ran and fits is 20" in str(found)
