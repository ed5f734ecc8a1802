"""Rare labels: those with too few documents, and what becomes of them before a split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from perennial.config.sections.split import RareLabels
from perennial.splits.split import CONTENT, LABEL

# A label needs so many different inputs to be learned and judged.
LEAST = 2


@dataclass(frozen=True, eq=False)
class Relabelled:
    """The documents of a snapshot with the labels that a model may learn.

    Attributes
    ----------
    documents : Table
        Those that are left, with their labels.
    kept : ndarray of bool, shape (n_documents,)
        Which of all documents they are.
    classes : tuple of str
        The labels that are left, in the order in which they were given.
    rare : mapping of str to int
        Rare label -> its documents.
    dropped : int
        How many documents are left out.
    """

    documents: pa.Table
    kept: NDArray[np.bool_]
    classes: tuple[str, ...]
    rare: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    dropped: int = 0


def relabel(
    documents: pa.Table,
    policy: RareLabels | None,
    labels: Sequence[str],
    may_judge: NDArray[np.bool_],
) -> Relabelled:
    """Drop or merge the rare labels of documents, as a problem asks.

    Merged labels that are still too few to be on both sides of a split are dropped.

    Parameters
    ----------
    documents : Table
        With the columns ``label`` and ``content``.
    policy : RareLabels or None
        What the problem asks for; None leaves everything as it is.
    labels : sequence of str
        The labels of the problem.
    may_judge : ndarray of bool, shape (n_documents,)
        Which documents count.
    """
    everything = np.ones(len(documents), np.bool_)
    if policy is None or policy.do == "refuse":
        rare = {} if policy is None else find_rare(documents, policy, labels, may_judge)
        return Relabelled(documents, everything, tuple(labels), rare)
    rare = find_rare(documents, policy, labels, may_judge)
    left = [label for label in labels if label not in rare]
    column = documents[LABEL]
    if policy.into is not None and rare:
        is_rare = pc.is_in(column, value_set=pa.array(list(rare), column.type))
        column = pc.if_else(is_rare, pa.scalar(policy.into, column.type), column)
        merged = pc.equal(column, policy.into).to_numpy() & may_judge
        if pc.count_distinct(documents[CONTENT].filter(pa.array(merged))).as_py() >= LEAST:
            known = (*labels, policy.into)
            left = [each for each in dict.fromkeys(known) if each in {*left, policy.into}]
    kept = np.asarray(pc.is_in(column, value_set=pa.array(left, column.type)).to_numpy(), np.bool_)
    position = documents.schema.get_field_index(LABEL)
    changed = documents.set_column(position, documents.schema.field(LABEL), column)
    return Relabelled(changed.filter(pa.array(kept)), kept, tuple(left), rare, int((~kept).sum()))


def find_rare(
    documents: pa.Table,
    policy: RareLabels,
    labels: Sequence[str],
    may_judge: NDArray[np.bool_],
) -> dict[str, int]:
    """Return the rare labels, each with the number of its documents that count."""
    counts = dict.fromkeys(labels, 0)
    for found in documents[LABEL].filter(pa.array(may_judge)).value_counts().to_pylist():
        counts[found["values"]] = found["counts"]
    return {label: counts[label] for label in labels if counts[label] < policy.below}
