"""The documents of a problem in MongoDB: the collection, what is read of them, the newest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import DESCENDING
from pymongo.collection import Collection

from perennial import paths
from perennial.config.problem import Problem
from perennial.config.sections.feedback import FEEDBACK, ID_PREFIX
from perennial.documents.revisions import sender_path
from perennial.inputs.base import inputs_of
from perennial.stores import mongodb

_BATCH = 2_000


def open_documents(client: Any, problem: Problem) -> Collection[mongodb.Document]:
    """Return the problem's collection, with the index that reading by age needs.

    What Python cannot hold does not end the whole read: text that is not valid UTF-8 becomes lone
    surrogates, a date beyond its calendar becomes another type.
    """
    collection = _collection(client, problem)
    collection.create_index([(problem.source.fields.created_at, 1), ("_id", 1)])
    return collection


def read_documents(client: Any, problem: Problem) -> Iterator[mongodb.Document]:
    """Yield the problem's documents, in whatever order, and write nothing, not even an index."""
    found = _collection(client, problem).find(
        problem.source.query, projection_of(problem), batch_size=_BATCH
    )
    yield from found


def find_documents(client: Any, problem: Problem, ids: Sequence[Any]) -> Iterator[mongodb.Document]:
    """Yield those of some documents that are in the collection, in whatever order."""
    for some in batched(ids):
        query = {"_id": {"$in": some}}
        yield from _collection(client, problem).find(query, projection_of(problem))


def _collection(client: Any, problem: Problem) -> Collection[mongodb.Document]:
    options: CodecOptions[mongodb.Document] = CodecOptions(
        tz_aware=True,
        unicode_decode_error_handler="surrogateescape",
        datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    )
    source = problem.source
    return client[source.database].get_collection(  # type: ignore[no-any-return]
        source.collection, codec_options=options
    )


def projection_of(problem: Problem) -> dict[str, int]:
    """Return the fields that are read of a document; of paths within another one, the outer."""
    names, slices = problem.source.fields, problem.gates.slices
    wanted = (
        *inputs_of(problem).names,
        *(names.label, names.created_at, names.source),
        *(slices.fields if slices else ()),
        *((problem.split.field,) if problem.split.field else ()),
        sender_path(problem),
    )
    # MongoDB refuses a path and one that leads into it.
    return dict.fromkeys(paths.outermost(wanted), 1)


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
    past = both(query, {names.created_at: {"$lte": until}})
    recent = both(query, {names.created_at: {"$gt": since, "$lte": until}})
    newest = collection.find_one(past, {names.created_at: 1}, sort=newest_first)
    created_at = paths.read(newest, names.created_at) if newest else None
    wanted = recent if problem.feedback.is_judged_on else both(recent, _not_feedback(problem))
    documents = collection.find(wanted, projection_of(problem), batch_size=_BATCH).sort(
        newest_first
    )
    return (
        collection.count_documents(recent),
        created_at if isinstance(created_at, datetime) else None,
        list(documents.limit(limit)),
    )


def _not_feedback(problem: Problem) -> dict[str, Any]:
    """Return a query for what `perennial.documents.documents.from_feedback` is false of."""
    by_id = {"_id": {"$regex": f"^{ID_PREFIX}"}}
    return {"$nor": [by_id, {problem.source.fields.source: FEEDBACK}]}


def both(query: dict[str, Any], condition: dict[str, Any]) -> dict[str, Any]:
    """Return a query for what meets the problem's own query and a condition."""
    # An empty query beside it would keep some servers from using the condition's index.
    return {"$and": [query, condition]} if query else condition


def batched(values: Iterable[Any], size: int = _BATCH) -> Iterator[list[Any]]:
    """Yield the values in lists of at most `size`."""
    iterator = iter(values)
    while batch := list(islice(iterator, size)):
        yield batch
