"""Lengths and runs: one resolution, and contradictions shown with both numbers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from stepsize.schedules import HorizonError, Length, Run, cosine, decay, hold, step, warmup
from tests.schedules.strategies import lengths


@pytest.mark.parametrize(
    ("written", "amount", "unit"),
    [
        ("2%", 2, "%"),
        (" 2.5 % ", 2.5, "%"),
        (50, 50, "steps"),
        (1e4, 10_000, "steps"),
        (np.int64(7), 7, "steps"),
        ("500 updates", 500, "steps"),
        ("3 epochs", 3, "epochs"),
        ("1 Epoch", 1, "epochs"),
        ("1e6 samples", 1e6, "samples"),
        ("2e9 tokens", 2e9, "tokens"),
    ],
)
def test_lengths_as_people_write_them(written: object, amount: float, unit: str) -> None:
    length = Length.of(written)  # type: ignore[arg-type]
    assert (length.amount, length.unit) == (amount, unit)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("2", "is not a length"),
        ("two epochs", "is not a length"),
        ("3 weeks", "is not a length"),
        ("-1 epochs", "is not a length"),
        ("101%", "cannot exceed 100%"),
        ("1e999 steps", "must be finite"),
        (0.02, "write a percentage such as '2%'"),
        (-3, "must be finite and not negative"),
        (True, "must be a number"),
        (None, "must be a number"),
        (float("nan"), "must be a number"),
        (10**400, "too large"),
    ],
)
def test_what_is_no_length(written: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Length.of(written)  # type: ignore[arg-type]


@given(lengths)
def test_lengths_survive_their_text(length: Length) -> None:
    assert Length.of(str(length)) == length


def test_percentages_are_decimal_numbers_not_binary_ones() -> None:
    assert Run(steps=1000).updates("0.1%") == 1
    assert Run(steps=10**15).updates("33.3%") == Fraction(333 * 10**12)


@pytest.mark.parametrize("samples", [1, 99, 100, 101, 1000])
@pytest.mark.parametrize("batch_size", [1, 7, 100])
@pytest.mark.parametrize("world_size", [1, 3])
@pytest.mark.parametrize("drop_last", [False, True])
def test_an_epoch_has_the_batches_of_torchs_loader(
    samples: int, batch_size: int, world_size: int, drop_last: bool
) -> None:
    data = TensorDataset(torch.zeros(samples))
    sampler: DistributedSampler[tuple[torch.Tensor, ...]] = DistributedSampler(
        data, num_replicas=world_size, rank=0, drop_last=drop_last
    )
    batches = len(DataLoader(data, batch_size=batch_size, sampler=sampler, drop_last=drop_last))

    def made() -> Run:
        return Run(
            samples=samples, batch_size=batch_size, world_size=world_size, drop_last=drop_last, epochs=1
        )

    if batches == 0:
        with pytest.raises(ValueError, match="drop_last leaves no batch"):
            made()
    else:
        assert made().steps == made().steps_per_epoch == batches


def test_accumulation_makes_fewer_updates() -> None:
    run = Run(samples=1000, batch_size=10, accumulation=8, epochs=2)
    assert run.steps_per_epoch == 13
    assert run.steps == 26


def test_units_agree_with_each_other() -> None:
    run = Run(samples=60_000, batch_size=128, epochs=10, tokens_per_sample=512)
    assert run.steps == 4690
    assert run.updates("3 epochs") == 3 * 469
    assert run.updates("180000 samples") == 3 * 469
    assert run.updates(f"{180_000 * 512} tokens") == 3 * 469
    assert run.updates("30%") == 3 * 469


def test_a_run_without_its_data_says_what_it_lacks() -> None:
    run = Run(steps=100)
    for length, missing in (
        ("1 epochs", "samples=.*batch_size="),
        ("1 samples", "batch_size="),
        ("1 tokens", "tokens_per"),
    ):
        with pytest.raises(ValueError, match=missing):
            run.updates(length)
    with pytest.raises(ValueError, match="tokens_per_sample"):
        Run(steps=100, batch_size=4).updates("10 tokens")


def test_contradictions_show_both_numbers() -> None:
    with pytest.raises(ValueError, match=r"steps=1000 contradicts .* 4690 updates"):
        Run(steps=1000, samples=60_000, batch_size=128, epochs=10)
    assert Run(steps=4690, samples=60_000, batch_size=128, epochs=10).steps == 4690


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "how long is the run"),
        ({"steps": 0}, "steps must be a whole number of at least 1, but got 0"),
        ({"steps": -5}, "steps must be"),
        ({"steps": 2.5}, "steps must be"),
        ({"steps": float("nan")}, "steps must be"),
        ({"steps": "10"}, "steps must be a number"),
        ({"steps": 10, "batch_size": 0}, "batch_size must be"),
        ({"samples": 10, "batch_size": 2, "epochs": 0}, "epochs must be positive"),
        ({"samples": 10, "epochs": 2}, "how long is the run"),
    ],
)
def test_a_run_that_is_none(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Run(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "run",
    [
        Run(10),
        Run(10, batch_size=3),
        Run(samples=100, batch_size=7, epochs=1.5, world_size=2, drop_last=True),
    ],
)
def test_a_runs_repr_is_its_constructor(run: Run) -> None:
    assert eval(repr(run), {"Run": Run}) == run


def test_the_horizon_misjudged_is_an_error_with_both_numbers() -> None:
    ten = Run(samples=1000, batch_size=10, epochs=10)
    with pytest.raises(HorizonError, match=r"lasts 100 updates, but the run has 1000.*append `\| hold\(\)`"):
        cosine().over("1 epochs").resolve(ten)
    with pytest.raises(HorizonError, match="lasts 2000 updates, but the run has 1000"):
        (warmup("10 epochs") | decay("10 epochs")).resolve(ten)
    with pytest.raises(HorizonError):
        warmup(100).resolve(ten)
    assert (cosine().over("1 epochs") | hold(lr=0.1)).resolve(ten)(500) == 0.1


def test_a_warm_up_longer_than_the_run_is_an_error() -> None:
    with pytest.raises(
        ValueError, match=r"nothing is left for cosine\(\): the other phases take 2000 of 1000"
    ):
        (warmup(2000) | cosine()).resolve(1000)


def test_a_phase_that_comes_to_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"warmup\('2%'\) lasts 0.2 updates in a run of 10"):
        (warmup("2%") | cosine()).resolve(10)


def test_lengths_need_a_run_unless_they_are_steps() -> None:
    assert step(0.1, gamma=0.5, every=10).resolve()(10**6 - 1) == 0.1 * 0.5**99_999
    with pytest.raises(ValueError, match="'30%' needs a run"):
        step(0.1).resolve()
    with pytest.raises(ValueError, match="needs a run: resolve"):
        cosine().resolve()
    with pytest.raises(ValueError, match="needs a run"):
        step(0.1, every=10).resolve().values()


@given(
    shares=st.lists(st.integers(1, 30), min_size=2, max_size=3),
    steps=st.integers(200, 10**6),
)
def test_phases_by_percentage_tile_the_run(shares: list[int], steps: int) -> None:
    last = 100 - sum(shares)
    schedule = hold(f"{shares[0]}%", lr=1.0)
    for index, share in enumerate([*shares[1:], last], 2):
        schedule = schedule | hold(f"{share}%", lr=index)  # type: ignore[assignment]
    values = schedule.values(steps)
    counts = [int((values == level).sum()) for level in range(1, len(shares) + 2)]
    assert sum(counts) == steps
    for share, count in zip([*shares, last], counts, strict=True):
        assert abs(count - share * steps / 100) <= 1
