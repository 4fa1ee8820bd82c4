"""Other libraries' range tests, as installed, with their own defaults and recommended calls."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

import stepsize as ss
from benchmarks.regret.finders import Answer, finder, usable
from benchmarks.regret.plain import criterion, loader
from benchmarks.regret.tasks import Case

LIGHTNING = "Lightning Tuner"
LIGHTNING_BEFORE = "Lightning before 2.5.3"
FASTAI = {
    "valley": "fastai valley (its default)",
    "minimum": "fastai minimum / 10",
    "steep": "fastai steep",
    "slide": "fastai slide",
}


@contextlib.contextmanager
def _quiet(seed: int) -> Iterator[str]:
    """Random numbers of a seed, no output, a folder for what is written."""
    with (
        tempfile.TemporaryDirectory() as folder,
        torch.random.fork_rng(devices=[]),
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        yield folder


@finder("torch-lr-finder", "torch-lr-finder", packages=("torch-lr-finder",))
def torch_lr_finder(case: Case, seed: int) -> dict[str, Answer]:
    """The README's call: from 1e-7 to 100 in 100 updates, the suggestion that `plot` makes."""
    import matplotlib.pyplot as plt
    from torch_lr_finder import LRFinder

    task = case.task(seed)
    with _quiet(seed):
        start = time.perf_counter()
        model = task.make_model(seed)
        search = LRFinder(model, task.make_optimizer(model, 1e-7), criterion(task), device="cpu")
        search.range_test(loader(task, seed), end_lr=100, num_iter=100)
        plotted = search.plot(suggest_lr=True, ax=plt.figure().gca())
        seconds = time.perf_counter() - start
        plt.close("all")
    lr, status = usable(plotted[1] if isinstance(plotted, tuple) else None)
    return {"torch-lr-finder": Answer(len(search.history["lr"]), seconds, lr=lr, status=status)}


@finder("lightning", LIGHTNING, LIGHTNING_BEFORE, packages=("lightning",))
def lightning_tuner(case: Case, seed: int) -> dict[str, Answer]:
    """`Tuner.lr_find` with its defaults; and on the same curve the suggestion of releases before 2.5.3."""
    import lightning
    from lightning.pytorch.tuner.tuning import Tuner

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    task = case.task(seed)
    with _quiet(seed) as folder:
        start = time.perf_counter()
        module = _lightning_module(task, seed)
        trainer = lightning.Trainer(
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
        )
        found = Tuner(trainer).lr_find(module, train_dataloaders=loader(task, seed))
        assert found is not None
        now = found.suggestion()
        seconds = time.perf_counter() - start
    updates = len(found.results["lr"])
    lr, status = usable(now)
    lr_before, status_before = usable(before_2_5_3(found.results["lr"], found.results["loss"]))
    return {
        LIGHTNING: Answer(updates, seconds, lr=lr, status=status),
        LIGHTNING_BEFORE: Answer(updates, seconds, lr=lr_before, status=status_before),
    }


def before_2_5_3(lrs: list[float], losses: list[float]) -> float | None:
    """Where the loss falls fastest per update, without the first 10, the last and non-finite ones."""
    kept = np.array(losses[10:-1])
    kept = kept[np.isfinite(kept)]
    return None if len(kept) < 2 else lrs[int(np.gradient(kept).argmin()) + 10]


def _lightning_module(task: ss.Task, seed: int) -> Any:
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.lr = 1e-3
            self.net = task.make_model(seed)

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            return task.loss(self.net, batch)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return task.make_optimizer(self.net, self.lr)

    return Module()


@finder("fastai", *FASTAI.values(), packages=("fastai",))
def fastai_rules(case: Case, seed: int) -> dict[str, Answer]:
    """`Learner.lr_find` with its defaults and all four of its suggestions."""
    from fastai.callback.schedule import minimum, slide, steep, valley
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner
    from fastai.optimizer import OptimWrapper

    task = case.task(seed)
    with _quiet(seed) as folder:
        start = time.perf_counter()
        model = task.make_model(seed)
        learner = Learner(
            DataLoaders(loader(task, seed), loader(task, seed)),
            model,
            loss_func=criterion(task),
            opt_func=lambda _, lr: OptimWrapper(opt=task.make_optimizer(model, lr)),
            path=folder,
        )
        found = learner.lr_find(show_plot=False, suggest_funcs=(minimum, steep, valley, slide))
        seconds = time.perf_counter() - start
    updates = len(learner.recorder.lrs)
    answers = {}
    for rule, name in FASTAI.items():
        lr, status = usable(getattr(found, rule))
        answers[name] = Answer(updates, seconds, lr=lr, status=status)
    return answers
