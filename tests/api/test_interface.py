"""The public interface is the one that was agreed on: a change to it is a decision, and never an accident."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

import stepsize
from tests.api.interface import SNAPSHOT, interface

ADVICE = """
The public interface is no longer that of tests/api/interface.txt:

{difference}

If that is meant, do what docs/project/versions.md says: raise src/stepsize/_version.py unless that was done
since the last release (a line with - breaks users' code, a line with + adds to it), write a line into
CHANGELOG.md, and accept the interface with `make api`.
"""


def test_the_public_interface_is_the_one_that_was_agreed_on() -> None:
    agreed, now = (text.splitlines() for text in (SNAPSHOT.read_text(encoding="utf-8"), interface()))
    if agreed != now:
        difference = "\n".join(difflib.unified_diff(agreed, now, "agreed", "now", lineterm="", n=0))
        pytest.fail(ADVICE.format(difference=difference), pytrace=False)


def test_every_public_name_is_part_of_it() -> None:
    agreed = SNAPSHOT.read_text(encoding="utf-8").splitlines()
    for name in set(stepsize.__all__) - {"__version__"}:
        assert any(line.startswith((f"stepsize.{name}(", f"stepsize.{name}:")) for line in agreed), name


def test_the_changelog_has_an_entry_for_the_version() -> None:
    changelog = Path(__file__).parents[2] / "CHANGELOG.md"
    text = changelog.read_text(encoding="utf-8")
    assert f"## [{stepsize.__version__}]" in text or "## [Unreleased]" in text
