"""Whatever goes wrong in the middle of a measurement, everything is as it was, and training goes on.

Each entry point is disturbed at every third call of the user's loss or step, and at every third batch that is
read, at up to two places from the start (`Entry.places`, so that the whole takes seconds). Ctrl-C comes at
the last such place of the whole measurement too. `make faults` goes to every place.
"""

from __future__ import annotations

import gc
import os
import random
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.faults.entries import ON_A_PROBE, ON_A_TASK, Entry
from tests.faults.injection import (
    CTRL_C,
    END,
    EXCEPTION,
    IN_THE_DATA,
    IN_THE_LOSS,
    WORKER,
    Fault,
    Trap,
    causes,
)
from tests.faults.traces import differences, held, settle, traces
from tests.faults.training import BATCH, Users, drawing, ending, looped, stacked, streamed

EVERY = 3
"""Faults come at every third update."""

EVERYWHERE = os.environ.get("FAULTS") == "everywhere"
"""Whether to go through the whole of each measurement, as `make faults` does."""

Make = Callable[[], Users]


@pytest.fixture(autouse=True)
def _temporary_files_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gc.collect()
    gc.freeze()  # what is alive by now need not be looked through again after every fault


def reseed() -> None:
    torch.manual_seed(4)
    np.random.seed(4)
    random.seed(4)


def begun(make: Make) -> Users:
    """In the middle of a training."""
    users = make()
    reseed()
    users.train(3)
    return users


def attempt(entry: Entry, users: Users) -> Any:
    """The result, or what was raised; without the frames that would hold on to what they used."""
    try:
        return entry.call(users)
    except BaseException as error:  # noqa: BLE001 - Ctrl-C is among the faults
        for one in causes(error):
            one.__traceback__ = None
        return error


def wrong(entry: Entry, fault: Fault, at: int, outcome: Any) -> str | None:
    """What is wrong with how a fault ended; None if nothing is."""
    if isinstance(outcome, BaseException):
        if fault is CTRL_C and entry.answers and at >= entry.tried:
            return "raised, but promises a result with status 'interrupted'"
        led = causes(outcome)
        named = any(isinstance(one, fault.raises) or fault.says in str(one) for one in led)
        return None if named else f"raised {outcome!r}"
    if fault is CTRL_C:
        status = getattr(outcome, "status", None)
        if not entry.answers or status != "interrupted":
            return f"status is {status!r}"
        again = type(outcome).from_json(outcome.to_json())
        return None if str(again) == str(outcome) else "the result does not survive being saved"
    if fault is EXCEPTION and fault.name not in entry.survives:
        return "swallowed the exception"
    if fault is EXCEPTION and fault.says not in str(outcome):
        return "does not name the exception that it answers"
    return None


def changed_since(before: dict[str, Any], users: Users) -> list[str]:
    """What is not as it was; what only waits to be collected, such as an open file in a cycle, is gone."""
    if differences(before, traces(users)):
        settle()
    return [f"{name} changed" for name in differences(before, traces(users))]


def disturbed(make: Make, entry: Entry, place: str, fault: Fault, at: int) -> list[str]:
    """What one fault left behind, in words; and whether the training goes on as if it had never been."""
    users = begun(make)
    if fault is WORKER:
        settle()
    trap: Trap = getattr(users, place)
    before = traces(users)
    trap.arm(fault, at)
    outcome = attempt(entry, users)
    why = wrong(entry, fault, at, outcome) if trap.sprung else None
    trap.arm()
    found = changed_since(before, users) + ([] if why is None else [why])
    if not found and at == 0 and fault in (EXCEPTION, END, WORKER):
        found = goes_on(make, users)
    return [f"{fault.name} at {at} of {place}: {text}" for text in found]


def goes_on(make: Make, users: Users) -> list[str]:
    """Whether the training goes on as one that was never measured."""
    twin = begun(make)
    onward = []
    for one in (users, twin):
        reseed()
        onward.append(one.train(6))
    if onward[0] != onward[1]:
        return ["training goes on differently"]
    return [f"{name} goes on differently" for name in differences(held(twin), held(users))]


def disturb(
    make: Make, entry: Entry, faults: Mapping[str, Sequence[Fault]], apart: dict[str, int]
) -> list[str]:
    """Every fault at the first places or at every one, and none at all: what was found."""
    users = begun(make)
    before = traces(users)
    for place in faults:
        getattr(users, place).arm()
    entry.call(users)
    calls = {place: getattr(users, place).calls for place in faults}
    found = [f"undisturbed: {text}" for text in changed_since(before, users)]
    for place, kinds in faults.items():
        assert calls[place] > 0, f"nothing calls the trap in the {place}"
        places = range(0, calls[place], apart[place])
        first = places if EVERYWHERE else places[: entry.places]
        for fault in kinds:
            for at in first:
                found += disturbed(make, entry, place, fault, at)
            if fault is CTRL_C and place == list(faults)[-1] and len(places) > len(first):
                found += disturbed(make, entry, place, fault, places[-1])
    return found


def none(found: list[str]) -> None:
    assert not found, "\n".join(found)


def names(value: Any) -> str:
    return str(getattr(value, "name", None) or value.__name__)


@pytest.mark.parametrize("entry", ON_A_TASK, ids=names)
def test_faults_while_a_stack_trains(entry: Entry) -> None:
    none(disturb(stacked, entry, {"losses": IN_THE_LOSS}, {"losses": EVERY}))


@pytest.mark.parametrize("entry", ON_A_TASK, ids=names)
def test_faults_where_loss_and_data_draw_random_numbers(entry: Entry) -> None:
    faults = {"losses": (EXCEPTION, CTRL_C), "reads": IN_THE_DATA}
    none(disturb(drawing, entry, faults, {"losses": EVERY, "reads": EVERY * BATCH}))


@pytest.mark.parametrize("entry", ON_A_PROBE, ids=names)
def test_faults_in_a_loop_of_the_users_own(entry: Entry) -> None:
    faults = {"losses": IN_THE_LOSS, "reads": IN_THE_DATA}
    none(disturb(looped, entry, faults, {"losses": EVERY, "reads": EVERY}))


@pytest.mark.parametrize("make", [ending, streamed], ids=names)
@pytest.mark.parametrize("entry", ON_A_TASK, ids=names)
def test_streams_that_end_early_and_workers_that_die(make: Make, entry: Entry) -> None:
    fault, apart = (END, EVERY) if make is ending else (WORKER, 1)
    places = range(0, apart * min(2, entry.places), apart)
    none([text for at in places for text in disturbed(make, entry, "reads", fault, at)])
