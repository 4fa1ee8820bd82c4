"""The base of every result: frozen, JSON-able, versioned, and free of live models.

A result knows three doors to the layer above it, `plot`, `report` and `log_to`. They are opened by name when
called, so that importing a result never imports matplotlib, and no lower layer depends on `report`.
"""

from __future__ import annotations

import importlib
import math
import os
import platform
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec
import numpy as np

from stepsize._version import __version__

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LISTED, LETTERS = 4, 60
"""Numbers of an array and letters of a text that a `repr` holds at most."""

FORMAT = 1
"""Version of the JSON layout; raised when a field changes meaning."""


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """Where a result came from: enough to run it again."""

    stepsize: str
    torch: str
    numpy: str
    python: str
    device: str
    threads: int
    seeds: tuple[int, ...]


def provenance(*, device: str, seeds: tuple[int, ...]) -> Provenance:
    """The versions in use now, with the device and seeds of the measurement."""
    import torch

    return Provenance(
        stepsize=__version__,
        torch=str(torch.__version__),
        numpy=np.__version__,
        python=platform.python_version(),
        device=device,
        threads=torch.get_num_threads(),
        seeds=seeds,
    )


class Result(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A frozen record of something measured or decided."""

    def __repr__(self) -> str:
        """Every field in brief: arrays by their shape, records within by their kind."""
        fields = (f"{name}={_brief(getattr(self, name))}" for name in self.__struct_fields__)
        return f"{type(self).__name__}({', '.join(fields)})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """What a notebook shows: the words of `print`."""
        printer.text(str(self))

    def to_json(self) -> str:
        """The result as one line of JSON; NaN and infinities inside arrays survive as strings."""
        document = {"stepsize": type(self).__name__, "format": FORMAT, "data": self}
        return msgspec.json.encode(document, enc_hook=_encode).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read what `to_json` wrote.

        Raises `ValueError` when the text is not JSON, holds another kind of result, or was written
        in a newer format.
        """
        try:
            envelope = msgspec.json.decode(text, type=_Envelope)
        except msgspec.MsgspecError as error:
            raise ValueError(f"not a stepsize result: {error}") from error
        if envelope.stepsize != cls.__name__:
            raise ValueError(f"expected a {cls.__name__}, but the text holds a {envelope.stepsize}")
        if envelope.format > FORMAT:
            raise ValueError(
                f"written in format {envelope.format}, but this version reads up to {FORMAT}: "
                "upgrade stepsize"
            )
        try:
            return msgspec.json.decode(envelope.data, type=cls, dec_hook=_decode)
        except msgspec.MsgspecError as error:
            raise ValueError(f"a damaged {cls.__name__}: {error}") from error

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the result as JSON; the file appears whole or not at all."""
        write_atomically(path, self.to_json())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a file that `save` wrote; raises `ValueError` naming the file if it is damaged."""
        try:
            return cls.from_json(Path(path).read_bytes())
        except ValueError as error:
            raise ValueError(f"{os.fspath(path)}: {error}") from error

    def plot(self, path: str | os.PathLike[str] | None = None, **options: Any) -> Figure:
        """Draw the result with matplotlib; `path` (PNG, SVG or PDF) also saves the picture."""
        figure: Figure = importlib.import_module("stepsize.report").draw(self, path, **options)
        return figure

    def report(self, path: str | os.PathLike[str]) -> None:
        """Write the result as one self-contained HTML page."""
        importlib.import_module("stepsize.report").write_page(self, path)

    def log_to(self, tracker: Any, name: str | None = None) -> None:
        """Tell an experiment tracker: values, curves over updates, the words and a picture.

        `tracker` is a `SummaryWriter` of TensorBoard, the module `mlflow`, a run of Weights & Biases, or a
        `stepsize.trackers.Tracker`; it stays open. Everything stands under `name`, by default the kind of the
        result, such as "advice".

        Raises `TypeError` for any other tracker.
        """
        importlib.import_module("stepsize.report").log_to(self, tracker, name)


def _brief(value: Any) -> str:
    """A field's value in a few letters."""
    match value:
        case msgspec.Struct():
            return f"<{type(value).__name__}>"
        case np.ndarray() if value.ndim == 1 and value.size <= LISTED:
            return f"[{', '.join(f'{number:.6g}' for number in value.tolist())}]"
        case np.ndarray():
            return f"<array of {' x '.join(map(str, value.shape))}>"
        case tuple() if len(value) > LISTED or any(isinstance(item, msgspec.Struct) for item in value):
            return f"<{len(value)} of {type(value[0]).__name__}>"
        case tuple():
            return f"({', '.join(map(_brief, value))}{',' * (len(value) == 1)})"
        case dict():
            return f"{{{', '.join(f'{key!r}: {_brief(item)}' for key, item in value.items())}}}"
        case str() if len(value) > LETTERS:
            return repr(f"{value[: LETTERS - 1]}…")
        case float():
            return f"{value:.6g}"
        case _:
            return repr(value)


class _Envelope(msgspec.Struct):
    stepsize: str
    format: int
    data: msgspec.Raw


def write_atomically(path: str | os.PathLike[str], text: str) -> None:
    """Write text through a temporary file in the same folder, so a full disk leaves no half file."""
    target = Path(path)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)  # mkstemp makes private files; a report is meant to be shared
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _encode(value: object) -> object:
    if isinstance(value, np.ndarray):
        return _mark_non_finite(value.tolist())
    raise TypeError(f"a {type(value).__name__} cannot stand in a result")


def _mark_non_finite(value: Any) -> Any:
    if isinstance(value, list):
        return [_mark_non_finite(item) for item in value]
    return value if math.isfinite(value) else repr(float(value))


def _decode(wanted: type, value: Any) -> object:
    if wanted is np.ndarray:
        array = np.array(_unmark(value), dtype=np.float64)
        array.flags.writeable = False
        return array
    raise TypeError(f"cannot read a {wanted.__name__}")


def _unmark(value: Any) -> Any:
    return [_unmark(item) for item in value] if isinstance(value, list) else float(value)


def frozen(values: Any) -> np.ndarray:
    """A read-only float64 copy, as results hold them."""
    array = np.array(values, dtype=np.float64)
    array.flags.writeable = False
    return array


def finite_or_none(value: float) -> float | None:
    """The value, or None where JSON has no number for it."""
    return float(value) if math.isfinite(value) else None
