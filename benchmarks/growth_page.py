"""The page of growth: tables over members, batch sizes and widths, and the lines that explain them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.line import Line, fit, straight
from benchmarks.rivals import WIDTHS
from benchmarks.table import header, row

BYTES = 4
"""float32."""

PAGE = """\
# Growth

What more members, larger batches and wider nets cost: the reference net, {net} with plain SGD, trained as one
stack. Times are those of a run under way, its set-up left out: `train` reports its progress every so many
updates, and the median between reports counts. Memory is the peak of a process (its largest resident set,
`ru_maxrss`) above what it held before, the data included; every figure comes from a process of its own.

## Members

{members}

## The slope

An update costs something fixed, and something for each member: time = fixed + members · each. The lines are
those of the least squares of relative errors.

{lines}

- **Fixed**: drawing the batch, starting the kernels one by one, noting the losses. None of it grows with the
  members, which is why few members are far from the floor and many come near it.
- **Each**: a member's matrix products, {flops:,} operations a sample, and its weights and gradients,
  {weights:.2f} MB, which every update reads and writes.
- **Bends**: the number of members whose time is the first to lie more than a quarter above the line through
  all smaller ones. {caches}

Memory grows in a straight line too:

{memory}

## Batch size

{few} members.

{batches}

## Width

Batch {batch}; as many sigmoid units as given. Lines as above, through {counts} members.

{widths}

Operations per second are those of the matrix products alone, at {most} members. Where they stop growing with
the width, the products themselves are what costs; where they are few, starting kernels and moving weights is.

## Measured

{circumstances}
"""


@dataclass(frozen=True)
class Point:
    """One configuration: seconds per update of all members, and peak memory in bytes above the data."""

    seconds: float
    peak: int


Points = Mapping[tuple[int, int, int], Point]
"""By members, batch size and hidden units."""


def weights_bytes(hidden: int) -> int:
    """Weights and biases of one member."""
    inputs, _, second, outputs = WIDTHS
    return BYTES * ((inputs + 1) * hidden + (hidden + 1) * second + (second + 1) * outputs)


def operations(hidden: int) -> int:
    """Multiplications and additions of one member's products, for a sample of an update.

    Each product three times (forward, both gradients), but the first layer's twice: nobody asks for the
    gradient of the data.
    """
    inputs, _, second, outputs = WIDTHS
    return 2 * (2 * inputs * hidden + 3 * (hidden * second + second * outputs))


def page(points: Points, plain: Mapping[int, float], few: int, batch: int, circumstances: str) -> str:
    """All tables, as Markdown; `plain` holds the plain loop's seconds per update by batch size."""
    hidden = WIDTHS[1]
    swept = _counts(points, hidden)
    whole = {size: counts for size, counts in swept.items() if len(counts) > 1}
    at_few = [size for size, counts in swept.items() if few in counts]
    widths = sorted({width for _, size, width in points if size == batch})
    counts = _counts(points, widths[0])[batch]
    return PAGE.format(
        net="-".join(map(str, WIDTHS)),
        members="\n\n".join(
            members_table(points, size, counts, plain[size]) for size, counts in whole.items()
        ),
        lines=lines_table(points, whole),
        flops=operations(hidden),
        weights=2 * weights_bytes(hidden) / 1e6,
        caches=_caches(2 * weights_bytes(hidden)),
        memory=memory_table(points, whole),
        few=few,
        batch=batch,
        batches=batches_table(points, few, at_few, plain),
        counts=", ".join(map(str, counts)),
        most=counts[-1],
        widths=widths_table(points, batch, widths, counts),
        circumstances=circumstances,
    )


def _counts(points: Points, hidden: int) -> dict[int, list[int]]:
    """Numbers of members by batch size."""
    sizes = sorted({size for _, size, width in points if width == hidden})
    return {size: sorted(k for k, b, w in points if b == size and w == hidden) for size in sizes}


