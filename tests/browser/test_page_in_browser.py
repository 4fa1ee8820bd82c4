"""The page as a reader meets it: opened from disk in a real browser."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from stepsize.report.whatif import what_if, words
from tests.browser.conftest import EVIL, RESULTS
from tests.report.trainings import training

WIDTHS = (360, 800, 1600)


@pytest.mark.parametrize("name", RESULTS)
def test_every_picture_is_drawn_and_nothing_is_asked_for(name: str, opened: Any) -> None:
    with opened(name) as page:
        pictures = page.locator(".picture")
        for i in range(pictures.count()):
            one = pictures.nth(i)
            assert "drawn" in (one.get_attribute("class") or "")
            expect(one.locator("svg.plot")).to_be_visible()
            expect(one.locator(".static")).to_be_hidden()
            assert one.locator("svg.plot path, svg.plot circle, svg.plot line").count() > 0


FITTED = """() => [...document.querySelectorAll(".plot-holder")].every(
  (one) => Math.abs(one.clientWidth - one.querySelector("svg").getAttribute("width")) <= 1,
)"""


OVERLAPS = """() => {
  const found = [];
  const boxOf = (one) => ({ text: one.textContent.trim(), box: one.getBoundingClientRect() });
  const shown = ({ text, box }) => text && box.width > 0 && box.height > 0;
  const groups = [...document.querySelectorAll(".picture")].map((one) => [
    ...[...one.querySelectorAll("svg.plot text")].filter((text) => !text.closest('[aria-label="tip"]')),
    ...one.querySelectorAll(".key li"),
  ]);
  const words = "h1, h2, p, dt, dd, th, td, pre, label, button, figcaption, summary";
  groups.push([...document.querySelectorAll(words)]);
  for (const group of groups) {
    const seen = group.filter((one) => one.checkVisibility() && !one.closest(".unseen"));
    const boxes = seen.map(boxOf).filter(shown);
    boxes.forEach((a, i) => {
      for (const b of boxes.slice(i + 1)) {
        const across = Math.min(a.box.right, b.box.right) - Math.max(a.box.left, b.box.left);
        const down = Math.min(a.box.bottom, b.box.bottom) - Math.max(a.box.top, b.box.top);
        if (across > 1 && down > 1) found.push(`${a.text.slice(0, 60)} | ${b.text.slice(0, 60)}`);
      }
    });
  }
  for (const { text, box } of groups.slice(0, -1).flat().map(boxOf).filter(shown))
    if (box.left < 0 || box.right > innerWidth + 0.5) found.push(`outside: ${text}`);
  return found.filter((one) => !/^(import|Copy)|\\| import/.test(one)); // the button stands on the code
}"""


@pytest.mark.parametrize(
    "name", ["training", "zoom", "sweep", "batch size", "rates over batch sizes", "evil"]
)
def test_nothing_overlaps_and_nothing_sticks_out(name: str, opened: Any) -> None:
    with opened(name) as page:
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            while not page.evaluate(FITTED):  # pictures are drawn again in the next frames
                page.wait_for_timeout(20)
            assert page.evaluate(OVERLAPS) == [], width
            assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("name", ["advice", "tiny rate"])
def test_the_answer_stands_on_one_line(name: str, opened: Any) -> None:
    with opened(name) as page:
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            value = page.locator(".hero .value")
            lines, wide, room = value.evaluate("""(p) => {
              const range = document.createRange();
              range.selectNodeContents(p);
              const boxes = range.getClientRects();
              return [boxes.length, boxes[0].width, p.parentElement.clientWidth];
            }""")
            assert lines == 1, width
            assert wide <= room, width


def tip(page: Page, picture: str) -> str:
    """What the picture's tip says, its lines joined."""
    texts = page.locator(f'#picture-{picture} [aria-label="tip"] tspan').all_text_contents()
    return " ".join(texts).replace("\u200b", "")


@pytest.mark.parametrize(
    ("picture", "parts"),
    [
        ("decision", ("rate 0.", "mean loss", "seeds")),
        ("curves", ("rate ", "update ", "loss ")),
        ("schedule", ("update ", "epoch ", "samples seen", "rate ")),
        ("batch_updates", ("batch ", "updates", "best rate")),
    ],
)
def test_hovering_reads_the_numbers(picture: str, parts: tuple[str, ...], opened: Any) -> None:
    with opened("training") as page:
        svg = page.locator(f"#picture-{picture} svg.plot")
        svg.scroll_into_view_if_needed()
        assert tip(page, picture) == ""
        svg.hover(position=middle(page, picture))
        said = tip(page, picture)
        for part in parts:
            assert part in said
        page.mouse.move(0, 0)
        assert tip(page, picture) == ""


def middle(page: Page, picture: str) -> Any:
    """Where a point in the middle of the picture is drawn, from the picture's corner."""
    return page.evaluate(
        """(picture) => {
          const svg = document.querySelector(`#picture-${picture} svg.plot`);
          const marks = [...svg.querySelectorAll("circle, [aria-label=line] path")];
          const shape = marks[Math.floor(marks.length / 2)];
          const corner = svg.getBoundingClientRect();
          const box = shape.getBoundingClientRect();
          if (shape.tagName === "path") {
            const on = shape.getPointAtLength(shape.getTotalLength() / 2);
            return { x: on.x, y: on.y };
          }
          return { x: box.left + box.width / 2 - corner.left, y: box.top + box.height / 2 - corner.top };
        }""",
        picture,
    )


