"""Feedback among the training documents: how much of it is learned from, and a sample of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from perennial.config.sections.feedback import SENDER, FeedbackRules
from perennial.documents.documents import from_feedback

ANONYMOUS = "anonymous"
_MOST_SAMPLED = 2_000


def within_share(documents: pa.Table, rules: FeedbackRules) -> NDArray[np.bool_]:
    """Return which training documents are learned from: feedback up to its share.

    Every sender may have equally many documents; what one does not need, the others may have.
    Which documents of a sender are left out is decided by a hash of their content: the same ones
    in every retraining, as long as there are no others.

    Parameters
    ----------
    documents : Table
        The training documents, with the columns ``id``, ``source``, ``content`` and, if it is
        known, ``sender``.
    rules : FeedbackRules
        What the problem says of feedback.
    """
    feedback = from_feedback(documents)
    kept: NDArray[np.bool_] = np.ones(len(documents), np.bool_)
    allowed = rules.allowed(int((~feedback).sum()))
    if allowed is None or int(feedback.sum()) <= allowed:
        return kept
    rows = np.flatnonzero(feedback)
    contents = documents["content"].to_pylist()
    ranks = {row: hashlib.blake2b(contents[row], digest_size=8).digest() for row in rows.tolist()}
    of_senders: dict[str, list[int]] = {}
    for row, sender in zip(rows.tolist(), senders_of(documents, feedback), strict=True):
        of_senders.setdefault(sender, []).append(row)
    kept[rows] = False
    shares = _fair_shares([len(of_senders[sender]) for sender in sorted(of_senders)], allowed)
    for sender, share in zip(sorted(of_senders), shares, strict=True):
        kept[sorted(of_senders[sender], key=ranks.__getitem__)[:share]] = True
    return kept


def senders_of(documents: pa.Table, rows: NDArray[np.bool_]) -> list[str]:
    """Return the sender of each of some documents; whoever is not known is anonymous."""
    if SENDER not in documents.column_names:
        return [ANONYMOUS] * int(rows.sum())
    found = pc.fill_null(documents[SENDER].filter(pa.array(rows)), ANONYMOUS)
    return [str(sender) for sender in found.to_pylist()]


def newest_feedback(documents: pa.Table) -> pa.Table:
    """Return the newest documents from feedback, a bounded number, with a column ``sender``."""
    feedback = from_feedback(documents)
    found = documents.filter(pa.array(feedback))
    senders = pa.array(senders_of(documents, feedback), pa.string())
    if SENDER in found.column_names:
        found = found.drop_columns([SENDER])
    found = found.append_column(SENDER, senders)
    newest = [("created_at", "descending"), ("id", "ascending")]
    return found.sort_by(newest).slice(0, _MOST_SAMPLED)


def _fair_shares(counts: Sequence[int], allowed: int) -> list[int]:
    """Divide a number among some that have so many each, as equally as they can take it."""
    shares = [0] * len(counts)
    by_need = sorted(range(len(counts)), key=counts.__getitem__)
    for position, place in enumerate(by_need):
        shares[place] = min(counts[place], allowed // (len(counts) - position))
        allowed -= shares[place]
    return shares
