"""Lightning: a module is trained in rehearsals as its Trainer trains it, and nothing of it is left."""

from __future__ import annotations

import copy
import os
import signal
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch
from torch import nn

import stepsize as ss
from stepsize.adapters import _lightning_find
from stepsize.adapters.lightning import StepsizeLRFinder, find_lr
from stepsize.training.probed import ProbeRun
from tests.adapters.lightning_modules import (
    SETTINGS,
    Adversarial,
    Classifier,
    OnDicts,
    Setting,
    WithSchedule,
    held_out,
    loader,
)
from tests.loops import same
from tests.tasks import digits

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*litlogger"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
    pytest.mark.filterwarnings("ignore:.*lr_scheduler.step"),  # Lightning's own first call, after a restart
]

QUICK: dict[str, Any] = {"budget": "0.1 runs", "lr_min": 3e-3, "lr_max": 30.0, "seeds": 1, "progress": False}


@pytest.fixture(params=list(SETTINGS.values()), ids=list(SETTINGS))
def setting(request: pytest.FixtureRequest) -> Setting:
    return request.param  # type: ignore[no-any-return]


def search(setting: Setting, trainer: Any, module: Any, **changes: Any) -> ss.Advice:
    return find_lr(trainer, module, **setting.data(), **{**QUICK, **setting.asked, **changes})


class Stop(Exception):  # noqa: N818 - it is no error
    """Leaves a search once its probe has been looked at."""


class Watched(lightning.Callback):
    """Losses and rates of a real fit."""

    def __init__(self, name: str | None = None) -> None:
        self.name = name
        self.losses: list[float] = []
        self.updates: list[int] = []
        self.rates: list[float] = []

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.name is not None:
            self.losses.append(float(trainer.callback_metrics[self.name]))
        else:
            self.losses.append(float(outputs["loss"]) * trainer.accumulate_grad_batches)
        self.updates.append(len(self.rates))

    def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: Any) -> None:
        largest = [max(group["lr"] for group in one.param_groups) for one in trainer.optimizers]
        if max(group["lr"] for group in optimizer.param_groups) == max(largest):
            self.rates.append(max(largest))

    def by_update(self) -> list[float]:
        """The mean loss of the batches of every update."""
        ends = np.flatnonzero(np.diff([0, *self.updates]))  # the batch that an update ends with
        return [float(np.mean(part)) for part in np.split(np.array(self.losses), ends[:-1] + 1)]


