"""The page for a model of records, as a person uses it: in a real Chromium, on real irises."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.conftest import MIDNIGHT, copy_prefect, wait_until
from tests.e2e.conftest import Site, retrained
from tests.e2e.service_page.page import choose, download, rows
from tests.flowers import VIRGINICA, flowers, write_iris

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def site(
    mongodb_server: str, empty_prefect: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """The service, on a model that a real retraining on the 150 flowers has promoted."""
    folder = tmp_path_factory.mktemp("garden")
    (folder / "problems").mkdir()
    copy_prefect(empty_prefect, folder / "data")
    problem = write_iris(folder / "problems", f"test_{uuid4().hex}").model_dump()
    documents = [flower | {"created_at": MIDNIGHT} for flower in flowers()]
    with retrained(mongodb_server, folder, "iris", problem, documents) as site:
        yield site


def test_a_flower_is_typed_answered_explained_and_corrected(
    open_page: Callable[..., Page],
    site: Site,
) -> None:
    page = open_page()
    assert page.locator("#text").is_hidden()

    for name, value in VIRGINICA.items():
        page.get_by_label(name, exact=True).fill(str(value))
    page.get_by_label("petal_width").fill("wide")
    page.get_by_label("petal_width").press("Enter")
    page.locator("#text-error", has_text="petal_width is not a number.").wait_for()
    assert page.evaluate("document.activeElement.name") == "petal_width"
    page.get_by_label("petal_width").fill("2,5")
    page.get_by_label("petal_width").press("Enter")
    answer = page.locator("#answer")
    answer.locator(".verdict", has_text="virginica").wait_for()

    shown = answer.get_by_role("list", name="Probabilities").locator("li")
    assert shown.first.inner_text().startswith("virginica")
    assert shown.count() == 3
    reasons = answer.locator("ol.features").first.inner_text()
    assert "petal_length = 6" in reasons
    assert "petal_width = 2.5" in reasons
    answer.get_by_role("button", name="Disagree").click()
    page.get_by_label("Which one is right?").select_option("versicolor")
    page.get_by_role("button", name="Send").click()
    page.get_by_text("Thank you. Noted as versicolor.").wait_for()
    document = wait_until(lambda: site.documents.find_one({"source": "feedback"}), "the document")
    assert {name: document[name] for name in VIRGINICA} == VIRGINICA
    assert document["label"] == "versicolor"


def test_a_file_of_flowers_comes_back_with_their_species(
    open_page: Callable[..., Page],
    site: Site,
) -> None:
    # The third flower lacks a number, which is answered; the fourth has a word in its place.
    page = open_page(errors="422")
    head = "number,sepal_length,sepal_width,petal_length,petal_width\n"

    choose(
        page,
        head + "1,5.1,3.5,1.4,0.2\n2,6.3,3.3,6,2.5\n3,6.3,,6,2.5\n4,6.3,wide,6,2.5\n",
        name="garden.csv",
    )
    page.get_by_role("button", name="Classify 4 rows").click()

    name, text = download(page)
    assert name == "garden-classified.csv"
    found = rows(text)
    place = found[0].index("predicted_label")
    assert [row[place] for row in found[1:]] == ["setosa", "virginica", "virginica", ""]
    assert found[4][-1] == "sepal_width is a text, not a number."
