"""A sweep in words, for `print(runs)` and the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stepsize.runs.statistics import ArmSummary

if TYPE_CHECKING:
    from stepsize.runs.table import Runs


def told(runs: Runs, limit: int) -> str:
    """A heading, the arms as a table (at most `limit`, then each batch size's best), and what to know."""
    done = f"{len(runs.runs):,} of {runs.planned:,} cells"
    diverged = sum(run.status == "diverged" for run in runs.runs)
    heading = (
        f"Sweep of {runs.task}: {done}, {diverged:,} diverged; final held-out loss ({runs.loss_kind}), "
        "mean over seeds with a 90% bootstrap interval"
    )
    lines = [heading, *table(runs, limit)]
    if runs.halving is not None:
        lines.append(f"With halving: {runs.halving}.")
    if runs.status == "interrupted":
        missing = runs.planned - len(runs.runs)
        kept = (
            f"what is finished is in {runs.store}"
            if runs.store
            else "nothing is stored: pass store='runs.db'"
        )
        lines.append(f"Interrupted: {missing:,} cells are missing; {kept}.")
        if runs.store:
            lines.append("The same call goes on from there.")
    lines += [f"warning: {warning}" for warning in runs.warnings]
    return "\n".join(lines)


def table(runs: Runs, limit: int) -> list[str]:
    """The arms in columns, the best of each batch size marked."""
    summaries = runs.summary()
    sizes = sorted({summary.arm.batch_size for summary in summaries})
    best = [one.arm for one in (runs.best(batch_size=size) for size in sizes) if one is not None]
    left_out = 0
    if len(summaries) > limit:
        left_out = len(summaries)
        summaries = [summary for summary in summaries if summary.arm in best][:limit]
    extra = {name: {s.arm: s for s in runs.summary(name)} for name in runs.metrics}
    rows = [("batch", "lr", "schedule", "val_loss", *extra, "")]
    for summary in summaries:
        arm = summary.arm
        ends = [_end(summary), *(_end(by_arm[arm]) for by_arm in extra.values())]
        mark = "best at this batch size" if arm in best else ""
        if summary.stopped:
            mark = f"stopped after {summary.updates:,} updates"
        rows.append((f"{arm.batch_size:,}", f"{arm.lr:g}", arm.schedule, *ends, mark))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in rows
    ]
    if left_out:
        lines.append(
            f"  … the best of each of {len(sizes)} batch sizes; .summary() has all {left_out:,} arms"
        )
    return [line.rstrip() for line in lines]


def _end(summary: ArmSummary) -> str:
    if summary.mean is None:
        return f"diverged ({summary.diverged} of {summary.seeds})"
    if summary.low is None or summary.high is None:
        return f"{summary.mean:.4g}"
    return f"{summary.mean:.4g} [{summary.low:.4g}, {summary.high:.4g}]"