def test_losses_rates_and_horizon_are_those_of_the_trainers_own_fit(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(setting.asked.get("loss"))
    fitted = setting.module()
    real = setting.make_trainer(tmp_path / "real", callbacks=[watched])
    real.fit(fitted, **setting.data(shuffle=False))
    found: dict[str, Any] = {}

    def spy(probe: ss.Probe, *, batches: Any, val: Any, steps: int, schedule: Any, **_: Any) -> None:
        run = ProbeRun(probe, batches, steps, val)
        rates = np.array(watched.rates)
        history = ss.train(run, [ss.Member(float(rates.max()), 0)], rates, evaluate_at=[steps])
        found.update(history=history, steps=steps, schedule=schedule)
        raise Stop

    monkeypatch.setattr(_lightning_find, "find_lr", spy)
    trainer = setting.make_trainer(tmp_path / "searched")
    with pytest.raises(Stop):
        find_lr(trainer, setting.module(), **setting.data(shuffle=False), **setting.asked)
    assert found["steps"] == len(watched.rates)
    np.testing.assert_allclose(found["schedule"].values(len(watched.rates)), watched.rates, rtol=1e-9)
    np.testing.assert_allclose(found["history"].train_loss[0], watched.by_update(), rtol=1e-6)
    if setting.module is not Adversarial:
        expected = held_out_loss(fitted, bfloat16="precision" in setting.trainer)
        np.testing.assert_allclose(found["history"].val_loss[0, -1], expected, rtol=1e-6)


def held_out_loss(module: Any, *, bfloat16: bool) -> float:
    x, y, xv, yv = digits()
    x, y = (x[450:650], y[450:650]) if isinstance(module, OnDicts) else (xv[:200], yv[:200])
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        return float(nn.functional.cross_entropy(module.net(x), y))


def picture(trainer: Any, module: Any, *others: Any) -> list[Any]:
    """Everything that a search could have changed, to be compared with `same`."""
    loops = (trainer.fit_loop, trainer.fit_loop.epoch_loop, trainer.fit_loop.epoch_loop.val_loop)
    plain = [
        dict(vars(one)) for one in (trainer, trainer.strategy, trainer._logger_connector, *loops, *others)
    ]
    progress = copy.deepcopy(trainer.fit_loop.state_dict())
    attributes = {name: _copy(value) for name, value in vars(module).items()}
    weights = [p.clone() for p in (*module.parameters(), *module.buffers())]
    counted = [getattr(module, name).state_dict() for name in ("mean",) if hasattr(module, name)]
    lists = [list(trainer.callbacks), list(trainer.loggers)]
    return [plain, progress, attributes, weights, counted, lists, torch.get_rng_state(), os.listdir()]


def _copy(value: Any) -> Any:
    return value.get_state() if isinstance(value, torch.Generator) else copy.copy(value)


def test_a_fit_after_a_search_is_that_of_a_module_that_was_never_searched(
    setting: Setting, tmp_path: Path
) -> None:
    ends = []
    for searched in (False, True):
        folder = tmp_path / f"searched {searched}"
        module, trainer, data = setting.module(), setting.make_trainer(folder), setting.data()
        others = [data["datamodule"]] if setting.datamodule else []
        torch.manual_seed(3)
        if searched:
            before = picture(trainer, module, *others)
            handler = signal.getsignal(signal.SIGINT)
            advice = find_lr(trainer, module, **data, **QUICK, **setting.asked)
            assert same(before, picture(trainer, module, *others))
            assert signal.getsignal(signal.SIGINT) is handler
            assert not folder.exists()
            assert advice.status == setting.status
            assert advice.batch_size == 50 * trainer.accumulate_grad_batches
        trainer.fit(module, **data)
        kept = torch.load(trainer.checkpoint_callback.best_model_path, weights_only=True)
        del kept["callbacks"]  # paths of the folder
        logged = (folder / "metrics.csv").read_text()
        ends.append([copy.deepcopy(module.state_dict()), logged, kept, torch.get_rng_state()])
    assert same(ends[0], ends[1])


def test_hooks_of_the_module_are_called_in_rehearsals_and_its_lists_come_back(tmp_path: Path) -> None:
    seen: list[dict[str, int]] = []

    class Counting(WithSchedule):
        def count(self, hook: str) -> None:
            super().count(hook)
            seen.append(dict(self.calls))

    module = Counting()
    trainer = SETTINGS["accumulating"].make_trainer(tmp_path)
    search(SETTINGS["accumulating"], trainer, module)
    assert module.calls == {}
    assert module.losses == []
    most = {hook: max(calls.get(hook, 0) for calls in seen) for hook in seen[-1]}
    assert most["epoch start"] > most["epoch end"] > 0
    assert most["batch start"] > most["optimizer step"] == most["clipping"] > 0


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt()])
def test_an_error_or_ctrl_c_in_the_middle_changes_nothing(error: BaseException, tmp_path: Path) -> None:
    calls = [0]

    class Breaking(Classifier):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            calls[0] += 1
            if calls[0] == 30:
                raise error
            return super().training_step(batch, batch_idx)

    setting = Setting(Breaking)
    module, trainer = Breaking(), setting.make_trainer(tmp_path)
    handler = signal.getsignal(signal.SIGINT)
    before = picture(trainer, module)
    if isinstance(error, KeyboardInterrupt):
        assert search(setting, trainer, module).status == "interrupted"
    else:
        with pytest.raises(RuntimeError, match="broken"):
            search(setting, trainer, module)
    assert same(before, picture(trainer, module))
    assert signal.getsignal(signal.SIGINT) is handler


def test_every_group_of_every_optimizer_gets_its_share_of_the_advised_rate(tmp_path: Path) -> None:
    for name, share in (("dicts in bfloat16", [0.25, 1.0]), ("adversarial", [0.25, 1.0])):
        setting, watched = SETTINGS[name], Watched(SETTINGS[name].asked.get("loss"))
        finder = StepsizeLRFinder(**QUICK, **setting.asked)
        trainer = setting.make_trainer(tmp_path / name, callbacks=[finder, watched])
        trainer.fit(setting.module(), **setting.data())
        advice = finder.advice
        assert advice is not None
        assert advice.lr is not None
        np.testing.assert_allclose(watched.rates, advice.schedule.values(advice.steps), rtol=1e-6)
        groups = [group for one in trainer.optimizers for group in one.param_groups]
        peaks = [group.get("initial_lr", group["lr"]) for group in groups]
        np.testing.assert_allclose(peaks, np.array(share) * advice.lr, rtol=1e-9)


