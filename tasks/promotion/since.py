"""Since: what the documents that arrived after Production was made say of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from perennial.config.problem import Problem
from perennial.metrics import Predictions, interval
from perennial.promotion.figure import Since
from perennial.registry.client import ModelVersion, Registry
from perennial.registry.tags import SinceTags
from tasks.data.prepare import Holdout
from tasks.promotion.unseen import arrived_after

# An interval of fewer would say nothing.
_FEWEST = 10


def measure_since(
    problem: Problem,
    holdout: Holdout,
    registry: Registry,
    production: ModelVersion,
    opponent: Predictions,
    unseen: NDArray[np.bool_],
) -> Since | None:
    """Return Production's figure on holdout documents that are newer than it, and note it.

    Nobody has chosen Production for these: its figure on them is not too good.

    Parameters
    ----------
    problem : Problem
        The problem.
    holdout : Holdout
        The holdout of today's snapshot.
    registry : Registry
        The model registry.
    production : ModelVersion
        The Production version.
    opponent : Predictions
        Its predictions for the holdout.
    unseen : ndarray of bool, shape (n_holdout,)
        Which holdout documents it has not learned from.

    Returns
    -------
    Since or None
        None while too few have arrived.

    Raises
    ------
    OutsideError
        If the snapshots or the registry cannot be used.
    """
    if production.snapshot is None or production.snapshot[0] >= holdout.snapshot.version:
        return None
    is_newer = unseen & arrived_after(problem, production, holdout.snapshot, holdout.holdout_keys)
    documents = int(is_newer.sum())
    if documents < _FEWEST:
        return None
    newer = opponent.take(is_newer)
    confidence = problem.gates.confidence
    found = interval(problem.metric, newer, confidence=confidence, seed=problem.seed)
    since = Since(
        metric=problem.metric,
        value=found.value,
        low=found.low,
        high=found.high,
        documents=documents,
    )
    registry.tag(production, SinceTags(since.model_dump()).as_tags())
    return since
