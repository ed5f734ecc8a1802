"""The page of the service, as a person uses it: in a real Chromium, against the real service.

``PAGE_SCREENSHOTS=1 pytest tests/e2e/test_page.py -k screenshots`` writes the images of the README,
``docs/images/page-light.png`` and ``docs/images/page-dark.png``.
Where there is no browser, these tests are skipped, but in CI (``CI`` is set) they fail;
``python -m tools.chromium`` installs one.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from settings import PROJECT
from tests.conftest import wait_until
from tools.chromium import find

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Download, Locator, Page, Route

    from tests.e2e.conftest import Site

pytestmark = pytest.mark.e2e

FOLDER = PROJECT / "serving" / "page"
IMAGES = PROJECT / "docs" / "images"
MOST_BYTES = 44 * 1024
MARKED = 8
MINUS = "\N{MINUS SIGN}"
PHONE = {"width": 360, "height": 740}
DESKTOP = {"width": 1280, "height": 800}
MIXED = (
    "The acting is excellent, but the plot is not good at all. A dull, boring and bad film. 🎬 Bad!"
)
HOSTILE = (
    '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script> a bad &amp; dull film'
)
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]

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


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real Chromium."""
    found = find()
    if found is None:
        reason = "no Chromium or Chrome on this machine; python -m tools.chromium installs one"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found.path,
            args=_ARGUMENTS,
            env={**os.environ, **found.environment},
        )
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, site: Site) -> Iterator[Callable[..., Page]]:
    """A function that opens the page; at the end nothing may have been wrong in the console.

    Chromium logs every answer with an error status. Tests that want such answers say so.
    """
    contexts: list[BrowserContext] = []
    wrong: list[str] = []
    expected: list[str] = []

    def open_(*, errors: str | None = None, **options: Any) -> Page:
        context = browser.new_context(**{"viewport": DESKTOP, "reduced_motion": "reduce"} | options)
        contexts.append(context)
        context.set_default_timeout(10_000)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
        if errors:
            expected.append(errors)
        page.goto(site.url)
        page.get_by_text("in Production since").wait_for()
        return page

    yield open_
    for context in contexts:
        context.close()
    surprising = [line for line in wrong if not any(re.search(known, line) for known in expected)]
    assert surprising == []


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


def test_marks_differ_by_more_than_their_colour(open_page: Callable[..., Page]) -> None:
    page = open_page()

    answer = classify(page, MIXED)

    legend = answer.locator(".legend mark")
    styles = legend.evaluate_all(
        "all => all.map((mark) => getComputedStyle(mark).textDecorationStyle)"
    )
    assert styles == ["solid", "wavy"]
    assert legend.all_inner_texts()[1].startswith("away from")


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
        route.fulfill(status=202, json={"prediction_id": "p1", "accepted": True})

    page.route(
        "**/classify", lambda route: route.fulfill(json={"model": "x", "predictions": [prediction]})
    )
    page.route("**/feedback", keep)
    classify(page, "A goal in the last minute").get_by_role("button", name="Disagree").click()
    page.get_by_label("Which one is right?").select_option("news")
    page.get_by_role("button", name="Send").click()

    page.get_by_text("Thank you. Noted as news.").wait_for()
    assert sent == [{"prediction_id": "p1", "label": "news"}]


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


def test_a_csv_comes_back_as_it_was_with_the_answers_added(
    open_page: Callable[..., Page], site: Site
) -> None:
    page = open_page()
    original = (
        "\ufeffid,Text,note\r\n"
        '1,"A ""fine"" film,\r\nreally good",=1+1\r\n'
        "2,A dull film,@home\r\n"
        "3,,nothing\r\n"
        "4,ein schöner Film 🎬\r\n"
        '"5",  so bad  ,"quoted"\r\n'
    )
    said = answers(
        site, 'A "fine" film,\r\nreally good', "A dull film", "ein schöner Film 🎬", "  so bad  "
    )

    choose(page, original)
    page.get_by_role("button", name="Classify 5 rows").click()
    name, result = download(page)

    assert name == "reviews-classified.csv"
    assert page.locator("#batch-status").inner_text().startswith("Done: ")
    classes = list(said[0]["probabilities"])
    head, *body = rows(result)
    probabilities = [f"probability_{label}" for label in classes]
    assert head == [
        "id",
        "Text",
        "note",
        "predicted_label",
        *probabilities,
        "model_version",
        "error",
    ]
    empty = body.pop(2)
    assert empty[:3] == ["3", "", "nothing"]
    assert empty[3:-1] == [""] * (len(classes) + 2)
    assert empty[-1]
    assert [row[3] for row in body] == [prediction["label"] for prediction in said]
    assert [row[-2] for row in body] == [str(prediction["version"]) for prediction in said]
    assert [[float(cell) for cell in row[4:-2]] for row in body] == [
        pytest.approx([prediction["probabilities"][label] for label in classes], abs=1e-6)
        for prediction in said
    ]
    for line in original.rstrip("\r\n").split("\r\n"):
        assert line in result
    assert result.startswith("\ufeffid,Text,note,")
    assert result.count("\r\n") == original.count("\r\n")


