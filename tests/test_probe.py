"""Probe: a loop that stepsize does not own is measured, and left as if it had never been."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import stepsize as ss
from stepsize.training.probed import ProbeRun
from tests.loops import LOOPS, UsersLoop, adversarial, everything, held_out, loader, plain, same

Make = Callable[[], UsersLoop]
SHORT = 60


@pytest.fixture(params=list(LOOPS.values()), ids=list(LOOPS))
def make(request: pytest.FixtureRequest) -> Make:
    return request.param  # type: ignore[no-any-return]


def measurements(loop: UsersLoop) -> dict[str, Callable[[], object]]:
    return {
        "find_lr": lambda: ss.find_lr(
            loop.probe(), batches=loop.batches, val=loop.val, steps=SHORT, lr_min=1e-5, budget="1 run"
        ),
        "range_test": lambda: ss.range_test(loop.probe(), batches=loop.batches, lr_min=1e-5, steps=20),
    }


@pytest.mark.parametrize("measurement", ["find_lr", "range_test"])
def test_training_goes_on_as_if_it_had_never_been_measured(make: Make, measurement: str) -> None:
    calls = 12
    measured, left_alone = make(), make()
    for loop in (measured, left_alone):
        torch.manual_seed(4)
        loop.train(calls)
    torch.manual_seed(6)
    before = measured.picture()
    measurements(measured)[measurement]()
    assert same(before, measured.picture())
    onward = []
    for loop in (measured, left_alone):
        torch.manual_seed(8)
        onward.append(loop.train(calls))
    assert onward[0] == onward[1]
    assert same(measured.picture(), left_alone.picture())


def test_losses_and_weights_are_those_of_the_users_own_loop() -> None:
    batches = list(loader())[:6]
    rates = np.geomspace(0.01, 0.5, 6)
    loop, own = plain(), plain()
    curve = ss.range_test(loop.probe(), batches=batches, lr_min=0.01, lr_max=0.5, steps=6)
    for rate, batch, found in zip(rates, batches, curve.losses[0], strict=True):
        own.optimizers[0].param_groups[0]["lr"] = rate
        assert own.step(batch).item() == found


def test_a_rate_is_held_for_the_whole_update_and_over_a_scheduler_inside() -> None:
    loop = everything()
    seen: list[list[float]] = []
    run = ProbeRun(loop.probe(), loop.batches, steps=5)
    rates = np.array([0.1, 0.2, 0.3, 0.2, 0.1])
    loop.optimizers[0].register_step_post_hook(
        lambda own, *_: seen.append([group["lr"] for group in own.param_groups])
    )
    ss.train(run, [ss.Member(0.3, 0)], rates)
    np.testing.assert_allclose(seen, np.stack([rates / 4, rates], axis=1))


def test_every_group_of_every_optimizer_keeps_its_proportion() -> None:
    probe = adversarial().probe()
    assert probe.ratios == [[0.25], [1.0]]


def test_a_swept_rate_moves_to_the_one_that_trains_best() -> None:
    loop = plain()
    advice = ss.find_lr(loop.probe(), batches=loop.batches, val=loop.val, steps=200)
    assert advice.status == "ok"
    assert advice.batch_size == 50
    assert advice.steps == 200
    assert advice.lr is not None
    task = {"evaluate": loop.evaluate, "val": loop.val}
    losses = {lr: final_loss(plain(), lr, 200) for lr in (advice.lr / 30, advice.lr, advice.lr * 30)}
    assert min(losses, key=lambda lr: losses[lr]) == advice.lr, task


def final_loss(loop: UsersLoop, lr: float, updates: int) -> float:
    loop.optimizers[0].param_groups[0]["lr"] = lr
    torch.manual_seed(0)
    loop.train(updates)
    assert loop.evaluate is not None
    with torch.no_grad():
        return float(np.mean([float(loop.evaluate(batch)) for batch in held_out()]))


def test_without_a_held_out_loss_fresh_batches_at_rate_zero_stand_in_and_the_advice_says_so() -> None:
    loop = plain()
    advice = ss.find_lr(loop.probe(evaluate=None), batches=loop.batches, steps=SHORT)
    assert advice.loss_kind == "fresh training batches"
    assert any("judged on fresh training batches" in warning for warning in advice.warnings)
    fixed = ss.find_lr(loop.probe(evaluate=None), batches=list(loop.batches), steps=SHORT)
    assert fixed.loss_kind == "training batches"
    assert any("judged on batches that are trained on" in warning for warning in fixed.warnings)


def test_seeds_differ_where_the_order_of_batches_does_not() -> None:
    loop = plain()
    run = ProbeRun(loop.probe(), list(loop.batches), steps=20)
    history = ss.train(run, [ss.Member(0.1, 0), ss.Member(0.1, 1), ss.Member(0.1, 0)], np.full(20, 0.1))
    assert (history.train_loss[0] == history.train_loss[2]).all()
    assert (history.train_loss[0] != history.train_loss[1]).any()


def test_a_loader_with_persistent_workers_is_left_in_the_middle_of_its_pass() -> None:
    x, y = torch.arange(40.0)[:, None], torch.zeros(40, dtype=torch.long)
    data = torch.utils.data.TensorDataset(x, y)
    batches = torch.utils.data.DataLoader(data, batch_size=4, num_workers=1, persistent_workers=True)
    model = nn.Linear(1, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)

    def step(batch: Any) -> torch.Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        return loss

    seen = []
    for number, batch in enumerate(batches):
        seen += batch[0].flatten().tolist()
        if number == 2:
            ss.range_test(ss.Probe(step, [model], optimizer), batches=batches, steps=5)
    assert seen == x.flatten().tolist()


def test_a_generator_is_read_ahead_and_gives_every_batch_again() -> None:
    replay = ss.Replay(iter(range(6)), most=4)
    assert next(replay) == 0
    assert [list(replay.ahead()) for _ in range(2)] == [[1, 2, 3, 4], [1, 2, 3, 4]]
    assert list(replay) == [1, 2, 3, 4, 5]
    assert list(replay.ahead()) == []


def test_what_the_step_changes_beside_the_state_is_noticed() -> None:
    loop = plain()
    count = [0]

    def step(batch: Any) -> torch.Tensor:
        count[0] += 1
        loss: torch.Tensor = loop.step(batch) * count[0]
        return loss

    hidden = ss.Probe(step, loop.state, loop.optimizers)
    held = ss.Probe(step, [*loop.state, count], loop.optimizers)
    assert "state lacks what it changes" in ProbeRun(hidden, loop.batches, 5).warnings[0]
    count[0] = 0
    assert ProbeRun(held, loop.batches, 5).warnings == ()
    assert count == [0]


def test_a_scheduler_inside_of_step_that_state_lacks_is_noticed(caplog: pytest.LogCaptureFixture) -> None:
    loop = plain()
    scheduler = torch.optim.lr_scheduler.ExponentialLR(loop.optimizers[0], 0.9)

    def step(batch: Any) -> Any:
        loss = loop.step(batch)
        scheduler.step()
        return loss

    run = ProbeRun(ss.Probe(step, [*loop.state, scheduler], loop.optimizers), loop.batches, 5)
    assert run.warnings == ()
    assert scheduler.last_epoch == 0
    found = ss.sweep(ss.Probe(step, loop.state, loop.optimizers), 0.1, batches=loop.batches, steps=5, seeds=1)
    assert "step moves a scheduler that is not in state" in found.warnings[0]
    assert "step moves a scheduler" in caplog.text
    own = loop.optimizers[0].param_groups[0]
    del own["initial_lr"]  # without a scheduler the rate is the loop's own affair, and is put back

    def by_hand(batch: Any) -> Any:
        loss = loop.step(batch)
        own["lr"] *= 0.5
        return loss

    assert ProbeRun(ss.Probe(by_hand, loop.state, loop.optimizers), loop.batches, 5).warnings == ()


def test_what_varies_the_batch_says_that_it_takes_no_probe() -> None:
    for measure in (ss.tune, ss.critical_batch, ss.throughput):
        with pytest.raises(TypeError, match=r"but is a Probe: .* find_lr, range_test, noise_scale and sweep"):
            measure(plain().probe())  # type: ignore[arg-type]


def test_the_calls_between_updates_are_found_when_told_wrong() -> None:
    loop = everything()
    enabled = loop.state[2]
    loop.state.remove(enabled)  # a scaler may leave an update out: then nothing could be told
    with pytest.raises(ValueError, match=r"accumulate must be .* is 1, .* with call 3: pass .*accumulate=3"):
        ProbeRun(loop.probe(accumulate=1), loop.batches, steps=5)


def test_a_step_that_steps_another_optimizer_is_refused() -> None:
    loop = plain()
    idle = torch.optim.SGD(loop.state[0].parameters(), lr=0.1)
    with pytest.raises(ValueError, match="step must step the optimizers, but in 256 calls"):
        ProbeRun(ss.Probe(loop.step, [*loop.state, *loop.optimizers], idle), loop.batches, steps=5)


def with_step(returns: Any) -> Callable[[], object]:
    def call() -> object:
        loop = plain()

        def step(batch: Any) -> Any:
            loop.step(batch)
            return returns

        return ss.find_lr(ss.Probe(step, loop.state, loop.optimizers), batches=loop.batches, steps=5)

    return call


def called(**arguments: Any) -> Callable[[], object]:
    def call() -> object:
        loop = plain()
        given = {"batches": loop.batches, "steps": 5, "probe": {}, **arguments}
        probe = loop.probe(**given.pop("probe"))
        return ss.find_lr(probe, **given)

    return call


def built(**arguments: Any) -> Callable[[], object]:
    def call() -> object:
        loop = plain()
        given = {"step": loop.step, "state": loop.state, "optimizers": loop.optimizers}
        return ss.Probe(**{**given, **arguments})

    return call


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (with_step(None), TypeError, "step must return the loss .* returned None"),
        (with_step(torch.zeros(3)), TypeError, r"returned a tensor of shape \(3,\)"),
        (called(batches=None), TypeError, "batches must be given with a probe"),
        (called(steps=None), TypeError, "steps must be given with a probe"),
        (called(steps=0), ValueError, "steps must be a whole number >= 1"),
        (called(batches=iter([])), TypeError, r"cannot be taken back .* ss.Replay\(batches\)"),
        (called(batches=[]), ValueError, "batches must give batches, but gave none on pass 1"),
        (called(batches=3), TypeError, "batches must be a loader"),
        (called(val=[], probe={}), ValueError, "val must give batches"),
        (called(val=[1], probe={"evaluate": None}), ValueError, "val needs a function .* evaluate="),
        (built(step=3), TypeError, r"step must be callable as step\(batch\)"),
        (built(optimizers=[]), ValueError, "optimizers must not be empty"),
        (built(optimizers=[3]), TypeError, "optimizers must hold torch optimizers in use, but holds a int"),
        (built(state=[nn.Linear(1, 1)]), ValueError, "updates 4 tensors that are in none of it"),
        (built(accumulate=0), ValueError, "accumulate must be a whole number >= 1"),
        (
            built(optimizers=torch.optim.SGD(plain().state[0].parameters(), lr=0.0)),
            ValueError,
            "rate above 0",
        ),
        (lambda: ss.find_lr(3), TypeError, "task must be a stepsize.Task or a Probe"),  # type: ignore[arg-type]
    ],
)
def test_errors_name_the_argument_and_the_fix(
    call: Callable[[], object], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        call()


def test_a_task_takes_no_batches_of_its_own() -> None:
    from tests.tasks import digits_task

    with pytest.raises(TypeError, match="steps goes with a Probe, but task is a Task"):
        ss.find_lr(digits_task(), steps=5)


@pytest.mark.parametrize("make", [plain, adversarial], ids=["plain", "adversarial"])
def test_an_error_or_ctrl_c_in_the_middle_changes_nothing(make: Make) -> None:
    for error in (RuntimeError("broken"), KeyboardInterrupt()):
        loop = make()
        loop.train(3)
        calls = [0]

        def step(batch: Any, loop: UsersLoop = loop, error: BaseException = error, calls: Any = calls) -> Any:
            calls[0] += 1
            returned = loop.step(batch)
            if calls[0] == 40:
                raise error
            return returned

        torch.manual_seed(3)
        before = loop.picture()
        probe = ss.Probe(step, loop.state, loop.optimizers)
        if isinstance(error, KeyboardInterrupt):
            assert ss.find_lr(probe, batches=loop.batches, steps=SHORT).status == "interrupted"
        else:
            with pytest.raises(RuntimeError, match="broken"):
                ss.find_lr(probe, batches=loop.batches, steps=SHORT)
        assert same(before, loop.picture())
