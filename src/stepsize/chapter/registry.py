"""The sections of the chapter, in the book's order."""

from __future__ import annotations

from collections.abc import Sequence

from stepsize.chapter.lab import Section, Training
from stepsize.chapter.sections import (
    batch_sizes,
    closing_rule,
    corrections,
    decay,
    fixed_rate,
    growth,
    policies,
    range_test,
    rates,
    regimes,
    robbins_monro,
    rounds,
    saddle,
    scaling_rules,
    sparse,
    updates,
    worked_example,
)

SECTIONS: dict[str, Section] = {
    section.slug: section
    for section in (
        updates.SECTION,
        regimes.SECTION,
        sparse.SECTION,
        saddle.SECTION,
        robbins_monro.SECTION,
        range_test.SECTION,
        rounds.SECTION,
        rates.FIG_9,
        decay.SECTION,
        policies.SECTION,
        rates.FIG_12,
        rates.FIG_13,
        batch_sizes.SECTION,
        scaling_rules.SECTION,
        growth.SECTION,
        fixed_rate.SECTION,
        worked_example.SECTION,
        closing_rule.SECTION,
        corrections.SECTION,
    )
}
"""Every section by the name that the command line knows. To add one: write its file in `sections/` and its
line here; the contract test then covers it."""


def chosen(names: Sequence[str]) -> list[Section]:
    """The sections of these names in the book's order, or all. Raises `ValueError` for an unknown one."""
    unknown = [name for name in names if name not in SECTIONS]
    if unknown:
        raise ValueError(f"there is no section {unknown[0]!r}; there are {', '.join(SECTIONS)}")
    return [section for slug, section in SECTIONS.items() if not names or slug in names]


def trainings_of(sections: Sequence[Section]) -> list[Training]:
    """What these sections train, each once, in their order."""
    found = {training.name: training for section in sections for training in section.trainings}
    return list(found.values())
