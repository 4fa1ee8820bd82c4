"""The DataLoader loop validates as often as the sweep, and its time is scaled to all runs."""

from __future__ import annotations

import pytest
import torch

from benchmarks.clock import Speed
from benchmarks.rivals import reference_net
from benchmarks.whole_sweep import EVALUATIONS, Images, Swept, every_run, loader_run, page, scaled


def images(count: int) -> Images:
    generator = torch.Generator().manual_seed(count)
    return torch.rand(count, 28, 28, generator=generator), torch.arange(count) % 10


@pytest.mark.parametrize("samples", [30, 33, 4])
def test_a_run_is_validated_twice_an_epoch_and_learns(samples: int) -> None:
    train = images(samples)
    found = loader_run(train, train, lr=0.5, batch_size=2, seed=0, epochs=3)
    assert len(found) == 3 * EVALUATIONS
    assert found[-1][0] < found[0][0]
    assert all(0 <= accuracy <= 1 for _, accuracy in found)


def test_validation_weighs_batches_by_their_samples() -> None:
    train, held = images(8), images(1500)  # in batches of 1024 and 476
    ((loss, accuracy),) = set(loader_run(train, held, lr=0.0, batch_size=8, seed=4, epochs=1))
    torch.manual_seed(4)
    with torch.no_grad():
        outputs = reference_net()(held[0].flatten(1))
    assert loss == pytest.approx(float(torch.nn.functional.cross_entropy(outputs, held[1])), rel=1e-5)
    assert accuracy == pytest.approx(float((outputs.argmax(1) == held[1]).float().mean()))


def test_epochs_are_scaled_to_all_runs() -> None:
    speeds = {16: Speed((0.5, 1.0)), 128: Speed((2.0, 2.0))}  # 2 s and 0.5 s an epoch, then 1 s and 0.5 s
    assert scaled(speeds, runs=3, epochs=4).per_second == pytest.approx((1 / 30, 1 / 18))


def test_the_page_gives_both_times_and_both_verdicts() -> None:
    text = page(
        Swept(seconds=100.0, peak=1_500_000_000, diverged=0),
        Speed((1 / 480, 1 / 480)),
        "Scaled.",
        images(3),
        images(2),
        10,
        "",
    )
    assert "36 runs of 10 epochs" in text
    assert "4.80× ±\xa00% | **not met** |" in text
    assert "1.50 GB | met |" in text
    assert "| `stepsize.sweep` | 100 | 1.50 GB |" in text
    assert "| DataLoader loop | 480 |" in text
    assert "{" not in text


def test_in_full_every_run_is_trained(capsys: pytest.CaptureFixture[str]) -> None:
    speed = every_run(images(4), images(2), epochs=1)
    assert len(capsys.readouterr().out.splitlines()) == 36
    assert speed.median > 0
