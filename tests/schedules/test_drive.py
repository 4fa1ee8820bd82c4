"""Schedules in training: the rate is set before the update, groups keep their ratios, resume is exact."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import LRScheduler

from stepsize.schedules import (
    Run,
    Schedule,
    cosine,
    dip,
    exp,
    fixed,
    one_cycle,
    plateau,
    warmup,
    watch_plateau,
    wsd,
)

STEPS = 60


def model() -> torch.nn.Module:
    torch.manual_seed(3)
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))


def sgd(lr: float = 0.1, **options: float) -> torch.optim.SGD:
    return torch.optim.SGD(model().parameters(), lr=lr, **options)  # type: ignore[arg-type]


def batches(count: int = STEPS) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(8, 4, generator=generator) for _ in range(count)]


def lr(optimizer: torch.optim.Optimizer, group: int = 0) -> float:
    return float(optimizer.param_groups[group]["lr"])


def test_every_update_runs_at_its_own_rate() -> None:
    optimizer = sgd()
    schedule = 0.1 * (warmup(10) | cosine())
    seen = [(step, lr(optimizer)) for step, _ in schedule.drive(optimizer, batches(), run=STEPS)]
    assert seen == list(enumerate(schedule.values(STEPS)))


def test_starting_in_the_middle_goes_on_from_there() -> None:
    optimizer = sgd()
    seen = [(step, lr(optimizer)) for step, _ in cosine(0.1).drive(optimizer, batches(), run=STEPS, start=40)]
    assert seen == list(enumerate(cosine(0.1).values(STEPS)))[40:]


def test_a_loader_is_passed_over_until_the_run_is_over() -> None:
    optimizer = sgd()
    run = Run(samples=25, batch_size=10, epochs=4)
    data = batches(3)
    seen = list(cosine(0.1).drive(optimizer, data, run=run))
    assert [step for step, _ in seen] == list(range(12))
    assert all(batch is data[step % 3] for step, batch in seen)


def test_without_a_run_the_loader_is_the_run() -> None:
    seen = [step for step, _ in cosine(0.1).drive(sgd(), batches(7))]
    assert seen == list(range(7))


def test_accumulation_keeps_the_rate_over_the_micro_batches_of_an_update() -> None:
    optimizer = sgd()
    run = Run(samples=70, batch_size=10, accumulation=3, epochs=2)
    seen = [(step, lr(optimizer)) for step, _ in cosine(0.1).drive(optimizer, batches(7), run=run)]
    assert [step for step, _ in seen] == [0, 0, 0, 1, 1, 1, 2, 3, 3, 3, 4, 4, 4, 5]
    assert [rate for _, rate in seen] == [cosine(0.1).values(6)[step] for step, _ in seen]


@pytest.mark.parametrize("start", [-1, STEPS + 1])
def test_a_start_outside_the_run_is_refused(start: int) -> None:
    with pytest.raises(ValueError, match=f"in the run of {STEPS} updates, but got start={start}"):
        cosine(0.1).drive(sgd(), batches(), run=STEPS, start=start)


def test_batches_that_run_out_are_an_error() -> None:
    with pytest.raises(ValueError, match="ran out at update 5 of 60"):
        for _ in cosine(0.1).drive(sgd(), iter(batches(5)), run=STEPS):
            pass


def test_batches_without_a_length_need_a_run() -> None:
    def stream() -> Iterator[int]:
        yield from range(9)

    with pytest.raises(ValueError, match="how long is the run"):
        cosine(0.1).drive(sgd(), stream())


def test_param_groups_keep_their_ratios_and_late_ones_are_seen() -> None:
    net = model()
    optimizer = torch.optim.SGD(
        [{"params": net[0].parameters()}, {"params": net[2].parameters(), "lr": 0.01}],  # type: ignore[index]
        lr=0.1,
    )
    late = torch.nn.Parameter(torch.zeros(1))
    for step, _ in cosine(0.1).drive(optimizer, batches(), run=STEPS):
        rate = cosine(0.1).values(STEPS)[step]
        assert lr(optimizer) == rate
        assert lr(optimizer, 1) == pytest.approx(rate * 0.1, rel=1e-15)
        if step == 30:
            optimizer.add_param_group({"params": [late], "lr": 0.2})
        if step > 30:
            assert lr(optimizer, 2) == pytest.approx(rate * 2, rel=1e-15)


def test_ratios_are_saved_with_the_optimizer() -> None:
    def two() -> torch.optim.SGD:
        net = model()
        groups = [{"params": net[0].parameters()}, {"params": net[2].parameters(), "lr": 0.01}]  # type: ignore[index]
        return torch.optim.SGD(groups, lr=0.1)

    first = two()
    scheduler = cosine(0.1).as_torch(first, STEPS)
    for _ in range(20):
        scheduler.step()
    second = two()
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    resumed = cosine(0.1).as_torch(second, STEPS)
    resumed.load_state_dict(scheduler.state_dict())
    assert resumed.get_last_lr() == scheduler.get_last_lr()


def test_momentum_and_weight_decay_follow_the_same_clock() -> None:
    optimizer = sgd(momentum=0.9, weight_decay=0.1)
    schedule = one_cycle(0.1).along(momentum=0.95 * dip(low=0.9), weight_decay=0.1 * cosine())
    momentum, decay = schedule.controls(STEPS)["momentum"], schedule.controls(STEPS)["weight_decay"]
    for step, _ in schedule.drive(optimizer, batches(), run=STEPS):
        group = optimizer.param_groups[0]
        assert group["momentum"] == momentum[step]
        assert group["weight_decay"] == decay[step]


def test_momentum_is_adams_first_beta() -> None:
    optimizer = torch.optim.AdamW(model().parameters(), lr=0.1, betas=(0.9, 0.99))
    schedule = fixed(0.1).along(momentum=0.95 * dip(low=0.9))
    next(schedule.drive(optimizer, batches(), run=STEPS))
    assert optimizer.param_groups[0]["betas"] == (0.95, 0.99)


def test_a_control_that_the_optimizer_lacks_is_an_error() -> None:
    with pytest.raises(ValueError, match="SGD has no 'alpha' to follow"):
        next(fixed(0.1).along(alpha=fixed(0.9)).drive(sgd(), batches(), run=STEPS))


def test_a_tensor_rate_is_written_in_place() -> None:
    rate = torch.tensor(0.1)
    optimizer = torch.optim.SGD(model().parameters(), lr=rate)
    for _ in cosine(0.1).drive(optimizer, batches(), run=STEPS):
        assert optimizer.param_groups[0]["lr"] is rate
    assert float(rate) == pytest.approx(cosine(0.1).values(STEPS)[-1], rel=1e-6)


def test_a_bare_shape_on_an_optimizer_with_a_rate_is_refused() -> None:
    with pytest.raises(ValueError, match=r"peaks at 1.0, but .* lr=0.1.*write 0.1 \* schedule"):
        cosine().drive(sgd(lr=0.1), batches(), run=STEPS)
    with pytest.raises(ValueError, match=r"peaks at 1\.0"):
        cosine().as_torch(sgd(lr=0.1), STEPS)
    next(cosine().drive(sgd(lr=1.0), batches(), run=STEPS))


def test_the_torch_scheduler_is_f_of_t_without_a_warning() -> None:
    optimizer = sgd()
    scheduler = wsd(0.1, warm="10%").as_torch(optimizer, STEPS)
    assert isinstance(scheduler, LRScheduler)
    applied = []
    for _ in range(STEPS):
        applied.append(lr(optimizer))
        assert scheduler.get_last_lr() == scheduler.get_lr() == [lr(optimizer)]
        scheduler.step()  # before any optimizer.step: no false alarm
    assert applied == wsd(0.1, warm="10%").values(STEPS).tolist()
    for _ in range(5):
        scheduler.step()  # an overrun holds the last value
    assert lr(optimizer) == 0.0


@pytest.mark.parametrize("stop", range(STEPS + 1))
def test_a_resumed_torch_scheduler_is_the_uninterrupted_one(stop: int) -> None:
    schedule = 0.1 * (warmup(7) | cosine(floor=0.01))
    first = sgd()
    scheduler = schedule.as_torch(first, STEPS)
    for _ in range(stop):
        scheduler.step()
    state = pickle.loads(pickle.dumps(scheduler.state_dict()))
    assert state == {"last_epoch": stop}
    second = sgd()
    resumed = schedule.as_torch(second, STEPS)
    resumed.load_state_dict(state)
    bound = schedule.resolve(STEPS)
    for t in range(stop, STEPS + 3):
        assert lr(second) == bound(t)
        resumed.step()


def test_the_torch_scheduler_pickles() -> None:
    scheduler = cosine(0.1).as_torch(sgd(), STEPS)
    scheduler.step()
    again = pickle.loads(pickle.dumps(scheduler))
    assert again.last_epoch == 1
    assert again.schedule == cosine(0.1)


def train(schedule: Schedule, stop: int | None) -> tuple[list[float], list[torch.Tensor]]:
    """Train, killed after `stop` updates and resumed from a checkpoint when that is given."""
    net, applied = model(), []
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)

    def some(start: int, end: int) -> None:
        data = batches()[start:end]
        for step, x in zip(range(start, end), data, strict=True):
            next(schedule.drive(optimizer, [x], run=STEPS, start=step))
            applied.append(lr(optimizer))
            optimizer.zero_grad()
            net(x).square().mean().backward()
            optimizer.step()

    if stop is None:
        some(0, STEPS)
    else:
        some(0, stop)
        file = io.BytesIO()
        torch.save({"net": net.state_dict(), "optimizer": optimizer.state_dict()}, file)
        net = model()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        saved = torch.load(io.BytesIO(file.getvalue()))
        net.load_state_dict(saved["net"])
        optimizer.load_state_dict(saved["optimizer"])
        some(stop, STEPS)
    return applied, [parameter.detach() for parameter in net.parameters()]


@given(stop=st.integers(0, STEPS))
def test_a_run_killed_at_any_update_has_the_rates_and_weights_of_one_that_was_not(stop: int) -> None:
    schedule = 0.1 * (warmup(7) | cosine(floor=0.01))
    rates, weights = train(schedule, None)
    resumed_rates, resumed_weights = train(schedule, stop)
    assert resumed_rates == rates
    assert all(torch.equal(a, b) for a, b in zip(weights, resumed_weights, strict=True))


def test_plateau_events_are_replayed_from_the_record() -> None:
    losses = [(10 * k, loss) for k, loss in enumerate([5, 4, 3, 3, 3, 3, 2, 2, 2, 2, 2], 1)]
    whole = watch_plateau(losses, 0.1, factor=0.5, patience=2)
    assert whole == plateau(0.1, factor=0.5, cuts=[60, 100])
    assert watch_plateau(losses[:7], 0.1, factor=0.5, patience=2) == plateau(0.1, factor=0.5, cuts=[60])


@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_plateau_agrees_with_torchs_on_positive_losses(scale: float) -> None:
    generator = torch.Generator().manual_seed(5)
    losses = (
        scale * (3 * torch.exp(-torch.arange(80) / 12) + 0.2 * torch.rand(80, generator=generator))
    ).tolist()
    optimizer = sgd(lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=3, cooldown=2)
    applied = []
    for loss in losses:
        theirs.step(loss)
        applied.append(lr(optimizer))
    ours = watch_plateau(enumerate(losses, 1), factor=0.5, patience=3, cooldown=2)
    assert [ours.resolve()(t) for t in range(1, 81)] == applied
    assert applied[-1] < 1.0


def test_plateau_sees_progress_of_negative_losses_where_torch_does_not() -> None:
    losses = [-1.0 - 0.01 * k for k in range(40)]
    assert watch_plateau(enumerate(losses), patience=3, threshold=1e-4) == plateau()
    flat = watch_plateau(enumerate([-1.0] * 10), patience=3)
    assert flat == plateau(cuts=[4, 8])


def test_a_loss_that_is_not_finite_is_no_progress() -> None:
    found = watch_plateau([(1, 1.0), (2, float("nan")), (3, float("-inf")), (4, 0.5)], patience=1)
    assert found == plateau(cuts=[3])


@pytest.mark.parametrize(
    ("losses", "options", "message"),
    [
        ([(2, 1.0), (2, 1.0)], {}, "must rise, but 2 follows 2"),
        ([(1, 1.0)], {"patience": -1}, "patience must be a whole number"),
        ([(1, 1.0)], {"cooldown": 1.5}, "cooldown must be a whole number"),
        ([(1, 1.0)], {"threshold": -1}, "threshold must not be negative"),
        ([(1, 1.0)], {"factor": 2}, "factor: must be in"),
    ],
)
def test_a_record_that_is_none(
    losses: list[tuple[int, float]], options: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        watch_plateau(losses, **options)  # type: ignore[arg-type]


def test_exp_does_not_drift() -> None:
    optimizer = sgd()
    scheduler = exp(0.1, gamma=0.9999).as_torch(optimizer, 20_000)
    scheduler.step(20_000)
    assert lr(optimizer) == pytest.approx(0.1 * 0.9999**20_000, rel=1e-14)


def test_a_planned_schedule_knows_its_run_and_is_still_the_same_schedule() -> None:
    planned = cosine(0.1).on(STEPS)
    assert planned.planned == Run(steps=STEPS)
    assert planned == cosine(0.1)
    assert hash(planned) == hash(cosine(0.1))
    assert str(planned) == str(cosine(0.1))
    assert cosine(0.1).planned is None
    assert (planned * 2).planned is None  # a new schedule, of which nobody said what it is for
    assert (planned.values() == cosine(0.1).values(STEPS)).all()
    optimizer = sgd()
    applied = []
    scheduler = planned.as_torch(optimizer)
    for _ in range(STEPS):
        applied.append(lr(optimizer))
        scheduler.step()
    assert applied == planned.values().tolist()
    assert [step for step, _ in planned.drive(sgd(), batches(10))] == list(range(STEPS))
    assert planned.code("torch") == cosine(0.1).code("torch", STEPS)


def test_without_a_run_only_endless_schedules_have_rates() -> None:
    assert fixed(0.1).as_torch(sgd()).get_last_lr() == [0.1]
    with pytest.raises(ValueError, match=r"values\(\) needs a run"):
        fixed(0.1).values()
