"""The page of the engine's benchmark: tables of times and ratios, and a verdict for every target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.clock import Speed
from benchmarks.table import header, row
from benchmarks.targets import Target

OVER_FLOOR = {16: 2.0, 32: 2.0, 128: 1.35}
"""Largest time, in floors, by batch size. These targets were set before the measurement."""

OVER_PLAIN = {16: 4.0, 32: 4.0, 128: 2.5}
OVER_LOADER = 5.0
OVER_JAX = 1.0
LONG = 2000
"""Updates from which on compile time is part of the comparison with JAX."""

FEW, MANY = 16, 64
"""A member of the many may cost no more than one of the few; the targets hold from the few on."""

RIVALS = ("plain loop", "DataLoader loop", "Lightning", "JAX", "compiled JAX", "floor")
TIMES = header("net", ["batch", "members", "updates × turns", "stepsize", *RIVALS])
RATIOS = header("net", ["batch", "members", *(f"÷ {name}" for name in RIVALS)])

PAGE = """\
# Benchmarks

How fast `stepsize` trains many members at once. The unit is the member-update: one update of one model. An
ordinary loop trains one model at a time, so its speed does not depend on the number of members. A figure is
the median over turns that all rivals take one after the other; ± is half the distance between the extremes,
as a share of the median.

## Targets

Set-up, recording and compiling are part of the time of `stepsize` and of JAX. The small CNN trains for fewer
than {long:,} updates, over which compiling would weigh too much: there the rival is compiled JAX.

{targets}

## Times

Microseconds per member-update. Updates are those of one call of `stepsize`.

{times}

## Ratios

How many times as fast `stepsize` is: its member-updates per second over the rival's, turn by turn.

{ratios}

## What is compared

- **stepsize**: one call of `stepsize.train`, its set-up included and nothing evaluated. Whatever torch
  compiles it compiles anew in every turn.
- **JAX**: `vmap` over the members and `lax.scan` over the updates in one jitted call, data resident, batches
  gathered inside the scan; compile time included, in every turn. **Compiled JAX**: the same without it. Run
  for 1/{share} of the updates, whose time is multiplied. The convolutions are products of unfolded images,
  which is several times as fast here as JAX's own.
- **plain loop**: one model at a time, batches sliced by index from tensors in memory.
- **DataLoader loop**: the same, fed by a shuffling `DataLoader` without workers.
- **Lightning**: its Trainer in `barebones` mode (no logging, checkpoints, progress bar or checks), fed by the
  plain loop's slices; the steady speed, from update {lightning} to the last.
- **floor**: the matrix products of the same updates and nothing else, in the fastest of several arrangements;
  convolutions count as products of images that were unfolded beforehand.

The nets are 784-64-16-10 (Linear, sigmoid, Linear, tanh, Linear) and a small CNN (two 3 × 3 convolutions of 8
and 16 channels, each with ReLU and pooling, and a Linear), with cross-entropy and plain SGD, on all of MNIST.

## Measured

{circumstances}
"""


@dataclass(frozen=True)
class Measured:
    """Speeds in member-updates, of one net at one batch size and number of members."""

    net: str
    batch_size: int
    members: int
    updates: int
    stepsize: Speed
    jax: Speed
    jax_compiled: Speed
    plain: Speed
    loader: Speed
    lightning: Speed
    floor: Speed

    @property
    def rivals(self) -> tuple[Speed, ...]:
        """In the order of `RIVALS`."""
        return self.plain, self.loader, self.lightning, self.jax, self.jax_compiled, self.floor


def time_row(m: Measured) -> str:
    speeds = (m.stepsize, *m.rivals)
    length = f"{m.updates:,} × {len(m.stepsize.per_second)}"
    return _row(m, [length, *(_with_spread(f"{speed.microseconds:,.0f}", speed) for speed in speeds)])


def ratio_row(m: Measured) -> str:
    ratios = [m.stepsize.over(rival) for rival in m.rivals]
    return _row(m, [_with_spread(f"{ratio.median:.2f}", ratio) for ratio in ratios])


def target_rows(measured: Sequence[Measured]) -> list[str]:
    """A row for each target of each case with `FEW` members and more."""
    rows = [
        target.row(ratio.median, ratio.spread)
        for m in measured
        if m.members >= FEW
        for target, ratio in _targets(m)
    ]
    by_case = {(m.net, m.batch_size, m.members): m for m in measured}
    for (net, batch_size, members), many in by_case.items():
        few = by_case.get((net, batch_size, FEW))
        if members == MANY and few is not None:
            what = f"{net}, batch {batch_size}: a member's time among {MANY}, over that among {FEW}"
            ratio = few.stepsize.over(many.stepsize)
            rows.append(Target(what, 1.0, at_most=True, unit="×").row(ratio.median, ratio.spread))
    return rows


def _targets(m: Measured) -> Iterator[tuple[Target, Speed]]:
    case = f"{m.net}, batch {m.batch_size}, {m.members} members"
    if m.batch_size in OVER_FLOOR:
        limit = OVER_FLOOR[m.batch_size]
        yield Target(f"{case}: time, over the floor's", limit, True, "×"), m.floor.over(m.stepsize)
    if m.batch_size in OVER_PLAIN:
        limit = OVER_PLAIN[m.batch_size]
        yield Target(f"{case}: speed, over the plain loop's", limit, unit="×"), m.stepsize.over(m.plain)
    yield (
        Target(f"{case}: speed, over the DataLoader loop's", OVER_LOADER, unit="×"),
        m.stepsize.over(m.loader),
    )
    jax, name = (m.jax, "JAX's") if m.updates >= LONG else (m.jax_compiled, "compiled JAX's")
    yield Target(f"{case}: speed, over {name}", OVER_JAX, unit="×"), m.stepsize.over(jax)


def _with_spread(figure: str, speed: Speed) -> str:
    return f"{figure} ±\N{NO-BREAK SPACE}{speed.spread:.0%}"


def _row(m: Measured, cells: list[str]) -> str:
    return row(m.net, m.batch_size, m.members, *cells)