def test_arrow_keys_read_a_picture_point_by_point(opened: Any) -> None:
    with opened("training") as page:
        holder = page.locator("#picture-schedule .plot-holder")
        holder.focus()
        assert holder.get_attribute("aria-valuenow") == "0"
        page.keyboard.press("ArrowRight")
        first = holder.get_attribute("aria-valuetext")
        assert first is not None
        assert first.startswith("update 0, epoch 0")
        assert tip(page, "schedule").startswith("update 0")
        page.keyboard.press("ArrowRight")
        assert (holder.get_attribute("aria-valuetext") or "").startswith("update 1,")
        page.keyboard.press("End")
        assert (holder.get_attribute("aria-valuetext") or "").startswith("update 859,")
        assert holder.get_attribute("aria-valuenow") == holder.get_attribute("aria-valuemax")
        page.keyboard.press("Escape")
        assert tip(page, "schedule") == ""


def test_the_slider_follows_keyboard_and_mouse(opened: Any) -> None:
    asked = what_if(training())
    assert asked is not None
    with opened("training") as page:
        slider = page.get_by_role("slider", name="batch size", exact=False).and_(page.locator("input"))
        shown = page.locator("#what-if")

        def check(place: int) -> None:
            for key, text in words(asked.stops[place]).items():
                assert shown.locator(f'[data-value="{key}"]').text_content() == text
            chosen = shown.locator("tr.chosen")
            assert chosen.count() == 1
            assert chosen.locator("td").first.text_content() == words(asked.stops[place])["batch_size"]
            assert slider.get_attribute("aria-valuetext") == (
                f"batch size {words(asked.stops[place])['batch_size']}"
            )

        check(asked.start)
        slider.focus()
        page.keyboard.press("ArrowRight")
        check(asked.start + 1)
        page.keyboard.press("Home")
        check(0)
        assert "extrapolated" in (shown.locator('[data-value="updates"]').text_content() or "")
        box = slider.bounding_box()
        assert box is not None
        page.mouse.click(box["x"] + box["width"] - 8, box["y"] + box["height"] / 2)
        check(len(asked.stops) - 1)


def test_code_is_chosen_by_keyboard_and_copied(opened: Any) -> None:
    with opened("training", permissions=["clipboard-read", "clipboard-write"]) as page:
        code = page.locator(".code pre:visible")
        assert code.count() == 1
        assert (code.text_content() or "").startswith("import torch\n")
        page.get_by_role("radio", name="PyTorch").focus()
        page.keyboard.press("ArrowRight")
        assert (code.text_content() or "").startswith("import lightning\n")
        page.get_by_role("button", name="Copy").click()
        expect(page.get_by_role("button", name="Copied")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == code.text_content()
        assert "in the clipboard" in (page.locator(".code [aria-live]").text_content() or "")


CONTRASTS = """() => {
  const luminance = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map((c) => c / 255)
      .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = luminance(getComputedStyle(document.body).backgroundColor);
  const texts = [...document.querySelectorAll("svg.plot text, h1, p, td, th, .key li, summary")];
  return texts.filter((one) => one.textContent.trim() && !one.closest(".warnings")).map((one) => {
    const style = getComputedStyle(one);
    const ink = luminance(one.tagName === "text" ? style.fill : style.color);
    return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
  });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_in_light_and_dark(scheme: str, opened: Any) -> None:
    with opened("training", color_scheme=scheme) as page:
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 22, 29)"}[scheme]
        contrasts = page.evaluate(CONTRASTS)
        assert len(contrasts) > 100
        assert min(contrasts) >= 4.5  # WCAG 2.1, 1.4.3, level AA


def test_paper_gets_the_printed_pictures(opened: Any) -> None:
    with opened("training", color_scheme="dark") as page:
        page.emulate_media(media="print")
        assert page.locator(".static:visible").count() == page.locator(".picture").count() > 0
        assert page.locator(".live:visible, button:visible, .controls:visible").count() == 0
        assert (
            page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--paper')")
            == "#ffffff"
        )
        assert page.pdf(format="A4").startswith(b"%PDF")


def test_without_scripts_everything_but_the_tools_is_there(opened: Any) -> None:
    with opened("training", java_script_enabled=False) as page:
        assert page.locator(".static:visible").count() == page.locator(".picture").count() > 0
        assert page.locator("button:visible, .controls:visible").count() == 0
        assert page.locator("#what-if table:visible").count() == 1
        page.locator("label", has_text="optax").click()
        assert "import optax" in (page.locator(".code pre:visible").text_content() or "")


def test_words_from_outside_stay_words(opened: Any) -> None:
    with opened("evil") as page:
        assert EVIL in (page.locator("h1").text_content() or "")
        assert EVIL in page.title()
        assert page.locator("img, b").count() == 0
        page.locator("#picture-decision .plot-holder").focus()
        page.keyboard.press("End")
        assert page.locator("#picture-decision img").count() == 0


def test_no_other_script_or_style_can_run(browser: Browser, written: Any) -> None:
    page = browser.new_page()
    blocked: list[str] = []
    page.on("console", lambda message: blocked.append(message.text))
    page.goto(written("advice").as_uri())
    page.evaluate("""() => {
      const add = (name, text) =>
        document.body.append(Object.assign(document.createElement(name), { textContent: text }));
      add("script", "window.ran = true");
      add("style", "body { display: none }");
      document.querySelector("h1").setAttribute("style", "display: none");
      document.querySelector("h1").setAttribute("onclick", "window.ran = true");
      document.querySelector("h1").click();
    }""")
    assert page.evaluate("window.ran") is None
    expect(page.locator("h1")).to_be_visible()
    assert len(blocked) >= 3
    assert all("Content Security Policy" in text for text in blocked)
    page.close()