def test_the_column_of_the_text_can_be_chosen_and_the_first_row_can_be_a_text(
    open_page: Callable[..., Page], site: Site
) -> None:
    page = open_page()

    choose(page, "7;A fine film\n8;A dull film", name="plain.tsv")
    page.get_by_label("The first row names the columns").uncheck()
    page.get_by_label("Column with the text").select_option("1")
    page.get_by_role("button", name="Classify 2 rows").click()
    name, result = download(page)

    said = answers(site, "A fine film", "A dull film")
    table = [line.split(";") for line in result.splitlines()]
    assert name == "plain-classified.tsv"
    assert [row[:3] for row in table] == [
        ["7", "A fine film", said[0]["label"]],
        ["8", "A dull film", said[1]["label"]],
    ]


def test_a_long_file_goes_in_chunks_and_can_be_stopped_and_continued(
    open_page: Callable[..., Page],
) -> None:
    page = open_page()
    total = 12_000
    sizes: list[int] = []
    held: list[Route] = []

    def hold_the_fourth(route: Route) -> None:
        sizes.append(len(route.request.post_data_json["inputs"]))
        if len(sizes) == 4:
            held.append(route)
        else:
            route.continue_()

    page.route("**/classify", hold_the_fourth)
    choose(page, "text\n" + "".join(f"film number {number}\n" for number in range(total)))
    page.get_by_role("button", name="Classify 12,000 rows").click()
    wait_until(lambda: held or page.wait_for_timeout(20), "the fourth chunk")
    page.get_by_role("button", name="Stop").click()
    done = sum(sizes[:3])
    page.get_by_text(f"Stopped after {done:,} rows.").wait_for()
    page.get_by_role("button", name=f"Continue with {total - done:,} rows").click()
    _, result = download(page)

    table = rows(result)
    assert len(table) == total + 1
    assert table[-1][0] == f"film number {total - 1}"
    assert all(row[1] for row in table)
    assert max(sizes) <= 1000
    assert sum(sizes) - sizes[3] == total


def test_added_cells_are_no_formulas_and_a_refused_row_stops_nothing(
    open_page: Callable[..., Page],
) -> None:
    page = open_page(errors="422")

    def answer(route: Route) -> None:
        inputs = route.request.post_data_json["inputs"]
        if "bad" in inputs:
            field = f"inputs[{inputs.index('bad')}]"
            error = {"code": "x", "message": f"{field} is =too= long.", "field": field}
            route.fulfill(status=422, json={"error": error})
            return
        prediction = {"label": "=cmd()", "probabilities": {"=cmd()": 0.9, "+b": 0.1}, "version": 1}
        route.fulfill(json={"model": "x", "predictions": [prediction] * len(inputs)})

    page.route("**/classify", answer)
    choose(page, "text,label\n=original,-1\nbad,2\n")
    page.get_by_role("button", name="Classify 2 rows").click()
    _, result = download(page)

    assert rows(result) == [
        [
            "text",
            "label",
            "predicted_label",
            "probability_=cmd()",
            "probability_+b",
            "model_version",
            "error",
        ],
        ["=original", "-1", "'=cmd()", "0.900000", "0.100000", "1", ""],
        ["bad", "2", "", "", "", "", "This row is =too= long."],
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "This file is empty."),
        (b'text\n"never closed\n', "A quotation mark in row 2 is never closed."),
    ],
)
def test_a_file_that_cannot_be_used_is_explained_where_it_was_chosen(
    open_page: Callable[..., Page], content: bytes, said: str
) -> None:
    page = open_page()

    choose(page, content)

    page.locator("#file-error", has_text=said).wait_for()
    assert page.locator("#batch").is_hidden()


