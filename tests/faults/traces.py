"""All that a measurement might leave behind it: in what the user holds, and in the process."""

from __future__ import annotations

import gc
import multiprocessing
import os
import random
import signal
import tempfile
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.faults.training import Users
from tests.loops import picture, same


def traces(users: Users) -> dict[str, Any]:
    """A picture of everything that could be changed, by the name that a failure shows."""
    return {**held(users), **_process()}


def held(users: Users) -> dict[str, Any]:
    """The same of what the user holds alone."""
    return {f"{type(item).__name__} ({place})": _held(item) for place, item in enumerate(users.held)}


def settle() -> None:
    """Let go of what waits to be collected, and let the queues of loaders that have ended close."""
    gc.collect()
    for thread in threading.enumerate():
        if thread.name.startswith("QueueFeederThread"):
            thread.join(10)


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What is not as it was, bit for bit."""
    return [name for name in before if not same(before[name], after[name])]


def _held(item: Any) -> Any:
    return item.bit_generator.state if isinstance(item, np.random.Generator) else picture(item)


def _process() -> dict[str, Any]:
    modules = torch.nn.modules.module
    return {
        "torch's random numbers": torch.get_rng_state(),
        "NumPy's random numbers": list(np.random.get_state()),
        "Python's random numbers": random.getstate(),
        "hooks of all modules": [len(modules._global_forward_hooks), len(modules._global_forward_pre_hooks)],
        "gradients": torch.is_grad_enabled(),
        "dispatch modes": torch._C._len_torch_dispatch_stack(),
        "open files": _open_files(),
        "temporary files": sorted(os.listdir(tempfile.gettempdir())),
        "shared memory": sorted(path.name for path in Path("/dev/shm").glob(f"torch_{os.getpid()}_*")),
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "processes": len(multiprocessing.active_children()),
        "Ctrl-C": signal.getsignal(signal.SIGINT),
        "warnings": list(warnings.filters),
    }


def _open_files() -> list[tuple[str, str]]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append((name, os.readlink(f"/proc/self/fd/{name}")))
        except FileNotFoundError:  # the listing's own
            continue
    return sorted(found)
