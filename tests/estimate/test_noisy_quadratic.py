"""The noisy quadratic against a simulation update by update, and against the reference figures."""

from __future__ import annotations

import numpy as np
import pytest

from stepsize.estimate import noisy_quadratic
from stepsize.estimate.noisy_quadratic import NoisyQuadratic, check_noisy_quadratic


def test_the_reference_figures_come_out() -> None:
    wrong = [check for check in check_noisy_quadratic() if not check.ok]
    assert not wrong
    assert len(check_noisy_quadratic()) == 12


def test_a_wrong_model_fails_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noisy_quadratic, "TARGET", 0.11)
    assert sum(not check.ok for check in check_noisy_quadratic()) >= 4


def test_the_loss_is_that_of_the_recursion() -> None:
    model = NoisyQuadratic.textbook(7)
    lr, batch = 0.7, 4
    moments = model.start.copy()
    for _ in range(13):
        moments = (1 - lr * model.curvatures) ** 2 * moments + lr**2 * model.variances / batch
    expected = 0.5 * float(model.curvatures @ moments)
    assert model.loss(np.array([13]), np.array([lr]), batch)[0] == pytest.approx(expected, rel=1e-12)


def test_updates_are_the_first_at_the_target() -> None:
    model = NoisyQuadratic.textbook()
    rates = np.array([0.05, 0.3, 1.0])
    count = model.updates_to(0.1, rates, 16)
    target = 0.1 * 0.5 * float(model.curvatures.sum())
    assert (model.loss(count, rates, 16) <= target).all()
    assert (model.loss(count - 1, rates, 16) > target).all()


def test_a_target_under_the_noise_is_never_reached() -> None:
    assert np.isinf(NoisyQuadratic.textbook().updates_to(0.1, np.array([1.0]), 1))[0]
