"""A loop of one's own with everything in it: mixed precision, accumulation, clipping, EMA, a scheduler.

The loop stays as it is. stepsize calls its step, finds the rate, and leaves everything as it was.
"""

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, TensorDataset

import stepsize as ss

ACCUMULATE = 2
UPDATES = 300

if __name__ == "__main__":
    digits = ss.datasets.mnist()
    data = TensorDataset(*(torch.from_numpy(a[:4000]) for a in digits.train))
    held_out = TensorDataset(*(torch.from_numpy(a[:1000]) for a in digits.validation))
    loader = DataLoader(data, batch_size=32, shuffle=True)

    model = nn.Sequential(
        nn.Flatten(), nn.Linear(784, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 10)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, UPDATES)
    scaler = torch.amp.GradScaler("cpu")
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.99))
    criterion = nn.CrossEntropyLoss()
    place = {"calls": 0}

    def train_step(batch: list[torch.Tensor]) -> torch.Tensor:
        """A micro-batch; every second call updates the weights."""
        model.train()
        x, y = batch
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = criterion(model(x), y)
        scaler.scale(loss / ACCUMULATE).backward()
        place["calls"] += 1
        if place["calls"] % ACCUMULATE == 0:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
            scheduler.step()
            average.update_parameters(model)
        return loss

    def held_out_loss(batch: list[torch.Tensor]) -> torch.Tensor:
        """What the averaged weights lose."""
        average.eval()
        return criterion(average(batch[0]), batch[1])

    probe = ss.Probe(
        step=train_step,
        state=[model, scheduler, scaler, average, place],
        optimizers=[optimizer],
        evaluate=held_out_loss,
        accumulate=ACCUMULATE,
    )
    advice = ss.find_lr(
        probe, batches=loader, val=DataLoader(held_out, batch_size=250), steps=UPDATES, schedule="cosine"
    )
    print(advice)

    assert place["calls"] == 0  # nothing has been trained yet, and the loop goes on as if never measured
    if advice.lr is not None:
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] = advice.lr
        scheduler.base_lrs = [advice.lr]
    losses = [float(train_step(batch).detach()) for _ in range(2) for batch in loader]
    print(f"trained from {losses[0]:.2f} to {sum(losses[-20:]) / 20:.2f}")