def members_table(points: Points, batch_size: int, counts: Sequence[int], plain: float) -> str:
    lines = [
        f"Batch {batch_size}:\n",
        header("members", ["ms per update", "µs per member-update", "÷ plain loop", "peak, MB"]),
    ]
    for k in counts:
        point = points[k, batch_size, WIDTHS[1]]
        lines.append(row(k, f"{1e3 * point.seconds:.2f}", *_per_member(point, k, plain), _mb(point.peak)))
    return "\n".join(lines)


def batches_table(points: Points, few: int, sizes: Sequence[int], plain: Mapping[int, float]) -> str:
    lines = [header("batch", ["µs per member-update", "µs per sample", "÷ plain loop", "peak, MB"])]
    for size in sizes:
        point = points[few, size, WIDTHS[1]]
        spent, ratio = _per_member(point, few, plain[size])
        lines.append(row(size, spent, f"{1e6 * point.seconds / few / size:.2f}", ratio, _mb(point.peak)))
    return "\n".join(lines)


def lines_table(points: Points, whole: Mapping[int, Sequence[int]]) -> str:
    names = [
        "fixed, µs per update",
        "each, µs per member",
        "largest misfit",
        "bends",
        "µs per member, at most",
    ]
    lines = [header("batch", [*names, "members"])]
    for size, counts in whole.items():
        seconds = [points[k, size, WIDTHS[1]].seconds for k in counts]
        end = straight(counts, seconds)
        line = fit(counts[:end], seconds[:end])
        lines.append(
            row(
                size,
                *_microseconds(line),
                f"{line.misfit(counts[:end], seconds[:end]):.0%}",
                "no" if end == len(counts) else f"at {counts[end]}",
                f"{1e6 * max(s / k for k, s in zip(counts[end:], seconds[end:], strict=True)):.0f}"
                if end < len(counts)
                else "",
                f"{counts[0]} to {counts[end - 1]}",
            )
        )
    return "\n".join(lines)


def memory_table(points: Points, whole: Mapping[int, Sequence[int]]) -> str:
    lines = [header("batch", ["fixed, MB", "each member, MB", "largest misfit"])]
    for size, counts in whole.items():
        peaks = [float(points[k, size, WIDTHS[1]].peak) for k in counts]
        line = fit(counts, peaks)
        misfit = f"{line.misfit(counts, peaks):.0%}"
        lines.append(row(size, _mb(line.fixed), f"{line.each / 1e6:.2f}", misfit))
    return "\n".join(lines)


def widths_table(points: Points, batch: int, widths: Sequence[int], counts: Sequence[int]) -> str:
    names = ["a member's weights, MB", "fixed, µs per update", "each, µs per member", "largest misfit"]
    lines = [header("hidden units", [*names, "10⁹ operations per second", "each member, peak MB"])]
    for width in widths:
        found = [points[k, batch, width] for k in counts]
        seconds = [point.seconds for point in found]
        line = fit(counts, seconds)
        speed = operations(width) * batch * counts[-1] / seconds[-1]
        lines.append(
            row(
                width,
                f"{weights_bytes(width) / 1e6:.2f}",
                *_microseconds(line),
                f"{line.misfit(counts, seconds):.0%}",
                f"{speed / 1e9:.0f}",
                f"{fit(counts, [float(point.peak) for point in found]).each / 1e6:.2f}",
            )
        )
    return "\n".join(lines)


def _per_member(point: Point, members: int, plain: float) -> tuple[str, str]:
    each = point.seconds / members
    return f"{1e6 * each:.0f}", f"{plain / each:.1f}"


def _microseconds(line: Line) -> tuple[str, str]:
    return f"{1e6 * line.fixed:.0f}", f"{1e6 * line.each:.1f}"


def _mb(size: float) -> str:
    return f"{size / 1e6:.0f}"


def _caches(each: int) -> str:
    """How many members' weights and gradients the caches of this machine hold, as a sentence."""
    found = []
    for level in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        number, size = ((level / name).read_text().strip() for name in ("level", "size"))
        if number != "1":  # too small for one member
            held = int(size.removesuffix("K")) * 1024 / each
            found.append(f"the L{number} cache of {size} those of {held:.1f} members")
    if not found:
        return "The sizes of this machine's caches are unknown."
    return f"Of weights and gradients, {' and '.join(found)} hold{'s' * (len(found) == 1)}."
