"""Nothing is trained twice, and what an interruption leaves is kept and said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import torch

from stepsize.chapter import SECTIONS, Chapter, Settings, quick, run
from stepsize.chapter.crew import Order, work
from stepsize.chapter.lab import Lab
from stepsize.chapter.loops import loop_time
from stepsize.chapter.page import page
from stepsize.chapter.registry import chosen, trainings_of
from stepsize.chapter.result import Findings
from tests.chapter.conftest import TINY

FEW = ("decay", "rates-16")
RUNS = (1 + 4 + 4) * TINY.seeds
"""One with decay, four at batch 128, four at 16."""


def findings(chapter: Chapter) -> list[Findings]:
    return [section.findings for section in chapter.sections]


def test_a_second_call_trains_nothing_and_finds_the_same(tmp_path: Path) -> None:
    store = tmp_path / "chapter.db"
    first = run(FEW, settings=TINY, store=store, workers=1, progress=False)
    again = run(FEW, settings=TINY, store=store, workers=1, progress=False)
    assert first.reused == 0
    assert again.reused == RUNS
    assert again.cost.updates == first.cost.updates > 0
    assert findings(again) == findings(first)


def test_another_number_of_seeds_trains_only_the_new_ones(tmp_path: Path) -> None:
    store = tmp_path / "chapter.db"
    one = msgspec.structs.replace(TINY, seeds=1)
    first = run(["rates-16"], settings=one, store=store, workers=1, progress=False)
    second = run(["rates-16"], settings=TINY, store=store, workers=1, progress=False)
    assert second.reused == 4
    assert second.cost.updates == 2 * first.cost.updates


def test_two_processes_find_what_one_finds(tmp_path: Path) -> None:
    alone = run(FEW, settings=TINY, workers=1, progress=False)
    together = run(FEW, settings=TINY, store=tmp_path / "chapter.db", workers=2, progress=False)
    assert findings(together) == findings(alone)


def test_what_another_process_has_trained_is_found(tmp_path: Path) -> None:
    store, threads = tmp_path / "chapter.db", torch.get_num_threads()
    try:
        for number in range(2):
            work(Order(settings=TINY, store=str(store), sections=FEW, number=number, of=2))
    finally:
        torch.set_num_threads(threads)
    found = run(FEW, settings=TINY, store=store, workers=1, progress=False)
    assert found.reused == RUNS


class CtrlC:
    """A reporter in whose time Ctrl-C is pressed, when the training of this name begins."""

    def __init__(self, training: str) -> None:
        self._training = training

    def expect(self, updates: int) -> None:
        pass

    def phase(self, name: str) -> None:
        if name == self._training:
            raise KeyboardInterrupt

    def advance(self, updates: int) -> None:
        pass


def test_an_interrupted_call_keeps_what_is_done_and_says_what_is_missing(tmp_path: Path) -> None:
    store = tmp_path / "chapter.db"
    found = run(FEW, settings=TINY, store=store, workers=1, progress=CtrlC("batch 16: rates"))
    assert found.status == "interrupted"
    assert [section.slug for section in found.sections] == ["decay"]
    assert "interrupted; not there yet: rates-16" in str(found)
    assert "interrupted before rates-16" in page(found)
    onward = run(FEW, settings=TINY, store=store, workers=1, progress=False)
    assert onward.status == "complete"
    assert onward.reused == 5 * 2
    assert "Not finished" not in page(onward)


def test_an_interruption_between_trainings_is_no_different(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(lab: Lab) -> Findings:
        raise KeyboardInterrupt

    monkeypatch.setitem(SECTIONS, "policies", replace(SECTIONS["policies"], find=interrupted))
    found = run(["policies", "worked-example"], settings=TINY, workers=1, progress=False)
    assert (found.status, found.sections) == ("interrupted", ())


def test_sections_come_in_the_books_order_and_unknown_ones_are_named() -> None:
    assert [one.slug for one in chosen(["worked-example", "policies"])] == ["policies", "worked-example"]
    with pytest.raises(ValueError, match=r"no section 'figure 9'; there are updates, regimes, .*corrections"):
        run(["policies", "figure 9"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seeds": 0}, "seeds must be at least 1, but is 0"),
        ({"epochs": 0}, "epochs must be above 0, but is 0"),
        ({"epochs": float("nan")}, "epochs must be above 0, but is nan"),
        ({"images": 100}, "images must be at least 1280, but is 100"),
        ({"held": 0}, "held must be at least 1, but is 0"),
    ],
)
def test_settings_out_of_range(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(**arguments)  # type: ignore[arg-type]


def test_no_process_at_all() -> None:
    with pytest.raises(ValueError, match="workers must be at least 1, but is 0"):
        run(workers=0)


def test_a_quick_look_is_smaller() -> None:
    small, full = quick(), Settings()
    trainings = trainings_of(chosen(()))
    assert sum(t.updates(small) for t in trainings) < sum(t.updates(full) for t in trainings) / 10


def test_the_loops_are_reckoned_for_every_run_whose_data_they_can_load() -> None:
    trainings = trainings_of(chosen(["rates-128", "growth"]))
    found = loop_time(trainings, TINY, updates=2)
    assert found.runs == (4 + 1) * TINY.seeds  # four rates and a decay; the growing batch is left out
    assert found.seconds > 0
