"""Ingest: new documents from MongoDB into the next snapshot, the unusable into quarantine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import get_args

import pyarrow as pa
import pyarrow.compute as pc
from bson import json_util
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from perennial import paths, times
from perennial.concurrency import ahead
from perennial.config.problem import Problem
from perennial.errors import OutsideError
from perennial.gates.slices import traits_of
from perennial.inputs.base import Inputs, inputs_of
from perennial.inputs.documents import UnusableError, check, from_feedback
from perennial.reasons import Reason, ReasonCode
from perennial.settings import Settings, get_settings
from perennial.stores import mongodb
from perennial.stores.documents import Known, batched, document_key, open_documents, read_arrivals
from perennial.stores.snapshots import (
    Snapshot,
    SnapshotConflictError,
    SnapshotStore,
    Status,
    schema_for,
)
from tasks.orchestration.retries import NETWORK

_CONFLICTS = 5
_RAW_CHARACTERS = 10_000


@dataclass(frozen=True)
class Ingested:
    """What one ingestion did.

    Attributes
    ----------
    snapshot : Snapshot
        The newest snapshot, whether this ingestion wrote it or found it.
    read, used, duplicates : int
        Documents read from MongoDB, and what became of them.
    quarantined : dict of Reason to int
        Reason -> number of documents that were quarantined for it.
    superseded : int
        Feedback that was used so far, and gave way to documents of equal content.
    """

    snapshot: Snapshot
    read: int
    used: int
    duplicates: int
    quarantined: dict[Reason, int] = field(default_factory=dict)
    superseded: int = 0

    @property
    def in_quarantine(self) -> int:
        """How many documents this ingestion quarantined."""
        return sum(self.quarantined.values())


@task(name="ingest", cache_policy=NO_CACHE, **NETWORK)
def ingest(problem: Problem, *, rescan: bool = False) -> Ingested:
    """Read what is new in MongoDB and append it to the problem's snapshots.

    Parameters
    ----------
    problem : Problem
        Where the documents are and what makes them usable.
    rescan : bool
        Look for unknown documents of any age, not only within the late window.

    Raises
    ------
    OutsideError
        If MongoDB or the snapshots cannot be used, or if there is no usable document at all.
    """
    settings = get_settings()
    store = SnapshotStore(problem.name, settings)
    for _ in range(_CONFLICTS):
        try:
            ingested = _ingest_once(problem, store, settings, rescan=rescan)
        except SnapshotConflictError:
            get_run_logger().info("Another retraining ingested at the same time; reading again.")
        else:
            _report(problem, ingested)
            return ingested
    raise OutsideError(
        f"{_CONFLICTS} ingestions in a row lost to another one at {store.uri} (DATA_URI); "
        "run one retraining of a problem at a time."
    )


def _report(problem: Problem, ingested: Ingested) -> None:
    logger = get_run_logger()
    logger.info(
        "Read %s new documents from %s.%s: %s used, %s quarantined, %s duplicates.",
        f"{ingested.read:,}",
        problem.source.database,
        problem.source.collection,
        f"{ingested.used:,}",
        f"{ingested.in_quarantine:,}",
        f"{ingested.duplicates:,}",
    )
    if ingested.superseded:
        logger.info(
            "The collection now has documents of equal content in place of %s from feedback.",
            f"{ingested.superseded:,}",
        )
    for reason, count in ingested.quarantined.items():
        logger.warning("Quarantined %s: %s", f"{count:,}", reason)


def _ingest_once(
    problem: Problem, store: SnapshotStore, settings: Settings, *, rescan: bool
) -> Ingested:
    before = store.latest()
    known = None if before is None else _known(problem, store, before, rescan=rescan)
    with mongodb.connect(settings) as client:
        collection = open_documents(client, problem)
        rows = classify_documents(read_arrivals(collection, problem, known), problem)
    if not rows.num_rows:
        return Ingested(_require_documents(problem, before), read=0, used=0, duplicates=0)
    known_contents = None if before is None else store.known_contents(before)
    rows = _mark_duplicates(rows, known_contents, problem)
    ingested = _account(rows, store.append(rows, before), before)
    _require_documents(problem, ingested.snapshot)
    return ingested


def _known(problem: Problem, store: SnapshotStore, before: Snapshot, *, rescan: bool) -> Known:
    since = None
    if before.watermark is not None and not rescan:
        since = times.before(before.watermark, problem.source.late_window)
    return Known(before.watermark, since, store.known_documents(before, since))


def _require_documents(problem: Problem, snapshot: Snapshot | None) -> Snapshot:
    if snapshot is None or not snapshot.documents:
        where = f"{problem.source.database}.{problem.source.collection}"
        found = "is empty" if snapshot is None else "has no document that can be used"
        raise OutsideError(
            f"The MongoDB collection {where} {found}; check MONGODB_URI and the source and fields "
            f"in problems/{problem.name}.yaml, or load documents with flows.seed."
        )
    return snapshot


def _account(rows: pa.Table, snapshot: Snapshot, before: Snapshot | None) -> Ingested:
    """Count what became of the rows; each is used, quarantined or a duplicate, always."""
    counts = dict.fromkeys(get_args(Status), 0)
    counts |= {c["values"]: c["counts"] for c in pc.value_counts(rows["status"]).to_pylist()}
    reasons = rows.filter(pc.equal(rows["status"], "quarantined"))["reason"]
    known = 0 if before is None else before.documents
    ingested = Ingested(
        snapshot=snapshot,
        read=rows.num_rows,
        used=counts["used"],
        duplicates=counts["duplicate"],
        quarantined={
            Reason.parse(c["values"]): c["counts"] for c in pc.value_counts(reasons).to_pylist()
        },
        superseded=known + counts["used"] - snapshot.documents,
    )
    if ingested.read != ingested.used + ingested.in_quarantine + ingested.duplicates:
        raise AssertionError(f"documents are unaccounted for: {ingested}")
    return ingested


def classify_documents(documents: Iterable[mongodb.Document], problem: Problem) -> pa.Table:
    """Return documents as rows of a snapshot, used or quarantined, batch by batch into Arrow."""
    inputs = inputs_of(problem)
    schema = schema_for(inputs.column)
    schema = schema.remove(schema.get_field_index("digest"))

    def classified(batch: list[mongodb.Document]) -> pa.Table:
        rows = [_classify_one(document, problem, inputs) for document in batch]
        columns = [pa.array([row.get(field.name) for row in rows], field.type) for field in schema]
        return pa.Table.from_arrays(columns, schema=schema)

    batches = [classified(batch) for batch in ahead(batched(documents))]
    return pa.concat_tables(batches) if batches else schema.empty_table()


def _classify_one(
    document: mongodb.Document, problem: Problem, inputs: Inputs
) -> dict[str, object]:
    row = {"id": document_key(document["_id"]), "status": "used"}
    try:
        example = check(document, problem)
    except UnusableError as error:
        return row | _quarantined(document, problem, error.reason.key)
    value = example.value
    taken = {inputs.column.name: value, "content": inputs.content_hash(value)}
    return row | vars(example) | taken | {"fields": _traits(document, problem)}


def _traits(document: mongodb.Document, problem: Problem) -> dict[str, str] | None:
    """Return what slices need of a document beside what every snapshot keeps."""
    slices = problem.gates.slices
    return traits_of(document, slices.fields) if slices and slices.fields else None


def _quarantined(document: mongodb.Document, problem: Problem, reason: str) -> dict[str, object]:
    created_at = paths.read(document, problem.source.fields.created_at)
    raw = json_util.dumps(document, json_options=json_util.RELAXED_JSON_OPTIONS)
    return {
        "status": "quarantined",
        "reason": reason,
        "raw": raw[:_RAW_CHARACTERS].encode("utf-8", "replace").decode(),
        "created_at": created_at if isinstance(created_at, datetime) else None,
    }


def _mark_duplicates(rows: pa.Table, known: pa.Table | None, problem: Problem) -> pa.Table:
    """Keep one document of each content: the one that is known or was created first.

    A copy with the same label is a duplicate. A copy with another label, or a known document whose
    content was changed, says that something is wrong which a person has to look at: it is
    quarantined. Between feedback and the collection the collection decides, whichever came first:
    whoever gives feedback must not choose the label of a document that is still to come.
    """
    rows = rows.append_column("feedback", pa.array(from_feedback(rows)))
    rows = rows.sort_by([(name, "ascending") for name in ("feedback", "created_at", "id")])
    first: dict[bytes, tuple[str, str]] = {}
    used: set[str] = set()
    from_clients: set[bytes] = set()
    if known is not None:
        ids, contents = known["id"].to_pylist(), known["content"].to_pylist()
        pairs = zip(ids, known["label"].to_pylist(), strict=True)
        first, used = dict(zip(contents, pairs, strict=True)), set(ids)
        from_clients = set(known["content"].filter(pa.array(from_feedback(known))).to_pylist())
    names = ("id", "label", "content", "status", "reason", "feedback")
    columns = [rows[name].to_pylist() for name in names]
    rows = rows.drop_columns(["feedback"])
    outcomes: list[tuple[str, str | None]] = []
    label_field = problem.source.fields.label
    for key, label, digest, status, reason, is_feedback in zip(*columns, strict=True):
        is_new = digest not in first or (digest in from_clients and not is_feedback)
        if status != "used":
            outcomes.append((status, reason))
        elif is_new and key not in used:
            first[digest] = key, label
            from_clients.discard(digest)
            outcomes.append((status, reason))
        else:
            outcomes.append(_repeated(label, first.get(digest), label_field))
    statuses, reasons = zip(*outcomes, strict=True)
    for name, values in (("status", statuses), ("reason", reasons)):
        position = rows.schema.get_field_index(name)
        rows = rows.set_column(position, rows.schema.field(name), pa.array(values, pa.string()))
    return rows


def _repeated(label: str, original: tuple[str, str] | None, label_field: str) -> tuple[str, str]:
    """Say what becomes of a document whose content or id is known already."""
    if original is None:
        return "quarantined", Reason(ReasonCode.CHANGED, "_id").key
    if label != original[1]:
        return "quarantined", Reason(ReasonCode.CONFLICTING_LABEL, label_field).key
    return "duplicate", f"copy of {original[0]}"
