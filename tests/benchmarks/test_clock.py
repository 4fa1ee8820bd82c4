"""Rivals take turns, and ratios are taken turn by turn."""

from __future__ import annotations

import gc
from functools import partial

import pytest

from benchmarks.clock import Rival, Speed, circumstances, race


def test_rivals_take_turns_after_one_unmeasured_round() -> None:
    calls: list[str] = []

    def call(name: str) -> float:
        calls.append(name)
        return 4.0

    rivals = {name: Rival(partial(call, name), work=10) for name in "ab"}
    speeds = race(rivals, repeats=2)
    assert calls == ["a", "b"] * 3
    assert speeds == {"a": Speed((2.5, 2.5)), "b": Speed((2.5, 2.5))}
    assert gc.get_freeze_count() == 0


def test_a_rival_may_take_fewer_turns_warm_up_otherwise_and_prepare_untimed() -> None:
    calls: list[str] = []

    def note(what: str) -> float:
        calls.append(what)
        return 1.0

    slow = Rival(
        partial(note, "slow"), 1, turns=1, warm_up=partial(note, "warm"), prepare=partial(note, "ready")
    )
    speeds = race({"slow": slow, "fast": Rival(partial(note, "fast"), 1)}, repeats=2)
    assert calls == ["warm", "fast", "ready", "slow", "fast", "fast"]
    assert len(speeds["slow"].per_second) == 1


def test_a_ratio_is_taken_turn_by_turn_and_leaves_out_turns_without_a_rival() -> None:
    ratio = Speed((10.0, 5.0, 30.0)).over(Speed((5.0, 2.5, 10.0)))
    assert ratio.per_second == (2.0, 2.0, 3.0)
    assert ratio.median == 2.0
    assert ratio.spread == 0.25
    assert Speed((10.0, 9.0)).over(Speed((5.0,))).per_second == (2.0,)


def test_one_after_the_other_takes_the_sum_of_both_times() -> None:
    running, compiling = Speed((4.0,)), Speed((0.5,))  # 0.25 s and 2 s for a unit
    assert running.after(compiling).per_second == pytest.approx((1 / 2.25,))
    assert running.microseconds == 250_000


def test_circumstances_name_the_command_and_the_versions() -> None:
    text = circumstances("make bench", "pytest")
    assert "`make bench`" in text
    assert f"pytest {pytest.__version__}" in text
