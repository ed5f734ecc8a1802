"""Raw texts, however a caller holds them, as one Arrow array that UTF-8 can carry."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_ARROW_TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_null)


def as_texts(values: object) -> pa.LargeStringArray:
    """Return texts, however a caller holds them, as one Arrow array.

    Lone surrogates, which no UTF-8 can carry, become U+FFFD; a missing text becomes "".

    Raises
    ------
    TypeError
        If something in `values` is not a text; it names the position and the type.
    """
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return _arrow_texts(values)
    if isinstance(values, str):
        raise TypeError("expected a sequence of texts, got one text; put it into a list")
    column = np.asarray(values, dtype=object)
    texts = column.ravel().tolist()
    if column.ndim > 1 and column.shape[1] != 1:
        raise TypeError(f"expected one column of texts, got an array of shape {column.shape}")
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"expected texts, got {type(text).__name__} at position {position}")
    try:
        return pa.array(texts, pa.large_string())
    except UnicodeEncodeError:
        return pa.array(map(without_surrogates, texts), pa.large_string())


def _arrow_texts(values: pa.Array | pa.ChunkedArray) -> pa.LargeStringArray:
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    if not any(is_text(kind) for is_text in _ARROW_TEXTS):
        raise TypeError(f"expected texts, got an Arrow array of {values.type}")
    texts = pc.fill_null(values.cast(pa.large_string()), "")
    return texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts


def without_surrogates(text: str) -> str:
    """Return the text with U+FFFD for each lone surrogate, and pairs of them as one character."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def offsets_of(texts: pa.LargeStringArray) -> NDArray[np.int64]:
    """Return where the bytes of each text begin, and where the last one's end."""
    if not len(texts):
        return np.zeros(1, np.int64)
    return np.frombuffer(texts.buffers()[1], np.int64)[texts.offset :][: len(texts) + 1]


def slices_of(texts: pa.LargeStringArray, most: int) -> Iterator[pa.LargeStringArray]:
    """Yield the texts in order, as many at a time as have at most so many bytes, but at least one.

    Parameters
    ----------
    texts : LargeStringArray
        The texts, none of them null.
    most : int
        How many bytes.
    """
    offsets, start = offsets_of(texts), 0
    while start < len(texts):
        end = int(np.searchsorted(offsets, offsets[start] + most, "right")) - 1
        end = max(end, start + 1)
        yield texts.slice(start, end - start)
        start = end


def translate(texts: pa.LargeStringArray, table: bytes) -> pa.LargeStringArray:
    """Return texts with their ASCII bytes translated, all in one go: no length changes.

    Parameters
    ----------
    texts : LargeStringArray
        The texts, none of them null.
    table : bytes
        256 bytes, as for ``bytes.translate``: ASCII for ASCII, and every other byte itself.
    """
    _, _, data = texts.buffers()
    offsets = offsets_of(texts)
    start, length = int(offsets[0]), int(offsets[-1] - offsets[0])
    bytes_ = data.slice(start, length).to_pybytes() if length else b""
    return pa.LargeStringArray.from_buffers(
        len(texts), pa.py_buffer(offsets - start), pa.py_buffer(bytes_.translate(table))
    )


def substitute(
    pattern: re.Pattern[str], texts: pa.LargeStringArray, suspects: pa.BooleanArray
) -> pa.LargeStringArray:
    """Replace the pattern by a space in the suspect texts, the only ones that can contain it."""
    if not pc.any(suspects).as_py():
        return texts
    cleaned = [pattern.sub(" ", text) for text in texts.filter(suspects).to_pylist()]
    return pc.replace_with_mask(texts, suspects, pa.array(cleaned, pa.large_string()))
