"""TrainingAdvice: batch size, rate, schedule and warm-up together, and what leaving each out would cost."""

from __future__ import annotations

import math
from typing import Any, Literal

import msgspec

from stepsize._words import duration
from stepsize.decide.advice import Advice
from stepsize.decide.batch_advice import BatchAdvice
from stepsize.decide.rehearsal import Rehearsal
from stepsize.decide.schedule_comparison_result import ScheduleComparison
from stepsize.decide.warmup_result import WarmupComparison

Part = Literal["batch size", "learning rate", "schedule", "warm-up", "momentum", "first beta", "weight decay"]


class Omission(msgspec.Struct, frozen=True, kw_only=True):
    """What it costs to do without one part of the answer, or to take another value.

    `lost` is the share of the progress (start loss less end loss) that is lost, or for the batch size the
    share of time that is added to the same loss; between `low` and `high`, 95%, None where that is not
    known. `lost` is None where training diverged. `alike` says that no difference was detected.
    """

    part: Part
    instead: str
    lost: float | None
    low: float | None
    high: float | None
    alike: bool

    @property
    def words(self) -> str:
        """The cost in words."""
        if self.lost is None:
            return "diverges or was not tried"
        if self.part == "batch size":
            text = f"{1 + self.lost:.2f} times the time to the same loss"
            span = "" if self.low is None else f" ({1 + self.low:.2f} to {1 + (self.high or 0.0):.2f})"
        else:
            gained = self.lost < 0
            sign, word = (-1, "gained") if gained else (1, "lost")
            text = f"{'all' if self.lost >= 1 else _percent(sign * self.lost)} of the progress {word}"
            ends = sorted(sign * end for end in (self.low, self.high) if end is not None)
            span = f" ({_percent(ends[0])} to {_percent(ends[1])})" if len(ends) == 2 else ""
        return f"{text}{span}{', no difference detected' if self.alike else ''}"


def _percent(share: float) -> str:
    """With one decimal, and no sign before a zero."""
    return f"{round(share, 3) + 0.0:.1%}"


class TrainingAdvice(Advice, frozen=True, kw_only=True, eq=False):
    """How to train: an `Advice` on the rate, at a batch size, schedule and warm-up that were decided too.

    `batch_size`, `steps` and `schedule` are those advised; `own_batch_size` and `own_steps` what the task
    had. `settings` are the optimizer's own, kept as they were: every rate was measured with them. `seconds`
    is what the run should take in a plain loop on this machine.

    `batch`, `schedules` and `warmup` are the evidence, None for a part that was given or left out. `check`
    is the run at full length, with `checked_loss` its held-out loss between `checked_low` and
    `checked_high` (Student's t over seeds, 95%, for their mean); all None where the budget had no room.
    `omissions` are what each part is worth.
    """

    own_batch_size: int
    own_steps: int
    settings: tuple[tuple[str, str], ...]
    seconds: float | None
    batch: BatchAdvice | None
    schedules: ScheduleComparison | None
    warmup: WarmupComparison | None
    check: Rehearsal | None
    checked_loss: float | None
    checked_low: float | None
    checked_high: float | None
    omissions: tuple[Omission, ...]

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """What `settings` tell, by the optimizer's argument: momentum, nesterov, betas, weight_decay.

        Raises `ValueError` for settings that are no numbers.
        """
        told, found = dict(self.settings), dict[str, Any]()
        if "momentum" in told:
            found["momentum"] = float(told["momentum"].removesuffix(" (Nesterov)"))
            found["nesterov"] = told["momentum"].endswith(" (Nesterov)")
        if "betas" in told:
            found["betas"] = tuple(map(float, told["betas"].split(",")))
        if "weight decay" in told:
            found["weight_decay"] = float(told["weight decay"])
        return found

    @property
    def epochs(self) -> float | None:
        """Times that the run passes over the training data; None for a stream."""
        return None if self.samples is None else self.steps / math.ceil(self.samples / self.batch_size)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why each part was decided as it was, in sentences."""
        texts = []
        if self.batch is not None and self.batch.times:
            chosen = next((one for one in self.batch.choices if one.objective == self.batch.objective), None)
            if chosen is not None:
                loss = self.batch.critical.targets[-1].loss
                kept = chosen.batch_size is not None and self.batch_size != chosen.batch_size
                stays = f" The task's own {self.batch_size:,} stays." if kept else ""
                texts.append(
                    f"Batch size for {chosen.objective}, to a loss of {loss:.4g}: {chosen.why}.{stays}"
                )
        for name, compared in (("Schedules", self.schedules), ("Warm-ups", self.warmup)):
            if compared is not None:
                length = f"{compared.steps:,} of {compared.horizon:,} updates"
                texts.append(f"{name} compared over {length}: {compared.why}")
        return (*texts, self.why)

    def rows(self) -> tuple[tuple[str, str], ...]:
        """The answer as names and values, for a screen."""
        rows = [("batch size", self._batch_words())]
        if self.lr is None:
            rows.append(("learning rate", f"none: {self.status}"))
        else:
            mark = "" if self.status == "ok" else f"  [{self.status}]"
            rows.append(("learning rate", f"{self.lr:.3g}  ({self.lr_low:.3g} to {self.lr_high:.3g}){mark}"))
            rows.append(("schedule", self.schedule_text))
        if self.warmup is not None and self.warmup.updates is not None:
            rows.append(("warm-up", f"{self.warmup.updates:,} updates" if self.warmup.updates else "none"))
        rows += self.settings
        rows.append(("length", self._length_words()))
        if self.checked_loss is not None:
            rows.append(("expected loss", self._loss_words()))
        elif self.expected_loss is not None and self.rehearsals:
            when = f"after {self.rehearsals[-1].steps:,} updates, {self.start_loss:.4g} at the start"
            rows.append(("held-out loss", f"{self.expected_loss:.4g} {when}"))
        spent = f"{duration(self.cost.seconds)}, {self.cost.updates:,} updates"
        rows.append(("cost of this answer", spent))
        return tuple(rows)

    def __str__(self) -> str:
        width = max(len(name) for name, _ in self.rows())
        lines = [f"{self.task}, judged on {self.loss_kind}  [{self.status}]"]
        lines += [f"  {name:{width}}  {value}" for name, value in self.rows()]
        if self.omissions:
            lines.append("instead of it")
            lines += [f"  {one.part} {one.instead}: {one.words}" for one in self.omissions]
        lines += [*self.reasons, *(f"warning: {warning}" for warning in self.warnings)]
        return "\n".join(lines)

    def _batch_words(self) -> str:
        if self.batch is None or self.batch_size == self.own_batch_size:
            return f"{self.batch_size:,}"
        return f"{self.batch_size:,}  (the task's own: {self.own_batch_size:,})"

    def _length_words(self) -> str:
        epochs = "" if self.epochs is None else f", {self.epochs:.3g} epoch{'' if self.epochs == 1 else 's'}"
        seconds = "" if self.seconds is None else f", about {duration(self.seconds)}"
        return f"{self.steps:,} updates{epochs}{seconds}"

    def _loss_words(self) -> str:
        span = ""
        if self.checked_low is not None:
            span = f" ({self.checked_low:.4g} to {self.checked_high:.4g} on average)"
        start = "" if self.start_loss is None else f", {self.start_loss:.4g} at the start"
        return f"{self.checked_loss:.4g}{span} at the end{start}"
