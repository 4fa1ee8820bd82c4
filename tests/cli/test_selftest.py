"""`stepsize selftest`: known figures, and an exit code when one is wrong."""

from __future__ import annotations

import pytest

from stepsize.cli import main
from stepsize.estimate import selftest
from stepsize.estimate.noisy_quadratic import Check


def test_all_figures_agree_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["selftest"]) == 0
    text = capsys.readouterr().out
    assert "differs" not in text
    for name in ("ceiling of heavy-ball", "B_crit of the fit", "coverage with 32 micro-batches"):
        assert name in text


def test_a_wrong_figure_is_shown_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(selftest, "CHECKS", (lambda: (Check("two and two", 4.0, 5.0, False),),))
    assert main(["selftest"]) == 1
    text = capsys.readouterr().out
    assert "differs" in text
    assert "1 of 1 figures differ" in text
