"""The code that applies an advice, for each library that one trains with."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from stepsize.decide.advice import Advice
from stepsize.report.snippets.keras import keras_code
from stepsize.report.snippets.lightning import lightning_code
from stepsize.report.snippets.optax import optax_code
from stepsize.report.snippets.pytorch import torch_code
from stepsize.report.snippets.transformers import transformers_code

__all__ = ["LIBRARIES", "Snippet", "snippets"]

LIBRARIES: dict[str, Callable[[Advice], str]] = {
    "PyTorch": torch_code,
    "Lightning": lightning_code,
    "transformers": transformers_code,
    "optax": optax_code,
    "Keras": keras_code,
}
"""To add one: write its function, advice to source text, and its line here; the test runs what it writes."""


class Snippet(msgspec.Struct, frozen=True):
    """Source text that trains as advised; the names that it does not define are the reader's own."""

    library: str
    code: str


def snippets(advice: Advice) -> tuple[Snippet, ...]:
    """One for each library; none without a rate, or with a schedule in tokens, unknown to an advice."""
    if advice.lr is None:
        return ()
    try:
        advice.schedule.resolve(advice.run)
    except ValueError:
        return ()
    return tuple(Snippet(library, write(advice)) for library, write in LIBRARIES.items())
