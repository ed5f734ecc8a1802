"""Arrivals: the documents in MongoDB that no ingestion has read yet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from bson import ObjectId, json_util
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import DESCENDING
from pymongo.collection import Collection

from perennial import paths
from perennial.config.feedback import FEEDBACK, ID_PREFIX
from perennial.config.problem import Problem
from perennial.inputs.base import inputs_of
from perennial.stores import mongodb

_BATCH = 2_000
# Embedded or on Atlas, few ids per query are looked up in the index one by one.
_IDS_PER_QUERY = 100
# Every BSON type but date. Asked for one by one the index on the time of creation answers.
_NO_DATE_TYPES = (
    *("double", "string", "object", "array", "binData", "objectId", "bool", "regex", "symbol"),
    *("int", "long", "decimal", "timestamp", "minKey", "maxKey", "javascript", "dbPointer"),
    *("javascriptWithScope", "undefined"),
)


@dataclass(frozen=True)
class Known:
    """What earlier ingestions have read.

    Attributes
    ----------
    watermark : datetime or None
        Up to this time of creation documents count as read, but for late ones.
    since : datetime or None
        How far back late documents are looked for; None is forever.
    documents : set of tuple of str and datetime
        Key and time of creation of each document since then; None for one without a date.
    """

    watermark: datetime | None
    since: datetime | None
    documents: set[tuple[str, datetime | None]]


def open_documents(client: Any, problem: Problem) -> Collection[mongodb.Document]:
    """Return the problem's collection, with the index that reading by age needs.

    What Python cannot hold does not end the whole read: text that is not valid UTF-8 becomes lone
    surrogates, a date beyond its calendar becomes another type.
    """
    options: CodecOptions[mongodb.Document] = CodecOptions(
        tz_aware=True,
        unicode_decode_error_handler="surrogateescape",
        datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    )
    source = problem.source
    collection = client[source.database].get_collection(source.collection, codec_options=options)
    collection.create_index([(source.fields.created_at, 1), ("_id", 1)])
    return collection  # type: ignore[no-any-return]


def _projection(problem: Problem) -> dict[str, int]:
    """Return the fields that are read of a document; of paths within another one, the outer."""
    names, slices = problem.source.fields, problem.gates.slices
    wanted = (
        *inputs_of(problem).names,
        *(names.label, names.created_at, names.source),
        *(slices.fields if slices else ()),
    )
    # MongoDB refuses a path and one that leads into it.
    return dict.fromkeys(paths.outermost(wanted), 1)


def read_arrivals(
    collection: Collection[mongodb.Document], problem: Problem, known: Known | None
) -> Iterator[mongodb.Document]:
    """Yield every document that no earlier ingestion has read.

    Beyond the watermark documents are read as they are. Up to it, as far back as the late window
    reaches, only ids are read, and then the documents that are unknown: so documents that share the
    watermark's time or arrive late are found, and no known one is read again.
    """
    projection = _projection(problem)
    query, created_at = problem.source.query, problem.source.fields.created_at
    if known is None:
        yield from collection.find(query, projection, batch_size=_BATCH)
        return

    for ids in batched(_unknown_ids(collection, problem, known), _IDS_PER_QUERY):
        yield from collection.find({"_id": {"$in": ids}}, projection)
    # To ask for more than a range would cost the server a look at every document.
    newer = {"$gt": known.watermark} if known.watermark is not None else {"$type": "date"}
    found = collection.find(_both(query, {created_at: newer}), projection, batch_size=_BATCH)
    for document in found:
        # An array is in a range if one of its elements is; it was found among the undated ones.
        is_array = isinstance(paths.read(document, created_at), list)
        if not is_array and _identity(document, created_at) not in known.documents:
            yield document


def read_newest(
    collection: Collection[mongodb.Document],
    problem: Problem,
    *,
    since: datetime,
    until: datetime,
    limit: int,
) -> tuple[int, datetime | None, list[mongodb.Document]]:
    """Return what was created in a time, the newest first.

    Returns
    -------
    int
        How many documents were created after `since` and up to `until`.
    datetime or None
        When the newest document of any age was created, up to `until`.
    list of documents
        At most `limit` of those that were counted; none from feedback, unless the problem trusts
        it.
    """
    names = problem.source.fields
    newest_first = [(names.created_at, DESCENDING), ("_id", DESCENDING)]
    query = problem.source.query
    past = _both(query, {names.created_at: {"$lte": until}})
    recent = _both(query, {names.created_at: {"$gt": since, "$lte": until}})
    newest = collection.find_one(past, {names.created_at: 1}, sort=newest_first)
    created_at = paths.read(newest, names.created_at) if newest else None
    wanted = recent if problem.feedback.is_judged_on else _both(recent, _not_feedback(problem))
    documents = collection.find(wanted, _projection(problem), batch_size=_BATCH).sort(newest_first)
    return (
        collection.count_documents(recent),
        created_at if isinstance(created_at, datetime) else None,
        list(documents.limit(limit)),
    )


def _not_feedback(problem: Problem) -> dict[str, Any]:
    """Return a query for what `perennial.inputs.documents.from_feedback` is false of."""
    by_id = {"_id": {"$regex": f"^{ID_PREFIX}"}}
    return {"$nor": [by_id, {problem.source.fields.source: FEEDBACK}]}


def _unknown_ids(
    collection: Collection[mongodb.Document], problem: Problem, known: Known
) -> Iterator[Any]:
    """Yield the ids of late and of undated documents that are not known, each once."""
    created_at = problem.source.fields.created_at
    # No range of dates finds a document without a date.
    wanted: list[dict[str, Any]] = [
        {created_at: None},
        {created_at: {"$type": list(_NO_DATE_TYPES)}},
    ]
    if known.watermark is not None:
        late = {"$lte": known.watermark} | ({"$gte": known.since} if known.since else {})
        # The first one, since of most documents nothing else needs to be looked at then.
        wanted.insert(0, {created_at: late})
    found = collection.find(
        _both(problem.source.query, {"$or": wanted}),
        {"_id": 1, created_at: 1},
        batch_size=_BATCH,
    )
    for document in found:
        if _identity(document, created_at) not in known.documents:
            yield document["_id"]


def _both(query: dict[str, Any], condition: dict[str, Any]) -> dict[str, Any]:
    """Return a query for what meets the problem's own query and a condition."""
    # An empty query beside it would keep some servers from using the condition's index.
    return {"$and": [query, condition]} if query else condition


def _identity(document: mongodb.Document, created_at: str) -> tuple[str, datetime | None]:
    value = paths.read(document, created_at)
    return document_key(document["_id"]), value if isinstance(value, datetime) else None


def batched(values: Iterable[Any], size: int = _BATCH) -> Iterator[list[Any]]:
    """Yield the values in lists of at most `size`."""
    iterator = iter(values)
    while batch := list(islice(iterator, size)):
        yield batch


def document_key(identifier: object) -> str:
    """Return a document's ``_id`` as text: itself, or MongoDB's extended JSON of another type."""
    if isinstance(identifier, str) and not identifier.startswith(("{", '"')):
        return identifier
    if isinstance(identifier, ObjectId):
        return f'{{"$oid": "{identifier}"}}'
    key = json_util.dumps(identifier, json_options=json_util.CANONICAL_JSON_OPTIONS)
    return key if key.startswith(("{", '"')) else f'{{"_id": {key}}}'
