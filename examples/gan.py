"""Two optimizers in one loop: a small GAN. One rate is searched, and the other keeps its proportion to it.

A GAN's own losses say little about what it makes, so rates are judged by the energy distance between made and
held-out images (Székely & Rizzo 2013), which is zero only where the two distributions are one.
"""

import torch
from torch import nn
from torch.utils.data import DataLoader

import stepsize as ss

NOISE = 16


def energy_distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """2 E|a − b| − E|a − a'| − E|b − b'| of samples (n, d) and (m, d)."""
    within = torch.pdist(a).mean() + torch.pdist(b).mean()
    return 2 * torch.cdist(a, b).mean() - within


if __name__ == "__main__":
    digits = ss.datasets.mnist()
    images, held_out = (
        torch.from_numpy(split.images[:2000, ::2, ::2]).flatten(1)
        for split in (digits.train, digits.validation)
    )
    loader = DataLoader(images, batch_size=64, shuffle=True, drop_last=True)  # type: ignore[arg-type]

    torch.manual_seed(0)
    maker = nn.Sequential(nn.Linear(NOISE, 64), nn.ReLU(), nn.Linear(64, 196), nn.Sigmoid())
    judge = nn.Sequential(nn.Linear(196, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))
    makes = torch.optim.Adam(maker.parameters(), lr=1e-4, betas=(0.5, 0.999))
    judges = torch.optim.Adam(judge.parameters(), lr=4e-4, betas=(0.5, 0.999))
    right = nn.BCEWithLogitsLoss()

    def step(real: torch.Tensor) -> torch.Tensor:
        """One update of each net."""
        yes, no = torch.ones(len(real), 1), torch.zeros(len(real), 1)
        fake = maker(torch.randn(len(real), NOISE))
        judges.zero_grad()
        told = right(judge(real), yes) + right(judge(fake.detach()), no)
        told.backward()
        judges.step()
        makes.zero_grad()
        right(judge(fake), yes).backward()
        makes.step()
        return told

    probe = ss.Probe(
        step,
        state=[maker, judge],
        optimizers=[makes, judges],
        evaluate=lambda real: energy_distance(maker(torch.randn(len(real), NOISE)), real),
        name="gan",
    )
    advice = ss.find_lr(probe, batches=loader, val=held_out.split(250), steps=600)
    print(advice)
    if advice.lr is not None:
        print(f"judge {advice.lr:.2g}, maker {advice.lr / 4:.2g}")
