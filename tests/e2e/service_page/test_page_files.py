"""Files on the page: a CSV is dropped, and comes back with the answers added."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from tests.conftest import wait_until
from tests.e2e.service_page.page import (
    answer_with,
    answers,
    choose,
    download,
    rows,
)
from tests.searches import tried

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

    from tests.e2e.conftest import Site

pytestmark = pytest.mark.e2e


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
    page.get_by_label("is a row like the others").check()
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


@pytest.mark.parametrize(
    ("name", "start", "said"),
    [
        ("reviews.xlsx", b"PK\x03\x04", "reviews.xlsx is a spreadsheet, not a CSV file. Open it"),
        ("reviews.ods", b"PK\x03\x04", "reviews.ods is a spreadsheet, not a CSV file. Open it"),
        ("reviews.zip", b"PK\x03\x04", "reviews.zip is a packed file, not a CSV file. Unpack"),
        ("reviews.xls", b"\xd0\xcf\x11\xe0\xa1\xb1", "reviews.xls is a spreadsheet or document"),
        ("reviews.csv.gz", b"\x1f\x8b\x08", "reviews.csv.gz is a packed file, not a CSV file."),
        ("reviews.parquet", b"PAR1", "reviews.parquet is a Parquet file, not a CSV file."),
        ("poster.png", b"\x89PNG\r\n\x1a\n", "poster.png is a picture, not a CSV file."),
        ("poster.csv", b"\xff\xd8\xff\xe0", "poster.csv is a picture, not a CSV file."),
        ("script.pdf", b"%PDF-1.7", "script.pdf is a PDF, not a CSV file."),
        ("program", b"\x7fELF\x02\x01\x01", "program is not a text, and so not a CSV file."),
    ],
)
def test_a_file_of_another_kind_is_refused_by_its_name(
    open_page: Callable[..., Page], name: str, start: bytes, said: str
) -> None:
    page = open_page()

    choose(page, start + bytes(200) + b"\x00\x07\x00\x00\x01\x00", name=name)

    page.locator("#file-error", has_text=said).wait_for()
    assert page.locator("#batch").is_hidden()


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("cp1252", b""),
        ("utf-8", b""),
        ("utf-8", b"\xef\xbb\xbf"),
        ("utf-16-le", b"\xff\xfe"),
        ("utf-16-be", b"\xfe\xff"),
        ("utf-16-le", b""),
    ],
)
def test_a_file_comes_back_in_the_encoding_in_which_it_came(
    open_page: Callable[..., Page], encoding: str, mark: bytes
) -> None:
    page = open_page()
    original = "text;note\r\nein schöner, großer Film für alle;5 € … “gut”\r\n"

    choose(page, mark + original.encode(encoding))
    page.get_by_role("button", name="Classify 1 row").click()
    link = page.locator("#download")
    link.wait_for()
    with page.expect_download() as waiting:
        link.click()
    result = Path(waiting.value.path()).read_bytes()

    assert result.startswith(mark)
    text = result.removeprefix(mark).decode(encoding)
    assert [line.split(";")[:2] for line in text.splitlines()] == [
        line.split(";") for line in original.splitlines()
    ]


def test_a_person_says_what_a_first_row_is_that_could_be_either(
    open_page: Callable[..., Page], site: Site
) -> None:
    page = open_page()

    choose(page, "A fine film\nA dull film\n")
    page.get_by_text("The first row, “A fine film”,").wait_for()
    assert page.locator("#batch-go").is_disabled()
    page.get_by_label("is a row like the others").check()
    page.get_by_role("button", name="Classify 2 rows").click()
    _, result = download(page)

    said = answers(site, "A fine film", "A dull film")
    assert [row[1] for row in rows(result)] == [each["label"] for each in said]


@pytest.mark.parametrize(
    ("content", "chosen"),
    [
        ("text\nA fine film\n", "names"),
        ("review;stars\nA fine film;5\nA dull film;1\n", "names"),
        ("A fine film;5\nA dull film;1\n", "row"),
        ("A fine film\n", "row"),
        (";A fine film\nx;A dull film\n", "row"),
    ],
)
def test_a_first_row_that_can_be_only_one_thing_is_taken_for_it(
    open_page: Callable[..., Page], content: str, chosen: str
) -> None:
    page = open_page()

    choose(page, content)
    page.locator("#batch-go").wait_for()

    assert page.locator("#first-row input:checked").get_attribute("value") == chosen


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

    @tried(2, suppress_health_check=list(HealthCheck))
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


def test_a_busy_service_is_asked_again_for_a_file(open_page: Callable[..., Page]) -> None:
    page = open_page(errors="429")
    busy = answer_with(429, "too_many_requests", "Too many.", **{"Retry-After": "1"})
    page.route("**/classify", busy, times=1)

    choose(page, "text\nA fine film\n")
    page.get_by_role("button", name="Classify 1 row").click()

    assert rows(download(page)[1])[1][1]
