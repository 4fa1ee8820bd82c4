"""Other trainers: their objects become a `Probe`, and what they were set to becomes the question.

To add one: write a file with a function `find_lr(…) -> Advice` and, for a trainer, a callback class
`StepsizeLRFinder` that finds the rate when training starts and applies it, and put its line into `ADAPTERS`.
A framework that is not installed is named together with the command that installs it (`required`). The
contract test then covers it.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType


@dataclass(frozen=True)
class Adapter:
    """Where an adapter lives, the extra that installs its framework, and the packages that will do.

    `trainer` says that the framework has a trainer, which a callback can be given to.
    """

    home: str
    extra: str
    packages: tuple[str, ...]
    trainer: bool = True

    def load(self) -> ModuleType:
        """Its module; raises `ImportError` with the command that installs what is missing."""
        return importlib.import_module(self.home)


ADAPTERS: dict[str, Adapter] = {
    "lightning": Adapter(
        "stepsize.adapters.lightning", "lightning", ("lightning.pytorch", "pytorch_lightning")
    ),
    "transformers": Adapter("stepsize.adapters.transformers", "transformers", ("transformers",)),
    "keras": Adapter("stepsize.adapters.keras", "keras", ("keras",), trainer=False),
    "jax": Adapter("stepsize.adapters.jax", "optax", ("optax",), trainer=False),
}
"""Every adapter by name. To add one: write a file here and its line; the contract test then covers it."""


def required(name: str) -> ModuleType:
    """The first package of an adapter that is installed.

    Raises:
        ImportError: none of them is, with the command that installs it.
    """
    adapter = ADAPTERS[name]
    for package in adapter.packages:
        try:
            return importlib.import_module(package)
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] != package.partition(".")[0]:
                raise  # the package is there, and something that it needs is not
    raise ImportError(
        f"stepsize.adapters.{name} needs {' or '.join(adapter.packages)}, which is not installed: "
        f"pip install 'stepsize[{adapter.extra}]'"
    )
