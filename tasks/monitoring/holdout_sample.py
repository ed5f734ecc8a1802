"""The sample of the holdout that `monitor` compares with: drawn once for each version, and kept.

The documents come in the order of their content, which is a hash: the first ones are a random
sample, and the same one whenever it is drawn.
"""

from __future__ import annotations

import json

import pyarrow as pa
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from perennial.config.problem import Problem
from perennial.config.sections.split import RareLabels
from perennial.documents.documents import from_feedback
from perennial.documents.revisions import in_order
from perennial.errors import OutsideError
from perennial.hashing import digest
from perennial.inputs.base import inputs_of
from perennial.registry.client import ModelVersion, open_registry
from perennial.settings import get_settings
from perennial.splits.split import CONTENT, CREATED_AT, LABEL, contained
from perennial.stores.snapshots.samples import keep_sample, read_sample, with_inputs
from perennial.stores.snapshots.store import Snapshot, SnapshotStore
from tasks.data.prepare import Holdout
from tasks.promotion.unseen import held_out_by

# What decides which documents are drawn and how they are kept. A new number lets them be drawn
# anew.
_DRAWING = 2


@task(name="keep sample", cache_policy=NO_CACHE)
def keep_holdout_sample(problem: Problem, version: ModelVersion, holdout: Holdout) -> None:
    """Keep what `monitor` needs of a new version's holdout, beside that of Production.

    Otherwise the first `monitor` would read the whole snapshot. Nothing else depends on it, so that
    no retraining fails by it.
    """
    settings, snapshot = get_settings(), holdout.snapshot
    keys = holdout.holdout_keys.append_column(
        inputs_of(problem).column.name, holdout.holdout_inputs
    )
    rows = _first(problem, keys)
    production = open_registry(settings).production(problem.name)
    beside = [] if production is None else [_key(problem, production, production.snapshot)]
    store = SnapshotStore(problem.name, settings)
    _keep(store, snapshot, _key(problem, version, version.snapshot), rows, beside)


def holdout_sample(problem: Problem, production: ModelVersion) -> tuple[Snapshot, pa.Table]:
    """Return the snapshot of a version, and documents of it that the version has not learned from.

    Parameters
    ----------
    problem : Problem
        The problem, with the classes that the version knows.
    production : ModelVersion
        The version.

    Returns
    -------
    Snapshot
        What the version has learned from.
    Table
        At most ``monitoring.sample`` documents, with ``id``, ``label``, ``content``,
        ``created_at`` and the column of the inputs.

    Raises
    ------
    OutsideError
        If the version's snapshot cannot be read.
    """
    store = SnapshotStore(problem.name, get_settings())
    said = production.require_snapshot()
    snapshot = store.recorded(*said)
    key = _key(problem, production, said, snapshot.remains)
    kept = read_sample(store, snapshot, key)
    if kept is not None:
        return snapshot, kept
    rows = _draw(problem, production, store, snapshot)
    _keep(store, snapshot, key, rows, [])
    return snapshot, rows


def _draw(
    problem: Problem, production: ModelVersion, store: SnapshotStore, snapshot: Snapshot
) -> pa.Table:
    """Return the sample from the snapshot itself: from all of it, but not from all its inputs."""
    is_light = not snapshot.is_of_earlier_layout
    together = problem.split.near_copies == "together"
    read = store.read_keys if is_light else store.read
    rows = read(snapshot, near_copies=together)
    unseen = held_out_by(problem, production, snapshot, rows)
    if not problem.feedback.is_judged_on:
        # A version of the time before that rule had feedback in its holdout.
        unseen &= ~from_feedback(rows)
    classes = {label: problem.class_of(label) for label in rows[LABEL].unique().to_pylist()}
    known = pa.array([label for label, name in classes.items() if name], pa.string())
    unseen &= contained(rows[LABEL], known)
    rows = _first(problem, rows.filter(pa.array(unseen)))
    return with_inputs(store, snapshot, rows) if is_light else rows


def _first(problem: Problem, rows: pa.Table) -> pa.Table:
    """Return the first documents in the order of their content."""
    name = inputs_of(problem).column.name
    names = [each for each in ("id", LABEL, CONTENT, CREATED_AT, name) if each in rows.column_names]
    return in_order(rows.select(names)).slice(0, problem.monitoring.sample)


def _keep(
    store: SnapshotStore, snapshot: Snapshot, key: str, rows: pa.Table, beside: list[str]
) -> None:
    try:
        keep_sample(store, snapshot, key, rows, beside=beside)
    except OutsideError as error:
        # Whoever may read but not write draws it each time.
        get_run_logger().warning("The sample for `monitor` is not kept: %s", error)


def _key(
    problem: Problem,
    version: ModelVersion,
    snapshot: tuple[int, str] | None,
    remains: str | None = None,
) -> str:
    """Return a digest of all that decides what the sample of a version is."""
    rare_labels = version.rare_labels(RareLabels)
    said = {
        "drawing": _DRAWING,
        "snapshot": snapshot,
        "remains": remains,
        "version": [version.split, version.holdout, version.split_field, version.split_cut],
        "learned_all_feedback": version.learned_all_feedback,
        "rare_labels": None if rare_labels is None else rare_labels.model_dump(mode="json"),
        "problem": [
            problem.holdout,
            problem.split.field,
            problem.split.near_copies,
            problem.feedback.is_judged_on,
            problem.monitoring.sample,
        ],
    }
    return digest(json.dumps(said, sort_keys=True, default=str).encode()).hex()
