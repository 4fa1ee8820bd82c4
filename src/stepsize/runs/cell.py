"""The cells of a sweep: what is run, and what a finished one leaves."""

from __future__ import annotations

import math
import zlib

import msgspec
import numpy as np

from stepsize._result import frozen
from stepsize.training import MemberStatus

TRAIN_POINTS = 200
"""Points that a training loss is thinned to: enough for a picture, a few hundred bytes in the ledger."""


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a sweep: a rate (at the schedule's peak), a batch size, a seed, a schedule, a horizon.

    `steps` is the horizon in updates that the schedule spans. `until` is how many of them are trained: all
    but in an early round of a halving.
    """

    lr: float
    batch_size: int
    seed: int
    schedule: str
    steps: int
    until: int


class CellRun(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A finished cell.

    `evaluated_at` (E,) updates done, `val_loss` (E,) and each of `metrics` (E,) on the held-out data there;
    NaN once the run had diverged. `train_loss` (P,) is the mean training loss of the updates up to `train_at`
    (P,), each since the one before. `status` is "ok", "diverged", or "stopped" by a halving.
    """

    cell: Cell
    status: MemberStatus
    updates_done: int
    epochs: float | None
    evaluated_at: np.ndarray
    val_loss: np.ndarray
    metrics: dict[str, np.ndarray]
    train_at: np.ndarray
    train_loss: np.ndarray
    samples: int
    seconds: float
    threads: int
    mates: int

    @property
    def curves(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Each curve by name: the updates done, and the values."""
        held_out = {"val_loss": self.val_loss, **self.metrics}
        curves = {name: (self.evaluated_at, values) for name, values in held_out.items()}
        return {**curves, "train_loss": (self.train_at, self.train_loss)}

    def final(self, by: str = "val_loss") -> float:
        """The held-out loss, or a metric, at the end; NaN where the run diverged."""
        values = self.val_loss if by == "val_loss" else self.metrics[by]
        return math.nan if self.status == "diverged" else float(values[-1])


def thinned(losses: np.ndarray, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Means of a curve (T,) over equal stretches, at most `points` of them, and the update that ends each."""
    length = -(-len(losses) // points)
    ends = np.minimum(np.arange(length, len(losses) + length, length), len(losses))
    sums = np.add.reduceat(losses, ends - np.diff(ends, prepend=0))
    return ends.astype(np.float64), sums / np.diff(ends, prepend=0)


class _Packed(msgspec.Struct, array_like=True):
    """A cell's curves as they lie in the ledger: float64 for evaluations, float32 for the training loss."""

    evaluated_at: bytes
    val_loss: bytes
    metrics: dict[str, bytes]
    train_at: bytes
    train_loss: bytes


def pack_curves(run: CellRun) -> bytes:
    """A finished cell's curves, compressed; zlib's own checksum guards them."""
    packed = _Packed(
        evaluated_at=run.evaluated_at.astype("<u4").tobytes(),
        val_loss=run.val_loss.astype("<f8").tobytes(),
        metrics={name: values.astype("<f8").tobytes() for name, values in run.metrics.items()},
        train_at=run.train_at.astype("<u4").tobytes(),
        train_loss=run.train_loss.astype("<f4").tobytes(),
    )
    return zlib.compress(msgspec.msgpack.encode(packed))


def unpack_curves(
    blob: bytes,
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Evaluation points, held-out losses, metrics, ends of stretches and training losses, all float64.

    Raises `ValueError` for bytes that `pack_curves` did not write.
    """
    try:
        packed = msgspec.msgpack.decode(zlib.decompress(blob), type=_Packed)
    except (zlib.error, msgspec.MsgspecError) as error:
        raise ValueError(f"damaged curves: {error}") from error
    return (
        frozen(np.frombuffer(packed.evaluated_at, "<u4")),
        frozen(np.frombuffer(packed.val_loss, "<f8")),
        {name: frozen(np.frombuffer(values, "<f8")) for name, values in packed.metrics.items()},
        frozen(np.frombuffer(packed.train_at, "<u4")),
        frozen(np.frombuffer(packed.train_loss, "<f4")),
    )
