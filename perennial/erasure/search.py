"""The search of stored bytes for what was erased: the proof that it is gone.

Files are looked into as they lie there, and once more unpacked where they are Parquet, archives or
compressed. A text is looked for by parts of it, each short enough to stand whole on one page of a
database, and also as JSON and HTML write it.
"""

from __future__ import annotations

import gzip
import html
import io
import json
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa
from pyarrow import parquet

from perennial.errors import OutsideError

# A shorter text or id is in too many places by chance to prove anything.
_FEWEST_CHARACTERS = 12
_PART = 40
_PARTS = 3
_DEPTH = 3
_PARQUET, _GZIP, _ZIP, _ZSTD = b"PAR1", b"\x1f\x8b", b"PK\x03\x04", b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True)
class Needle:
    """Something that must not be found.

    Attributes
    ----------
    patterns : tuple of bytes
        It, as different formats write it.
    is_whole : bool
        Whether it counts only where no letter, digit, hyphen or underscore stands beside it.
    """

    patterns: tuple[bytes, ...]
    is_whole: bool = False

    def is_in(self, content: bytes) -> bool:
        """Return whether it is in some bytes."""
        if not self.is_whole:
            return any(pattern in content for pattern in self.patterns)
        return any(
            re.search(rb"(?<![\w-])" + re.escape(pattern) + rb"(?![\w-])", content)
            for pattern in self.patterns
            if pattern in content
        )


def needles_of_text(text: str) -> list[Needle]:
    """Return what a text is looked for by: parts of it; none if it is too short."""
    text = text.strip()
    if len(text) < _FEWEST_CHARACTERS:
        return []
    last = max(len(text) - _PART, 0)
    places = sorted({round(last * place / (_PARTS - 1)) for place in range(_PARTS)})
    parts = (text[place : place + _PART] for place in places)
    return [Needle(_written(part)) for part in parts]


def needles_of_id(key: str) -> list[Needle]:
    """Return what an id is looked for by; nothing if it is too short."""
    return [] if len(key) < _FEWEST_CHARACTERS else [Needle(_written(key), is_whole=True)]


def _written(text: str) -> tuple[bytes, ...]:
    """Return a text as files have it: plain, and as JSON and HTML write it."""
    ways = (
        text,
        json.dumps(text, ensure_ascii=False)[1:-1],
        json.dumps(text)[1:-1],
        html.escape(text),
    )
    return tuple(dict.fromkeys(way.encode("utf-8", "surrogatepass") for way in ways))


def found_in(content: bytes, needles: Iterable[Needle]) -> list[Needle]:
    """Return what is in the content of a file, as it lies there or unpacked.

    Raises
    ------
    OutsideError
        If a Parquet file is damaged, and nothing is found in it as it lies there.
    """
    left, found = list(needles), []
    try:
        for view in _views(content):
            seen = [needle for needle in left if needle.is_in(view)]
            found += seen
            left = [needle for needle in left if needle not in seen]
            if not left:
                break
    except OutsideError:
        if not found:
            raise
    return found


def _views(content: bytes, depth: int = _DEPTH) -> Iterator[bytes]:
    """Yield the content of a file, and what is packed in it."""
    yield content
    if depth == 0:
        return
    if content.startswith(_PARQUET):
        yield from _values(content)
    elif content.startswith(_ZIP):
        for member in _members(content):
            yield from _views(member, depth - 1)
    elif content.startswith((_GZIP, _ZSTD)):
        yield from _views(_unpacked(content), depth - 1)


def _values(content: bytes) -> Iterator[bytes]:
    """Yield the texts and bytes in the columns of a Parquet file, a group of rows at a time."""
    try:
        file = parquet.ParquetFile(pa.BufferReader(content))
        for group in range(file.num_row_groups):
            for column in file.read_row_group(group).itercolumns():
                for leaf in _leaves(column.combine_chunks()):
                    yield b"\n".join(
                        each for each in leaf.cast(pa.large_binary()).to_pylist() if each
                    )
    except pa.ArrowException as error:
        raise OutsideError(f"a Parquet file is damaged: {error}") from error


def _leaves(values: pa.Array | pa.ChunkedArray) -> Iterator[pa.Array]:
    """Yield the texts and bytes in a column, however deep."""
    if isinstance(values, pa.ChunkedArray):
        parts = values.chunks
    elif pa.types.is_map(values.type):
        parts = [values.keys, values.items]
    elif pa.types.is_dictionary(values.type):
        parts = [values.dictionary]
    elif pa.types.is_nested(values.type):
        flat = values.flatten()
        parts = flat if isinstance(flat, list) else [flat]
    else:
        if _is_text(values.type):
            yield values
        return
    for part in parts:
        yield from _leaves(part)


def _is_text(kind: pa.DataType) -> bool:
    return any(
        is_kind(kind)
        for is_kind in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_binary,
            pa.types.is_large_binary,
        )
    )


def _members(content: bytes) -> Iterator[bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in archive.namelist():
                yield archive.read(name)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError):
        # It only begins like an archive.
        return


def _unpacked(content: bytes) -> bytes:
    kind = "gzip" if content.startswith(_GZIP) else "zstd"
    try:
        if kind == "gzip":
            return gzip.decompress(content)
        with pa.input_stream(pa.BufferReader(content), compression=kind) as stream:
            return bytes(stream.read())
    except (OSError, EOFError, zlib.error):
        return b""
