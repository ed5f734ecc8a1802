"""Unseen: which documents a version has not learned from."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.inputs.documents import in_holdout
from perennial.registry.client import ModelVersion
from perennial.settings import get_settings
from perennial.stores.snapshots import Snapshot, SnapshotStore


def unseen_by(
    problem: Problem, version: ModelVersion, snapshot: Snapshot, content: pa.Array
) -> NDArray[np.bool_]:
    """Return which documents a version has not learned from.

    The problem's file may have changed since the version was made: the share of the holdout, and
    the use of feedback. The values of that time count.

    Parameters
    ----------
    problem : Problem
        The problem, whose share of the holdout counts where the version did not record one.
    version : ModelVersion
        The registered version.
    snapshot : Snapshot
        Snapshot of the documents.
    content : Array of bytes, shape (n_documents,)
        Content hashes of the documents.
    """
    unseen = in_holdout(content, version.holdout or problem.holdout)
    if version.learned_all_feedback:
        learned = feedback_learned_by(problem, version, snapshot)
        unseen &= ~pc.is_in(content, learned).to_numpy(zero_copy_only=False)
    return unseen


def feedback_learned_by(problem: Problem, version: ModelVersion, snapshot: Snapshot) -> pa.Array:
    """Return the content hashes of the feedback that was in a version's snapshot.

    If that snapshot is not there any more, all feedback up to the given one counts: rather too few
    documents are compared than one that the version knows.
    """
    store = SnapshotStore(problem.name, get_settings())
    if version.snapshot is not None:
        number, digest = version.snapshot
        try:
            found = store.find(number)
        except OutsideError:
            return store.every_feedback_content(snapshot)
        if found.digest == digest:
            return store.feedback_contents(found)
    return store.every_feedback_content(snapshot)
