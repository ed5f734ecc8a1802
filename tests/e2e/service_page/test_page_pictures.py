"""Pictures of the page and of the API's page, in every size and light, for people to look at.

They are written below the folder that ``PAGE_PICTURES`` names, else below the test's own.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.service_page.page import MIXED, classify

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.e2e.conftest import Site

pytestmark = pytest.mark.e2e

WIDTHS = (360, 768, 1440)
# "The film is not good", and its beginning.
ARABIC = "هذا الفيلم ليس جيدا على الإطلاق"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = Path(os.environ.get("PAGE_PICTURES") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _take(page: Page, path: Path, width: int) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.screenshot(path=path, full_page=True)
    assert path.stat().st_size > 10_000


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_fits(
    open_page: Callable[..., Page], pictures: Path, width: int, scheme: Any
) -> None:
    page = open_page(viewport={"width": width, "height": 900}, color_scheme=scheme)

    classify(page, MIXED)

    _take(page, pictures / f"page-{width}-{scheme}.png", width)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_of_the_api_fits(
    open_page: Callable[..., Page], site: Site, pictures: Path, width: int, scheme: Any
) -> None:
    page = open_page(viewport={"width": width, "height": 900}, color_scheme=scheme)

    page.goto(f"{site.url}docs")
    page.locator("#classify").wait_for()

    _take(page, pictures / f"docs-{width}-{scheme}.png", width)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_text_that_is_written_from_right_to_left_is_shown_so(
    open_page: Callable[..., Page], pictures: Path, width: int
) -> None:
    page = open_page(viewport={"width": width, "height": 900})

    answer = classify(page, ARABIC)

    assert page.locator("#text:dir(rtl)").count() == 1
    assert answer.locator(".text:dir(rtl)").count() == 1
    _take(page, pictures / f"page-{width}-rtl.png", width)


def test_with_forced_colours_bars_and_marks_are_seen(
    open_page: Callable[..., Page], pictures: Path
) -> None:
    page = open_page(forced_colors="active")

    answer = classify(page, MIXED)

    bars = answer.locator(".bar").evaluate_all(
        """bars => bars.map((bar) => [
          getComputedStyle(bar).backgroundColor, getComputedStyle(bar, "::after").backgroundColor,
        ])"""
    )
    assert bars
    assert all(ground != bar for ground, bar in bars)
    page.screenshot(path=pictures / "page-forced-colours.png", full_page=True)
