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

from perennial.config.feedback import FEEDBACK, ID_PREFIX
from perennial.config.problem import Problem
from perennial.hashing import HASH_BYTES, digest, unit
from perennial.inputs.base import inputs_of
from perennial.inputs.identity import content_hash
from perennial.inputs.records import Record, canonical
from perennial.inputs.validation import UnusableError, require, require_utf8
from perennial.text.normal_form import normal_value

__all__ = ["HASH_BYTES", "UnusableError", "content_hash"]


@dataclass(frozen=True)
class Example:
    """The parts of a document that a snapshot keeps; `value` is the input of the model."""

    value: Any
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
    created_at = require(document, names.created_at, datetime)
    value = inputs_of(problem).read(document)
    source = document.get(names.source)
    if source is not None and not isinstance(source, str):
        raise UnusableError(f"{names.source} is {type(source).__name__}, not str")
    if source is not None:
        require_utf8(names.source, source)
    return Example(value, _label(document, problem), created_at, source)


def in_holdout(hashes: pa.Array, share: float) -> NDArray[np.bool_]:
    """Return which documents are in the holdout: a property of the content, forever."""
    return unit(hashes, 0) < share


def in_validation(hashes: pa.Array, share: float) -> NDArray[np.bool_]:
    """Return which training documents choose the challenger, independently of the holdout."""
    return unit(hashes, 1) < share


def from_feedback(documents: pa.Table) -> NDArray[np.bool_]:
    """Return which documents are feedback: the service made them, or their source says so.

    Parameters
    ----------
    documents : Table
        With the columns ``id`` and ``source``.
    """
    by_id = pc.starts_with(documents["id"], ID_PREFIX)
    by_source = pc.fill_null(pc.equal(documents["source"], FEEDBACK), fill_value=False)
    found: NDArray[np.bool_] = pc.or_(by_id, by_source).to_numpy()
    return found


def superseded(documents: pa.Table) -> NDArray[np.bool_]:
    """Return which documents are feedback on a content that the collection has a label for.

    Parameters
    ----------
    documents : Table
        With the columns ``id``, ``source`` and ``content``.
    """
    feedback = from_feedback(documents)
    if not feedback.any():
        return feedback
    collected = documents["content"].filter(pa.array(~feedback))
    known: NDArray[np.bool_] = pc.is_in(documents["content"], collected).to_numpy()
    return feedback & known


def row_digests(ids: pa.Array, labels: pa.Array, inputs: pa.Array) -> pa.FixedSizeBinaryArray:
    """Return a digest of each document exactly as it is used, shape (n,)."""
    columns = (column.to_pylist() for column in (ids, labels, inputs))
    return pa.array(
        [digest(b"".join(map(_framed, row))) for row in zip(*columns, strict=True)],
        pa.binary(HASH_BYTES),
    )


def _framed(value: str | Record | None) -> bytes:
    """Return a value after its length, so that no text can pass for the end of another."""
    text = canonical(value) if isinstance(value, dict) else value or ""
    data = text.encode()
    return len(data).to_bytes(8, "little") + data


def snapshot_digest(digests: pa.Array) -> str:
    """Return the hexadecimal digest of a set of documents, whatever their order."""
    return hashlib.sha256(b"".join(sorted(digests.to_pylist()))).hexdigest()[:32]


def _label(document: Mapping[str, Any], problem: Problem) -> str:
    name = problem.source.fields.label
    value = require(document, name, object)
    for label, stored in problem.labels.items():
        # In Python True == 1; in a document they are different labels.
        if value == stored and isinstance(value, bool) == isinstance(stored, bool):
            return label
    if isinstance(value, str):
        plain = normal_value(value)
        for label, stored in problem.labels.items():
            if isinstance(stored, str) and normal_value(stored) == plain:
                return label
    if not isinstance(value, str | int):
        raise UnusableError(f"{name} is {type(value).__name__}, not a label")
    known = ", ".join(map(repr, problem.labels.values()))
    raise UnusableError(f"{name} is {str(value)[:50]!r}, not one of {known}")
