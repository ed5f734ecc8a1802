"""Expectations of a version: learned from its documents, and asked of those that come later."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from prefect.logging import get_run_logger

from perennial.commands import counted
from perennial.config.problem import Problem
from perennial.inputs.base import inputs_of
from perennial.monitoring.expectations import (
    Surprise,
    check,
    columns_of,
    learn,
    read,
    written,
)
from perennial.registry.client import ModelVersion, open_registry
from perennial.settings import get_settings
from perennial.splits.split import contained
from perennial.stores.snapshots.store import SnapshotStore
from tasks.data.prepare import Dataset

EXPECTATIONS_FILE = "expectations.json"


@dataclass(frozen=True)
class Arrivals:
    """New documents beside what those of Production's snapshot lead to expect.

    Attributes
    ----------
    version : int
        The Production version.
    documents : int
        How many documents are not in its snapshot; without feedback, unless it is trusted.
    fields : int
        Of how many fields something is expected, the label among them.
    surprises : tuple of Surprise
        What is otherwise, the clearest first.
    """

    version: int
    documents: int
    fields: int
    surprises: tuple[Surprise, ...] = ()


def keep_expectations(problem: Problem, version: ModelVersion, dataset: Dataset) -> None:
    """Keep what the training documents of a new version are like, with its run."""
    known = learn(_columns(problem, dataset.inputs, dataset.labels))
    open_registry(get_settings()).attach(version.run_id, {EXPECTATIONS_FILE: written(known)})


def check_arrivals(problem: Problem, dataset: Dataset) -> Arrivals | None:
    """Compare the documents that Production's snapshot has not with what it expects.

    Nothing is left out by it: what is odd is said, and may be what the next version has to learn.

    Returns
    -------
    Arrivals or None
        None without a Production, where nothing is kept of what it expects, and where nothing is
        new.

    Raises
    ------
    OutsideError
        If the registry or the snapshots cannot be used, or if what is kept is damaged.
    """
    settings = get_settings()
    registry = open_registry(settings)
    production = registry.production(problem.name)
    if production is None or production.snapshot is None:
        return None
    content = registry.attached(production.run_id, EXPECTATIONS_FILE)
    if content is None or production.snapshot[0] >= dataset.snapshot.version:
        return None
    store = SnapshotStore(problem.name, settings)
    known = store.known_ids(store.recorded(*production.snapshot))["id"]
    expected = read(content, f"{EXPECTATIONS_FILE} of the run {production.run_id} in MLflow")
    new = _new(problem, dataset, known)
    if not len(new):
        return None
    monitoring = problem.monitoring
    surprises = check(
        expected,
        new,
        significance=monitoring.significance,
        limit=monitoring.limits.distribution,
    )
    logger = get_run_logger()
    for each in surprises:
        logger.warning("Unexpected since version %s: %s.", production.version, each)
    if not surprises:
        logger.info(
            "%s are as those of version %s lead to expect.",
            counted(len(new), "new document"),
            production.version,
        )
    return Arrivals(production.version, len(new), len(expected), surprises)


def _new(problem: Problem, dataset: Dataset, known: pa.ChunkedArray) -> pa.Table:
    """Return the documents that are not among the known ones, of both sides of the split."""
    learned = ~contained(dataset.ids, known) & dataset.judged
    held = ~contained(dataset.holdout_keys["id"], known)
    return pa.concat_tables(
        _columns(problem, inputs.filter(pa.array(rows)), labels[rows])
        for inputs, labels, rows in (
            (dataset.inputs, dataset.labels, learned),
            (dataset.holdout_inputs, dataset.holdout_labels, held),
        )
    )


def _columns(problem: Problem, inputs: pa.Array, labels: NDArray[np.str_]) -> pa.Table:
    return columns_of(inputs, inputs_of(problem).fields or {}, labels.tolist())
