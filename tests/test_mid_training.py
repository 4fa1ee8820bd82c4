"""Measurements from the middle of a user's own loop: in a pass, with a scheduler and Adam's averages."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import stepsize as ss
from tests.loops import fresh_net, held_out, same
from tests.tasks import digits


def trained(at: int | None) -> tuple[list[Any], list[Any]]:
    """A loop over one pass and a half, measured after `at` updates or never: losses and ends, and results."""
    torch.manual_seed(2)
    x, y, _, _ = digits()
    order = torch.Generator().manual_seed(5)
    data = TensorDataset(x[:600], y[:600])
    loader = DataLoader(data, batch_size=50, shuffle=True, generator=order)
    model = nn.Sequential(fresh_net(), nn.Dropout(0.1))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 18)

    def step(batch: Any) -> torch.Tensor:
        model.train()
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        scheduler.step()
        return loss

    def evaluate(batch: Any) -> torch.Tensor:
        model.eval()
        return nn.functional.cross_entropy(model(batch[0]), batch[1])

    probe = ss.Probe(step, [model, scheduler, order], optimizer, evaluate=evaluate)
    given: dict[str, Any] = {"batches": loader, "val": held_out(), "steps": 12}
    log: list[Any] = []
    found: list[Any] = []
    for _ in range(2):
        for batch in loader:
            log.append((step(batch).item(), optimizer.param_groups[0]["lr"]))
            if len(log) == at:
                found.append(ss.find_lr(probe, **given, schedule="linear", lr_min=1e-5, budget="1 run"))
                found.append(ss.noise_scale(probe, 3e-3, **given, checkpoints=[0, 5], examples=200))
                found.append(ss.sweep(probe, [1e-3, 3e-3], **given, seeds=1))
            if len(log) == 18:
                break
    ends = [model.state_dict(), optimizer.state_dict(), scheduler.state_dict(), torch.rand(2)]
    return [log, ends], found


def test_the_loop_goes_on_bit_for_bit() -> None:
    left_alone, _ = trained(None)
    measured, (advice, noise, runs) = trained(7)
    assert same(left_alone, measured)
    assert advice.status == "ok"
    assert noise.kind == "preconditioned"
    assert [point.update for point in noise.points] == [0, 5]
    start = {float(run.val_loss[0]) for run in runs.runs}
    assert start == {advice.start_loss} == {noise.points[0].loss}
