"""transformers: rehearsals train as the Trainer does, and nothing of them is left."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import stepsize as ss
from stepsize.adapters import transformers as adapter
from stepsize.adapters.transformers import StepsizeLRFinder, find_lr, lr_scheduler
from stepsize.training.probed import ProbeRun
from tests.adapters.small_language import InOrder, make_trainer, model
from tests.loops import same
from tests.report.samples import advice as sample_advice

QUICK: dict[str, Any] = {"budget": "0.1 runs", "lr_min": 2e-3, "lr_max": 0.1, "seeds": 1, "progress": False}


class Stop(Exception):  # noqa: N818 - it is no error
    """Leaves a search once its probe has been looked at."""


class Rates(transformers.TrainerCallback):
    """The rate of every update."""

    def __init__(self) -> None:
        self.seen: list[list[float]] = []

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        self.seen.append([group["lr"] for group in given["optimizer"].param_groups])


def picture(trainer: Any) -> list[Any]:
    """Everything that a search could have changed, to be compared with `same`."""
    held = [vars(one) for one in (trainer, trainer.callback_handler, trainer.accelerator, trainer.model)]
    plain = [{name: copy.copy(value) for name, value in each.items() if _plain(value)} for each in held]
    gradients = [(p.requires_grad, p.grad) for p in trainer.model.parameters()]
    told = [trainer.args.to_dict(), trainer.model.config.to_dict(), copy.deepcopy(vars(trainer.state))]
    weights = copy.deepcopy(trainer.model.state_dict())
    accelerator = copy.copy(vars(trainer.accelerator.gradient_state))
    return [plain, gradients, told, weights, accelerator, torch.get_rng_state(), trainer.model.training]


def _plain(value: Any) -> bool:
    return isinstance(value, (int, float, str, bool, list, dict, type(None)))


@pytest.mark.parametrize(
    "changes",
    [{}, {"bf16": True, "label_smoothing_factor": 0.0, "optim": "sgd"}],
    ids=["smoothed", "bfloat16"],
)
def test_losses_rates_and_horizon_are_those_of_the_trainers_own_loop(
    changes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calm = model()
    for part in calm.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    rates = Rates()
    real = make_trainer(
        tmp_path, kind=InOrder, callbacks=[rates], given={"model": copy.deepcopy(calm)}, **changes
    )
    real.train()
    found: dict[str, Any] = {}

    def spy(probe: ss.Probe, *, batches: Any, val: Any, steps: int, schedule: Any, **_: Any) -> None:
        run = ProbeRun(probe, batches, steps, val)
        values = np.array(rates.seen)[:, 0]
        history = ss.train(run, [ss.Member(float(values.max()), 0)], values, evaluate_at=[steps])
        found.update(history=history, steps=steps, schedule=schedule, batch_size=run.batch_size)
        raise Stop

    monkeypatch.setattr(adapter, "find_lr_of_probe", spy)
    with pytest.raises(Stop):
        find_lr(make_trainer(tmp_path, kind=InOrder, given={"model": calm}, **changes))
    assert found["steps"] == len(rates.seen) == 6
    assert found["batch_size"] == 16
    np.testing.assert_allclose(found["schedule"].values(6), np.array(rates.seen)[:, 0], rtol=1e-9)
    logged = [entry["loss"] for entry in real.state.log_history if "loss" in entry]
    np.testing.assert_allclose(found["history"].train_loss[0], logged, rtol=1e-5)
    held_out = [
        float(real.prediction_step(real.model.eval(), batch, prediction_loss_only=True)[0])
        for batch in real.get_eval_dataloader()
    ]
    np.testing.assert_allclose(found["history"].val_loss[0, -1], np.mean(held_out), rtol=1e-5)


def test_training_after_a_search_is_that_of_a_trainer_that_was_never_searched(tmp_path: Path) -> None:
    ends = []
    for searched in (False, True):
        trainer = make_trainer(tmp_path / "out", neftune_noise_alpha=5.0)
        torch.manual_seed(3)
        if searched:
            before = picture(trainer)
            advice = find_lr(trainer, **QUICK)
            assert not any("scheduler" in warning for warning in advice.warnings)
            assert same(before, picture(trainer))
            assert advice.status == "uncertain"  # six updates tell little
            assert advice.schedule_text.endswith("(warmup(2, zero_first=True) | linear().over(4))")
        trainer.train()
        losses = [entry.get("loss") for entry in trainer.state.log_history]
        ends.append([copy.deepcopy(trainer.model.state_dict()), losses, torch.get_rng_state()])
    assert same(ends[0], ends[1])


@pytest.mark.parametrize("given", [None, "rex"])
def test_the_callback_trains_at_the_advised_rates_and_a_run_that_goes_on_keeps_them(
    given: str | None, tmp_path: Path
) -> None:
    seen = []
    for start in (None, tmp_path / "checkpoint-3"):
        rates = Rates()
        trainer = make_trainer(tmp_path, save_strategy="epoch", save_only_model=False)
        finder = StepsizeLRFinder(trainer, schedule=given, **QUICK)
        for callback in (finder, rates):
            trainer.add_callback(callback)
        trainer.train(resume_from_checkpoint=None if start is None else str(start))
        seen.append(rates.seen)
        if start is None:
            assert finder.advice is not None
            expected = finder.advice.schedule.values(6)
            np.testing.assert_allclose(rates.seen, np.stack([expected, expected], axis=1), rtol=1e-9)
            assert trainer.args.learning_rate == finder.advice.lr
        else:
            assert finder.advice is None
    np.testing.assert_allclose(seen[1], seen[0][3:], rtol=1e-9)


@pytest.mark.parametrize(("text", "known"), [("0.003 * cosine()", True), ("0.003 * rex()", False)])
def test_an_advised_schedule_is_a_scheduler_that_a_trainer_takes(
    text: str, known: bool, tmp_path: Path
) -> None:
    advice = sample_advice(schedule_text=text, lr=0.003, steps=6, samples=None)
    net, rates = model(), Rates()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.003)
    scheduler = lr_scheduler(advice, optimizer)
    function = scheduler.lr_lambdas[0]
    assert (getattr(function, "func", function).__module__ == "transformers.optimization") is known
    given = {"model": net, "optimizers": (optimizer, scheduler)}
    make_trainer(tmp_path, callbacks=[rates], given=given).train()
    np.testing.assert_allclose(np.array(rates.seen)[:, 0], advice.schedule.values(6), rtol=1e-9)
    with pytest.raises(ValueError, match="advice must name a rate, but its status is 'flat'"):
        lr_scheduler(sample_advice(lr=None, status="flat"), optimizer)


def test_own_optimizers_no_held_out_set_and_the_processes_of_the_real_run(tmp_path: Path) -> None:
    net = model()
    head = [net.transformer.wte.weight]
    rest = [p for p in net.parameters() if p is not head[0]]
    groups: list[dict[str, Any]] = [{"params": head, "lr": 0.2}, {"params": rest}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    given = {"model": net, "optimizers": (optimizer, scheduler), "eval_dataset": None}
    trainer = make_trainer(tmp_path, given=given)
    before = copy.deepcopy([optimizer.state_dict(), scheduler.state_dict()])
    advice = find_lr(trainer, world_size=2, **QUICK)
    assert advice.batch_size == 8 * 2 * 2
    assert advice.steps == 2 * 2  # 40 sentences in updates of 32
    assert same(before, [optimizer.state_dict(), scheduler.state_dict()])
    assert trainer.optimizer is optimizer
    assert advice.loss_kind == "fresh training batches"
    assert advice.schedule_text.startswith("fixed")


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt()])
def test_an_error_or_ctrl_c_in_the_middle_changes_nothing(error: BaseException, tmp_path: Path) -> None:
    calls = [0]

    class Breaking(transformers.Trainer):
        def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
            calls[0] += 1
            if calls[0] == 40:
                raise error
            return super().compute_loss(*args, **kwargs)

    trainer = make_trainer(tmp_path, kind=Breaking)
    before = picture(trainer)
    if isinstance(error, KeyboardInterrupt):
        assert find_lr(trainer, **QUICK).status == "interrupted"
    else:
        with pytest.raises(RuntimeError, match="broken"):
            find_lr(trainer, **QUICK)
    assert same(before, picture(trainer))


def test_errors_name_the_argument_and_the_fix(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"trainer must be a transformers\.Trainer, but is a int"):
        find_lr(3)
    trainer = make_trainer(tmp_path)
    with pytest.raises(ValueError, match="world_size must be a whole number >= 1"):
        find_lr(trainer, world_size=0)
    with pytest.raises(ValueError, match="steps must be a whole number >= 1"):
        find_lr(trainer, steps=0)
    with pytest.raises(ValueError, match=r"eval_dataset must give .* none of the labels \['other'\]"):
        find_lr(make_trainer(tmp_path, label_names=["other"]), **QUICK)
    trainer.args._n_gpu = 4
    with pytest.raises(ValueError, match=r"runs on 4: .* pass world_size=4"):
        StepsizeLRFinder(trainer)
