"""What functions and classes refer to, as far as the interpreter tells."""

from __future__ import annotations

import types
from collections.abc import Sequence
from typing import Any


def global_names(code: types.CodeType) -> set[str]:
    """Names that the code, or a function inside of it, may look up among the globals."""
    inner = [global_names(constant) for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return set(code.co_names).union(*inner)


def defined_in(value: Any, packages: Sequence[str]) -> bool:
    """Whether a function or class belongs to one of these packages; what has no module is a builtin."""
    return (getattr(value, "__module__", None) or "builtins").partition(".")[0] in packages
