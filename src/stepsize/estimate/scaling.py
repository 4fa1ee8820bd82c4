"""Rules that move a learning rate, and what goes with it, from one batch size to another.

Each rule has a derivation that holds in some place and fails in others; `scaled` applies it, tests what can
be tested with the numbers given, and refuses where the derivation fails.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import msgspec

Rule = Literal["linear", "sqrt", "adascale", "surge"]
"""`linear`: η ∝ B (Goyal et al. 2017, [1706.02677](https://arxiv.org/abs/1706.02677)), for SGD well below the
noise scale. `sqrt`: η ∝ √B, for Adam with its betas (Malladi et al. 2022,
[2205.10287](https://arxiv.org/abs/2205.10287)) and for SGD by equal variance of an update (Hoffer et al.
2017, [1705.08741](https://arxiv.org/abs/1705.08741)). `adascale`: η ∝ 1 / (1 + B_noise/B), for SGD at any
batch (Johnson et al. 2020, [2007.05105](https://arxiv.org/abs/2007.05105)). `surge`: η ∝ 1 / (√(B_noise/B) +
√(B/B_noise)), for sign-like optimizers such as Adam (Li et al. 2024,
[2405.14578](https://arxiv.org/abs/2405.14578))."""

Averages = Literal["sde", "half_life"]
"""What becomes of Adam's averages. `sde`: 1 − β → κ (1 − β) for both, ε → ε / √κ (Malladi et al. 2022).
`half_life`: β₂ → β₂^κ alone, so that the second moment forgets after as many samples as before (Marek et al.
2025, [2507.07101](https://arxiv.org/abs/2507.07101))."""

MISS = 1.5
"""A rule holds while it is within this factor of what the noise scale, or the size of the data, says."""

WARM_UP = 5 / 90
"""Share of the run that Goyal et al. 2017 raised the rate over before using the scaled one."""

ROUNDING = 1e-9
"""1 − 0.9 is a little less than a tenth."""


class Hyperparameters(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule may move. `warmup` and `steps` are in updates, None where not given.

    `betas` and `eps` are those of Adam and its like, None for SGD. `decoupled` tells whether weight decay
    shrinks weights by lr · weight_decay an update, as AdamW's does, and SGD's without momentum.
    """

    lr: float
    betas: tuple[float, float] | None = None
    eps: float | None = None
    weight_decay: float = 0.0
    decoupled: bool = True
    warmup: int | None = None
    steps: int | None = None


class Check(msgspec.Struct, frozen=True):
    """One condition of a rule: whether it holds, None where that cannot be told, and why."""

    name: str
    holds: bool | None
    why: str
    refuses: bool = False


class Move(msgspec.Struct, frozen=True):
    """One setting that a rule moves, or deliberately leaves, with the reason."""

    name: str
    before: float
    after: float
    why: str


class Scaled(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule says: the settings at the new batch, None where it is refused, moves, and conditions."""

    after: Hyperparameters | None
    moves: tuple[Move, ...]
    checks: tuple[Check, ...]

    @property
    def refused(self) -> str:
        """Why the rule does not apply; empty if it does."""
        return " ".join(check.why for check in self.checks if check.refuses and check.holds is False)


def gain(rule: Rule, from_: float, to: float, noise: float | None = None) -> float:
    """The factor by which a rule multiplies the rate; `noise` is the gradient noise scale in samples.

    >>> gain("linear", 32, 256), round(gain("sqrt", 32, 256), 3)
    (8.0, 2.828)
    >>> round(gain("adascale", 32, 256, noise=256), 3)
    4.5

    Raises:
        ValueError: `adascale` and `surge` without a noise scale.
    """
    ratio = to / from_
    if rule == "linear":
        return ratio
    if rule == "sqrt":
        return math.sqrt(ratio)
    if noise is None:
        raise ValueError(
            f"noise must be given for rule={rule!r}: pass ss.noise_scale(task, lr), or samples as a number"
        )
    if rule == "adascale":
        return (1 + noise / from_) / (1 + noise / to)
    return (math.sqrt(noise / from_) + math.sqrt(from_ / noise)) / (
        math.sqrt(noise / to) + math.sqrt(to / noise)
    )


def scaled(
    settings: Hyperparameters,
    from_: int,
    to: int,
    rule: Rule,
    *,
    noise: float | None = None,
    samples: int | None = None,
    averages: Averages = "sde",
) -> Scaled:
    """Move settings from batch `from_` to batch `to` by a rule.

    Args:
        settings: at `from_`.
        from_, to: samples per update.
        rule: see `Rule`.
        noise: gradient noise scale in samples, None if unknown.
        samples: of the training data, None if unknown or endless.
        averages: see `Averages`; of no matter for SGD.

    Raises:
        ValueError: an unknown rule or way, or a noise scale that is missing or not finite and above 0.
    """
    _check(rule, averages, from_, to, noise, samples)
    ratio, adaptive = to / from_, settings.betas is not None
    lr = settings.lr * gain(rule, from_, to, noise)
    checks = [
        _optimizer(rule, adaptive),
        *_noise(rule, adaptive, from_, to, noise),
        *_data(rule, adaptive, from_, to, samples),
    ]
    moves = [Move("lr", settings.lr, lr, f"{rule} in the batch size")]
    betas, eps = settings.betas, settings.eps
    if betas is not None:
        betas, eps, check = _averages(betas, eps, ratio, averages)
        checks.append(check)
        moves += [
            Move(f"beta{i + 1}", old, new, "forgets after as many samples as before")
            for i, (old, new) in enumerate(zip(settings.betas or (), betas, strict=True))
            if new != old
        ]
        if eps is not None and settings.eps is not None and eps != settings.eps:
            moves.append(Move("eps", settings.eps, eps, "goes with the gradient's spread, 1/√κ"))
    decay = settings.weight_decay
    if decay:
        decay, move, check = _weight_decay(settings, lr, ratio)
        moves.append(move)
        checks.append(check)
    steps = settings.steps
    if steps is not None:
        steps, move = _horizon(steps, from_, to, noise)
        moves.append(move)
    warmup, warming, needed = _warm_up(rule, settings, steps, ratio)
    if needed is not None:
        checks.append(needed)
    if warming is not None:
        moves.append(warming)
    after = Hyperparameters(
        lr=lr,
        betas=betas,
        eps=eps,
        weight_decay=decay,
        decoupled=settings.decoupled,
        warmup=warmup,
        steps=steps,
    )
    refused = any(check.refuses and check.holds is False for check in checks)
    return Scaled(
        after=None if refused else after, moves=() if refused else tuple(moves), checks=tuple(checks)
    )


def _optimizer(rule: Rule, adaptive: bool) -> Check:
    wanted = {"linear": False, "adascale": False, "surge": True}.get(rule, adaptive)
    if wanted == adaptive:
        return Check(
            "optimizer", True, f"{rule} is derived for {'Adam and its like' if adaptive else 'SGD'}."
        )
    if adaptive:
        why = (
            f"{rule} is derived for SGD, whose update grows with the gradient; Adam's is divided by the "
            "gradient's size: pass rule='sqrt' or, with a noise scale, 'surge'."
        )
    else:
        why = "surge is derived for Adam and its like: pass rule='linear', 'sqrt' or 'adascale'."
    return Check("optimizer", False, why, refuses=True)


def _noise(rule: Rule, adaptive: bool, from_: int, to: int, noise: float | None) -> list[Check]:
    if rule in ("adascale", "surge"):
        return []
    if noise is None:
        why = (
            "Below the gradient noise scale alone, which was not given: pass noise=ss.noise_scale(task, lr)."
        )
        return [Check("noise scale", None, why)]
    said = gain("surge" if adaptive else "adascale", from_, to, noise)
    off = gain(rule, from_, to) / said
    holds = 1 / MISS <= off <= MISS
    why = (
        f"With a noise scale of {noise:.3g} samples the rate should move {said:.3g}-fold, "
        f"where {rule} says {gain(rule, from_, to):.3g}-fold"
    )
    # A rate below what is possible costs time; one above it costs the run.
    refuses = off > MISS or rule == "linear"
    if holds:
        return [Check("noise scale", True, f"{why}.")]
    instead = "surge" if adaptive else "adascale"
    return [Check("noise scale", False, f"{why}: pass rule={instead!r} or 'measured'.", refuses)]


def _data(rule: Rule, adaptive: bool, from_: int, to: int, samples: int | None) -> list[Check]:
    """Batches drawn without replacement have less noise: g = η (N/B − 1) (Smith & Le 2018, 1710.06451)."""
    if samples is None or adaptive or rule != "linear":
        return []
    if max(from_, to) >= samples:
        why = f"A batch of all {samples:,} samples has no noise, which linear is meant to keep."
        return [Check("data", False, why, refuses=True)]
    off = (samples - from_) / (samples - to)
    why = f"Without replacement from {samples:,} samples, noise falls {off:.3g} times as far as 1/batch"
    if 1 / MISS <= off <= MISS:
        return [Check("data", True, f"{why}.")]
    return [Check("data", False, f"{why}: the batch is too large a part of the data.", refuses=True)]


def _averages(
    betas: tuple[float, float], eps: float | None, ratio: float, averages: Averages
) -> tuple[tuple[float, float], float | None, Check]:
    if averages == "half_life":
        moved = (betas[0], betas[1] ** ratio)
        why = f"beta2 becomes {moved[1]:.6g}, with the same half-life in samples."
        return moved, eps, Check("averages", True, why)
    rest = [ratio * (1 - beta) for beta in betas]
    if max(rest) >= 1 - ROUNDING:
        name = "beta1" if rest[0] >= 1 - ROUNDING else "beta2"
        why = (
            f"1 − {name} would become {max(rest):.3g}: the average would forget within one update. "
            f"Pass a to below {1 / max(1 - beta for beta in betas):.3g} times from_, or averages='half_life'."
        )
        return betas, eps, Check("averages", False, why, refuses=True)
    moved = (1 - rest[0], 1 - rest[1])
    why = f"betas become {moved[0]:.6g} and {moved[1]:.6g}, each with the same time-scale in samples."
    return moved, None if eps is None else eps / math.sqrt(ratio), Check("averages", True, why)


def _weight_decay(settings: Hyperparameters, lr: float, ratio: float) -> tuple[float, Move, Check]:
    """Keep lr · weight_decay / B, what a sample shrinks weights by (Wang & Aitchison 2024, 2405.13698)."""
    decay = settings.weight_decay
    if not settings.decoupled:
        why = "stays: it is part of the gradient, which Adam divides by its size"
        return decay, Move("weight_decay", decay, decay, why), Check("weight decay", True, f"It {why}.")
    moved = decay * ratio * settings.lr / lr
    move = Move("weight_decay", decay, moved, "weights shrink as fast over the same samples")
    if moved * lr < 1:
        why = f"An update shrinks weights by {moved * lr:.3g}."
        return moved, move, Check("weight decay", True, why)
    why = f"An update would shrink weights to nothing ({moved * lr:.3g}): pass a smaller weight_decay or to."
    return moved, move, Check("weight decay", False, why, refuses=True)


def _horizon(steps: int, from_: int, to: int, noise: float | None) -> tuple[int, Move]:
    if noise is None:
        after = max(1, round(steps * from_ / to))
        return after, Move("steps", steps, after, "as many samples as before")
    after = max(1, round(steps * (1 + noise / to) / (1 + noise / from_)))
    return after, Move("steps", steps, after, "to the same loss, as the noise scale has it")


def _warm_up(
    rule: Rule, settings: Hyperparameters, steps: int | None, ratio: float
) -> tuple[int | None, Move | None, Check | None]:
    if settings.warmup:
        after = math.ceil(settings.warmup / ratio)
        return after, Move("warmup", settings.warmup, after, "as many samples as before"), None
    if rule != "linear" or ratio <= 1:
        return settings.warmup, None, None
    if steps is None:
        why = "The first updates may not bear the larger rate: warm up over the first twentieth of the run."
        return settings.warmup, None, Check("warm-up", None, why)
    after = math.ceil(WARM_UP * steps)
    move = Move("warmup", 0, after, "from the rate before, over 5 epochs of 90 as in Goyal et al. 2017")
    return after, move, None


def _check(rule: str, averages: str, from_: int, to: int, noise: float | None, samples: int | None) -> None:
    if rule not in get_args(Rule):
        raise ValueError(f"rule must be one of {', '.join(get_args(Rule))}, but is {rule!r}")
    if averages not in get_args(Averages):
        raise ValueError(f"averages must be 'sde' or 'half_life', but is {averages!r}")
    if noise is not None and not (math.isfinite(noise) and noise > 0):
        raise ValueError(f"noise must be finite and above 0 samples, but is {noise}")
    for name, size in (("from_", from_), ("to", to)):
        if samples is not None and size > samples:
            raise ValueError(f"{name} must not exceed the {samples} training samples, but is {size}")
