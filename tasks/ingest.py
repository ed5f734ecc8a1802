"""Ingest: new documents from MongoDB into the next snapshot, the unusable into quarantine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, get_args

import pyarrow as pa
import pyarrow.compute as pc
from bson import ObjectId, json_util
from bson.codec_options import CodecOptions
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from pymongo.collection import Collection

import mongodb
from modeling.documents import UnusableError, check, content_hash
from modeling.problem import Problem
from settings import OutsideError, Settings, get_settings
from tasks.failures import NETWORK
from tasks.snapshots import SCHEMA, Snapshot, SnapshotConflictError, SnapshotStore, Status

_BATCH = 2_000
# Embedded or on Atlas, few ids per query are looked up in the index one by one.
_IDS_PER_QUERY = 100
_CONFLICTS = 5
_RAW_CHARACTERS = 10_000
_ROWS = pa.schema([field for field in SCHEMA if field.name != "digest"])
# Every BSON type but date. Asked for one by one the index on the time of creation answers.
_NO_DATE_TYPES = (
    *("double", "string", "object", "array", "binData", "objectId", "bool", "regex"),
    *("int", "long", "decimal", "timestamp", "minKey", "maxKey"),
)


@dataclass(frozen=True)
class Ingested:
    """What one ingestion did.

    Attributes
    ----------
    snapshot : Snapshot
        The newest snapshot, whether this ingestion wrote it or found it.
    read, used, duplicates : int
        Documents read from MongoDB, and what became of them.
    quarantined : dict of str to int
        Reason -> number of documents that were quarantined for it.
    total : int
        Documents read by all ingestions so far.
    """

    snapshot: Snapshot
    read: int
    used: int
    duplicates: int
    quarantined: dict[str, int] = field(default_factory=dict)

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
    for reason, count in ingested.quarantined.items():
        logger.warning("Quarantined %s: %s", f"{count:,}", reason)


def _ingest_once(
    problem: Problem, store: SnapshotStore, settings: Settings, *, rescan: bool
) -> Ingested:
    before = store.latest()
    with mongodb.connect(settings) as client:
        collection = open_documents(client, problem)
        rows = _classify(_read(collection, problem, store, before, rescan=rescan), problem)
    if not rows.num_rows:
        return Ingested(_require_documents(problem, before), read=0, used=0, duplicates=0)
    rows = _mark_duplicates(rows, None if before is None else store.known_contents(before))
    ingested = _account(rows, store.append(rows, before))
    _require_documents(problem, ingested.snapshot)
    return ingested


def _require_documents(problem: Problem, snapshot: Snapshot | None) -> Snapshot:
    if snapshot is None or not snapshot.documents:
        where = f"{problem.source.database}.{problem.source.collection}"
        found = "is empty" if snapshot is None else "has no document that can be used"
        raise OutsideError(
            f"The MongoDB collection {where} {found}; check MONGODB_URI and the source and fields "
            f"in problems/{problem.name}.yaml, or load documents with flows.seed."
        )
    return snapshot


def _account(rows: pa.Table, snapshot: Snapshot) -> Ingested:
    """Count what became of the rows; each is used, quarantined or a duplicate, always."""
    counts = dict.fromkeys(get_args(Status), 0)
    counts |= {c["values"]: c["counts"] for c in pc.value_counts(rows["status"]).to_pylist()}
    reasons = rows.filter(pc.equal(rows["status"], "quarantined"))["reason"]
    ingested = Ingested(
        snapshot=snapshot,
        read=rows.num_rows,
        used=counts["used"],
        duplicates=counts["duplicate"],
        quarantined={c["values"]: c["counts"] for c in pc.value_counts(reasons).to_pylist()},
    )
    if ingested.read != ingested.used + ingested.in_quarantine + ingested.duplicates:
        raise AssertionError(f"documents are unaccounted for: {ingested}")
    return ingested


def open_documents(client: Any, problem: Problem) -> Collection[mongodb.Document]:
    """Return the problem's collection, with the index that reading by age needs.

    Text that is not valid UTF-8 is decoded to lone surrogates instead of ending the whole read.
    """
    options: CodecOptions[mongodb.Document] = CodecOptions(
        tz_aware=True, unicode_decode_error_handler="surrogateescape"
    )
    source = problem.source
    collection = client[source.database].get_collection(source.collection, codec_options=options)
    collection.create_index([(source.fields.created_at, 1), ("_id", 1)])
    return collection  # type: ignore[no-any-return]


def _read(
    collection: Collection[mongodb.Document],
    problem: Problem,
    store: SnapshotStore,
    before: Snapshot | None,
    *,
    rescan: bool,
) -> Iterator[mongodb.Document]:
    """Yield every document that no earlier ingestion has read.

    Beyond the watermark documents are read as they are. Up to it, as far back as the late window
    reaches, only ids are read, and then the documents whose ids are unknown: so documents that
    share the watermark's time or arrive late are found, and no known one is read again.
    """
    fields = problem.source.fields
    projection = dict.fromkeys(fields.model_dump().values(), 1)
    created_at, query = fields.created_at, problem.source.query
    watermark = None if before is None else store.watermark(before)
    if before is None or watermark is None:
        yield from collection.find(query, projection, batch_size=_BATCH)
        return

    since = None if rescan else watermark - problem.source.late_window
    late = {"$lte": watermark} | ({} if since is None else {"$gte": since})
    known = set(store.known_ids(before, since).to_pylist())
    unknown = _unknown(collection, [{created_at: late}, *_undated(created_at)], query, known)
    for ids in _batched(unknown, _IDS_PER_QUERY):
        yield from collection.find({"_id": {"$in": ids}}, projection)
    newer = {"$and": [query, {created_at: {"$gt": watermark}}]}
    yield from collection.find(newer, projection, batch_size=_BATCH)


def _undated(created_at: str) -> list[dict[str, Any]]:
    """Return the queries for documents without a time of creation: no range of dates finds them."""
    return [{created_at: None}, {created_at: {"$type": list(_NO_DATE_TYPES)}}]


def _unknown(
    collection: Collection[mongodb.Document],
    conditions: list[dict[str, Any]],
    query: dict[str, Any],
    known: set[str],
) -> Iterator[Any]:
    seen = set(known)
    for condition in conditions:
        for document in collection.find(
            {"$and": [query, condition]}, {"_id": 1}, batch_size=_BATCH
        ):
            key = document_key(document["_id"])
            if key not in seen:
                seen.add(key)
                yield document["_id"]


def _batched(values: Iterable[Any], size: int = _BATCH) -> Iterator[list[Any]]:
    iterator = iter(values)
    while batch := list(islice(iterator, size)):
        yield batch


def document_key(identifier: object) -> str:
    """Return a document's ``_id`` as text: itself, or MongoDB's extended JSON of another type."""
    if isinstance(identifier, str):
        return identifier
    if isinstance(identifier, ObjectId):
        return f'{{"$oid": "{identifier}"}}'
    return json_util.dumps(identifier, json_options=json_util.CANONICAL_JSON_OPTIONS)


def _classify(documents: Iterable[mongodb.Document], problem: Problem) -> pa.Table:
    """Return the documents as rows, used or quarantined, batch by batch into Arrow."""
    batches = [_classify_batch(batch, problem) for batch in _batched(documents)]
    return pa.concat_tables(batches) if batches else _ROWS.empty_table()


def _classify_batch(documents: list[mongodb.Document], problem: Problem) -> pa.Table:
    rows = [_classify_one(document, problem) for document in documents]
    columns = [pa.array([row.get(field.name) for row in rows], field.type) for field in _ROWS]
    return pa.Table.from_arrays(columns, schema=_ROWS)


def _classify_one(document: mongodb.Document, problem: Problem) -> dict[str, object]:
    row = {"id": document_key(document["_id"]), "status": "used"}
    try:
        example = check(document, problem)
    except UnusableError as reason:
        return row | _quarantined(document, problem, str(reason))
    return row | vars(example) | {"content": content_hash(example.text)}


def _quarantined(document: mongodb.Document, problem: Problem, reason: str) -> dict[str, object]:
    created_at = document.get(problem.source.fields.created_at)
    raw = json_util.dumps(document, json_options=json_util.RELAXED_JSON_OPTIONS)
    return {
        "status": "quarantined",
        "reason": reason,
        "raw": raw[:_RAW_CHARACTERS].encode("utf-8", "replace").decode(),
        "created_at": created_at if isinstance(created_at, datetime) else None,
    }


def _mark_duplicates(rows: pa.Table, known: pa.Table | None) -> pa.Table:
    """Keep one document of each content: the one that is known or was created first.

    A copy with the same label is a duplicate. A copy with another label says that one of the two is
    wrong, which a person has to look at: it is quarantined.
    """
    rows = rows.sort_by([("created_at", "ascending"), ("id", "ascending")])
    first: dict[bytes, tuple[str, str]] = {}
    if known is not None:
        pairs = zip(known["id"].to_pylist(), known["label"].to_pylist(), strict=True)
        first = dict(zip(known["content"].to_pylist(), pairs, strict=True))
    columns = (rows[name].to_pylist() for name in ("id", "label", "content", "status", "reason"))
    outcomes = []
    for key, label, digest, status, reason in zip(*columns, strict=True):
        if status != "used" or digest not in first:
            outcomes.append((status, reason))
            if status == "used":
                first[digest] = key, label
            continue
        original, agreed = first[digest]
        if label == agreed:
            outcomes.append(("duplicate", f"copy of {original}"))
        else:
            outcomes.append(("quarantined", f"label {label!r}, but a copy is labelled {agreed!r}"))
    statuses, reasons = zip(*outcomes, strict=True)
    for name, values in (("status", statuses), ("reason", reasons)):
        position = rows.schema.get_field_index(name)
        rows = rows.set_column(position, _ROWS.field(name), pa.array(values, pa.string()))
    return rows
