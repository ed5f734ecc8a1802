"""Observe: what Production was examined on, and what has come since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from sklearn.pipeline import Pipeline

from perennial import times
from perennial.config.problem import Problem
from perennial.documents.accounts import reasons_of
from perennial.documents.judgement import judge_documents
from perennial.hashing import HASH_BYTES, digest
from perennial.inputs.base import inputs_of
from perennial.inputs.near_copies import SKETCH_BYTES, representatives, sketches
from perennial.monitoring.comparison import TEXT, Sample
from perennial.monitoring.skew import Skew
from perennial.reasons import Reason
from perennial.registry.client import ModelVersion, open_registry
from perennial.settings import get_serving_settings, get_settings
from perennial.splits.split import CREATED_AT
from perennial.stores import mongodb
from perennial.stores.documents import open_documents, read_newest
from perennial.stores.prediction_log import Prediction, find_newest
from perennial.stores.snapshots.store import Snapshot
from tasks.data.prepare import traits_table
from tasks.monitoring.holdout_sample import holdout_sample
from tasks.monitoring.skew import measure_skew
from tasks.orchestration.retries import NETWORK
from tasks.training.train import predict


@dataclass(frozen=True, eq=False)
class Reference:
    """Production, and a sample of its snapshot that it has not learned from.

    Attributes
    ----------
    production : ModelVersion
        The version that answers requests.
    model : Pipeline
        The same, loaded.
    snapshot : Snapshot
        What it learned from.
    sample : Sample
        Documents of the snapshot's holdout: what Production says about documents that it was
        trained on is surer and better than anything that it says about new ones.
    """

    production: ModelVersion
    model: Pipeline
    snapshot: Snapshot
    sample: Sample


@dataclass(frozen=True, eq=False)
class Recent:
    """Documents and predictions since Production's snapshot, within the problem's window.

    Attributes
    ----------
    documents : Sample
        The newest usable documents in MongoDB, each content once, with what Production says;
        without those from feedback, which has figures of its own.
    predictions : Sample
        The newest predictions of this version, each input once.
    arrived : int
        How many documents have come.
    unusable : mapping of Reason to int
        Reason -> how many of those that were read cannot be used.
    newest : datetime or None
        When the newest document was created; of all documents, not only of the recent ones.
    skew : Skew
        How far the newest answers are from what the registered model says of their inputs.
    since : datetime
        Since when predictions are recent, and documents that came after Production's snapshot.
    traits : Table of n_documents rows
        What slices of the documents are made of.
    """

    documents: Sample
    predictions: Sample
    arrived: int
    unusable: Mapping[Reason, int]
    newest: datetime | None
    skew: Skew
    since: datetime
    traits: pa.Table


@task(name="read reference", cache_policy=NO_CACHE, **NETWORK)
def read_reference(problem: Problem, production: ModelVersion) -> Reference:
    """Load Production and a sample of the holdout of its snapshot.

    Raises
    ------
    OutsideError
        If the version, or the snapshot that it names, cannot be read.
    """
    model = open_registry(get_settings()).load(production)
    known = problem.with_classes([str(label) for label in model.classes_])
    snapshot, holdout = holdout_sample(known, production)
    holdout = _with_known_labels(known, _each_once(problem, holdout))
    sample = _answered(problem, model, holdout)
    return Reference(production, model, snapshot, sample)


@task(name="read recent", cache_policy=NO_CACHE, **NETWORK)
def read_recent(problem: Problem, reference: Reference, now: datetime) -> Recent:
    """Read the newest documents and predictions, and let Production answer the documents.

    Raises
    ------
    OutsideError
        If MongoDB cannot be used.
    """
    since = times.before(now, problem.monitoring.window)
    watermark = reference.snapshot.watermark
    documents_since = since if watermark is None else max(since, watermark)
    with (
        mongodb.connect(get_settings(), problem.name) as client,
        mongodb.connect(get_settings()) as logged,
    ):
        collection = open_documents(client, problem)
        arrived, newest, documents = read_newest(
            collection, problem, since=documents_since, until=now, limit=problem.monitoring.sample
        )
        predictions = _read_predictions(logged, problem, reference.production, since)
    skew = measure_skew(problem, reference.model, predictions)
    if skew.different:
        get_run_logger().warning(
            "%s of %s logged answers differ from what the registered model says of their inputs; "
            "the farthest is prediction %s.",
            f"{skew.different:,}",
            f"{skew.compared:,}",
            skew.example,
        )
    rows = judge_documents(documents, problem)
    used = rows.filter(pc.equal(rows["status"], "used"))
    held = pc.equal(rows["status"], "quarantined").to_numpy()
    known = problem.with_classes([str(label) for label in reference.model.classes_])
    used = _with_known_labels(known, _each_once(problem, used))
    return Recent(
        documents=_answered(problem, reference.model, used),
        predictions=_logged(predictions, problem),
        arrived=arrived,
        unusable=reasons_of(rows, held),
        newest=newest,
        skew=skew,
        since=since,
        traits=traits_table(used),
    )


def _answered(problem: Problem, model: Pipeline, rows: pa.Table) -> Sample:
    """Let a model answer labelled documents."""
    problem = problem.with_classes([str(label) for label in model.classes_])
    given = rows[inputs_of(problem).column.name].combine_chunks()
    inputs = _columns(given, problem)
    if not len(rows):
        return _sample(inputs, [], [], [])
    labels = rows["label"].to_pylist()
    said = predict(problem, model, given, np.asarray(labels, np.str_))
    confidence = said.probabilities[np.arange(len(said)), said.predicted]
    sample = _sample(inputs, [problem.classes[code] for code in said.predicted], confidence, labels)
    return replace(sample, created_at=_times(rows))


def _with_known_labels(problem: Problem, rows: pa.Table) -> pa.Table:
    """Return the documents whose label the model knows, or knows under another name."""
    labels = rows["label"].unique().to_pylist()
    stands_for = {label: problem.class_of(label) for label in labels}
    if all(name == label for label, name in stands_for.items()):
        return rows
    named = pa.array([stands_for[label] for label in rows["label"].to_pylist()], pa.string())
    position = rows.schema.get_field_index("label")
    return rows.set_column(position, "label", named).filter(pc.is_valid(named))


def _columns(inputs: pa.Array, problem: Problem) -> pa.Table:
    """Return texts as the column of that name, and records as one column for each field."""
    if pa.types.is_struct(inputs.type):
        return _comparable(pa.Table.from_struct_array(inputs), problem)
    return pa.table({TEXT: inputs})


def _comparable(records: pa.Table, problem: Problem) -> pa.Table:
    """Return the fields that can be compared: of texts the length, and no dates, which move on."""
    for name, kind in (inputs_of(problem).fields or {}).items():
        place = records.schema.get_field_index(name)
        if kind == "date" and place >= 0:
            records = records.remove_column(place)
        elif kind == "text" and place >= 0:
            lengths = pc.utf8_length(records[name].cast(pa.large_string())).cast(pa.float64())
            records = records.set_column(place, f"{name}_length", lengths)
    return records


def _times(rows: pa.Table) -> NDArray[np.datetime64]:
    found: NDArray[np.datetime64] = (
        rows[CREATED_AT].cast(pa.int64()).to_numpy().astype("datetime64[us]")
    )
    return found


def _each_once(problem: Problem, rows: pa.Table) -> pa.Table:
    """Return the earliest document of each content: copies are one observation, not several.

    Near-copies are, too, unless the problem's split says otherwise.
    """
    if not len(rows):
        return rows
    content = rows["content"].cast(pa.binary(HASH_BYTES)).combine_chunks()
    texts = rows[TEXT] if TEXT in rows.column_names else None
    order = rows[CREATED_AT].cast(pa.int64()).to_numpy()
    return rows.filter(pa.array(_are_first(problem, texts, content, order)))


def _are_first(
    problem: Problem, texts: Any, content: pa.Array, order: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return which documents come before everything that they are copies of."""
    if texts is None or problem.split.near_copies == "ignore":
        made = pa.nulls(len(content), pa.binary(SKETCH_BYTES))
    else:
        made = sketches(texts)
    return np.asarray(representatives(made, content, order) == np.arange(len(content)), np.bool_)


