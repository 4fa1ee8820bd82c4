"""Every example of the documentation is run, in the order of its page, in a folder of its own."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from sybil.evaluators.skip import Skipper

import stepsize as ss
from tests.docs.pages import PAGES, ROOT, commands, parse, run_console, run_page

ELSEWHERE = {
    ROOT / "README.zh-CN.md",  # shows the code of README.md, as a test below sees to
    ROOT / "docs/project/extending.md",  # run by test_extending.py, which forgets what it registers
}
WITH_EXAMPLES = [page for page in PAGES if list(parse(page).examples()) and page not in ELSEWHERE]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def code(page: Path) -> list[object]:
    """Commands, and Python without its comments, of every example."""
    return [
        commands(one.parsed) if one.region.evaluator is run_console else ast.unparse(ast.parse(one.parsed))
        for one in parse(page).examples()
        if isinstance(one.parsed, str)  # and no mark that leaves the next one out
    ]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # Lightning calls torch by an old name
@pytest.mark.filterwarnings("ignore:.*does not have many workers")  # Lightning's advice on loaders
@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=name)
def test_what_a_page_shows_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    modules = set(sys.modules)
    try:
        run_page(parse(page))
    finally:
        for module in set(sys.modules) - modules:
            if str(getattr(sys.modules[module], "__file__", "")).startswith(str(tmp_path)):
                del sys.modules[module]


def test_the_command_that_pages_run_is_the_one_on_the_path() -> None:
    (command,) = entry_points(group="console_scripts", name="stepsize")
    installed = shutil.which("stepsize", path=Path(sys.executable).parent)
    assert installed is not None
    done = subprocess.run([installed, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"stepsize {ss.__version__}\n"
    assert command.value == "stepsize.cli:main"


def test_few_blocks_are_left_out_and_each_says_why() -> None:
    reasons = [
        (name(page), example.parsed[1])
        for page in PAGES
        for example in parse(page).examples()
        if isinstance(example.region.evaluator, Skipper) and example.parsed[0] != "end"
    ]
    assert all(reason for _, reason in reasons), reasons
    assert len(reasons) <= 4, reasons


def test_every_page_is_looked_at() -> None:
    names = {name(page) for page in PAGES}
    assert {"README.md", "README.zh-CN.md", "docs/index.md", "docs/schedules/index.md"} <= names
    assert len(WITH_EXAMPLES) > 10


def test_both_readmes_show_the_same_code() -> None:
    english, chinese = (ROOT / page for page in ("README.md", "README.zh-CN.md"))
    assert code(english) == code(chinese)


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")), ids=name)
def test_links_outside_the_site_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text) + re.findall(r'src="([^":]+)"', text)
    assert [link for link in links if not (ROOT / link).exists()] == []
