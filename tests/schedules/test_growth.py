"""Growing the batch instead of lowering the rate."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, TensorDataset

from stepsize.schedules import (
    GrowthBatchSampler,
    GrowthPlan,
    Run,
    cosine,
    multistep,
    step,
    warm_restarts,
    warmup,
)

RUN = Run(samples=100_000, batch_size=100, epochs=2)


def test_sgd_divides_the_batch_where_the_rate_would_fall() -> None:
    schedule = multistep(0.8, milestones=["50%", "75%"], gamma=0.5)
    plan = schedule.as_batch_growth(RUN)
    assert sorted(set(plan.batches)) == [100, 200, 400]
    assert set(plan.rates) == {0.8}
    assert plan.steps == 1000 + 500 // 2 + 500 // 4
    assert plan.batches.sum() == RUN.steps * 100


def test_seesaw_takes_the_square_root() -> None:
    plan = multistep(0.8, milestones=["50%", "75%"], gamma=0.25).as_batch_growth(RUN, rule="seesaw")
    assert sorted(set(plan.batches)) == [100, 400, 1600]
    np.testing.assert_allclose(sorted(set(plan.rates[:-1])), [0.2, 0.4, 0.8], rtol=1e-15)


@pytest.mark.parametrize("rule", ["sgd", "seesaw"])
@pytest.mark.parametrize("max_batch", [None, 100, 400])
def test_a_plan_of_steps_goes_back_to_the_decaying_one(rule: str, max_batch: int | None) -> None:
    schedule = step(0.8, gamma=0.5, every="25%")
    plan = schedule.as_batch_growth(RUN, rule=rule, max_batch=max_batch)  # type: ignore[arg-type]
    np.testing.assert_allclose(plan.as_decay(), schedule.values(RUN), rtol=1e-12)


def test_a_smooth_plan_goes_back_to_within_one_batch() -> None:
    schedule = cosine(0.8, floor=0.1)
    plan = schedule.as_batch_growth(RUN, max_batch=1000)
    planned = schedule.values(RUN)
    back = plan.as_decay()
    assert (back >= planned - 1e-12).all()
    late = np.maximum(np.arange(RUN.steps) - 10, 0)
    assert (back <= planned[late] + 1e-12).all()


@given(
    gamma=st.floats(0.1, 1.0),
    every=st.integers(1, 90),
    samples=st.integers(10, 5000),
    batch=st.integers(1, 64),
    limit=st.integers(64, 500),
    seesaw=st.booleans(),
)
def test_the_same_samples_and_the_same_noise(
    gamma: float, every: int, samples: int, batch: int, limit: int, seesaw: bool
) -> None:
    run = Run(steps=100, batch_size=batch)
    schedule = warmup(10) | step(gamma=gamma, every=every)
    plan = schedule.as_batch_growth(run, rule="seesaw" if seesaw else "sgd", max_batch=limit)
    assert plan.batches.sum() == 100 * batch
    assert (plan.batches >= 1).all()
    assert (plan.batches <= limit).all()
    original = schedule.values(run)[plan.starts // batch]
    share = 0.5 if seesaw else 1.0
    np.testing.assert_allclose(plan.rates / plan.batches**share, original / batch**share, rtol=1e-12)


def test_a_warm_up_keeps_its_batch_and_a_restart_takes_it_back() -> None:
    run = Run(steps=100, batch_size=10)
    plan = (warmup(20, zero_first=True) | cosine(floor=0.5)).as_batch_growth(run)
    assert (plan.batches[:20] == 10).all()
    again = warm_restarts(first=50, floor=0.5).as_batch_growth(run)
    first = int(np.searchsorted(again.starts, 500))
    assert again.batches[first - 1] > again.batches[first] == 10


def test_beyond_the_critical_batch_is_refused_with_the_figures() -> None:
    schedule = step(0.8, gamma=0.1, every="25%")
    with pytest.raises(ValueError, match=r"grow to 100000, beyond the critical .* 1500.*max_batch=1500"):
        schedule.as_batch_growth(RUN, rule="seesaw", critical_batch=1500)
    plan = schedule.as_batch_growth(RUN, critical_batch=1500, max_batch=1500)
    assert plan.batches.max() == 1500


def test_beyond_a_tenth_of_the_data_is_refused_for_sgd() -> None:
    with pytest.raises(ValueError, match=r"beyond a tenth of the 100000 samples.*max_batch=10000"):
        step(0.8, gamma=0.1, every="25%").as_batch_growth(RUN)


def test_what_cannot_grow() -> None:
    with pytest.raises(ValueError, match=r"give Run\(..., batch_size=...\)"):
        cosine().as_batch_growth(Run(steps=100))
    with pytest.raises(ValueError, match="max_batch=50 is below the batch that the run starts with, 100"):
        cosine().as_batch_growth(RUN, max_batch=50)
    with pytest.raises(ValueError, match="rule must be 'sgd' or 'seesaw'"):
        cosine().as_batch_growth(RUN, rule="adam")  # type: ignore[arg-type]


def plan_of_200() -> GrowthPlan:
    return step(0.8, gamma=0.5, every=8).as_batch_growth(Run(steps=20, batch_size=10))


def test_the_sampler_follows_the_plan_and_shuffles_each_pass() -> None:
    plan = plan_of_200()
    lists = list(GrowthBatchSampler(plan, 50, seed=1))
    assert [len(batch) for batch in lists] == plan.batches.tolist()
    flat = [index for batch in lists for index in batch]
    passes = [flat[k : k + 50] for k in range(0, 200, 50)]
    assert all(sorted(one) == list(range(50)) for one in passes)
    assert passes[0] != passes[1]
    assert lists == list(GrowthBatchSampler(plan, 50, seed=1))
    assert lists != list(GrowthBatchSampler(plan, 50, seed=2))


@pytest.mark.parametrize("start", [0, 1, 9, 13])
def test_a_resumed_sampler_goes_on_where_it_was(start: int) -> None:
    plan = plan_of_200()
    whole = list(GrowthBatchSampler(plan, 37))
    resumed = GrowthBatchSampler(plan, 37, start=start)
    assert len(resumed) == len(whole) - start
    assert list(resumed) == whole[start:]


def test_the_sampler_feeds_torchs_loader() -> None:
    plan = plan_of_200()
    loader = DataLoader(TensorDataset(torch.arange(50)), batch_sampler=GrowthBatchSampler(plan, 50))
    assert [len(x) for (x,) in loader] == plan.batches.tolist()


def test_a_sampler_that_is_none() -> None:
    with pytest.raises(ValueError, match="samples must be at least 1"):
        GrowthBatchSampler(plan_of_200(), 0)
    with pytest.raises(ValueError, match="start must lie in the plan"):
        GrowthBatchSampler(plan_of_200(), 10, start=99)


def test_the_plan_in_words() -> None:
    assert str(plan_of_200()) == (
        "13 updates instead of 20 over the same 200 samples; batch 10 to 40, rate 0.8 to 0.8"
    )
