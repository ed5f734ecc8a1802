"""Documents: which can be used, and what makes two of them the same."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from perennial.config.sections.feedback import FEEDBACK, ID_PREFIX
from perennial.hashing import in_order, unit


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


def feedback_contents(rows: pa.Table) -> pa.Array:
    """Return the content hashes of those documents that are feedback."""
    return rows["content"].filter(pa.array(from_feedback(rows))).combine_chunks()


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


def snapshot_digest(digests: pa.Array | pa.ChunkedArray) -> str:
    """Return the hexadecimal digest of a set of documents, whatever their order."""
    return hashlib.sha256(in_order(digests)).hexdigest()[:32]
