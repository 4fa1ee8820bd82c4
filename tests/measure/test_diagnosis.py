"""diagnose: the reading of a curve as a result that keeps the curve."""

from __future__ import annotations

import sys
from pathlib import Path
from subprocess import run

import numpy as np
import pytest
from msgspec import structs

import stepsize as ss
from stepsize.estimate.diagnosis import read_curve


def test_it_says_what_the_reading_says_and_keeps_the_curve() -> None:
    curve = 0.3 + 2 * np.exp(-np.arange(200) / 20)
    found = ss.diagnose(curve)
    for name, value in structs.asdict(read_curve(curve)).items():
        assert getattr(found, name) == value
    assert found.losses.tolist() == curve.tolist()
    assert not found.losses.flags.writeable
    assert str(found).startswith("converging: The loss has fallen by")


@pytest.mark.parametrize("losses", [[2.0, 1.9, 1.8], [2.0] * 40 + [float("nan")], np.linspace(1, 2, 60)])
def test_it_comes_back_from_json(tmp_path: Path, losses: list[float]) -> None:
    found = ss.diagnose(losses)
    found.save(tmp_path / "curve.json")
    again = ss.Diagnosis.load(tmp_path / "curve.json")
    assert again.losses.tolist() == pytest.approx(found.losses.tolist(), nan_ok=True)
    for name in found.__struct_fields__:
        if name != "losses":
            assert getattr(again, name) == getattr(found, name)


def test_plateaus_are_told() -> None:
    text = str(ss.diagnose(np.full(100, 2.3)))
    assert "stood still at 2.3 from update 0 to 100" in text


def test_no_torch_is_imported_for_it() -> None:
    code = "import sys, stepsize as ss; ss.diagnose([2.0] * 30); sys.exit('torch' in sys.modules)"
    assert run([sys.executable, "-c", code], check=False).returncode == 0


def test_wrong_losses_are_refused() -> None:
    with pytest.raises(ValueError, match=r"losses must be \(T,\) with T >= 1"):
        ss.diagnose([[1.0, 2.0]])
