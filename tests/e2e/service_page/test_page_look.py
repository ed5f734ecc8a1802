"""What the page looks like, for everybody: on a phone, in the dark, for those who see little.

``PAGE_SCREENSHOTS=1 pytest tests/e2e/service_page/test_page_look.py -k screenshots`` writes the
images of the README, ``docs/images/page-light.png`` and ``docs/images/page-dark.png``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.e2e.service_page.page import (
    DESKTOP,
    IMAGES,
    MIXED,
    PHONE,
    choose,
    classify,
)

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.e2e.conftest import Site


pytestmark = pytest.mark.e2e


# Every visible text with too little contrast: [text, contrast, contrast that it needs].
_TOO_FAINT = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (colour) => rgba(colour).slice(0, 3)
    .map((part) => part / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (rgba(colour)[3] === 255) return colour;
      if (rgba(colour)[3] !== 0) throw new Error(`see-through background on ${at.tagName}`);
    }
    throw new Error("no background");
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const faint = [];
  let seen = 0;
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim();
    const element = walker.currentNode.parentElement;
    if (!text || !element.checkVisibility()) continue;
    if (element.closest(".hidden, :disabled, option")) continue;
    seen += 1;
    const style = getComputedStyle(element);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const pair = [light(style.color), light(ground(element))].sort((a, b) => b - a);
    const contrast = (pair[0] + 0.05) / (pair[1] + 0.05);
    if (contrast < (large ? 3 : 4.5)) faint.push([text, contrast, large ? 3 : 4.5]);
  }
  return { seen, faint };
}"""


def show_everything(page: Page) -> None:
    """An answer, a chosen file, and every error that there is a place for."""
    classify(page, MIXED)
    choose(page, "text\nA fine film\n")
    page.get_by_role("button", name="Classify 1 row").click()
    page.locator("#download").wait_for()
    page.get_by_role("button", name="API key").click()
    page.evaluate(
        """() => {
          const places = document.querySelectorAll(".error");
          for (const place of places) place.textContent = "It is wrong.";
          document.getElementById("notice-text").textContent = "The service cannot be reached.";
          document.getElementById("notice").hidden = false;
          document.getElementById("model-field").hidden = false;
        }"""
    )


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_nothing_is_wider_than_the_screen(open_page: Callable[..., Page], size: Any) -> None:
    page = open_page(viewport=size)

    show_everything(page)
    classify(page, "W" * 3000)
    choose(page, "text\n" + "w" * 500, name="n" * 200 + ".csv")

    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]


def test_marks_differ_by_more_than_their_colour(open_page: Callable[..., Page]) -> None:
    page = open_page()

    answer = classify(page, MIXED)

    legend = answer.locator(".legend mark")
    styles = legend.evaluate_all(
        "all => all.map((mark) => getComputedStyle(mark).textDecorationStyle)"
    )
    assert styles == ["solid", "wavy"]
    assert legend.all_inner_texts()[1].startswith("away from")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_the_contrast_that_wcag_aa_asks_for(
    open_page: Callable[..., Page], scheme: Any
) -> None:
    page = open_page(color_scheme=scheme)

    show_everything(page)

    found = page.evaluate(_TOO_FAINT)
    assert found["faint"] == []
    assert found["seen"] > 40
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(16, 20, 18)"
    assert dark == (scheme == "dark")


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_that_keeps_people_out(
    open_page: Callable[..., Page], scheme: Any, size: Any
) -> None:
    page = open_page(color_scheme=scheme, viewport=size)

    empty = Axe().run(page)
    show_everything(page)
    full = Axe().run(page)

    assert empty.violations_count == 0, empty.generate_report()
    assert full.violations_count == 0, full.generate_report()


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_description_of_the_api_keeps_nobody_out_and_fits_the_screen(
    open_page: Callable[..., Page], site: Site, scheme: Any, size: Any
) -> None:
    page = open_page(color_scheme=scheme, viewport=size)

    page.goto(f"{site.url}docs")
    page.locator("#classify").wait_for()
    found = Axe().run(page)

    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]


def test_nothing_moves_for_people_who_asked_for_that(open_page: Callable[..., Page]) -> None:
    page = open_page(reduced_motion="reduce")

    show_everything(page)

    moving = page.evaluate(
        """() => [...document.querySelectorAll("*")].filter((element) => {
          const { transitionDuration, animationName } = getComputedStyle(element);
          return transitionDuration !== "0s" || animationName !== "none";
        }).length"""
    )
    assert moving == 0


@pytest.mark.skipif("PAGE_SCREENSHOTS" not in os.environ, reason="PAGE_SCREENSHOTS is not set")
def test_screenshots_for_the_readme(open_page: Callable[..., Page]) -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    light = open_page(color_scheme="light", viewport=DESKTOP)
    dark = open_page(color_scheme="dark", viewport=PHONE, device_scale_factor=2)

    for page, name in ((light, "light"), (dark, "dark")):
        page.get_by_role("button", name="The acting is excellent").click()
        page.locator("#answer .verdict").wait_for()
        page.locator("h1").click()
        if name == "dark":
            page.locator(".answer").evaluate("answer => answer.scrollIntoView()")
        page.screenshot(path=IMAGES / f"page-{name}.png", full_page=name == "light")