def _read_predictions(
    client: Any, problem: Problem, production: ModelVersion, since: datetime
) -> list[Prediction]:
    """Return the newest predictions of a version: of copies and near-copies the newest alone."""
    log, limit = client[get_serving_settings().log_database], problem.monitoring.sample
    newest = find_newest(log, problem.name, production.version, since, limit)
    # What was not kept cannot be recognised as a copy.
    once = {each.id if each.input is None else repr(each.input): each for each in newest}
    found = list(once.values())
    if not found or not all(isinstance(each.input, str) for each in found):
        return found
    texts = [str(each.input) for each in found]
    content = pa.array([digest(text.encode("utf-8", "surrogatepass")) for text in texts])
    first = _are_first(
        problem, texts, content.cast(pa.binary(HASH_BYTES)), np.arange(len(found), dtype=np.int64)
    )
    return [each for each, is_first in zip(found, first, strict=True) if is_first]


def _logged(entries: Sequence[Prediction], problem: Problem) -> Sample:
    """Return logged predictions as a sample: texts, or the fields of objects."""
    kept = [entry.input for entry in entries]
    if kept and all(isinstance(value, str) for value in kept):
        inputs = pa.table({TEXT: pa.array(kept, pa.large_string())})
    elif kept and all(isinstance(value, dict) for value in kept):
        inputs = _comparable(pa.Table.from_pylist(kept), problem)
    else:
        inputs = pa.table({})
    sample = _sample(
        inputs,
        [entry.label for entry in entries],
        [entry.probability for entry in entries],
        [entry.truth for entry in entries],
    )
    return replace(sample, senders=np.array([entry.key for entry in entries], np.object_))


def _sample(inputs: pa.Table, predicted: Any, confidence: Any, truth: Any) -> Sample:
    known = np.empty(len(truth), np.object_)
    known[:] = truth
    return Sample(inputs, np.asarray(predicted, np.str_), np.asarray(confidence, np.float64), known)
