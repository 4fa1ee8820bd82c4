"""What a callback does with a finished search before anything is changed."""

from __future__ import annotations

import warnings

from stepsize.decide.advice import Advice


def names_a_rate(advice: Advice) -> bool:
    """Whether there is a rate to train with; a warning says why not.

    Raises `KeyboardInterrupt` where Ctrl-C ended the search.
    """
    if advice.status == "interrupted":
        raise KeyboardInterrupt
    if advice.lr is None:
        warnings.warn(f"the learning rate is left as it is: {advice.why}", stacklevel=3)
    return advice.lr is not None
