"""Random numbers of a run: seeded as torch itself would, and put back."""

from __future__ import annotations

import numpy as np
import torch

from stepsize._rng import capture_rng, isolated_rng, restore_rng, same_rng, seed_rng


def test_a_seed_gives_the_numbers_that_torch_gives_for_it() -> None:
    outside = capture_rng()
    try:
        seed_rng(11)
        ours = torch.rand(3)
        torch.manual_seed(11)
        assert torch.equal(ours, torch.rand(3))
    finally:
        restore_rng(outside)


def test_what_a_block_draws_is_not_seen_outside() -> None:
    before = capture_rng()
    with isolated_rng(5):
        drawn = torch.rand(2).tolist(), np.random.random()
    assert same_rng(before, capture_rng())
    with isolated_rng(5):
        assert drawn == (torch.rand(2).tolist(), np.random.random())