class Saved(lightning.Callback):
    """A checkpoint at the end of the first epoch."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        if trainer.current_epoch == 0:
            trainer.save_checkpoint(self.path)


@pytest.mark.parametrize("given", [None, "linear"])
def test_the_callback_trains_at_the_advised_rates_and_a_run_that_goes_on_keeps_them(
    given: str | None, tmp_path: Path
) -> None:
    setting, path = SETTINGS["accumulating"], tmp_path / "first.ckpt"
    rates = []
    for start in (None, path):
        watched, finder = Watched(), StepsizeLRFinder(schedule=given, **QUICK)
        callbacks = [finder, watched, *([Saved(path)] if start is None else [])]
        trainer = setting.make_trainer(tmp_path, callbacks=callbacks, logger=False)
        module = setting.module()
        trainer.fit(module, **setting.data(), ckpt_path=start)
        rates.append(watched.rates)
        if start is None:
            assert finder.advice is not None
            assert module.hparams["lr"] == finder.advice.lr
            expected = finder.advice.schedule.values(finder.advice.steps)
            np.testing.assert_allclose(watched.rates, expected, rtol=1e-6)
        else:
            assert finder.advice is None
    np.testing.assert_allclose(rates[1], rates[0][5:], rtol=1e-9)


def test_no_answer_leaves_the_rate_and_says_so(tmp_path: Path) -> None:
    class Deaf(Classifier):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return super().training_step(batch, batch_idx) * 0.0

    setting, finder = Setting(Deaf), StepsizeLRFinder(**{**QUICK, "lr_min": 0.1})
    module = Deaf()
    trainer = setting.make_trainer(tmp_path, callbacks=[finder], max_epochs=1)
    with pytest.warns(UserWarning, match="the learning rate is left as it is"):
        trainer.fit(module, **setting.data())
    assert trainer.optimizers[0].param_groups[0]["lr"] == module.hparams["lr"] == 0.05


def test_the_pytorch_lightning_package_does_as_well(tmp_path: Path) -> None:
    import pytorch_lightning

    class Small(pytorch_lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(1)
            self.net, self.lr = nn.Linear(196, 10), 0.1

        def training_step(self, batch: Any) -> torch.Tensor:
            return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=self.lr)

    finder = StepsizeLRFinder(**QUICK)
    arguments: dict[str, Any] = {
        "accelerator": "cpu",
        "max_steps": 12,
        "logger": False,
        "enable_checkpointing": False,
    }
    arguments |= {"enable_progress_bar": False, "enable_model_summary": False}
    trainer = pytorch_lightning.Trainer(**arguments, callbacks=[finder])
    module = Small()
    advice = find_lr(pytorch_lightning.Trainer(**arguments), module, train_dataloaders=loader(), **QUICK)
    trainer.fit(module, loader())
    assert finder.advice is not None
    assert advice.loss_kind == "fresh training batches"
    assert module.lr == pytest.approx(finder.advice.lr)


class TwoLosses(Classifier):
    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log_dict({"loss/a": torch.zeros(()), "loss/b": torch.zeros(())})


class NeverSteps(Adversarial):
    def training_step(self, batch: Any, batch_idx: int) -> None:
        self.log("told", torch.zeros(()))


class Skips(Classifier):
    def on_train_batch_start(self, batch: Any, batch_idx: int) -> int:
        return -1


class Irregular(Classifier):
    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.05)
        draw = np.random.default_rng(0).random(100)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: float(draw[t]))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


@pytest.mark.parametrize(
    ("module", "trainer", "asked", "kind", "words"),
    [
        (Adversarial, {}, {}, ValueError, r"training_step must return the loss.*it logs \['made', 'told'\]"),
        (Adversarial, {}, {"loss": "tld"}, ValueError, r"loss must be a name that training_step logs.*'tld'"),
        (Classifier, {}, {"monitor": "acc"}, ValueError, r"monitor must be a name .* it logs \['val_loss'\]"),
        (TwoLosses, {}, {}, ValueError, r"monitor must name the held-out loss.*\['loss/a', 'loss/b'\]"),
        (NeverSteps, {}, {"loss": "told"}, ValueError, "training_step must step the optimizers"),
        (Skips, {}, {}, ValueError, "on_train_batch_start must not return -1"),
        (
            Irregular,
            {"max_epochs": 5},
            {},
            ValueError,
            "schedule must be given, since the rates of LambdaLR have no form",
        ),
        (
            Classifier,
            {"max_epochs": -1},
            {},
            ValueError,
            "steps must be given, since the Trainer runs without",
        ),
        (Classifier, {"max_epochs": 0}, {}, ValueError, "trainer must have something to fit"),
        (Classifier, {}, {"steps": 0}, ValueError, "steps must be a whole number >= 1"),
        (Classifier, {}, {"budjet": "1 run"}, TypeError, "budjet"),
    ],
)
def test_errors_name_the_argument_and_the_fix(
    module: Any,
    trainer: dict[str, Any],
    asked: dict[str, Any],
    kind: type[Exception],
    words: str,
    tmp_path: Path,
) -> None:
    setting = Setting(module, trainer, asked=asked)
    given, own = setting.make_trainer(tmp_path), module()
    before = picture(given, own)
    with pytest.raises(kind, match=words):
        find_lr(given, own, train_dataloaders=loader(), val_dataloaders=held_out(), **asked)
    assert same(before, picture(given, own))


def test_a_schedule_that_is_given_spares_reading_the_modules_own(tmp_path: Path) -> None:
    trainer = Setting(Irregular).make_trainer(tmp_path, max_steps=6)
    advice = find_lr(trainer, Irregular(), train_dataloaders=loader(), schedule="fixed", **QUICK)
    assert advice.schedule_text.startswith("fixed")


def test_a_loader_that_cannot_be_read_again_is_refused(tmp_path: Path) -> None:
    trainer = Setting(Classifier).make_trainer(tmp_path, max_steps=5)
    with pytest.raises(TypeError, match=r"a loader is a generator, .* ss.Replay"):
        find_lr(trainer, Classifier(), train_dataloaders=(batch for batch in loader()))
    replay = ss.Replay(batch for batch in loader())
    advice = find_lr(trainer, Classifier(), train_dataloaders=replay, val_dataloaders=held_out(), **QUICK)
    assert advice.steps == 5
    assert len(list(replay)) == 9


def test_a_trainer_with_several_devices_is_refused(tmp_path: Path) -> None:
    trainer = Setting(Classifier).make_trainer(tmp_path)
    trainer.strategy.world_size = 2
    with pytest.raises(ValueError, match=r"one device .* has 2: .*accumulate_grad_batches=2"):
        find_lr(trainer, Classifier(), train_dataloaders=loader())


def test_manual_optimization_takes_no_schedule_and_needs_a_rate_to_set(tmp_path: Path) -> None:
    class Stepping(Adversarial):
        def training_step(self, batch: Any, batch_idx: int) -> None:
            super().training_step(batch, batch_idx)
            schedulers: Any = self.lr_schedulers()
            for scheduler in schedulers:
                scheduler.step()

        def configure_optimizers(self) -> Any:
            optimizers = super().configure_optimizers()
            return optimizers, [torch.optim.lr_scheduler.ExponentialLR(one, 0.99) for one in optimizers]

    for finder, words in (
        (StepsizeLRFinder(schedule="cosine", loss="told", **QUICK), "schedule must be None with manual"),
        (StepsizeLRFinder(loss="told", **QUICK), "the module must have an attribute lr"),
    ):
        trainer = Setting(Stepping).make_trainer(tmp_path, callbacks=[finder], logger=False)
        with pytest.raises(ValueError, match=words):
            trainer.fit(Stepping(), loader())
    assert finder.advice is not None
    assert "exp" in finder.advice.schedule_text


def test_no_trainer_is_refused() -> None:
    with pytest.raises(TypeError, match=r"trainer must be a lightning\.Trainer, but is a dict"):
        find_lr({}, Classifier())
