"""Documents: which can be used, and what makes two of them the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from modeling.problem import Problem
from modeling.text import Steps, normalizer

_HASH_BYTES = 16
# Two texts are copies when they agree in this form, whatever the candidates do with them. It also
# decides the split: changing it moves documents between training and holdout.
_CONTENT_STEPS = Steps(
    stop_words="keep", lemmas="none", numbers=False, contractions="split", emphasis=False
)


class Unusable(Exception):
    """A document that goes to quarantine; the message is the reason."""


@dataclass(frozen=True)
class Example:
    """The parts of a document that a snapshot keeps."""

    text: str
    label: str
    created_at: datetime
    source: str | None


def check(document: Mapping[str, Any], problem: Problem) -> Example:
    """Return the example that a document holds.

    Raises
    ------
    Unusable
        If a field is missing, of a wrong type, not valid UTF-8, empty or too long, or if the label
        is none of the problem's.
    """
    names = problem.source.fields
    created_at = _field(document, names.created_at, datetime)
    text = _field(document, names.text, str)
    _require_utf8(names.text, text)
    if not text.strip():
        raise Unusable(f"{names.text} is empty")
    if len(text) > problem.limits.max_characters:
        raise Unusable(
            f"{names.text} has {len(text)} characters, more than {problem.limits.max_characters}"
        )
    source = document.get(names.source)
    if source is not None and not isinstance(source, str):
        raise Unusable(f"{names.source} is {type(source).__name__}, not str")
    if source is not None:
        _require_utf8(names.source, source)
    return Example(text, _label(document, problem), created_at, source)


def too_short(words: int, problem: Problem) -> str:
    """Return the reason for which a text of so few words is quarantined."""
    return (
        f"{problem.source.fields.text} has {words} words after normalisation, "
        f"fewer than {problem.limits.min_words}"
    )


@dataclass(frozen=True, eq=False)
class Content:
    """The content of texts, normalised: its hashes, shape (n,), and numbers of words, shape (n,)."""

    hashes: pa.FixedSizeBinaryArray
    words: NDArray[np.int64]


def content(texts: pa.LargeStringArray) -> Content:
    """Hash the normalised content of texts: copies that differ in case, tags or punctuation agree."""
    tokens = normalizer(_CONTENT_STEPS).tokens(texts)
    words = pa.array(tokens.vocabulary, pa.large_string()).take(pa.array(tokens.ids))
    offsets = pa.array(tokens.offsets, pa.int32())
    joined = pc.binary_join(
        pa.ListArray.from_arrays(offsets, words), pa.scalar("\n", pa.large_string())
    )
    hashes = [_digest(text.as_buffer()) for text in joined]
    return Content(pa.array(hashes, pa.binary(_HASH_BYTES)), tokens.lengths)


def in_holdout(hashes: pa.FixedSizeBinaryArray, share: float) -> NDArray[np.bool_]:
    """Return which documents are in the holdout: a property of the content, forever."""
    return _unit(hashes, 0) < share


def in_validation(hashes: pa.FixedSizeBinaryArray, share: float) -> NDArray[np.bool_]:
    """Return which training documents choose the challenger, independently of the holdout."""
    return _unit(hashes, 1) < share


def row_digests(ids: pa.Array, labels: pa.Array, texts: pa.Array) -> pa.FixedSizeBinaryArray:
    """Return a digest of each document exactly as it is used, shape (n,)."""
    rows = pc.binary_join_element_wise(
        *(column.cast(pa.large_string()) for column in (ids, labels, texts)),
        pa.scalar("\0", pa.large_string()),
    )
    return pa.array([_digest(row.as_buffer()) for row in rows], pa.binary(_HASH_BYTES))


def snapshot_digest(digests: pa.FixedSizeBinaryArray) -> str:
    """Return the hexadecimal digest of a set of documents, whatever their order."""
    return hashlib.sha256(b"".join(sorted(digests.to_pylist()))).hexdigest()[:32]


def _digest(data: object) -> bytes:
    return hashlib.blake2b(data, digest_size=_HASH_BYTES).digest()  # type: ignore[arg-type]


def _unit(hashes: pa.FixedSizeBinaryArray, word: int) -> NDArray[np.float64]:
    """Return one half of each hash as a number in [0, 1)."""
    raw = np.frombuffer(b"".join(hashes.to_pylist()), ">u8").reshape(-1, 2)
    return raw[:, word] / 2.0**64


def _field(document: Mapping[str, Any], name: str, kind: type) -> Any:
    value = document.get(name)
    if value is None:
        raise Unusable(f"{name} is missing" if name not in document else f"{name} is null")
    if not isinstance(value, kind):
        raise Unusable(f"{name} is {type(value).__name__}, not {kind.__name__}")
    return value


def _require_utf8(name: str, text: str) -> None:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Unusable(f"{name} is not valid UTF-8") from None


def _label(document: Mapping[str, Any], problem: Problem) -> str:
    name = problem.source.fields.label
    value = _field(document, name, object)
    for label, stored in problem.labels.items():
        # In Python True == 1; in a document they are different labels.
        if value == stored and isinstance(value, bool) == isinstance(stored, bool):
            return label
    if not isinstance(value, str | int):
        raise Unusable(f"{name} is {type(value).__name__}, not a label")
    known = ", ".join(map(repr, problem.labels.values()))
    raise Unusable(f"{name} is {str(value)[:50]!r}, not one of {known}")