def test_a_file_in_the_encoding_of_old_spreadsheets_is_read(open_page: Callable[..., Page]) -> None:
    page = open_page()

    choose(page, "text\nein schöner Film\n".encode("cp1252"))
    page.get_by_role("button", name="Classify 1 row").click()

    assert rows(download(page)[1])[1][0] == "ein schöner Film"


def test_a_dropped_file_is_taken(open_page: Callable[..., Page]) -> None:
    page = open_page()

    page.evaluate(
        """() => {
          const files = new DataTransfer();
          files.items.add(new File(["text\\nA fine film\\n"], "dropped.csv"));
          const options = { dataTransfer: files, bubbles: true, cancelable: true };
          document.getElementById("drop").dispatchEvent(new DragEvent("drop", options));
        }"""
    )

    page.get_by_role("button", name="Classify 1 row").wait_for()
    assert page.locator("#batch-summary").inner_text() == "dropped.csv"


def test_what_python_writes_as_csv_the_page_reads_alike_and_gives_back_unchanged(
    open_page: Callable[..., Page],
) -> None:
    page = open_page()
    cell = st.text(st.sampled_from('ab",;\n\r\t =é🎬'), max_size=6)
    table = st.integers(2, 4).flatmap(
        lambda width: st.lists(
            st.lists(cell, min_size=width, max_size=width), min_size=1, max_size=5
        )
    )

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(table=table, newline=st.sampled_from(["\r\n", "\n"]))
    def check(table: list[list[str]], newline: str) -> None:
        table = [["first", *(f"column {at}" for at in table[0][1:])], *table]
        buffer = io.StringIO(newline="")
        # Without the CR of its own line ends, Python leaves that of a cell unquoted.
        quoting = csv.QUOTE_MINIMAL if newline == "\r\n" else csv.QUOTE_ALL
        csv.writer(buffer, lineterminator=newline, quoting=quoting).writerows(table)
        text = buffer.getvalue()

        read, written = page.evaluate(
            """async (text) => {
              const { parseCsv, extendRecord } = await import("/static/csv.js");
              const csv = parseCsv(text);
              const cells = csv.records.map(({ cells }) => cells);
              const lines = csv.records.map((record) => extendRecord(csv, record, ["x"]));
              return [cells, lines.join(csv.newline) + csv.newline];
            }""",
            text,
        )

        assert read == table
        assert rows(written) == [[*row, "x"] for row in table]

    check()


def test_pieces_of_a_text_name_exactly_the_features_over_them(
    open_page: Callable[..., Page],
) -> None:
    page = open_page()
    text = st.text(st.sampled_from("ab é🎬\n"), min_size=1, max_size=12)
    span = st.tuples(st.integers(0, 12), st.integers(1, 5))

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
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


def test_a_busy_service_is_asked_again_for_a_file(open_page: Callable[..., Page]) -> None:
    page = open_page(errors="429")
    busy = answer_with(429, "too_many_requests", "Too many.", **{"Retry-After": "1"})
    page.route("**/classify", busy, times=1)

    choose(page, "text\nA fine film\n")
    page.get_by_role("button", name="Classify 1 row").click()

    assert rows(download(page)[1])[1][1]


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


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_that_keeps_people_out(
    open_page: Callable[..., Page], scheme: Any
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = open_page(color_scheme=scheme, viewport=PHONE)

    empty = Axe().run(page)
    show_everything(page)
    full = Axe().run(page)

    assert empty.violations_count == 0, empty.generate_report()
    assert full.violations_count == 0, full.generate_report()


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


@pytest.mark.skipif("PAGE_SCREENSHOTS" not in os.environ, reason="PAGE_SCREENSHOTS is not set")
def test_screenshots_for_the_readme(open_page: Callable[..., Page]) -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    light = open_page(color_scheme="light", viewport=DESKTOP)
    dark = open_page(color_scheme="dark", viewport=PHONE, device_scale_factor=2)

    for page, name in ((light, "light"), (dark, "dark")):
        page.get_by_role("button", name="a mixed one").click()
        page.locator("#answer .verdict").wait_for()
        page.locator("h1").click()
        if name == "dark":
            page.locator(".answer").evaluate("answer => answer.scrollIntoView()")
        page.screenshot(path=IMAGES / f"page-{name}.png", full_page=name == "light")
