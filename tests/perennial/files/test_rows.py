"""Rows: one that cannot be read keeps itself out, and never the others of its file."""

from __future__ import annotations

import random
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.documents.forecast import Forecast
from perennial.errors import OutsideError
from perennial.reasons import Reason
from tests.perennial.examples import some_examples
from tests.perennial.files.written import judged, labelled, loaded, problem_of, write, write_xlsx

TEXTS = problem_of({"bad": 0, "good": 1}, min_words=1)
RECORDS = problem_of({"bad": 0, "good": 1}, {"Nr_": "number", "size": "number"})

_RUSSIAN = "Не могу войти в личный кабинет, помогите пожалуйста"  # noqa: RUF001
SINGLE = [
    ("ragged.csv", b"text,label\na,1\nb,1,2\nc,0\n", 3, "has 3 values, and the header 2 columns"),
    ("short.tsv", b"text\tlabel\na\t1\nb\nc\t0\n", 3, "has 1 values, and the header 2 columns"),
    ("open.csv", b'text,label\na,1\n"b,1\nc,0\n', 3, "quotation marks that do not match"),
    ("inner.csv", b'text,label\na,1\n"b" x,1\nc,0\n', 3, "quotation marks that do not match"),
    ("late.csv", b'text,label\na,1\n"b,1\n"c",0\n', 3, "quotation marks that do not match"),
    (
        "bytes.csv",
        "text,label\nàéîö àéîö àéîö,1\n".encode() + b"b\xff,1\n" + "çñß,0\n".encode(),
        3,
        "is not utf-8",
    ),
    ("cut.jsonl", b'{"text":"a","label":1}\n{"text":"b\n{"text":"c","label":0}\n', 2, "no JSON"),
    ("list.jsonl", b'{"text":"a","label":1}\n["b", 0]\n{"text":"c","label":0}', 2, "no object"),
    (
        "twice.jsonl",
        b'{"text":"a","label":1}\n{"text":"b","text":"x"}\n{"text":"c","label":0}',
        2,
        "has two values named 'text'",
    ),
    (
        "half.jsonl",
        b'{"text":"a","label":1}\n{"text":"\\ud83d","label":1}\n{"text":"c","label":0}',
        2,
        "has text that is not valid Unicode",
    ),
    (
        "single.jsonl",
        b'{"text":"a","label":1}\n{"$oid":"507f191e810c19729de860ea"}\n{"text":"c","label":0}',
        2,
        "is a single value of MongoDB",
    ),
]


