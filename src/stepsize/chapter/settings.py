"""How large the chapter's experiments are."""

from __future__ import annotations

import msgspec

QUICK_IMAGES, QUICK_HELD = 1_280, 512

FEWEST = 1_280
"""Images: a batch of 128 may grow up to a tenth of the training set, and one of 1,024 must fit in."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The size of the experiments.

    `seeds` runs stand behind each curve, `epochs` is the length of the figures' runs on MNIST. `images` and
    `held` cut MNIST's training and validation images (None: all). With `quick`, the experiments beside those
    figures are small too.
    """

    seeds: int = 3
    epochs: float = 10
    images: int | None = None
    held: int | None = None
    quick: bool = False

    def __post_init__(self) -> None:
        for name, value, least in (
            ("seeds", self.seeds, 1),
            ("images", self.images, FEWEST),
            ("held", self.held, 1),
        ):
            if value is not None and value < least:
                raise ValueError(f"{name} must be at least {least}, but is {value}")
        if not self.epochs > 0:
            raise ValueError(f"epochs must be above 0, but is {self.epochs}")

    def pick(self, full: int, quick: int) -> int:
        """The number for this size."""
        return quick if self.quick else full


def quick(seeds: int = 3, epochs: float = 2) -> Settings:
    """Settings for a look: 1,280 images and two epochs."""
    return Settings(seeds=seeds, epochs=epochs, images=QUICK_IMAGES, held=QUICK_HELD, quick=True)
