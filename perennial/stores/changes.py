"""Changes: which documents of a collection are new, have changed or are gone since a snapshot.

There are three ways to find them. MongoDB's change stream names them, where the server has one and
still remembers the place where the last ingestion stopped. Otherwise the whole collection is
compared with the history, document by document: it streams by, and all that is held in memory are
ids and digests. For collections too large to do that each time, what was created or updated since
the watermark is read; that finds neither deletions nor edits without a date.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import compress
from typing import Any

import bson
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from numpy.typing import NDArray
from pymongo.collection import Collection

from perennial import paths, times
from perennial.config.problem import Problem
from perennial.documents.ids import IdIndex
from perennial.documents.keys import document_id, document_key
from perennial.documents.revisions import Found
from perennial.stores import mongodb
from perennial.stores.documents import batched, both, projection_of

_BATCH = 2_000
# Embedded or on Atlas, few ids per query are looked up in the index one by one.
_IDS_PER_QUERY = 100
# Every BSON type but date. Asked for one by one the index on the time of creation answers.
_NO_DATE_TYPES = (
    *("double", "string", "object", "array", "binData", "objectId", "bool", "regex", "symbol"),
    *("int", "long", "decimal", "timestamp", "minKey", "maxKey", "javascript", "dbPointer"),
    *("javascriptWithScope", "undefined"),
)
_RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)


@dataclass(frozen=True, eq=False)
class Known:
    """The documents of a snapshot.

    Attributes
    ----------
    documents : Table
        Their ``id``, ``created_at``, ``digest`` and ``stored``.
    watermark : datetime or None
        Up to this time of creation documents count as read, but for late ones.
    read_anew : bool
        Whether documents are read in another way than before, so that each has to be read again.
    """

    documents: pa.Table
    watermark: datetime | None = None
    read_anew: bool = False

    @cached_property
    def index(self) -> IdIndex:
        """Where each document is."""
        return IdIndex(self.documents["id"])

    @cached_property
    def stored(self) -> NDArray[np.int64]:
        """The digests of what MongoDB sent, shape (n_documents,)."""
        found: NDArray[np.int64] = self.documents["stored"].to_numpy()
        return found

    def are_same(
        self, keys: Sequence[str], stored: Sequence[int], digests: pa.ChunkedArray
    ) -> NDArray[np.bool_]:
        """Return which documents were read before as they are now."""
        rows = self.index.rows(keys)
        known = np.flatnonzero(rows >= 0)
        same = np.zeros(len(keys), np.bool_)
        if len(known):
            before = self.documents["digest"].take(pa.array(rows[known]))
            is_equal = pc.equal(before, digests.take(pa.array(known)))
            same[known] = pc.fill_null(is_equal, fill_value=False).to_numpy()
            same[known] &= self.stored[rows[known]] == np.array(stored, np.int64)[known]
        return same


@dataclass(eq=False)
class Changes:
    """What has changed in a collection.

    Attributes
    ----------
    found : iterator of list of Found
        The documents that are new or may have changed, batch by batch, each once.
    deleted : list of str
        Ids of known documents that the problem's query does not find any more; complete when
        `found` is exhausted.
    is_complete : bool
        Whether the whole collection is compared.
    """

    found: Iterator[list[Found]]
    deleted: list[str] = field(default_factory=list)
    is_complete: bool = False


def reconcile(collection: Collection[mongodb.Document], problem: Problem, known: Known) -> Changes:
    """Compare the whole collection with the documents of a snapshot."""
    changes = Changes(iter(()), is_complete=True)
    changes.found = _reconcile(collection, problem, known, changes.deleted)
    return changes


def read_ids(
    collection: Collection[mongodb.Document], problem: Problem, known: Known, ids: Iterable[Any]
) -> Changes:
    """Read the documents of some ids; those that are not there any more are deleted."""
    changes = Changes(iter(()))
    changes.found = _read_ids(collection, problem, known, ids, changes.deleted)
    return changes


def read_arrivals(
    collection: Collection[mongodb.Document],
    problem: Problem,
    known: Known,
    updated_since: datetime | None,
) -> Changes:
    """Read what was created since the watermark, and updated where documents say when.

    Beyond the watermark documents are read as they are. Up to it, as far back as the late window
    reaches, only ids are read, and then the documents that are unknown: so documents that share the
    watermark's time or arrive late are found, and no known one is read again.
    """
    return Changes(_arrivals(collection, problem, known, updated_since))


def _reconcile(
    collection: Collection[mongodb.Document],
    problem: Problem,
    known: Known,
    deleted: list[str],
) -> Iterator[list[Found]]:
    order = np.argsort(known.stored, kind="stable")
    in_order = known.stored[order]
    seen = np.zeros(len(order), np.bool_)
    others: set[str] = set()
    for batch in _raw_batches(collection, problem, problem.source.query):
        digests = np.fromiter((_stored(raw) for raw in batch), np.int64, len(batch))
        places = np.searchsorted(in_order, digests)
        places[places == len(in_order)] = 0
        same = in_order[places] == digests if len(in_order) else np.zeros(len(batch), np.bool_)
        seen[order[places[same]]] = True
        read = np.ones(len(batch), np.bool_) if known.read_anew else ~same
        found = [
            _decoded(collection, raw, stored)
            for raw, stored, wanted in zip(batch, digests.tolist(), read.tolist(), strict=True)
            if wanted
        ]
        others.update(document_key(each.document["_id"]) for each in found)
        if found:
            yield found
    ids = known.documents["id"].filter(pa.array(~seen)).to_pylist()
    deleted += [key for key in ids if key not in others]


def _read_ids(
    collection: Collection[mongodb.Document],
    problem: Problem,
    known: Known,
    ids: Iterable[Any],
    deleted: list[str],
) -> Iterator[list[Found]]:
    for some in batched(ids, _IDS_PER_QUERY):
        query = both(problem.source.query, {"_id": {"$in": some}})
        found = [
            _decoded(collection, raw, _stored(raw))
            for batch in _raw_batches(collection, problem, query)
            for raw in batch
        ]
        there = {document_key(each.document["_id"]) for each in found}
        gone = [key for key in map(document_key, some) if key not in there]
        deleted += compress(gone, known.index.holds(gone))
        if found:
            yield found


def _arrivals(
    collection: Collection[mongodb.Document],
    problem: Problem,
    known: Known,
    updated_since: datetime | None,
) -> Iterator[list[Found]]:
    ids = dict.fromkeys(document_key(each) for each in _late_ids(collection, problem, known))
    created_at, updated_at = problem.source.fields.created_at, problem.source.fields.updated_at
    newer = {"$gt": known.watermark} if known.watermark is not None else {"$type": "date"}
    # To ask for more than a range would cost the server a look at every document.
    wanted: list[dict[str, Any]] = [{created_at: newer}]
    if updated_at is not None:
        wanted.append({updated_at: {"$gte": updated_since}} if updated_since else {})
    seen: set[str] = set()
    for condition in wanted:
        query = both(problem.source.query, condition)
        for raw_batch in _raw_batches(collection, problem, query):
            found = [_decoded(collection, raw, _stored(raw)) for raw in raw_batch]
            keys = [document_key(each.document["_id"]) for each in found]
            new = [
                each
                for key, each in zip(keys, found, strict=True)
                if key not in seen and key not in ids
            ]
            seen.update(keys)
            if new:
                yield new
    late = (document_id(key) for key in ids)
    yield from _read_ids(collection, problem, known, late, [])


def _late_ids(
    collection: Collection[mongodb.Document], problem: Problem, known: Known
) -> Iterator[Any]:
    """Yield the ids of late and of undated documents that are not known."""
    created_at = problem.source.fields.created_at
    # No range of dates finds a document without a date.
    wanted: list[dict[str, Any]] = [
        {created_at: None},
        {created_at: {"$type": list(_NO_DATE_TYPES)}},
    ]
    if known.watermark is not None:
        since = times.before(known.watermark, problem.source.late_window)
        # The first one, since of most documents nothing else needs to be looked at then.
        wanted.insert(0, {created_at: {"$lte": known.watermark, "$gte": since}})
    query = both(problem.source.query, {"$or": wanted})
    documents = collection.find(query, {"_id": 1, created_at: 1}, batch_size=_BATCH)
    for some in batched(documents, _BATCH):
        rows = known.index.rows([document_key(document["_id"]) for document in some])
        for row, document in zip(rows.tolist(), some, strict=True):
            if row < 0 or not _has_date(known, row, paths.read(document, created_at)):
                yield document["_id"]


def _has_date(known: Known, row: int, value: Any) -> bool:
    created_at = known.documents["created_at"][row].as_py()
    return bool(created_at == (value if isinstance(value, datetime) else None))


def _raw_batches(
    collection: Collection[mongodb.Document], problem: Problem, query: dict[str, Any]
) -> Iterator[list[RawBSONDocument]]:
    raw = collection.with_options(codec_options=_RAW)
    found = raw.find(query, projection_of(problem), batch_size=_BATCH)
    yield from batched(found, _BATCH)


def _decoded(collection: Collection[mongodb.Document], raw: RawBSONDocument, stored: int) -> Found:
    return Found(bson.decode(raw.raw, collection.codec_options), stored)


def _stored(raw: RawBSONDocument) -> int:
    """Return a digest of the bytes of a document, with its id, as a whole number of 64 bits."""
    return int.from_bytes(hashlib.blake2b(raw.raw, digest_size=8).digest(), "little", signed=True)
