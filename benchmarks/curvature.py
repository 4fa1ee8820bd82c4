"""Both ends of the Hessian's spectrum: Lanczos on recorded products, against curvlinops with SciPy.

python -m benchmarks.curvature            # under a minute; writes benchmarks/curvature.md
python -m benchmarks.curvature --quick    # a small net, one turn: writes nothing
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.sparse.linalg import eigsh
from torch import nn

import stepsize as ss
from benchmarks.clock import Rival, circumstances, race, stopwatch
from benchmarks.rivals import MakeNet, reference_net, small_cnn
from benchmarks.table import header, row
from stepsize.estimate.lanczos import spectrum_ends
from stepsize.measure.operators import Surface
from stepsize.training.trace import Traced

RESULTS = Path(__file__).with_name("curvature.md")
TOLERANCE = 1e-3
SAMPLES = 1024

PAGE = """\
# Curvature

<!-- --8<-- [start:table] -->
Smallest and largest eigenvalue of the Hessian at the starting weights, {samples} images of MNIST, residuals
within {tolerance:g} of the largest: `spectrum_ends` on recorded products, recording included, against
`eigsh` on curvlinops' operator, once for each end. Speed, as a multiple of the rival's; median of {turns}
turns.

{table}

{circumstances}
<!-- --8<-- [end:table] -->
"""


def ours(task: ss.Task, model: nn.Module, batch: tuple[torch.Tensor, ...]) -> tuple[float, float]:
    """Both ends, smallest first."""
    surface = Surface(task, model, batch)
    product = Traced(surface.hessian_product)
    ends = spectrum_ends(
        lambda v: product(torch.from_numpy(v).float()).double().numpy(),
        surface.size,
        generator=np.random.default_rng(0),
        tolerance=TOLERANCE,
    )
    return ends.smallest, ends.largest


def theirs(model: nn.Module, batch: tuple[torch.Tensor, ...]) -> tuple[float, float]:
    """Both ends, smallest first."""
    import curvlinops

    operator = curvlinops.HessianLinearOperator(
        model, nn.CrossEntropyLoss(), list(model.parameters()), [batch], check_deterministic=False
    ).to_scipy()
    ends = [
        eigsh(operator, k=1, which=which, tol=TOLERANCE, return_eigenvectors=False) for which in ("SA", "LA")
    ]
    return float(ends[0][0]), float(ends[1][0])


def measured(make: MakeNet, images: torch.Tensor, labels: torch.Tensor, turns: int) -> tuple[str, ...]:
    """Cells of a row: both answers and the ratio of speeds."""
    task = ss.Task(
        make,
        ss.supervised(nn.CrossEntropyLoss()),
        (images, labels),
        optimizer=torch.optim.SGD,
        batch_size="full",
        steps=1,
    )
    model = task.make_model(0)
    calls: dict[str, Callable[[], tuple[float, float]]] = {
        "ours": lambda: ours(task, model, (images, labels)),
        "theirs": lambda: theirs(model, (images, labels)),
    }
    speeds = race({name: Rival(stopwatch(call), 1.0) for name, call in calls.items()}, turns)
    ratio = speeds["ours"].over(speeds["theirs"])
    ends = {name: call() for name, call in calls.items()}
    return (
        *(f"{low:.4g}, {high:.4g}" for low, high in ends.values()),
        f"{1 / speeds['ours'].median:.2f} s",
        f"{1 / speeds['theirs'].median:.2f} s",
        f"{ratio.median:.1f} ± {ratio.spread:.0%}",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the ends of the Hessian's spectrum.")
    parser.add_argument("--quick", action="store_true", help="one small look; writes nothing")
    quick = parser.parse_args().quick
    warnings.simplefilter("ignore", DeprecationWarning)  # torch's own, of its forward mode
    digits = ss.datasets.mnist()
    count, turns = (64, 1) if quick else (SAMPLES, 5)
    x, y = torch.from_numpy(digits.train.images[:count]), torch.from_numpy(digits.train.labels[:count])
    nets = {"784-64-16-10": (reference_net, x.flatten(1)), "small CNN": (small_cnn, x.reshape(-1, 1, 28, 28))}
    lines = [header("net", ["stepsize", "curvlinops", "stepsize", "curvlinops", "speed, over the rival's"])]
    lines += [row(name, *measured(make, images, y, turns)) for name, (make, images) in nets.items()]
    text = PAGE.format(
        samples=f"{count:,}",
        tolerance=TOLERANCE,
        turns=turns,
        table="\n".join(lines),
        circumstances=circumstances("python -m benchmarks.curvature", "curvlinops-for-pytorch"),
    )
    print(text)
    if not quick:
        RESULTS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
