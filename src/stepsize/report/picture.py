"""What a picture is: a function that takes its data out of a result, and one that draws them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from stepsize._result import Result
from stepsize.report.theme import Colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Data = TypeVar("Data", bound=msgspec.Struct)


class Table(msgspec.Struct, frozen=True):
    """The numbers behind a picture, as text ready to be read."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Picture(Generic[Data]):
    """One kind of picture.

    `data` returns what is drawn, as plain JSON-able numbers, or None when the result has no such picture;
    `draw` puts it on axes and reads nothing else. `caption` says in a sentence what to see, `alt` describes
    the picture to those who cannot, `table` gives its numbers.
    """

    title: str
    data: Callable[[Result], Data | None]
    draw: Callable[[Axes, Data, Colours], None]
    caption: Callable[[Data], str]
    alt: Callable[[Data], str]
    table: Callable[[Data], Table]
