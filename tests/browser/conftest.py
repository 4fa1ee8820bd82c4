"""One browser for all tests of the page, and the pages that they look at."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Dialog, Page, Request, expect, sync_playwright

from stepsize._result import Result
from stepsize.report import write_page
from tests.report.batches import batch_advice, scaling
from tests.report.samples import advice, curve, no_answer, noise, sharpness, zoom
from tests.report.trainings import schedules, training, warmups
from tests.runs.samples import sweep

EVIL = '</script><img src=x onerror=alert(1)><b onclick="alert(2)">&amp;</title></style>'

RESULTS: dict[str, Callable[[], Result]] = {
    "training": training,
    "advice": advice,
    "tiny rate": lambda: advice(lr=1.23e-05, lr_low=1e-05, lr_high=2e-05),
    "no answer": lambda: no_answer("flat", "try another loss"),
    "range test": curve,
    "zoom": zoom,
    "sweep": sweep,
    "noise": lambda: noise(opened=True),
    "curvature": sharpness,
    "batch size": batch_advice,
    "rates over batch sizes": scaling,
    "schedules": schedules,
    "warm-ups": warmups,
    "evil": lambda: training(
        task=EVIL, why=EVIL, warnings=(EVIL,), settings=(("optimizer", EVIL),), loss_kind=EVIL
    ),
}

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test of this folder needs the browser, and can be left out by `-m 'not browser'`."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Debian's chromium, or the one that CHROMIUM names; without one the tests fail and say what to do."""
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.fail(
            "no chromium was found: apt-get install chromium, name one in CHROMIUM, "
            "or leave these tests out with -m 'not browser'"
        )
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=path,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"],
        )
        yield started
        started.close()


@pytest.fixture(scope="package")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The page of a result by its name, written when it is first asked for."""
    folder = tmp_path_factory.mktemp("pages")

    def path(name: str) -> Path:
        place = folder / f"{name}.html"
        if not place.exists():
            write_page(RESULTS[name](), place)
        return place

    return path


class Seen:
    """What a page did that it should not."""

    def __init__(self, page: Page, address: str) -> None:
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._address = address
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", self._dialog)
        page.on("request", self._request)

    def _dialog(self, dialog: Dialog) -> None:
        self.complaints.append(dialog.message)
        dialog.dismiss()

    def _request(self, request: Request) -> None:
        if request.url != self._address:
            self.requests.append(request.url)


@pytest.fixture
def opened(browser: Browser, written: Callable[[str], Path]) -> Any:
    """Open a result's page from disk, drawn; it must have asked for nothing and complained of nothing."""

    @contextmanager
    def open_page(name: str, width: int = 800, **options: Any) -> Iterator[Page]:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        page = context.new_page()
        address = written(name).as_uri()
        seen = Seen(page, address)
        page.goto(address)
        if options.get("java_script_enabled", True):
            expect(page.locator(".picture:not(:has(svg.plot))")).to_have_count(0)
        yield page
        context.close()
        assert seen.requests == []
        assert seen.complaints == []

    return open_page
