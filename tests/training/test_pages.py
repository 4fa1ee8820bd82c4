"""Freed memory is kept while training, and given back afterwards."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

import stepsize as ss
from stepsize.training import engine, pages
from stepsize.training.memory import footprint
from stepsize.training.stack import Stack
from tests.tasks import digits_task

ALONE = """
import resource
import torch
from stepsize.training import pages

def faults(updates, size):
    "Pages fetched while two blocks of `size` floats are made and let go in every update."
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(updates):
        first, second = torch.ones(size), torch.ones(size)
        del first, second
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

size = 7 * 2**20  # of 4 bytes: 28 MB, less than what is always mapped
with pages.kept_pages():
    faults(5, size)
    print(faults(20, size) * resource.getpagesize() / (size * 4))
"""
"""What is run in a process of its own: whatever else a process did may stand in the way of a block."""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator is meant")
def test_pages_are_fetched_once_inside() -> None:
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 1  # not even one of forty blocks


def test_afterwards_memory_is_given_back_again(monkeypatch: pytest.MonkeyPatch) -> None:
    thresholds: dict[int, int] = {}
    monkeypatch.setattr(pages, "_mallopt", lambda: lambda name, value: thresholds.update({name: value}))

    def fail() -> None:
        assert thresholds == {pages.M_MMAP_THRESHOLD: pages.MAPPED, pages.M_TRIM_THRESHOLD: pages.NEVER}
        raise MemoryError

    with pytest.raises(MemoryError), pages.kept_pages():
        fail()
    assert thresholds[pages.M_TRIM_THRESHOLD] == 2 * pages.MAPPED


def test_without_glibc_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "_mallopt", lambda: None)
    with pages.kept_pages():
        assert torch.ones(2).sum() == 2


def test_a_stack_holds_no_tensor_that_is_always_mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    task = digits_task(steps=4)
    rates = np.tile(np.geomspace(0.01, 1, 6)[:, None], (1, 4))
    members = [ss.Member(lr=rate, seed=0) for rate in rates[:, 0]]
    whole = ss.train(task, members, rates, evaluate_at=[4])
    sizes: list[int] = []
    advance = Stack.advance

    def noted(self: Stack, count: int) -> None:
        sizes.append(len(self.alive))
        advance(self, count)

    monkeypatch.setattr(Stack, "advance", noted)
    largest = footprint(task, task.make_model(0), task.trial_batch(task.batch_size)).largest
    monkeypatch.setattr(engine, "MAPPED", 2 * largest)
    assert ss.train(task, members, rates, evaluate_at=[4]).val_loss == pytest.approx(whole.val_loss, rel=1e-5)
    assert set(sizes) == {2}
    sizes.clear()
    monkeypatch.setattr(engine, "MAPPED", largest)  # one member alone would be mapped too: nothing to gain
    ss.train(task, members, rates)
    assert set(sizes) == {6}
