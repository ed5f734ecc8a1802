"""What Lighthouse says of the pages, as a phone on a slow network meets them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tools.chromium import find
from tools.lighthouse import CATEGORIES, PROGRAM, measure

if TYPE_CHECKING:
    from tests.e2e.conftest import Site

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not PROGRAM.exists(), reason="`make test-e2e` installs Lighthouse"),
]

LEAST = 95


def require_scores(url: str, folder: Path) -> None:
    """Fail if Lighthouse gives a page less in any category."""
    browser = find()
    assert browser is not None

    report = measure(url, browser, folder)

    assert set(report.scores) == set(CATEGORIES)
    assert min(report.scores.values()) >= LEAST, (report.scores, report.findings)


@pytest.mark.parametrize("path", ["", "docs"], ids=["page", "docs"])
def test_lighthouse_gives_at_least_95_in_each_category(
    site: Site, tmp_path: Path, path: str
) -> None:
    require_scores(f"{site.url}{path}", tmp_path)