@pytest.mark.parametrize(("name", "content", "line", "why"), SINGLE, ids=[row[0] for row in SINGLE])
def test_a_row_that_cannot_be_read_goes_to_quarantine_by_itself(
    name: str, content: bytes, line: int, why: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    file = labelled(TEXTS, tmp_path / name)

    first, broken, last = file

    assert (first["label"], last["text"][0], last["label"]) == (1, last["text"][0], 0)
    assert last["text"] in ("c", "çñß")
    assert broken["unreadable"]["line"] == line
    assert why in broken["unreadable"]["why"]
    assert judged(TEXTS, [first, broken, last]) == [None, "text is missing", None]
    (said,) = file.unreadable
    assert said.startswith(f"Line {line} of the file {tmp_path / name} ")
    assert why in said


def test_a_broken_row_has_the_same_id_each_time(tmp_path: Path) -> None:
    file = tmp_path / "texts.csv"
    file.write_bytes(b"text,label\na,1\nb,1,2\nb,1,2\n")

    first, again = ([each["_id"] for each in loaded(TEXTS, file)] for _ in range(2))

    assert first == again
    assert len(set(first)) == 3


@given(
    rows=st.lists(st.sampled_from(["a,1", "b,0", '"c', 'd" x,1', "e,1,2", "f"]), min_size=1).filter(
        lambda rows: any(row in ("a,1", "b,0") for row in rows)
    )
)
@some_examples
def test_every_line_is_a_document_whatever_stands_beside_it(rows: list[str]) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "texts.csv"
        file.write_text("\n".join(["text,label", *rows]) + "\n")
        documents = loaded(TEXTS, file)

    read = [each["text"] for each in documents if "text" in each]
    places = [each["unreadable"]["line"] for each in documents if "unreadable" in each]
    assert len(read) + len(places) == len(documents)
    assert len(set(places)) == len(places)
    if '"c' not in rows:
        whole = ("a,1", "b,0", 'd" x,1')
        assert read == [row.partition(",")[0] for row in rows if row in whole]
        assert len(documents) == len(rows)


def test_the_forecast_names_the_reasons_that_a_retraining_gives(tmp_path: Path) -> None:
    file = tmp_path / "texts.csv"
    file.write_text("text,label,created_at\na,1,\n,1,2026-01-31\nb,2,2026-01-31\nc,,2026-01-31\n")
    documents = loaded(TEXTS, file)
    forecast = Forecast(TEXTS)

    for document in documents:
        forecast.add(document)

    said = [reason.partition(":")[0] for reason in judged(TEXTS, documents) if reason]
    assert said == [
        "created_at is null",
        "text is empty",
        "label is not one of 0, 1",
        "label is null",
    ]
    assert [str(reason) for reason in forecast.reasons] == [
        "created_at is null",
        "text is empty",
        "label is none of the problem's labels",
        "label is null",
    ]
    assert forecast.quarantined == forecast.documents == 4
    assert Reason.parse("unknown_label label") in forecast.examples


def test_a_column_is_found_by_the_name_that_its_field_has_in_mongodb(tmp_path: Path) -> None:
    rows = [{"Nr.": 1, "size": 2, "label": 1}]

    (document,) = loaded(RECORDS, write(tmp_path / "table.csv", rows))

    assert (document["Nr_"], document["size"]) == (1, 2)


@pytest.mark.parametrize("ending", [".csv", ".tsv"])
def test_of_columns_of_one_name_the_later_ones_get_a_number(ending: str, tmp_path: Path) -> None:
    file = tmp_path / f"texts{ending}"
    file.write_text("text,label,a,a,a_2\nx,1,2,3,4\n".replace(",", "\t" if "t" in ending else ","))

    (document,) = loaded(TEXTS, file)

    assert (document["a"], document["a_3"], document["a_2"]) == ("2", "3", "4")


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("windows-1252", "Die Straße ist schön, größer als früher"),
        ("latin-1", "magnifié à la façon d'un été"),
        ("windows-1250", "Příliš žluťoučký kůň úpěl ďábelské ódy, říká pan učitel"),
        ("windows-1251", _RUSSIAN),
        ("koi8-r", _RUSSIAN),
        ("shift-jis", "この映画はとても面白かったです。また見たいと思います"),
        ("gb18030", "这个电影非常好看 我很喜欢 值得推荐给朋友"),
        ("utf-16-le", "Die Straße ist schön"),
        ("utf-16-be", "Die Straße ist schön"),
    ],
)
@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_an_encoding_is_found(encoding: str, text: str, ending: str, tmp_path: Path) -> None:
    file = write(tmp_path / f"texts{ending}", [{"text": text, "label": 1}])
    if ending == ".jsonl":
        file.write_text('{"text": "' + text + '", "label": 1}\n')
    file.write_bytes(file.read_text().encode(encoding))

    (document,) = loaded(TEXTS, file)

    assert document["text"] == text


def test_a_zero_that_a_program_has_left_makes_no_text_a_binary_file(tmp_path: Path) -> None:
    file = tmp_path / "texts.csv"
    others = "".join(f"schöne Straße {n},0\n" for n in range(20))
    file.write_bytes(b"text,label\nbro\0ken,1\n" + others.encode())

    first, *rest = loaded(TEXTS, file)

    assert first["text"] == "bro\0ken"
    assert len(rest) == 20


@pytest.mark.parametrize("seed", range(5))
def test_a_binary_file_is_no_text(seed: int, tmp_path: Path) -> None:
    file = tmp_path / "texts.csv"
    file.write_bytes(random.Random(seed).randbytes(6_000))

    with pytest.raises(OutsideError, match=r"encoding of the file .* cannot be told"):
        loaded(TEXTS, file)


def test_a_spreadsheet_is_read_with_the_types_of_its_cells(tmp_path: Path) -> None:
    rows = [
        ["text", "label", "size", "old", None],
        ["a film & more", 1, 1.5, True, None],
        [None, None, None, None, None],
        ["ein Film", 0.0, None, False, None],
    ]

    documents = loaded(TEXTS, write_xlsx(tmp_path / "texts.xlsx", [[], rows]))

    assert [(each["text"], each["label"]) for each in documents] == [
        ("a film & more", 1),
        ("ein Film", 0),
    ]
    assert [(each["size"], each["old"]) for each in documents] == [(1.5, True), (None, False)]


def test_a_value_beside_the_columns_of_a_spreadsheet_keeps_its_row_out(tmp_path: Path) -> None:
    rows = [["text", "label"], ["a", 1], ["b", 1, "note"]]

    first, broken = loaded(TEXTS, write_xlsx(tmp_path / "texts.xlsx", [rows]))

    assert first["text"] == "a"
    assert broken["unreadable"]["row"] == 3
    assert "'note'; give its column a name" in broken["unreadable"]["why"]
