"""The page of the service, as a person uses it: in a real Chromium, against the real service."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from tests.conftest import wait_until
from tests.e2e.service_page.page import (
    FOLDER,
    HOSTILE,
    MIXED,
    answer_with,
    answers,
    choose,
    classify,
)
from tests.searches import tried

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

    from tests.e2e.conftest import Site

pytestmark = pytest.mark.e2e

MOST_BYTES = 64 * 1024
MARKED = 8
MINUS = "\N{MINUS SIGN}"


def test_the_page_is_small_and_asks_nobody_else_for_anything() -> None:
    files = {file.name: file.read_text() for file in FOLDER.iterdir() if file.is_file()}

    assert sum(len(text.encode()) for text in files.values()) < MOST_BYTES
    assert {"index.html", "page.css", "page.js"} <= files.keys()
    for name, text in files.items():
        addresses = set(re.findall(r"https?://[^\s'\"]+", text)) - {"http://www.w3.org/2000/svg"}
        assert addresses == set(), name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)


def test_a_text_is_answered_with_the_words_that_moved_the_decision(
    open_page: Callable[..., Page], site: Site
) -> None:
    page = open_page()
    said = answers(site, MIXED)[0]

    answer = classify(page, MIXED)

    assert answer.locator(".verdict strong").inner_text() == said["label"]
    assert f"version {said['version']}" in answer.inner_text()
    shares = dict(
        line.split("\n")
        for line in answer.get_by_label("Probabilities").locator("li").all_inner_texts()
    )
    assert {name: float(share.rstrip(" %")) for name, share in shares.items()} == pytest.approx(
        {name: 100 * share for name, share in said["probabilities"].items()}, abs=0.051
    )
    assert answer.locator(".text").text_content() == MIXED
    points = {
        at
        for item in said["explanation"][:MARKED]
        for start, end in item["spans"]
        for at in range(start, end)
    }
    marked = "".join(answer.locator(".text mark").all_text_contents())
    assert marked == "".join(MIXED[at] for at in sorted(points))
    strongest = said["explanation"][0]
    figure = f"{strongest['contribution']:+.2f}".replace("-", MINUS)
    first = answer.locator("ol li").first
    assert first.locator(".feature").inner_text() == strongest["feature"]
    assert first.locator(".figure").inner_text() == figure
    titles = answer.locator(".text mark").evaluate_all("marks => marks.map(({ title }) => title)")
    assert any(f"{strongest['feature']}: {figure}" in title for title in titles)


def test_everything_can_be_done_with_the_keyboard(
    open_page: Callable[..., Page], site: Site
) -> None:
    page = open_page()
    said = {"source": "feedback"}
    before = site.documents.count_documents(said)
    seen: list[str] = []

    def tab_to(name: str) -> None:
        for _ in range(20):
            page.keyboard.press("Tab")
            focused = page.evaluate(
                """() => {
                  const at = document.activeElement;
                  const shown = at.type === "file" ? at.parentElement : at;
                  const { outlineStyle, outlineWidth } = getComputedStyle(shown);
                  return [at.id || at.textContent.trim(), outlineStyle, parseFloat(outlineWidth)];
                }"""
            )
            assert focused[1] != "none", focused
            assert focused[2] >= 2, focused
            seen.append(focused[0])
            if focused[0] == name:
                return
        pytest.fail(f"{name} is not reached: {seen}")

    tab_to("text")
    page.keyboard.type("A dull and boring film")
    page.keyboard.press("Control+Enter")
    page.locator("#answer .verdict").wait_for()
    assert page.locator("#announcement").inner_text()
    tab_to("Agree")
    page.keyboard.press("Enter")
    page.get_by_text("Thank you").wait_for()
    assert "Thank you" in page.evaluate("document.activeElement.textContent")
    wait_until(
        lambda: site.documents.count_documents(said) == before + 1, "the feedback in MongoDB"
    )
    tab_to("file")
    choose(page, "text\nA fine film\n")
    page.locator("#batch").wait_for()
    assert page.evaluate("document.activeElement.id") == "batch-go"
    page.keyboard.press("Enter")
    page.locator("#download").wait_for()
    assert page.evaluate("document.activeElement.id") == "download"


@pytest.mark.parametrize("button", ["Agree", "Disagree"])
def test_what_people_say_reaches_mongodb(
    open_page: Callable[..., Page], site: Site, button: str
) -> None:
    page = open_page()
    text = f"A dull and boring film, and somebody will {button}."
    said = answers(site, text)[0]
    others = said["probabilities"].keys() - {said["label"]}
    meant = said["label"] if button == "Agree" else others.pop()

    classify(page, text).get_by_role("button", name=button, exact=True).click()

    page.get_by_text(f"Thank you. Noted as {meant}.").wait_for()
    document = wait_until(
        lambda: site.documents.find_one({"text": text}), "the feedback in MongoDB", seconds=30
    )
    assert document["label"] == site.labels[meant]


def test_with_more_than_two_classes_the_right_one_can_be_chosen(
    open_page: Callable[..., Page],
) -> None:
    page = open_page()
    prediction = {
        "prediction_id": "p1",
        "label": "sport",
        "probabilities": {"art": 0.2, "sport": 0.7, "news": 0.1},
        "version": 1,
        "explanation": [],
    }
    sent: list[Any] = []

    def keep(route: Route) -> None:
        sent.append(route.request.post_data_json)
        route.fulfill(
            status=202, json={"prediction_id": "p1", "accepted": True, "request_id": "r1"}
        )

    page.route(
        "**/classify", lambda route: route.fulfill(json={"model": "x", "predictions": [prediction]})
    )
    page.route("**/feedback", keep)
    classify(page, "A goal in the last minute").get_by_role("button", name="Disagree").click()
    page.get_by_label("Which one is right?").select_option("news")
    page.get_by_role("button", name="Send").click()

    page.get_by_text("Thank you. Noted as news.").wait_for()
    assert sent == [{"prediction_id": "p1", "label": "news"}]


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (503, "feedback_not_kept", "could not be stored now; send it again"),
        (410, "prediction_not_logged", "has not kept this prediction"),
        (403, "scope_missing", "may not give feedback"),
    ],
)
def test_nobody_is_thanked_for_feedback_that_was_not_kept(
    open_page: Callable[..., Page], status: int, code: str, says: str
) -> None:
    page = open_page(errors=str(status))
    message = "This API key may not give feedback."
    if status == 503:
        message = "The feedback could not be stored now; send it again in a few seconds."
    page.route("**/feedback", answer_with(status, code, message))

    classify(page, "A fine film").get_by_role("button", name="Agree", exact=True).click()

    page.get_by_text(says).wait_for()
    page.get_by_text("Your answer was not kept.").wait_for()
    assert page.get_by_text("Thank you").count() == 0


def test_text_is_shown_as_text_whatever_it_contains(
    open_page: Callable[..., Page],
) -> None:
    page = open_page()

    answer = classify(page, HOSTILE)
    choose(page, f'"{HOSTILE.replace(chr(34), chr(34) * 2)}"\nA fine film\n', name="<b>x</b>.csv")
    page.locator("#batch").wait_for()

    assert answer.locator(".text").text_content() == HOSTILE
    assert page.locator("#answer img, #answer script, #batch b, #batch img").count() == 0
    assert page.locator("#batch-summary").inner_text() == "<b>x</b>.csv"
    assert page.evaluate("window.hacked") is None


def test_pieces_of_a_text_name_exactly_the_features_over_them(
    open_page: Callable[..., Page],
) -> None:
    page = open_page()
    text = st.text(st.sampled_from("ab é🎬\n"), min_size=1, max_size=12)
    span = st.tuples(st.integers(0, 12), st.integers(1, 5))

    @tried(2, suppress_health_check=list(HealthCheck))
    @given(text=text, features=st.lists(st.lists(span, max_size=3), max_size=4))
    def check(text: str, features: list[list[tuple[int, int]]]) -> None:
        spans = [[[start, start + length] for start, length in feature] for feature in features]

        pieces = page.evaluate(
            """async ([text, spans]) => {
              const { pieces } = await import("/static/answer.js");
              const explanation = spans.map((spans, index) => ({ index, spans }));
              return pieces(text, explanation)
                .map(({ text, features }) => [text, features.map(({ index }) => index)]);
            }""",
            [text, spans],
        )

        assert "".join(piece for piece, _ in pieces) == text
        named = [over for piece, over in pieces for _ in piece]
        for at, over in enumerate(named):
            expected = [n for n, found in enumerate(spans) if any(a <= at < b for a, b in found)]
            assert over == expected

    check()


def test_an_empty_text_is_refused_at_its_field(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.route("**/classify", lambda _: pytest.fail("an empty text was sent"))

    page.get_by_role("button", name="Classify", exact=True).click()

    page.locator("#text-error", has_text="Type or paste something first.").wait_for()
    assert page.locator("#text").get_attribute("aria-invalid") == "true"
    assert page.evaluate("document.activeElement.id") == "text"


def test_a_text_that_is_too_long_is_explained_at_its_field(open_page: Callable[..., Page]) -> None:
    page = open_page(errors="422|413")

    page.locator("#text").fill("long " * 30_000)
    page.get_by_role("button", name="Classify", exact=True).click()

    page.locator("#text-error", has_text="The text has 150,000 characters").wait_for()
    assert "inputs" not in page.locator("#text-error").inner_text()


def test_the_page_waits_for_the_network_and_goes_on_by_itself(
    open_page: Callable[..., Page],
) -> None:
    page = open_page(errors="ERR_INTERNET_DISCONNECTED")

    page.context.set_offline(True)
    page.locator("#text").fill("A fine film")
    page.keyboard.press("Control+Enter")
    page.locator("#text").press("Control+Enter")
    page.get_by_text("The service cannot be reached.").wait_for()
    page.context.set_offline(False)

    page.locator("#answer .verdict").wait_for()
    page.locator("#notice").wait_for(state="hidden")


def test_the_page_waits_for_the_first_model(open_page: Callable[..., Page]) -> None:
    page = open_page(errors="503")
    message = "No model is in Production yet."
    page.route("**/models", answer_with(503, "no_model", message, **{"Retry-After": "1"}), times=2)

    page.reload()
    page.locator("#notice-text", has_text=message).wait_for()

    page.get_by_text("in Production since").wait_for()
    page.locator("#notice").wait_for(state="hidden")


def test_a_key_is_asked_for_kept_for_the_tab_and_sent(open_page: Callable[..., Page]) -> None:
    page = open_page(errors="401")
    sent: list[str | None] = []
    refuse = answer_with(401, "unauthorized", "An API key is needed.")

    def guard(route: Route) -> None:
        sent.append(route.request.headers.get("authorization"))
        if sent[-1] == "Bearer right-key":
            route.continue_()
        else:
            refuse(route)

    page.route("**/classify", guard)
    page.locator("#text").fill("A fine film")
    page.locator("#text").press("Control+Enter")
    key = page.locator("#key")
    for wrong_or_right in ("wrong-key", "right-key"):
        key.wait_for()
        assert page.evaluate("document.activeElement.id") == "key"
        key.fill(wrong_or_right)
        key.press("Enter")
        if wrong_or_right == "wrong-key":
            page.get_by_text("The service does not know this key.").wait_for()

    page.locator("#answer .verdict").wait_for()
    assert sent == [None, "Bearer wrong-key", "Bearer right-key"]
    assert key.is_hidden()
    assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]
    page.reload()
    page.get_by_text("in Production since").wait_for()
    classify(page, "Another fine film")
    assert sent[-1] == "Bearer right-key"


def test_the_model_can_be_chosen_when_there_are_several(open_page: Callable[..., Page]) -> None:
    page = open_page()
    assert page.get_by_label("Model").is_hidden()
    version = {"alias": "production", "version": 7, "since": "2026-01-02T03:04:05Z", "loaded": True}
    models = [
        {
            "model": name,
            "kind": kind,
            "fields": fields,
            "classes": ["a", "b"],
            "versions": [version],
        }
        for name, kind, fields in (
            ("letters", "text", None),
            ("flowers", "tabular", {"width": "number", "colour": "category"}),
        )
    ]
    sent: list[Any] = []

    def answer(route: Route) -> None:
        sent.append(route.request.post_data_json)
        prediction = {
            "prediction_id": "p",
            "label": "a",
            "probabilities": {"a": 1, "b": 0},
            "version": 7,
            "explanation": [{"feature": "width", "contribution": 2.5, "spans": []}],
        }
        route.fulfill(
            json={"model": sent[-1]["model"], "predictions": [prediction] * len(sent[-1]["inputs"])}
        )

    page.route("**/models", lambda route: route.fulfill(json={"models": models}))
    page.route("**/classify", answer)
    page.reload()
    page.get_by_label("Model").select_option("flowers")
    page.get_by_label("colour").fill("blue")
    page.get_by_label("width").fill("one")
    page.get_by_label("width").press("Enter")
    page.locator("#text-error", has_text="width is not a number.").wait_for()
    assert page.evaluate("document.activeElement.name") == "width"
    page.get_by_label("width").fill("1.5")
    page.get_by_label("width").press("Enter")
    page.locator("#answer li", has_text="width = 1.5").wait_for()
    choose(page, "number,width,colour\n1,2.5,red\n")
    page.get_by_role("button", name="Classify 1 row").click()
    page.locator("#download").wait_for()

    assert sent[0] == {
        "model": "flowers",
        "inputs": [{"width": 1.5, "colour": "blue"}],
        "explain": True,
    }
    assert sent[1] == {"model": "flowers", "inputs": [{"width": 2.5, "colour": "red"}]}


def test_the_browser_is_told_to_run_nothing_else(
    open_page: Callable[..., Page], site: Site
) -> None:
    page = open_page(errors="Content Security Policy")

    response = page.goto(site.url)
    page.evaluate(
        """() => {
          const script = document.createElement("script");
          document.body.append(Object.assign(script, { text: "window.hacked = 1" }));
        }"""
    )

    assert response is not None
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert page.evaluate("window.hacked") is None
