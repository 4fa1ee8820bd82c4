"""The answer as a table in a terminal, and as plain text elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from stepsize.decide.advice import Advice, Price
    from stepsize.decide.training_advice import TrainingAdvice
    from stepsize.task import Task


def print_advice(advice: Advice, task: Task, *, to_stderr: bool) -> None:
    """Print the answer, why, what else was noticed, and the cost."""
    console = Console(stderr=to_stderr, highlight=False, soft_wrap=not Console(stderr=to_stderr).is_terminal)
    _print_pairs(console, rows(advice, task), "learning rate")
    console.print()
    console.print(Text(advice.why))
    for warning in advice.warnings:
        console.print(Text(f"warning: {warning}", style="yellow"))


def print_training(advice: TrainingAdvice, *, to_stderr: bool) -> None:
    """Print the answer on one screen: what to do, what it costs to do otherwise, and why."""
    console = Console(stderr=to_stderr, highlight=False, soft_wrap=not Console(stderr=to_stderr).is_terminal)
    console.print(Text.assemble((f"{advice.task}", "bold"), f", judged on {advice.loss_kind}"))
    _print_pairs(console, advice.rows(), "batch size", "learning rate", "schedule")
    if advice.omissions:
        console.print()
        console.print(Text("Something else instead", "bold"))
        _print_pairs(console, [(f"{one.part} {one.instead}", one.words) for one in advice.omissions])
    console.print()
    for reason in advice.reasons:
        console.print(Text(reason))
    for warning in advice.warnings:
        console.print(Text(f"warning: {warning}", style="yellow"))


def _print_pairs(console: Console, pairs: Sequence[tuple[str, str]], *bold: str) -> None:
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        console.print(Text.assemble((f"{name:{width}}  ", "dim"), (value, "bold" if name in bold else "")))


def rows(advice: Advice, task: Task) -> list[tuple[str, str]]:
    """The lines of the answer's table: name and value."""
    lines = [("task", f"{advice.task}, judged on {advice.loss_kind}")]
    if advice.lr is None:
        lines.append(("no learning rate", advice.status))
    else:
        mark = "" if advice.status == "ok" else f"  [{advice.status}]"
        lines.append(("learning rate", f"{advice.lr:.3g}{mark}"))
        loses = "may lose at most 1%" if advice.status == "uncertain" else "loses at most 1%"
        lines.append((loses, f"{advice.lr_low:.3g} to {advice.lr_high:.3g}"))
    lines.append(("batch size", f"{advice.batch_size:,}"))
    lines.append(("schedule", advice.schedule_text))
    if advice.clipping:
        lines.append(("clipped gradients", str(advice.clipping)))
    epochs = "" if task.epochs is None else f" ({task.epochs:g} epochs)"
    lines.append(("horizon", f"{advice.steps:,} updates{epochs}"))
    if advice.expected_loss is not None and advice.rehearsals:
        length = advice.rehearsals[-1].steps
        lines.append(
            (
                "held-out loss",
                f"{advice.start_loss:.4g} at the start, {advice.expected_loss:.4g} after {length:,} updates",
            )
        )
    lines += [
        (f"at {price.factor:g} times the rate", _price(price))
        for price in advice.prices
        if advice.lr is not None
    ]
    cost = advice.cost
    lines.append(
        ("cost", f"{cost.seconds:.1f} s, {cost.updates:,} updates, those of {cost.runs:.2g} full runs")
    )
    return lines


def _price(price: Price) -> str:
    if price.loss is None or price.regret is None:
        return "diverged or not tried"
    if price.regret >= 1:
        return f"all of the progress is lost (loss {price.loss:.4g})"
    return f"{price.regret:.1%} of the progress is lost (loss {price.loss:.4g})"
