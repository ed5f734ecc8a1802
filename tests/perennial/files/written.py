"""Problems, and tables written in each format that is read."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pyarrow as pa
from pyarrow import parquet

from perennial.config.problem import Problem
from perennial.documents.judgement import judge_documents
from perennial.files.inputs import InputColumns
from perennial.files.labelled import LabelledFile
from perennial.files.table import open_table

TEXT_FORMATS = (
    ".csv",
    ".tsv",
    ".txt",
    ".csv.gz",
    ".json",
    ".jsonl",
    ".jsonl.gz",
    ".json.bz2",
)
FORMATS = (*TEXT_FORMATS, ".parquet", ".parquet.gz")

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
_CANDIDATE = {"estimator": "logistic_regression"}


def problem_of(
    labels: dict[str, Any],
    fields: Mapping[str, str | dict[str, str]] | None = None,
    source_fields: dict[str, str] | None = None,
    min_words: int | None = None,
) -> Problem:
    """Return a problem with records, or with texts if there are no fields."""
    content: dict[str, Any] = {
        "name": "small",
        "source": {"database": "perennial", "collection": "small", "fields": source_fields or {}},
        "labels": labels,
        "candidates": {"logistic": _CANDIDATE},
    }
    if fields is None:
        content["preparations"] = {"plain": {"stop_words": "keep", "lemmas": "none"}}
        content["candidates"] = {
            "logistic": {
                "preparation": "plain",
                "features": {"weighting": "counts"},
                **_CANDIDATE,
            }
        }
    else:
        content["inputs"] = fields
    if min_words is not None:
        content["limits"] = {"min_words": min_words}
    return Problem.model_validate(content)


def loaded(problem: Problem, file: Path, **options: Any) -> list[dict[str, Any]]:
    """Return all documents of a file, as `perennial seed` loads them."""
    return list(labelled(problem, file, **options))


def labelled(problem: Problem, file: Path, **options: Any) -> LabelledFile:
    """Return the documents of a file one by one, as `perennial seed` loads them."""
    encoding, text = options.pop("encoding", None), options.pop("text_column", None)
    inputs, label = InputColumns(problem, text), options.pop("label_column", "label")
    table = open_table(file, [*inputs.names, label], encoding=encoding)
    inputs.locate(table)
    return LabelledFile(problem, table, inputs, label_column=label, **options)


def judged(problem: Problem, documents: Sequence[dict[str, Any]]) -> list[str | None]:
    """Return why a retraining would put each document into quarantine; None where it is used."""
    found: list[str | None] = judge_documents(documents, problem)["reason"].to_pylist()
    return found


def write_xlsx(path: Path, sheets: Sequence[Sequence[Sequence[Any]]]) -> Path:
    """Write a spreadsheet: sheets of rows of texts, numbers, booleans and empty cells."""
    names = "".join(
        f'<sheet name="s{n}" sheetId="{n}" r:id="r{n}"/>' for n in range(1, len(sheets) + 1)
    )
    targets = "".join(
        f'<Relationship Id="r{n}" Target="worksheets/s{n}.xml" Type="{_OFFICE}/worksheet"/>'
        for n in range(1, len(sheets) + 1)
    )
    parts = {
        "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/'
        'content-types"><Default Extension="xml" ContentType="application/xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}"><Relationship Id="r1" '
        f'Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}">'
        f"<sheets>{names}</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}">{targets}'
        "</Relationships>",
    }
    for number, rows in enumerate(sheets, start=1):
        body = "".join(f"<row>{''.join(map(_cell, row))}</row>" for row in rows)
        sheet = f'<worksheet xmlns="{_MAIN}"><sheetData>{body}</sheetData></worksheet>'
        parts[f"xl/worksheets/s{number}.xml"] = sheet
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def _cell(value: Any) -> str:
    if value is None:
        return "<c/>"
    if isinstance(value, bool):
        return f'<c t="b"><v>{int(value)}</v></c>'
    if isinstance(value, int | float):
        return f"<c><v>{value!r}</v></c>"
    return f'<c t="inlineStr"><is><t xml:space="preserve">{escape(value)}</t></is></c>'


def write(path: Path, rows: Sequence[dict[str, Any]], *, delimiter: str = ",") -> Path:
    """Write rows in the format of a file's ending."""
    ending = "".join(path.suffixes)
    if ending.startswith(".parquet"):
        buffer = io.BytesIO()
        parquet.write_table(pa.Table.from_pylist(list(rows)), buffer)
        content = buffer.getvalue()
    elif ending.startswith(".jsonl"):
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    elif ending.startswith(".json"):
        content = json.dumps(list(rows), indent=1, ensure_ascii=False).encode()
    else:
        content = delimited(rows, "\t" if ending.startswith(".tsv") else delimiter).encode()
    if ending.endswith(".gz"):
        content = gzip.compress(content)
    elif ending.endswith(".bz2"):
        import bz2

        content = bz2.compress(content)
    path.write_bytes(content)
    return path


def delimited(rows: Sequence[dict[str, Any]], delimiter: str = ",") -> str:
    """Return rows as delimited text, with nothing for what is missing."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=delimiter)
    writer.writerow(rows[0])
    writer.writerows([_written(row[name]) for name in rows[0]] for row in rows)
    return stream.getvalue()


def _written(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


MORNING = datetime(2026, 1, 31, 11, tzinfo=UTC)
