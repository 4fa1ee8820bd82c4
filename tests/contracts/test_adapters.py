"""What every adapter must hold to; a new one in the registry is covered by being there."""

from __future__ import annotations

import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from stepsize import find_lr
from stepsize.adapters import ADAPTERS, Adapter, required

every_adapter = pytest.mark.parametrize(("name", "adapter"), ADAPTERS.items(), ids=ADAPTERS)
TRAINERS = {name: adapter for name, adapter in ADAPTERS.items() if adapter.trainer}
every_trainer = pytest.mark.parametrize(("name", "adapter"), TRAINERS.items(), ids=TRAINERS)
ROOT = Path(__file__).parents[2]


@every_adapter
def test_it_has_a_function_that_passes_on_what_find_lr_takes(name: str, adapter: Adapter) -> None:
    assert {"steps", "options"} <= set(inspect.signature(adapter.load().find_lr).parameters)


@every_trainer
def test_it_has_a_function_and_a_callback_that_take_what_find_lr_takes(name: str, adapter: Adapter) -> None:
    module = adapter.load()
    ours = set(inspect.signature(find_lr).parameters)
    for call in (module.find_lr, module.StepsizeLRFinder):
        parameters = inspect.signature(call).parameters
        assert {"schedule", "steps", "options"} <= set(parameters)
        assert parameters["schedule"].default is parameters["steps"].default is None
        assert {"budget", "seeds", "lr_min", "lr_max", "progress"} <= ours - set(parameters)
    assert "Raises:" in (inspect.getdoc(module.find_lr) or "")
    assert module.__name__ == f"stepsize.adapters.{name}"


@every_adapter
def test_a_package_that_is_not_installed_is_named_with_the_command(
    name: str, adapter: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in adapter.packages:
        monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, adapter.home, raising=False)
    with pytest.raises(ImportError, match=rf"pip install 'stepsize\[{adapter.extra}\]'"):
        adapter.load()


@every_adapter
def test_its_extra_installs_its_package(name: str, adapter: Adapter) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extra = project["optional-dependencies"][adapter.extra]
    assert any(line.startswith(adapter.packages[0].partition(".")[0]) for line in extra)


@every_trainer
def test_what_is_no_trainer_is_refused(name: str, adapter: Adapter) -> None:
    module = adapter.load()
    needed = [
        parameter
        for parameter in inspect.signature(module.find_lr).parameters.values()
        if parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]
    with pytest.raises(TypeError, match=r"trainer must be a .*, but is a object: pass find_lr"):
        module.find_lr(*(object() for _ in needed))


@every_adapter
def test_it_is_documented_and_tested(name: str, adapter: Adapter) -> None:
    trainers, others = (
        ("trainers.md", "reference/trainers.md"),
        ("other-trainers.md", "reference/adapters.md"),
    )
    pages = trainers if adapter.trainer else others
    guide, reference = ((ROOT / "docs" / page).read_text(encoding="utf-8") for page in pages)
    assert f"adapters.{name}" in guide or f"adapters import {name}" in guide
    assert f"::: stepsize.adapters.{name}" in reference
    assert (ROOT / f"tests/adapters/test_{name}.py").is_file()


def test_the_registry_imports_no_framework() -> None:
    heavy = {package.partition(".")[0] for adapter in ADAPTERS.values() for package in adapter.packages}
    code = (
        f"import sys, stepsize.adapters; sys.exit(bool({sorted(heavy | {'torch'})!r} & sys.modules.keys()))"
    )
    code = code.replace("['", "{'").replace("']", "'}")
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_package_that_lacks_something_else_says_so_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise ModuleNotFoundError("No module named 'else'", name="else")

    monkeypatch.setattr("importlib.import_module", broken)
    with pytest.raises(ModuleNotFoundError, match="else"):
        required("transformers")
