"""Documents: which can be used, and what makes two of them the same."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from modeling.problem import Problem
from modeling.tags import BREAK, TAG

HASH_BYTES = 16
_WORD = re.compile(r"[^\W_]+")
_LOWER = bytes(range(256)).lower()
_NEITHER_LETTER_NOR_DIGIT = bytes(byte for byte in range(128) if not chr(byte).isalnum())


class UnusableError(Exception):
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
    UnusableError
        If a field is missing, of a wrong type, not valid UTF-8, empty or too long, or if the label
        is none of the problem's.
    """
    names = problem.source.fields
    created_at = _field(document, names.created_at, datetime)
    text = _field(document, names.text, str)
    _require_utf8(names.text, text)
    if not text.strip():
        raise UnusableError(f"{names.text} is empty")
    words = sum(1 for _ in islice(_WORD.finditer(TAG.sub(" ", text)), problem.limits.min_words))
    if words < problem.limits.min_words:
        raise UnusableError(
            f"{names.text} has {words} words after normalisation, "
            f"fewer than {problem.limits.min_words}"
        )
    if len(text) > problem.limits.max_characters:
        raise UnusableError(
            f"{names.text} has {len(text)} characters, more than {problem.limits.max_characters}"
        )
    source = document.get(names.source)
    if source is not None and not isinstance(source, str):
        raise UnusableError(f"{names.source} is {type(source).__name__}, not str")
    if source is not None:
        _require_utf8(names.source, source)
    return Example(text, _label(document, problem), created_at, source)


def content_hash(text: str) -> bytes:
    """Hash a text's content: its letters and digits without case, tags, spaces and punctuation.

    Copies that differ in nothing else agree. The hash decides the split, too: changing how it is
    made moves documents between training and holdout.
    """
    if "<" in text:
        # Most tags are line breaks, which are found sooner without a pattern.
        unbroken = text.replace(BREAK, "")
        text = TAG.sub("", text) if "<" in unbroken else unbroken
    if text.isascii():
        content = text.encode().translate(_LOWER, _NEITHER_LETTER_NOR_DIGIT)
    else:
        content = "".join(filter(str.isalnum, text.casefold())).encode()
    return _digest(content)


def in_holdout(hashes: pa.Array, share: float) -> NDArray[np.bool_]:
    """Return which documents are in the holdout: a property of the content, forever."""
    return _unit(hashes, 0) < share


def in_validation(hashes: pa.Array, share: float) -> NDArray[np.bool_]:
    """Return which training documents choose the challenger, independently of the holdout."""
    return _unit(hashes, 1) < share


def row_digests(ids: pa.Array, labels: pa.Array, texts: pa.Array) -> pa.FixedSizeBinaryArray:
    """Return a digest of each document exactly as it is used, shape (n,)."""
    columns = (column.to_pylist() for column in (ids, labels, texts))
    return pa.array(
        [_digest(b"".join(map(_framed, row))) for row in zip(*columns, strict=True)],
        pa.binary(HASH_BYTES),
    )


def _framed(text: str) -> bytes:
    """Return a text after its length, so that no text can pass for the end of another."""
    data = text.encode()
    return len(data).to_bytes(8, "little") + data


def snapshot_digest(digests: pa.Array) -> str:
    """Return the hexadecimal digest of a set of documents, whatever their order."""
    return hashlib.sha256(b"".join(sorted(digests.to_pylist()))).hexdigest()[:32]


def _digest(data: object) -> bytes:
    return hashlib.blake2b(data, digest_size=HASH_BYTES).digest()  # type: ignore[arg-type]


def _unit(hashes: pa.Array, word: int) -> NDArray[np.float64]:
    """Return one half of each hash as a number in [0, 1)."""
    raw = np.frombuffer(b"".join(hashes.to_pylist()), ">u8").reshape(-1, 2)
    return raw[:, word] / 2.0**64


def _field(document: Mapping[str, Any], name: str, kind: type) -> Any:
    value = document.get(name)
    if value is None:
        raise UnusableError(f"{name} is missing" if name not in document else f"{name} is null")
    if not isinstance(value, kind):
        raise UnusableError(f"{name} is {type(value).__name__}, not {kind.__name__}")
    return value


def _require_utf8(name: str, text: str) -> None:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UnusableError(f"{name} is not valid UTF-8") from None


def _label(document: Mapping[str, Any], problem: Problem) -> str:
    name = problem.source.fields.label
    value = _field(document, name, object)
    for label, stored in problem.labels.items():
        # In Python True == 1; in a document they are different labels.
        if value == stored and isinstance(value, bool) == isinstance(stored, bool):
            return label
    if not isinstance(value, str | int):
        raise UnusableError(f"{name} is {type(value).__name__}, not a label")
    known = ", ".join(map(repr, problem.labels.values()))
    raise UnusableError(f"{name} is {str(value)[:50]!r}, not one of {known}")
