"""The page for a model of records, as a person uses it: in a real Chromium, on real irises."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from tests.conftest import MIDNIGHT, copy_prefect, wait_until
from tests.e2e.conftest import Site, retrained
from tests.e2e.service_page.page import choose, download, rows
from tests.e2e.service_page.test_page_scores import require_scores
from tests.flowers import VIRGINICA, flowers, write_iris
from tools.lighthouse import PROGRAM

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

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


def test_an_example_of_what_the_model_knows_is_filled_in_and_answered(
    open_page: Callable[..., Page],
) -> None:
    page = open_page()
    box = page.get_by_label("petal_length", exact=True)
    assert re.fullmatch(r"1(\.\d+)? to 6(\.\d+)?", box.get_attribute("placeholder") or "")

    page.get_by_role("button", name="a typical record").click()

    page.locator("#answer .verdict").wait_for()
    assert 3 < float(box.input_value()) < 6


def test_a_field_among_hundreds_is_found_by_its_name(open_page: Callable[..., Page]) -> None:
    fields = {f"measure_{number:03d}": "number" for number in range(300)} | {"colour": "category"}
    model = {
        "model": "garden",
        "kind": "tabular",
        "fields": fields,
        "required": [],
        "values": {"colour": {"categories": ["blue", "red"]}},
        "examples": [{"measure_250": 7, "colour": "blue"}],
        "classes": ["a", "b"],
        "versions": [{"alias": "production", "version": 1, "since": None, "metrics": {}}],
    }
    prediction = {"label": "a", "probabilities": {"a": 0.9, "b": 0.1}, "version": 1, "known": 1}
    sent: list[Any] = []

    def answer(route: Route) -> None:
        sent.extend(route.request.post_data_json["inputs"])
        route.fulfill(json={"model": "garden", "predictions": [prediction]})

    page = open_page()
    page.route("**/models", lambda route: route.fulfill(json={"models": [model]}))
    page.route("**/classify", answer)
    page.reload()
    page.get_by_label("measure_000").wait_for()
    assert page.locator("#fields input").count() == 24
    page.get_by_label("Another field, of 277").fill("measure_123")
    page.get_by_label("Another field, of 277").press("Tab")
    page.get_by_label("measure_123").fill("1,5")
    page.get_by_role("button", name="Classify", exact=True).click()
    page.locator("#answer .verdict").wait_for()
    page.get_by_role("button", name="record 1").click()
    wait_until(lambda: len(sent) == 2 or page.wait_for_timeout(20), "the example")

    assert sent == [{"measure_123": 1.5}, {"measure_250": 7, "colour": "blue"}]
    options = page.locator("#values-of-colour option").evaluate_all(
        "all => all.map((o) => o.value)"
    )
    assert options == ["blue", "red"]


@pytest.mark.skipif(not PROGRAM.exists(), reason="`make test-e2e` installs Lighthouse")
@pytest.mark.parametrize("path", ["", "docs"], ids=["page", "docs"])
def test_lighthouse_gives_at_least_95_in_each_category(
    site: Site, tmp_path: Path, path: str
) -> None:
    require_scores(f"{site.url}{path}", tmp_path)
