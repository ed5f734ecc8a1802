"""What the tests of the page share: how a person fills it in, and what the service says to that."""

from __future__ import annotations

import csv
import io
import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perennial.settings import PROJECT

if TYPE_CHECKING:
    from playwright.sync_api import Download, Locator, Page, Route, ViewportSize

    from tests.e2e.conftest import Site

FOLDER = PROJECT / "serving" / "page"
IMAGES = PROJECT / "docs" / "images"
PHONE: ViewportSize = {"width": 360, "height": 740}
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
MIXED = (
    "The acting is excellent, but the plot is not good at all. A dull, boring and bad film. 🎬 Bad!"
)
HOSTILE = (
    '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script> a bad &amp; dull film'
)


def classify(page: Page, text: str) -> Locator:
    """Type a text, classify it, and return the answer."""
    page.get_by_label("Text", exact=True).fill(text)
    page.get_by_role("button", name="Classify", exact=True).click()
    page.locator("#answer .text", has_text=text[:20]).wait_for()
    return page.locator("#answer")


def answers(site: Site, *texts: str) -> list[dict[str, Any]]:
    """What the API itself says about texts."""
    request = urllib.request.Request(
        site.url + "classify",
        json.dumps({"inputs": texts, "explain": True}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as response:
        return json.load(response)["predictions"]


def choose(page: Page, content: bytes | str, name: str = "reviews.csv") -> None:
    content = content.encode() if isinstance(content, str) else content
    page.get_by_label("Choose a CSV file").set_input_files(
        [{"name": name, "mimeType": "text/csv", "buffer": content}]
    )


def download(page: Page) -> tuple[str, str]:
    """Wait until the file is done; return its name and its text."""
    link = page.locator("#download")
    link.wait_for(timeout=60_000)
    with page.expect_download() as waiting:
        link.click()
    got: Download = waiting.value
    return got.suggested_filename, Path(got.path()).read_bytes().decode()


def rows(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline="")))


def answer_with(status: int, code: str, message: str, **headers: str) -> Callable[[Route], None]:
    """A handler that answers as the service does when it cannot classify."""
    error = {"error": {"code": code, "message": message, "field": None}}
    return lambda route: route.fulfill(status=status, json=error, headers=headers)
