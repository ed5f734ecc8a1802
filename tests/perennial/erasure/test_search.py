"""The search finds a text however a file holds it, and nothing else."""

from __future__ import annotations

import gzip
import html
import io
import json
import zipfile
from collections.abc import Callable

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pyarrow import parquet

from perennial.erasure.search import found_in, needles_of_id, needles_of_text
from perennial.errors import OutsideError

TEXT = 'She said "no", and that\'s it: über alles schön — <b>and</b> 👎 twice, in the year of 1999.'


def _parquet(column: pa.Array) -> bytes:
    stream = io.BytesIO()
    parquet.write_table(pa.table({"number": range(len(column)), "said": column}), stream)
    return stream.getvalue()


def _zipped(content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner", content)
    return stream.getvalue()


WAYS: dict[str, Callable[[str], bytes]] = {
    "plain": str.encode,
    "json": lambda text: json.dumps([text]).encode(),
    "json in its own letters": lambda text: json.dumps([text], ensure_ascii=False).encode(),
    "html": lambda text: html.escape(text).encode(),
    "gzip": lambda text: gzip.compress(text.encode()),
    "zstd": lambda text: pa.Codec("zstd").compress(text.encode(), asbytes=True),
    "zip": lambda text: _zipped(text.encode()),
    "zip in zip": lambda text: _zipped(_zipped(text.encode())),
    "parquet": lambda text: _parquet(pa.array(["other", text])),
    "parquet, in a record": lambda text: _parquet(pa.array([{"a": {"b": text}}])),
    "parquet, in a map": lambda text: _parquet(
        pa.array([[("key", text)]], pa.map_(pa.string(), pa.string()))
    ),
    "parquet, in a list": lambda text: _parquet(pa.array([[text], []])),
    "parquet, with repeated values": lambda text: _parquet(
        pa.array([text] * 9).dictionary_encode()
    ),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_a_text_is_found_however_a_file_holds_it(way: Callable[[str], bytes]) -> None:
    assert found_in(way(TEXT), needles_of_text(TEXT))
    assert not found_in(
        way("Quite another text, of which nothing is wanted here."), needles_of_text(TEXT)
    )


@given(st.text(min_size=60), st.integers(0, 2), st.binary(max_size=50))
@example("0" * 60, 0, b"PAR1")
def test_a_third_of_a_text_is_found_wherever_it_was_cut(
    text: str, part: int, around: bytes
) -> None:
    text = text.strip()
    needles = needles_of_text(text)
    if len(text) < 12:
        assert needles == []
        return
    start = [0, (len(text) - 40) // 2, len(text) - 40][part]
    piece = text[max(start - 1, 0) : start + 41]

    assert found_in(around + piece.encode("utf-8", "surrogatepass") + around, needles)


@pytest.mark.parametrize(
    ("content", "is_there"),
    [
        (b"{'_id': 'document-000017'}", True),
        (b"document-000017", True),
        (b"document-0000171", False),
        (b"my-document-000017", False),
        (b"document-00001", False),
    ],
)
def test_an_id_is_not_found_as_a_part_of_a_longer_one(content: bytes, is_there: bool) -> None:
    assert bool(found_in(content, needles_of_id("document-000017"))) is is_there


def test_what_is_too_short_is_not_looked_for() -> None:
    assert needles_of_text("  Good film.  ") == needles_of_id("17") == []


@pytest.mark.parametrize("beginning", [b"PK\x03\x04", b"\x1f\x8b", b"\x28\xb5\x2f\xfd"])
def test_what_only_begins_like_an_archive_is_searched_as_it_is(beginning: bytes) -> None:
    assert found_in(beginning + TEXT.encode(), needles_of_text(TEXT))


def test_a_damaged_parquet_file_hides_nothing() -> None:
    needles = needles_of_text(TEXT)

    assert found_in(b"PAR1" + TEXT[:45].encode() + b"PAR1", needles) == needles[:1]
    with pytest.raises(OutsideError, match="a Parquet file is damaged"):
        found_in(b"PAR1 packed beyond recognition PAR1", needles)
