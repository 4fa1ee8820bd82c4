"""What the page on extending adds holds to the contracts of its kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from stepsize.estimate import RULES
from stepsize.report import FIGURES
from stepsize.schedules import SHAPES
from tests.contracts import test_figures, test_rules, test_schedules
from tests.docs.pages import ROOT, parse, run_page
from tests.estimate.curves import LRS

PAGE = ROOT / "docs/project/extending.md"


@pytest.fixture
def added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registries: None
) -> tuple[set[str], set[str], set[str]]:
    """Names of the schedules, rules and figures that the page registers."""
    monkeypatch.chdir(tmp_path)
    shapes, rules, figures = set(SHAPES), set(RULES), set(FIGURES)
    run_page(parse(PAGE))
    return set(SHAPES) - shapes, set(RULES) - rules, set(FIGURES) - figures


@pytest.mark.slow
def test_each_example_keeps_its_contract(added: tuple[set[str], set[str], set[str]]) -> None:
    (shape,), (rule,), (figure,) = added
    test_schedules.test_rates_are_float64_finite_never_negative_and_never_above_the_peak(shape)
    test_schedules.test_past_the_end_the_last_value_holds(shape)
    test_schedules.test_names_survive_text_json_and_pickle(shape)
    for steps in (1, 2, 3):
        test_schedules.test_the_shortest_runs_give_rates_or_a_clear_error(shape, steps)

    test_rules.test_a_clear_curve_has_an_answer(rule, RULES[rule])
    test_rules.test_any_curve_gets_a_sound_answer(rule, RULES[rule])
    test_rules.test_the_losss_scale_does_not_matter(rule, RULES[rule])
    test_rules.test_the_input_is_left_alone(rule, RULES[rule])
    for flat in (LRS * 0 + 2.3, LRS * float("nan")):
        assert test_rules.check(rule, RULES[rule], LRS, flat).lr is None

    picture = FIGURES[figure]
    test_figures.test_some_result_has_it_and_some_has_not(figure, picture)
    test_figures.test_its_data_are_plain_json_and_come_back(figure, picture)
    for size in ((7.2, 4.0), (3.5, 3.3)):
        test_figures.test_it_draws_something_that_stays_inside(figure, picture, "light", size)
    test_figures.test_its_words_are_sentences_and_its_table_is_whole(figure, picture)
